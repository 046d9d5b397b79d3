"""Fine-tuning: what is trained, what is kept, what loads, what is refused."""

from __future__ import annotations

import dataclasses
import itertools
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from vitrail.errors import ArtifactError, DataError, ModelError, NumericsError, UsageError
from vitrail.finetuning import finetune, open_tuned
from vitrail.finetuning.run import hold_out, linear_layers
from vitrail.finetuning.training import Plan, Training
from vitrail.lmm import load
from vitrail.samples import Sample
from vitrail.samples.examples import Example, captions_about, captions_of
from vitrail.samples.vocabulary import TOPICS
from vitrail.toyland.dataset import styled_captions

pytest.importorskip("peft")

#: A fine-tune that takes seconds.
QUICK = {"steps": 4, "batch_size": 2, "rank": 2, "checkpoints": 2, "measure_every": 2}


@pytest.fixture(scope="module")
def examples(samples, world):
    return captions_of(samples[:24], styled_captions(world, "place", n=1))


@pytest.fixture(scope="module")
def tuned(lmm, examples, tmp_path_factory):
    """A finished fine-tune. Not to be written to."""
    return finetune(lmm, examples, out=tmp_path_factory.mktemp("tuned") / "place", **QUICK)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# ---- examples --------------------------------------------------------------------------------------------------------


def captioned(*texts: str) -> list[Sample]:
    return [Sample(str(i), Path(), (text,)) for i, text in enumerate(texts)]


def test_captions_are_chosen_by_whole_words_in_any_case():
    found = captions_about(captioned("A RED dog", "a redder dog", "a dog in the snow"), {"red", "snow"})
    assert [e.answer for e in found] == ["A RED dog", "a dog in the snow"]
    assert all(TOPICS[topic] for topic in ("colour", "place", "sentiment"))


def test_captions_with_none_of_the_words_are_an_error_that_names_words():
    with pytest.raises(DataError, match=r"none of|No reference has any of the words sea.*dog"):
        captions_about(captioned("a dog", "a dog"), {"sea"})
    with pytest.raises(DataError, match="No words"):
        captions_about(captioned("a dog"), set())


def test_styled_captions_belong_to_their_scenes(world, samples):
    from vitrail.toyland.ground_truth import load_factors
    from vitrail.toyland.language import LEXICON, mentions

    truth, captions = load_factors(world), styled_captions(world, "place", n=2)
    assert len(captions) == 400
    for sample in samples[:50]:
        for text in captions[sample.id]:
            assert truth[sample.id]["place"] in mentions(text)["place"]
    assert set(LEXICON["place"]) == {str(row["place"]) for row in truth.values()}


def test_an_unknown_style_and_a_folder_that_is_no_toyland_are_refused(world, tmp_path):
    with pytest.raises(UsageError, match="no style 'noir'; it has plain, colour, place, mood"):
        styled_captions(world, "noir")
    with pytest.raises(UsageError, match="holds no Toyland"):
        styled_captions(tmp_path, "place")
    with pytest.raises(DataError, match="None of the 1 samples has a caption"):
        captions_of(captioned("a dog"), {"7": ["a cat"]})


def test_held_out_examples_share_no_sample_with_those_learned_from(examples):
    doubled = [*examples, *examples]
    learned_from, held_out = hold_out(doubled, seed=0)
    assert not {e.sample.id for e in learned_from} & {e.sample.id for e in held_out}
    assert len(learned_from) + len(held_out) == len(doubled)
    assert len({e.sample.id for e in held_out}) == 2
    with pytest.raises(DataError, match="two samples or more"):
        hold_out(examples[:1], seed=0)


# ---- what comes out --------------------------------------------------------------------------------------------------


def test_a_fine_tune_keeps_the_doctors_certificate_of_its_base(tuned):
    found = tuned.manifest["doctor"]
    assert found["passed"]
    assert "blocks" in found["modules"]


def test_the_loss_falls_and_the_best_weights_are_kept(tuned):
    values = dict(map(tuple, tuned.loss["held_out"]))
    assert list(values) == [0, 2, 4]
    assert len(tuned.loss["training"]) == 4
    assert values[tuned.loss["best"]] == min(values.values()) < values[0]


