"""`vitrail show PATH --as-run`: the file that it prints makes the same artifact again, in another folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from benchmarks.artifacts import observations

from vitrail.artifacts import file_hash
from vitrail.artifacts.chain import chain_of
from vitrail.cli.recording import as_toml
from vitrail.cli.run import steps_of
from vitrail.monitoring.sinks.files import ToJsonl
from vitrail.studies import open_study

#: Artifact → the command that makes it, and how many commands its file has; a new kind is a line.
MADE = {
    "dog": (
        "study --word dog --data {world} --split train --limit 160 --require truth --concepts 3 --device cpu --out dog",
        1,
    ),
    "dog/evaluation": ("evaluate dog --data {world} --no-noise --random 5 --ablate 0 --device cpu", 2),
    "tuned": (
        "finetune --data {world} --split train --limit 20 --style place --steps 1 --batch-size 2 --device cpu "
        "--out tuned",
        1,
    ),
    "shift": (
        "compare --a dog --adapter tuned --data {world} --split train --whole 0 --device cpu --words 5 --out shift",
        3,
    ),
    "colour": (
        "steer make --task colour --layers 4,6 --data {world} --limit 40 --device cpu --out colour",
        1,
    ),
    "steered": ("steer make --study dog --to 1 --from 0 --device cpu --out steered", 2),
    "reference": ("monitor fit dog --observations week.jsonl --out reference", 2),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("here")


@pytest.fixture(scope="module")
def again(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("there")


def contents(folder: Path) -> dict[str, object]:
    """File → its hash; of a manifest or summary what it says but for the seconds that were taken."""
    return {p.relative_to(folder).as_posix(): content(p) for p in sorted(folder.rglob("*")) if p.is_file()}


def content(path: Path) -> object:
    if path.name not in ("manifest.json", "summary.json"):
        return file_hash(path)
    return {k: v for k, v in json.loads(path.read_text()).items() if k not in ("seconds", "digest")}


@pytest.mark.parametrize("artifact", MADE)
def test_the_file_makes_the_same_bytes_in_another_folder(run, home, again, world, monkeypatch, artifact):
    typed, n_steps = MADE[artifact]
    monkeypatch.chdir(home)
    if "week.jsonl" in typed:
        ToJsonl("week.jsonl").write(observations(open_study("dog"), 60, 1))
    code, _, err = run(*typed.format(world=world).split())
    assert code == 0, err
    code, text, err = run("show", artifact, "--as-run")
    assert (code, err) == (0, "")
    assert text.count("[[step]]") == n_steps
    made = contents(home / artifact)
    assert any(name.endswith("manifest.json") for name in made)
    monkeypatch.chdir(again)
    Path("again.toml").write_text(text)
    code, _, err = run("run", "again.toml")
    assert code == 0, err
    assert contents(again / artifact) == made


@pytest.fixture
def chained(home, tmp_path, monkeypatch) -> Path:
    """The artifacts of the first folder in another one; the first test made them."""
    if not (home / "steered").exists():
        pytest.skip("the tests above did not run")
    for name in ("dog", "steered"):
        shutil.copytree(home / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_folders_that_are_moved_together_keep_their_chain(chained):
    chain = chain_of("steered")
    assert [step.run for step in chain.steps] == ["study", "steer make"]
    assert chain.lacks == []
    (chained / "again.toml").write_text(as_toml(chain))
    assert [step.where for step in steps_of(chained / "again.toml")]
    assert chain.relative()[1].given["study"] == "dog"


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (lambda: shutil.rmtree("dog"), "dog is not there any more"),
        (lambda: edit("dog"), "dog has changed since it was read"),
    ],
)
def test_a_parent_that_is_gone_or_changed_is_said_by_name(run, chained, break_it, says):
    break_it()
    code, text, err = run("show", "steered", "--as-run")
    assert code == 0
    assert says in err
    assert f"# Not made again here: {chained}/{says}" in text
    assert text.count("[[step]]") == 1


def edit(folder: str) -> None:
    """Writes all manifests of a folder anew, as another run would."""
    for path in Path(folder).rglob("manifest.json"):
        path.write_text(json.dumps(json.loads(path.read_text())))


def test_what_python_made_says_what_only_its_caller_has(run, activations):
    code, text, err = run("show", activations.folder, "--as-run")
    assert code == 0
    assert "[[step]]" not in text
    for says in ("a call in Python on the model 'toyland'", "whose samples and functions only its caller has"):
        assert says in err
        assert says in text
    assert "`vitrail extract` makes one like it" in err
    assert "'text': 'dog'" in err


def test_a_record_that_was_edited_is_refused(run, chained):
    path = Path("steered/made.json")
    path.write_text(path.read_text().replace('"0"', '"2"'))
    code, _, err = run("show", "steered", "--as-run")
    assert code == 1
    assert "made.json is damaged" in err
