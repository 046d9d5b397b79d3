"""`--plan`: every command that runs a model says what it will take, and writes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.offered import commands, options

from vitrail.cli.terminal import size_of, span_of
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
    "a lens": ("lens", "fit", "--layers", "6", "--rows", 0, "--batch-size", 8, "--max-new-tokens", 3),
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


#: What is typed → what it calls, which takes long: it is only looked at how many items that is given.
LOOKED_AT = {
    ("steer", "apply", "STEERING", "--batch-size", 4): "vitrail.runs.steer.apply_steering",
    (
        *("steer", "search", "STEERING", "--task", "colour", "--batch-size", 4, "--out", "OUT"),
    ): "vitrail.runs.steer.search_steering",
    ("steer", "evaluate", "STEERING", "--task", "colour", "--batch-size", 4): "vitrail.runs.steer.evaluate_steerings",
    ("steer", "rank", "STUDY", "--to", 1, "--batch-size", 4): "vitrail.trials.rank_fine_vectors",
    ("evaluate", "--words", "grass", "--concepts", 1): "vitrail.runs.compare_methods.compare_methods",
    ("monitor", "fit", "STUDY", "--out", "OUT"): "vitrail.monitoring.fit_reference",
    ("compare", "--a", "STUDY", "--b", "STUDY", "--whole", 200, "--out", "OUT"): "vitrail.runs.compare.compare",
}


@pytest.mark.parametrize("command", LOOKED_AT, ids=lambda c: " ".join(map(str, c)))
def test_a_long_run_is_planned_on_some_of_the_samples(
    run, steering, activations, concepts, grounding, world, monkeypatch, tmp_path, command
):
    seen: list[int] = []

    def instead(*args: object, out: Path | None = None, options: object = None, **_: object) -> None:
        data = [getattr(options, "n_whole", None), *(getattr(a, "test", getattr(a, "samples", a)) for a in args)]
        seen.append(next(n if isinstance(n, int) else len(n) for n in data if isinstance(n, int | list | tuple)))
        if out is not None:
            out.mkdir()

    monkeypatch.setattr(LOOKED_AT[command], instead)
    monkeypatch.chdir(tmp_path)
    named = {"STEERING": steering.folder, "OUT": tmp_path / "out", "STUDY": activations.folder.parent}
    before = sorted(named["STUDY"].rglob("*"))
    limit = () if command[0] in ("evaluate", "compare") else ("--limit", 80)
    found = planned(run, *(named.get(a, a) for a in command), "--data", world, *limit, "--plan")
    assert len(seen) == 2
    assert seen[1] == 2 * seen[0] < found["n"]
    assert list(tmp_path.iterdir()) == []
    assert sorted(named["STUDY"].rglob("*")) == before


#: What is typed of a study that is there, and of what: it is rehearsed whole, once.
WHOLE = {
    ("learn", "STUDY", "--layer", 8, "--concepts", 2, "--stability", 0): "studies",
    ("learn", "STUDY", "--layer", 8, "--concepts", "auto", "--stability", 0): "studies",
    ("ground", "STUDY"): "studies",
    ("explain", "STUDY", "IMAGE", "--picture", "a.png"): "images",
    ("steer", "make", "--study", "STUDY", "--to", 1, "--out", "OUT"): "studies",
    ("compare", "--a", "STUDY", "--b", "STUDY", "--out", "OUT"): "comparisons",
    ("doctor", "toyland"): "models",
}


@pytest.mark.parametrize("command", WHOLE, ids=lambda c: " ".join(map(str, c)))
def test_what_is_done_once_is_rehearsed_whole(
    run, activations, concepts, grounding, dogs, monkeypatch, tmp_path, command
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("vitrail.lmm.doctor.doctor", lambda *_: None)
    named = {"OUT": tmp_path / "out", "STUDY": activations.folder.parent, "IMAGE": dogs[0].image}
    before = sorted(named["STUDY"].rglob("*"))
    found = planned(run, *(named.get(a, a) for a in command), "--plan")
    assert (found["n"], found["items"], found["basis"]) == (1, WHOLE[command], "the whole run")
    assert list(tmp_path.iterdir()) == []
    assert sorted(named["STUDY"].rglob("*")) == before


def test_a_sweep_is_planned_by_its_largest_numbers_of_concepts(run, activations, concepts, monkeypatch):
    tried = []
    monkeypatch.setattr("vitrail.sweep.sweep", lambda _, options, out, **__: tried.append(options.n_concepts))
    found = planned(
        run, "learn", activations.folder.parent, "--layer", 8, "--sweep", "--try-concepts", "2,4,3,5", "--plan"
    )
    assert tried == [(5,), (5, 4)]
    assert (found["n"], found["items"]) == (4, "numbers of concepts")


def test_what_a_monitor_writes_is_planned_and_nothing_is_sent(
    run, activations, concepts, grounding, world, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    sinks = f"prometheus:1,jsonl:{tmp_path / 'o.jsonl'}"
    monitored = ("monitor", "run", activations.folder.parent, "--data", world, "--limit", 9, "--sink", sinks)
    found = planned(run, *monitored, "--batch-size", 2, "--max-new-tokens", 12, "--plan")
    assert (found["n"], found["batch_size"]) == (9, 2)
    assert list(tmp_path.iterdir()) == []


def test_the_demo_is_planned(run, toyland_cache, monkeypatch, tmp_path):
    monkeypatch.setenv("VITRAIL_CACHE", str(toyland_cache))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("vitrail.runs.study.study", lambda lmm, some, word, out, **_: out.mkdir())
    assert planned(run, "demo", "--plan")["items"] == "samples"
    assert list(tmp_path.iterdir()) == []


def test_the_steps_of_a_file_are_planned_one_after_the_other(run, activations, concepts, grounding, world, tmp_path):
    study, new = activations.folder.parent, tmp_path / "new"
    before = sorted(study.rglob("*"))
    steps = (
        f'run = "extract"\nword = "grass"\nrequire = "truth"\ndata = "{world}"\nlimit = 60\nout = "{new}"',
        f'run = "ground"\nstudy = "{new}"',
        f'run = "ground"\nstudy = "{study}"',
        f'run = "report"\nstudy = "{study}"',
    )
    file = tmp_path / "line.toml"
    file.write_text("".join(f"[[step]]\n{step}\n" for step in steps))
    code, out, err = run("run", file, "--plan")
    assert code == 0, err
    said = out.split("Step ")[1:]
    assert ["time" in one and "An estimate" in one for one in said] == [True, False, True, False]
    assert "It is planned once an earlier step has run:" in said[1]
    assert "It runs no model." in said[3]
    assert list(tmp_path.iterdir()) == [file]
    assert sorted(study.rglob("*")) == before
    file.write_text(f'[[step]]\nrun = "ground"\nstudy = "{new}"\n')
    code, _, err = run("run", file, "--plan")  # nothing will make it
    assert (code, str(new) in err) == (1, True)


#: Commands that run a model and are planned by a test of their own.
OTHERS = {"atlas", "demo", "finetune", "monitor run", "run", "share"}
#: Commands that run a model and have no plan, and why.
NO_PLAN = {
    "serve": "it goes on until it is stopped",
    "import": "it reads a file; the model is described, and asked nothing",
}


def test_every_command_that_runs_a_model_is_planned():
    running = {name for name, of in commands() if "--device" in options(of)} | {"demo", "run"}
    planning = {name for name, of in commands() if "--plan" in options(of)}
    assert running - planning == set(NO_PLAN)
    rows = [" ".join(map(str, row)) for row in (*COMMANDS.values(), *LOOKED_AT, *WHOLE)]
    assert {name for name in planning - OTHERS if not any(row.startswith(f"{name} ") for row in rows)} == set()


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
