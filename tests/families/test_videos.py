"""Videos as a whole, under the video token of the family: as the library itself asks, in a batch as alone, and mapped.

Needs torchvision, which the video processors of transformers need: `make videos` installs it beside the torch that goes
with it.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image
from transformers.utils import is_torchvision_available

from families.builders import FAMILIES, shaken
from families.test_families import SAID
from families.test_maps import GREY, QUARTERS, painted_quarter, question
from families.tiny import build
from vitrail.concepts import learn
from vitrail.errors import DataError, ModelError, VitrailError
from vitrail.extraction import extract
from vitrail.lmm import LMM, from_transformers, load, load_as
from vitrail.lmm.coordinates import measured
from vitrail.lmm.doctor import doctor, hidden_states, quick
from vitrail.lmm.positions import among
from vitrail.lmm.running import ApartError
from vitrail.lmm.sight import pixels_of
from vitrail.maps.methods.registry import METHODS
from vitrail.samples import Film, Layout, Sample, Video, frames_of, strip

needs_torchvision = pytest.mark.skipif(not is_torchvision_available(), reason="video processors need torchvision")

#: Families with a video token of their own.
KNOW = ("LLaVA-OneVision", "SmolVLM", "Qwen2-VL", "Qwen2.5-VL", "Qwen3-VL", "InternVL", "Molmo2")
#: What their models see of two frames as one.
MERGE = ("Qwen2-VL", "Qwen2.5-VL", "Qwen3-VL")
#: Whose tokens have no known place; see `test_maps`.
NO_TOKENS = ("Qwen2.5-VL", "Molmo2")


@cache
def built(name: str) -> LMM:
    network, processor = next(family for family in FAMILIES if family.name == name).build()
    return from_transformers(shaken(network), processor, name, videos="whole")


def know(*others: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", [name for name in KNOW if name not in others])


def film(n: int = 4, seed: int = 0, side: tuple[int, int] = (56, 56), rate: float | None = 2.0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (n, *side, 3), dtype=np.uint8)
    return strip([Image.fromarray(p) for p in pixels], Film(tuple(range(1, 2 * n, 2)), 2 * n, rate))


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_model_that_knows_no_videos_is_refused(family):
    network, processor = family.build()
    if family.name in KNOW and is_torchvision_available():
        from_transformers(shaken(network), processor, family.name, videos="whole")
        return
    with pytest.raises(ModelError, match=r"knows no videos|no chat template|takes no video as a whole"):
        from_transformers(shaken(network), processor, family.name, videos="whole")


@needs_torchvision
@know()
def test_states_of_a_video_are_the_librarys(name):
    """Against processor and model asked as transformers documents it: a chat with a video, which it samples itself."""
    lmm, video = built(name), film()
    content = [{"type": "video"}, {"type": "text", "text": lmm.prompt}]
    processor = lmm.backend.processor
    text = processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
    )
    metadata = {"total_num_frames": 8, "fps": 2.0, "duration": 4.0, "frames_indices": [1, 3, 5, 7]}
    inputs = processor(
        text=[text],
        videos=[[np.asarray(frame) for frame in frames_of(video)]],
        video_metadata=[metadata],
        do_sample_frames=False,
        return_tensors="pt",
        add_special_tokens=not text.startswith(lmm.tokenizer.bos_token),
    )
    with torch.no_grad():
        library = hidden_states(lmm.model(**inputs, output_hidden_states=True))
    asked = lmm.prepare([video], [lmm.prompt])
    assert asked["input_ids"].tolist() == inputs["input_ids"].tolist()
    ours = lmm.states(asked, [()], [asked["input_ids"].shape[1] - 1], [1])[1][0]
    torch.testing.assert_close(ours, library[1][0, -1], rtol=2e-3, atol=2e-3)
    assert among(asked["input_ids"], lmm.image_tokens).sum() >= 4 // (2 if name in MERGE else 1)


@needs_torchvision
@know()
def test_a_video_is_not_its_frames_as_images(name):
    network, processor = next(family for family in FAMILIES if family.name == name).build()
    apart = from_transformers(shaken(network), processor, name)
    assert any("videos" in one for one in apart.differences(built(name).describe()))
    video = film()
    ids = [lmm.prepare([video], [lmm.prompt])["input_ids"].tolist() for lmm in (apart, built(name))]
    assert ids[0] != ids[1]


@needs_torchvision
@know()
def test_videos_in_a_batch_are_the_videos_alone(name):
    lmm, films = built(name), [film(seed=seed) for seed in range(3)]
    requests = [lmm.prompt, "What is it, and what does it do?", lmm.prompt]
    inputs = lmm.prepare(films, requests)
    width = inputs["input_ids"].shape[1]
    together = lmm.states(inputs, [()] * 3, [width - 1] * 3, [lmm.n_blocks])[lmm.n_blocks]
    for video, request, ours in zip(films, requests, together, strict=True):
        alone = lmm.prepare([video], [request])
        theirs = lmm.states(alone, [()], [alone["input_ids"].shape[1] - 1], [lmm.n_blocks])[lmm.n_blocks][0]
        torch.testing.assert_close(ours, theirs, rtol=2e-3, atol=2e-3)
    assert lmm.caption(films, max_new_tokens=4) == [lmm.caption([one], max_new_tokens=4)[0] for one in films]


@needs_torchvision
@know()
def test_what_does_not_go_together_is_refused_together(name):
    lmm, one = built(name), film()
    for other in (film(2), Image.new("RGB", (56, 56))):
        with pytest.raises(ApartError, match="--batch-size 1"):
            lmm.prepare([one, other], [lmm.prompt] * 2)
        assert lmm.caption([other], max_new_tokens=2)


@needs_torchvision
@know()
def test_the_doctor_finds_nothing(name):
    lmm = built(name)
    found = doctor(lmm)
    assert found.passed, [check for check in found.checks if check.passed is False]
    assert {check.name: check.passed for check in found.checks}["each of several images reaches the words"]
    assert quick(lmm, [film(), film(seed=1)], [lmm.prompt] * 2).passed


@needs_torchvision
@know()
def test_a_video_without_a_rate_is_refused(name):
    with pytest.raises(DataError, match="does not say how many frames pass in a second"):
        built(name).prepare([film(rate=None)], [built(name).prompt])


@needs_torchvision
@know()
def test_numbers_of_the_processor_come_from_the_frame_where_they_are_measured(name):
    lmm, which = built(name), 2
    grey = [Image.new("RGB", (56, 56), GREY)] * 4
    kind = Film((0, 1, 2, 3), 4, 2.0)
    layout = Layout.of(strip(grey, kind))
    x, _ = measured(lmm.backend, layout, lmm.prompt)
    left, _, right, _ = (edge / layout.size[0] for edge in layout.boxes[which])
    other = strip([*grey[:which], painted_quarter(QUARTERS[0]).resize((56, 56)), *grey[which + 1 :]], kind)
    changed, before = (pixels_of(lmm.prepare([i], [lmm.prompt]))[1] for i in (other, strip(grey, kind)))
    moved = (changed - before).abs().float().numpy()
    assert moved[(x > left) & (x < right)].sum() / moved.sum() > 0.97


@needs_torchvision
@know()
@pytest.mark.parametrize("method", ["integrated-gradients", "occlusion", "gradient-tokens"])
def test_a_map_lies_in_the_frame_that_has_something_in_it(name, method):
    """A token of two frames says of both what it says; other methods tell them apart."""
    lmm = built(name)
    grey, shown = Image.new("RGB", (112, 112), GREY), painted_quarter(QUARTERS[0])
    asked = question(lmm, strip([grey, grey, grey, shown], Film((0, 1, 2, 3), 4, 2.0)), method)
    if method == "gradient-tokens" and name in NO_TOKENS:
        with pytest.raises(VitrailError):
            METHODS[method].make(asked)
        return
    drawn = np.abs(METHODS[method].make(asked)[0, 0])
    of_frames = [part.sum() for part in np.array_split(drawn, 4, axis=1)]
    if method == "gradient-tokens":
        assert min(of_frames) > 0
        if name in MERGE:
            np.testing.assert_allclose(of_frames[2], of_frames[3], rtol=0.1)
    else:
        assert sum(of_frames[:3]) < 0.05 * of_frames[3]


@needs_torchvision
@know()
def test_from_files_to_concepts(name, tmp_path):
    """Videos of unequal length, and an image among them, go through the batches they fit in."""
    lmm, samples = built(name), []
    for i, said in enumerate(SAID):
        frames = frames_of(film(2 if i == 1 else 6, seed=i))
        frames[0].save(tmp_path / f"{i}.gif", save_all=True, append_images=frames[1:], duration=250)
        samples.append(Sample(str(i), frames[0] if i == 2 else Video(tmp_path / f"{i}.gif", 4), (said,)))
    states = extract(lmm, samples, "dog", out=tmp_path / "a", layers=[-1], require="truth", batch_size=4)
    assert len(states) == len(samples)
    assert states.model.videos == "whole"
    assert states.manifest["doctor"]["passed"]
    assert learn(states, out=tmp_path / "c", layer=-1, n_concepts=2).kept.all()
    for row, sample in zip(states.rows, samples, strict=True):
        inputs = lmm.prepare([sample.open()], [lmm.prompt])
        place = inputs["input_ids"].shape[1] - 1 + row.token
        alone = lmm.states(inputs, [row.token_ids], [place], [lmm.n_blocks])[lmm.n_blocks][0]
        kept = torch.from_numpy(np.asarray(states.states(-1)))[states.rows.index(row)]
        torch.testing.assert_close(kept.float(), alone.float(), rtol=2e-3, atol=2e-3)


@needs_torchvision
@know()
def test_a_folder_is_loaded_as_it_was_described(name, tmp_path):
    lmm = built(name)
    lmm.model.save_pretrained(tmp_path)
    lmm.backend.processor.save_pretrained(tmp_path)
    loaded = load(tmp_path, videos="whole", device="cpu")
    again = load_as(loaded.describe(), device="cpu")
    assert again.backend.videos == "whole"
    assert again.describe() == loaded.describe()
    assert loaded.caption([film()], max_new_tokens=4) == lmm.caption([film()], max_new_tokens=4)


@needs_torchvision
def test_a_model_of_videos_alone_reads_an_image_as_one_that_stands_still():
    """InstructBLIP-Video, which knows four frames."""
    made = build("instructblipvideo")
    lmm = from_transformers(shaken(made.network), made.processor, "instructblipvideo")
    still, moving = film(4).crop((0, 0, 56, 56)), film(4)
    still.info.clear()
    inputs = [lmm.prepare([image], [lmm.prompt]) for image in (still, strip([still] * 4), moving)]
    torch.testing.assert_close(inputs[0]["pixel_values"], inputs[1]["pixel_values"])
    assert not torch.equal(inputs[1]["pixel_values"], inputs[2]["pixel_values"])
    assert len(set(lmm.caption([still, moving], max_new_tokens=3))) > 0
    with pytest.raises(DataError, match="reads videos of 4 frames, and this one has 3: --frames 4"):
        lmm.prepare([film(3)], [lmm.prompt])
