"""Every family through one generic path: captions, states, concepts, words, steering; and the doctor's certificate."""

from __future__ import annotations

import pytest
import torch

from families.conftest import built
from vitrail.concepts import learn
from vitrail.errors import ModelError, UsageError
from vitrail.extraction import extract
from vitrail.grounding import ground
from vitrail.lmm import load
from vitrail.lmm.doctor import doctor, hidden_states, keeps_states
from vitrail.lmm.loading import n_blocks_of
from vitrail.samples import Sample

# image processors of transformers give tensors to numpy
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")

SAID = [
    "a photo of a dog on the grass",
    "a dog and a cat in the snow",
    "the black dog is running",
    "an image of a dog with a ball, at night",
]


@pytest.fixture
def requests(tiny):
    """Two requests, of different length where the model is asked anything."""
    return [tiny.prompt, "what is in the picture? where is the dog?"]


def test_a_batch_is_padded_on_the_left(tiny, pictures, requests):
    """Also where a processor puts the image's tokens before the padding of the text."""
    mask = tiny.prepare(pictures[:2], requests)["attention_mask"]
    assert (mask.diff(dim=1) >= 0).all()


def test_captions_of_a_batch_are_those_of_its_rows_alone(tiny, pictures):
    together = tiny.caption(pictures, max_new_tokens=5, batch_size=len(pictures))
    alone = [tiny.caption([picture], max_new_tokens=5)[0] for picture in pictures]
    assert together == alone


def test_states_are_the_librarys_hidden_states_of_the_whole_text(tiny, pictures, requests):
    """Prompts of different lengths, answers of different lengths, each compared with itself alone, by the library."""
    answers = [tiny.continuation(r, a).ids for r, a in zip(requests, SAID, strict=False)]
    inputs = tiny.prepare(pictures[:2], requests)
    width = inputs["input_ids"].shape[1]
    layers = [*range(tiny.n_blocks + 1), "final"]
    last = [len(answer) - 1 for answer in answers]
    ours = tiny.states(inputs, answers, [width + k for k in last], layers)
    for i in range(2):
        alone = tiny.extended(tiny.prepare([pictures[i]], [requests[i]]), [answers[i]])
        with torch.no_grad():
            library = hidden_states(tiny.run(alone, output_hidden_states=True))
        assert len(library) == tiny.n_blocks + 1
        for k in range(tiny.n_blocks):
            torch.testing.assert_close(ours[k][i], library[k][0, -1], rtol=2e-3, atol=2e-3)
        # a norm that belongs to the head, as BERT's, lies behind the library's last state
        last_state = tiny.n_blocks if "predictions" in tiny.parts.names["norm"] else "final"
        torch.testing.assert_close(ours[last_state][i], library[-1][0, -1], rtol=2e-3, atol=2e-3)


#: Positions of an answer of n tokens, from the end of the text.
FROM_THE_END = {
    "answer": lambda n: slice(-n - 1, -1),
    "generated": lambda n: slice(-n - 1, None),
    "said": lambda n: slice(-n, None),
    "said:0:-1": lambda n: slice(-n, -1),
    "answer:1:3": lambda n: slice(-n, -n + 2),
    "last": lambda n: slice(-n - 1, -n),
}


@pytest.mark.parametrize("at", FROM_THE_END)
def test_means_over_positions_are_those_of_the_librarys_hidden_states(tiny, pictures, requests, at):
    answers = [tiny.continuation(r, a).ids for r, a in zip(requests, SAID, strict=False)]
    inputs = tiny.prepare(pictures[:2], requests)
    rows, positions = (found.tolist() for found in tiny.whole(inputs, answers, requests, at).nonzero(as_tuple=True))
    states = tiny.states(inputs, answers, positions, [1], rows)[1]
    for i in range(2):
        alone = tiny.extended(tiny.prepare([pictures[i]], [requests[i]]), [answers[i]])
        with torch.no_grad():
            library = hidden_states(tiny.run(alone, output_hidden_states=True))[1][0]
        ours = states[[row == i for row in rows]]
        torch.testing.assert_close(ours, library[FROM_THE_END[at](len(answers[i]))], rtol=2e-3, atol=2e-3)


def test_the_question_is_the_tokens_of_the_request(tiny, pictures, requests):
    inputs = tiny.prepare(pictures[:2], requests)
    if tiny.backend.translates or not tiny.prompt:
        with pytest.raises(ModelError, match=r"An encoder reads|The request '' is not in the prompt"):
            tiny.whole(inputs, [(), ()], requests, "question")
        return
    where = tiny.whole(inputs, [(), ()], requests, "question")
    for ids, marked, request in zip(inputs["input_ids"], where, requests, strict=True):
        tokens = ids[marked].tolist()
        assert request in tiny.tokenizer.decode(tokens)
        assert request not in tiny.tokenizer.decode(tokens[1:])
        assert request not in tiny.tokenizer.decode(tokens[:-1])


#: Families of which a side of the image cannot be read as a whole, and why.
NOT_READ = {
    "vision": {"Mllama": "pads", "Chameleon": "run once", "Florence-2": r"\(1, 16, 4, 4\)"},
    "connector": {
        "Mllama": "pads",
        "Aya Vision": r"1, 1, 32\)",
        "Chameleon": "No connector was found",
        **dict.fromkeys(
            ("Idefics", "BLIP-2 (OPT)", "BLIP-2 (T5)", "InstructBLIP", "ViT + BERT", "Florence-2"), "could be meant"
        ),
    },
}


#: Families of which the positions of a side are no patches in their order.
NO_PLACES = {
    "vision": {"Qwen2-VL", "Qwen2.5-VL", "Qwen3-VL", "Molmo2"},
    "connector": {"Idefics2", "Kosmos-2", "Molmo2", "Qwen2-VL", "Qwen2.5-VL", "Qwen3-VL"},
}