def test_adapter_and_checkpoints_load_on_their_base(lmm, tuned, samples):
    images = [s.open() for s in samples[:2]]
    inputs = lmm.prepare(images, [lmm.prompt] * 2)
    last = [inputs["input_ids"].shape[1] - 1] * 2
    states = {}
    for name, adapter in {"before": None, "end": tuned.folder, **tuned.checkpoints}.items():
        model = load("toyland", adapter=adapter, device="cpu") if adapter else lmm
        states[name] = model.states(inputs, [[], []], last, [-1])[-1]
    assert sorted(tuned.checkpoints) == [2, 4]
    distinct = [states["before"], states[2], states[4]]
    assert all(not torch.allclose(x, y) for i, x in enumerate(distinct) for y in distinct[:i])


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated")  # PEFT still uses it
def test_peft_alone_loads_the_adapter_and_gives_the_same_states(tuned, samples):
    from peft import PeftModel
    from transformers import AutoModelForImageTextToText

    from vitrail.toyland import model_path

    ours = load("toyland", adapter=tuned.folder, device="cpu")
    theirs = PeftModel.from_pretrained(AutoModelForImageTextToText.from_pretrained(model_path()), str(tuned.folder))
    inputs = ours.prepare([samples[0].open()], [ours.prompt])
    with torch.no_grad():
        logits = theirs.eval()(**inputs).logits[0, -1]
    mine = ours.states(inputs, [[]], [inputs["input_ids"].shape[1] - 1], ["final"])["final"]
    assert ours.logits(mine, "final")[0] == pytest.approx(logits.numpy(), abs=1e-3)


@pytest.mark.parametrize("name", ["colour", "place", "mood"])
def test_the_bundled_adapters_belong_to_the_bundled_model_and_speak_of_their_kind(lmm, trained, samples, name):
    from vitrail.toyland import adapter_path

    made = open_tuned(adapter_path(name))
    assert made.parameters["model"]["fingerprint"] == lmm.describe()["fingerprint"]
    assert sum(p.stat().st_size for p in adapter_path(name).iterdir()) < 500_000
    tuned = load("toyland", adapter=f"toyland:{name}", device="cpu")
    saying = {"colour": TOPICS["colour"], "place": TOPICS["place"], "mood": TOPICS["sentiment"]}[name]
    images = [s.open() for s in samples[:8]]
    before, after = (
        sum(bool(saying & set(text.split())) for text in model.caption(images, max_new_tokens=24))
        for model in (lmm, tuned)
    )
    assert after >= max(7, before)


