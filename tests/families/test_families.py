"""Every family through one generic path: captions, states, concepts, words, steering; and the doctor's certificate."""

from __future__ import annotations

import pytest
import torch

from vitrail.concepts import learn
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