@pytest.mark.parametrize("layer", ["vision", "connector"])
def test_states_of_the_images_side_are_what_its_modules_put_out(tiny, family, pictures, layer):
    """Against a plain hook of torch; the mean leaves class tokens out, and coordinates are proven or refused."""
    inputs = tiny.prepare(pictures[2:3], [tiny.prompt])
    if why := NOT_READ[layer].get(family.name):
        with pytest.raises((ModelError, UsageError), match=why):
            tiny.seen(inputs, [layer])
        return
    kept = []
    module = tiny.model.get_submodule(tiny.sight([layer])[layer])
    handle = module.register_forward_hook(lambda _module, _args, out: kept.append(out))
    with torch.no_grad():
        tiny.run(inputs)
    handle.remove()
    (out,) = kept
    expected = out if isinstance(out, torch.Tensor) else out[0]
    seen = tiny.seen(inputs, [layer])[layer]
    torch.testing.assert_close(seen.states, expected.reshape(seen.states.shape), rtol=1e-4, atol=1e-4)
    n = seen.states.shape[1] if seen.grid is None else seen.grid[0] * seen.grid[1]
    flat = seen.states[:, seen.states.shape[1] - n :].reshape(-1, seen.states.shape[2])
    torch.testing.assert_close(seen.mean, flat.mean(0), rtol=1e-4, atol=1e-4)
    assert (seen.grid is None) == (family.name in NO_PLACES[layer])
    if seen.grid is None:
        with pytest.raises(ModelError, match="no coordinates"):
            tiny.prove_places(inputs, [layer])
    else:
        tiny.prove_places(inputs, [layer])


def test_a_module_that_moves_its_patches_gives_them_no_coordinates(pictures):
    """Such as one that reads them in windows: nothing but the proof can tell."""
    lmm = built("LLaVA 1.5")
    inputs = lmm.prepare(pictures[:1], [lmm.prompt])
    lmm.prove_places(inputs, ["connector"])
    handle = lmm.model.get_submodule("model.multi_modal_projector").register_forward_hook(
        lambda _m, _a, out: out.flip(1)
    )
    with pytest.raises(ModelError, match="not in the order of the patches"):
        lmm.prove_places(inputs, ["connector"])
    handle.remove()


def test_a_forced_answer_decodes_to_itself_and_ends(tiny):
    for answer in SAID:
        said = tiny.continuation(tiny.prompt, answer)
        assert said.text.strip() == answer
        assert not set(said.ids) & tiny.ends


def test_the_doctor_finds_nothing(tiny, pictures, record_property):
    found = doctor(tiny, [pictures[0], pictures[1], pictures[3]])
    assert found.passed, found.failed
    proven = [c for c in found.checks if c.passed]
    assert {"states are the library's", "logits are the model's", "read at once is as spoken"} <= {
        c.name for c in proven
    }
    record_property("worst", max(c.error for c in proven if c.error is not None))
    record_property("live", keeps_states(found.certificate()))


def test_a_folder_is_loaded_as_it_was_saved(family, tiny, pictures, tmp_path):
    if not family.whole:
        pytest.skip("the processor of this family is loaded through torchvision, which is not installed here")
    tiny.model.save_pretrained(tmp_path)
    processor = tiny.processor
    for part in [processor] if hasattr(processor, "save_pretrained") else vars(processor).values():
        part.save_pretrained(tmp_path)
    loaded = load(tmp_path, device="cpu")
    assert loaded.prompt == tiny.prompt
    assert loaded.describe().fingerprint == tiny.describe().fingerprint
    assert loaded.caption(pictures[:2], max_new_tokens=4) == tiny.caption(pictures[:2], max_new_tokens=4)


def test_from_states_to_grounded_words(tiny, pictures, tmp_path):
    samples = [Sample(str(i), picture, (said,)) for i, (picture, said) in enumerate(zip(pictures, SAID, strict=True))]
    states = extract(tiny, samples, "dog", out=tmp_path / "a", layers=[1, -1], require="truth", batch_size=3)
    assert len(states) == len(samples)
    assert states.manifest["doctor"]["passed"]
    for row in states.rows:
        assert " dog" in tiny.tokenizer.decode(row.token_ids[row.token])
    concepts = learn(states, out=tmp_path / "c", layer=-1, n_concepts=2)
    grounding = ground(tiny, states, concepts, out=tmp_path / "g", n_words=3)
    assert all(concept.words and concept.samples for concept in grounding.concepts)


def test_a_vector_steers_what_is_said(tiny, pictures):
    """So strong a vector at the last block that the model can only say the word that it says by itself."""
    direction = torch.randn(tiny.n_features, generator=torch.Generator().manual_seed(3)) * 1e4
    with torch.inference_mode():
        expected = int(tiny.logits(direction[None], tiny.n_blocks).argmax())
    assert expected not in tiny.ends
    inputs = tiny.prepare(pictures[:2], [tiny.prompt] * 2)

    def push(_layer, states, now):
        return states + now.mask("generated")[..., None] * direction

    with tiny.edited([-1], push) as edits:
        said = tiny.generate(inputs, 4)
    forced = 1 if getattr(tiny.model.generation_config, "forced_bos_token_id", None) is not None else 0
    assert [set(g.ids[forced:]) for g in said] == [{expected}] * 2
    assert edits.changed[str(tiny.n_blocks)] == 2 * 4
    assert tiny.generate(inputs, 4) != said


def test_the_configuration_says_how_many_blocks_there_are(tiny):
    """So that a layer which does not exist is refused before weights are read; a configuration may also not say."""
    assert n_blocks_of(tiny.model.config) in (None, tiny.n_blocks)