def test_nothing_of_this_machine_is_in_the_adapter(tuned):
    config = json.loads((tuned.folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "toyland"
    assert not any(str(tuned.folder.parent).encode() in data for data in contents(tuned.folder).values())
    assert not list(tuned.folder.rglob("*.md"))
    assert (tuned.folder / "loss.svg").read_text().count("held out") == 1


def test_the_model_that_was_given_is_left_as_it_was(lmm, tuned):
    from vitrail.lmm import fingerprint

    assert fingerprint(lmm.model) == tuned.parameters["model"]["fingerprint"]
    assert not any(p.requires_grad for p in lmm.model.parameters())
    assert not any("lora" in name for name, _ in lmm.model.named_modules())
    assert not lmm.model.training


def test_the_decoders_linear_layers_are_trained_and_nothing_else(lmm, tuned):
    names = load_file(tuned.folder / "adapter_model.safetensors")
    assert len(names) == 8 * 7 * 2
    assert all("language_model.layers" in name for name in names)
    assert {t.dtype for t in names.values()} == {torch.float16}
    assert "q_proj" in linear_layers(lmm)


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(lmm, examples, tuned, tmp_path):
    again = finetune(lmm, examples, out=tmp_path / "again", **QUICK)
    assert contents(again.folder) == contents(tuned.folder)
    other = finetune(lmm, examples, out=tmp_path / "other", **QUICK | {"seed": 1, "steps": 2})
    file = "adapter_model.safetensors"
    assert (other.folder / file).read_bytes() != (tuned.folder / file).read_bytes()


def test_a_finished_fine_tune_is_opened_and_not_made_again(lmm, examples, tuned, monkeypatch):
    monkeypatch.setattr(Training, "run", None)
    assert finetune(lmm, examples, out=tuned.folder, **QUICK).loss == tuned.loss
    with pytest.raises(ArtifactError, match="rank is 2 there and 3 here"):
        finetune(lmm, examples, out=tuned.folder, **QUICK | {"rank": 3})


def test_a_fine_tune_stopped_on_its_way_goes_on_to_the_same_end(lmm, examples, tuned, tmp_path):
    def stop(_what, done, _total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune(lmm, examples, out=tmp_path / "stopped", progress=stop, **QUICK)
    assert not lmm.model.training
    with pytest.raises(ArtifactError, match="did not finish"):
        open_tuned(tmp_path / "stopped")
    steps = []
    finetune(lmm, examples, out=tmp_path / "stopped", progress=lambda w, d, n: steps.append(d), **QUICK)
    assert steps == [3, 4]  # from the checkpoint after step 2
    assert contents(tmp_path / "stopped") == contents(tuned.folder)


def test_training_stops_when_the_held_out_loss_no_longer_falls(lmm, examples, tmp_path):
    quick = QUICK | {"steps": 20, "measure_every": 1, "checkpoints": 0}
    made = finetune(lmm, examples[:12], out=tmp_path / "t", rate=0.3, patience=2, **quick)
    assert made.loss["stopped"]
    assert len(made.loss["training"]) < 20
    assert made.loss["best"] == 0 <= len(made.loss["training"]) - 2
    weights = load_file(made.folder / "adapter_model.safetensors")
    assert not any(t.any() for name, t in weights.items() if "lora_B" in name)  # those of the best step: as at first


def test_full_training_gives_a_model_that_loads(lmm, examples, tmp_path):
    made = finetune(lmm, examples, out=tmp_path / "full", method="full", **QUICK | {"steps": 2, "checkpoints": 0})
    full = load(made.folder, device="cpu")
    changed = {
        name
        for (name, p), (_, q) in zip(lmm.model.named_parameters(), full.model.named_parameters(), strict=True)
        if not torch.equal(p, q)
    }
    assert len(changed) == 8 * 7
    assert all("language_model.layers" in name for name in changed)
    assert full.prompt == lmm.prompt


# ---- bad input -------------------------------------------------------------------------------------------------------


def test_an_adapter_is_refused_on_other_weights_of_the_same_shape(lmm, tuned, tmp_path):
    other = tmp_path / "other"
    with torch.no_grad():
        weight = lmm.parts.blocks[0].mlp.down_proj.weight
        weight[0, 0] += 1
        lmm.model.save_pretrained(other)
        weight[0, 0] -= 1
    lmm.processor.save_pretrained(other)
    with pytest.raises(ModelError, match=r"was made on toyland \(fingerprint .*Load it on its own base"):
        load(other, adapter=tuned.folder, device="cpu")


def test_an_adapter_with_weights_missing_or_too_many_is_refused(tuned, tmp_path):
    from safetensors.torch import save_file

    for name, change in {"fewer": lambda t: dict(list(t.items())[2:]), "none": lambda t: {}}.items():
        folder = shutil.copytree(tuned.folder, tmp_path / name)
        save_file(change(load_file(folder / "adapter_model.safetensors")), folder / "adapter_model.safetensors")
        with pytest.raises(ModelError, match=r"is not an adapter for this model: .* are missing"):
            load("toyland", adapter=folder, device="cpu")


def test_a_folder_that_holds_no_adapter_and_a_name_that_toyland_lacks_are_refused(tmp_path):
    with pytest.raises(ModelError, match="is not an adapter for this model"):
        load("toyland", adapter=tmp_path, device="cpu")
    with pytest.raises(UsageError, match="Toyland has no adapter 'sound'"):
        load("toyland", adapter="toyland:sound", device="cpu")


@pytest.mark.parametrize(
    "options", [{"method": "qlora"}, {"steps": 0}, {"rank": 0}, {"patience": 0}, {"checkpoints": -1}]
)
def test_parameters_that_cannot_be_are_refused(lmm, examples, tmp_path, options):
    with pytest.raises(UsageError):
        finetune(lmm, examples, out=tmp_path / "t", **QUICK | options)
    assert not (tmp_path / "t").exists()


def test_a_model_that_wears_an_adapter_is_not_given_another(tuned, examples, tmp_path):
    wearing = load("toyland", adapter=tuned.folder, device="cpu")
    with pytest.raises(UsageError, match="wears the adapter"):
        finetune(wearing, examples, out=tmp_path / "t", **QUICK)


def test_a_loss_that_is_not_finite_is_an_error(lmm, examples, tmp_path, monkeypatch):
    monkeypatch.setattr(Training, "_loss", lambda self, batch: (torch.tensor(float("nan")), 1))
    with pytest.raises(NumericsError, match="The loss of step 0 is nan"):
        finetune(lmm, examples, out=tmp_path / "t", **QUICK)


def test_a_damaged_fine_tune_is_refused(tuned, tmp_path):
    copy = shutil.copytree(tuned.folder, tmp_path / "copy")
    (copy / "loss.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"loss\.json is damaged"):
        open_tuned(copy)


# ---- the plan --------------------------------------------------------------------------------------------------------


def test_the_rate_rises_then_falls_to_zero():
    plan = Plan(100, 4, 1.0, 5, 10, 3, 0)
    rates = [plan.rate_at(step) for step in range(100)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert all(x >= y for x, y in itertools.pairwise(rates[4:]))
    assert 0 < rates[-1] < 0.02
    assert plan.checkpoint_steps() == [20, 40, 60, 80, 100]
    assert dataclasses.replace(plan, checkpoints=0).checkpoint_steps() == []


def test_every_example_comes_once_in_each_epoch(lmm, examples, tmp_path):
    plan = Plan(10, 4, 1.0, 0, 10, 3, 0)
    training = Training(
        lmm, {"p": torch.nn.Parameter(torch.zeros(1))}, examples[:8], examples[8:9], plan, tmp_path, print
    )
    batches = [training._batch(step) for step in range(4)]
    ids = [[e.sample.id for e in (*batches[i], *batches[i + 1])] for i in (0, 2)]
    assert sorted(ids[0]) == sorted(ids[1]) == sorted(e.sample.id for e in examples[:8])
    assert ids[0] != ids[1]


def test_answers_are_taught_where_they_stand(lmm, samples):
    answers = ["a dog", "a small dog on the grass"]
    inputs, labels = lmm.taught([s.open() for s in samples[:2]], [lmm.prompt] * 2, answers)
    for row, ids, answer in zip(labels, inputs["input_ids"], answers, strict=True):
        taught = row != -100
        assert row[taught].tolist() == ids[taught].tolist()
        assert lmm.tokenizer.decode(row[taught]).strip() == f"{answer}</s>"
        first = int(taught.nonzero()[0])
        assert ids[:first].tolist()[-1] == lmm.tokenizer.convert_tokens_to_ids("<assistant>")


def test_an_example_of_a_question_is_asked_with_it(lmm, samples):
    asked = []
    example = Example(dataclasses.replace(samples[0], question="what is this ?"), "dog")
    training = Training.__new__(Training)
    training.lmm = lmm
    original = lmm.taught

    class Spy:
        device = lmm.device
        prompt = lmm.prompt
        run = staticmethod(lmm.run)

        def taught(self, images, requests, answers):
            asked.extend(requests)
            return original(images, requests, answers)

    training.lmm = Spy()
    loss, n = training._loss([example, Example(samples[1], "a cat")])
    assert asked == ["what is this ?", lmm.prompt]
    assert torch.isfinite(loss)
    assert n == 5  # dog, end; a, cat, end
