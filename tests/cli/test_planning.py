"""`--plan`: every command that runs a model over samples says what it will take, and writes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vitrail.cli.planning import size_of, span_of
from vitrail.extraction import extract_words
from vitrail.steering import TASKS, SteeringOptions, make_steering


@pytest.fixture(autouse=True)
def loaded(monkeypatch, lmm):
    """Models that are loaded already."""
    monkeypatch.setattr("vitrail.cli.choices.ModelChoice.load", lambda self, progress, layers=(): lmm)
    monkeypatch.setattr("vitrail.cli.choices.StudyModel.load", lambda self, activations: lmm)
    monkeypatch.setattr("vitrail.runs.compare.check_tuned", lambda *args, **more: None)
    monkeypatch.setattr("vitrail.runs.compare.load_tuned", lambda *args, **more: lmm)


@pytest.fixture
def given(world, tmp_path) -> tuple[object, ...]:
    return ("--data", world, "--limit", 120, "--out", tmp_path / "out", "--plan")


@pytest.fixture(scope="module")
def steering(lmm, samples, tmp_path_factory):
    options = SteeringOptions((6,))
    return make_steering(lmm, TASKS["colour"], samples[:60], options, out=tmp_path_factory.mktemp("steering") / "s")


@pytest.fixture(scope="module")
def many(lmm, samples, tmp_path_factory):
    from vitrail.activations import ExtractionOptions

    out = tmp_path_factory.mktemp("many") / "s"
    return extract_words(lmm, samples, ["grass", "sand", "snow"], out=out, options=ExtractionOptions(require="truth"))


def planned(run, *command: object) -> dict:
    code, out, err = run(*command, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["seconds"] > 0
    assert found["seconds_once"] <= found["seconds"]
    assert found["memory"] is None or found["memory"] < 3e9
    assert found["fits"]
    return found


COMMANDS = {
    "one word": ("extract", "--word", "grass", "--require", "truth", "--batch-size", 8),
    "many words": ("extract", "--word", "grass,sand", "--require", "truth", "--batch-size", 8),
    "sums": ("extract", "--word", "grass,sand", "--require", "truth", "--batch-size", 8, "--reduce", "mean"),
    "texts": ("say", "--batch-size", 8, "--max-new-tokens", 3),
    "a size that is found": ("say", "--batch-size", "auto", "--max-new-tokens", 2),
    "a study": ("study", "--word", "grass", "--require", "truth", "--batch-size", 8, "--concepts", 4),
    "a steering": ("steer", "make", "--task", "colour", "--layers", "6", "--batch-size", 8),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_on_samples_is_planned_and_writes_nothing(run, given, name, tmp_path):
    found = planned(run, *COMMANDS[name], *given)
    assert found["items"] == "samples"
    assert 8 < found["n"] <= 120
    assert found["disk"] > 1000
    assert found["batch_size"] in ((4, 8) if "auto" in COMMANDS[name] else (8,))
    assert not (tmp_path / "out").exists()


def test_steps_of_a_training_are_planned(run, given, tmp_path):
    pytest.importorskip("peft")
    found = planned(
        run, "finetune", "--style", "place", "--steps", 40, "--batch-size", 2, "--rank", 2, "--checkpoints", 1, *given
    )
    assert (found["n"], found["items"], found["batch_size"]) == (40, "steps", 2)
    assert found["basis"] == "the run on the first 8 of 40 steps" or found["basis"].startswith("the run on the first 4")
    assert not (tmp_path / "out").exists()


def test_words_of_an_atlas_are_planned_beside_their_folder(run, many):
    before = sorted(path for path in many.folder.rglob("*"))
    found = planned(run, "atlas", many.folder, "--concepts", 3, "--stability", 1, "--plan")
    assert (found["n"], found["items"]) == (3, "words")
    assert sorted(path for path in many.folder.rglob("*")) == before


def test_words_of_one_dictionary_are_planned(run, many, tmp_path):
    options = ("--concepts", 3, "--stability", 1, "--out", tmp_path / "out")
    found = planned(run, "share", many.folder, *options, "--plan")
    assert (found["n"], found["items"]) == (3, "words")
    assert not (tmp_path / "out").exists()


def test_the_states_of_a_model_after_are_planned(run, activations, concepts, grounding, world, tmp_path):
    common = ("compare", "--a", activations.folder.parent, "--adapter", "x", "--out", tmp_path / "out", "--plan")
    found = planned(run, *common, "--data", world)
    assert found["n"] == len(activations)
    assert not (tmp_path / "out").exists()


def test_two_studies_that_are_there_need_no_plan(run, activations, concepts, grounding, tmp_path):
    study = activations.folder.parent
    code, _, err = run("compare", "--a", study, "--b", study, "--out", tmp_path / "out", "--plan")
    assert code == 2
    assert "a model after of which there is no study yet" in err


@pytest.mark.parametrize(
    ("command", "called"),
    [
        (("steer", "apply", "STEERING", "--batch-size", 4), "vitrail.runs.steer.apply_steering"),
        (
            ("steer", "search", "STEERING", "--task", "colour", "--batch-size", 4, "--out", "OUT"),
            "vitrail.runs.steer.search_steering",
        ),
        (
            ("steer", "evaluate", "STEERING", "--task", "colour", "--batch-size", 4),
            "vitrail.runs.steer.evaluate_steerings",
        ),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else "",
)
def test_what_a_steering_does_is_planned_on_some_of_the_samples(
    run, steering, world, monkeypatch, tmp_path, command, called
):
    """The runs themselves take long; what they are given is looked at."""
    seen: list[int] = []

    def instead(*args: object, out: Path | None = None, **_: object) -> None:
        sizes = [len(getattr(a, "test", a)) for a in args if hasattr(a, "test") or isinstance(a, list | tuple)]
        seen.append(next(n for n in sizes if n > 1))
        if out is not None:
            out.mkdir()

    monkeypatch.setattr(called, instead)
    monkeypatch.chdir(tmp_path)
    named = {"STEERING": steering.folder, "OUT": tmp_path / "out"}
    arguments = [named.get(a, a) for a in command]
    found = planned(run, *arguments, "--data", world, "--limit", 40, "--plan")
    assert seen == [4, 8]
    assert found["n"] > 8
    assert list(tmp_path.iterdir()) == []


def test_held_out_samples_of_an_evaluation_are_planned(run, activations, concepts, grounding, world, monkeypatch):
    seen = []
    folder = activations.folder.parent

    def instead(study, lmm, data, scorers, folders, options):
        assert folder not in folders.out.parents
        folders.out.mkdir(parents=True)
        seen.append(len(data.test_samples))

    monkeypatch.setattr("vitrail.evaluation.score_study", instead)
    before = sorted(folder.rglob("*"))
    found = planned(run, "evaluate", folder, "--data", world, "--plan")
    assert seen[-1] == found["n"] >= 1
    assert sorted(folder.rglob("*")) == before


def test_a_plan_is_a_table_that_says_what_it_comes_from(run, given):
    code, out, _ = run(*COMMANDS["one word"], *given)
    assert code == 0
    for line in ("time", "disk", "memory", "batch size", "An estimate, from the run on the first 16 of", "are free"):
        assert line in out


def test_vectors_that_are_made_at_once_have_no_plan(run, concepts, tmp_path):
    made = ("steer", "make", "--study", concepts.folder.parent, "--to", 1, "--out", tmp_path / "out", "--plan")
    code, _, err = run(*made)
    assert code == 2
    assert "--plan is for steerings from samples" in err


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0 B"), (999, "999 B"), (2_340_000, "2.3 MB"), (134e9, "134 GB"), (5.5e15, "5500.0 TB")]
)
def test_bytes_are_said_in_a_unit_that_is_easily_read(value, text):
    assert size_of(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.24, "0.2 s"), (75, "1 min 15 s"), (3599.9, "1 h 0 min"), (4e6, "1,111 h 6 min")]
)
def test_times_are_said_in_units_that_are_easily_read(value, text):
    assert span_of(value) == text
