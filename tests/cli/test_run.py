"""`vitrail run`: every step of a file is checked before the first one runs; then each runs as if it had been typed."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vitrail.cli import app
from vitrail.cli.run import steps_of
from vitrail.errors import UsageError

WHOLE = """
data = "toyland"
limit = 40

[[step]]
run = "words"
count = ["red", "black"]

[[step]]
run = "toyland"
samples = 12
out = "scenes"
"""


@pytest.fixture
def file(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "line.toml"


def run(file: Path, *options: str):
    return CliRunner().invoke(app, ["run", str(file), *options])


def test_steps_run_in_their_order_as_if_they_were_typed(file, toyland_cache, monkeypatch):
    monkeypatch.setenv("VITRAIL_CACHE", str(toyland_cache))
    file.write_text(WHOLE)
    done = run(file)
    assert done.exit_code == 0, done.output
    typed = CliRunner().invoke(app, shlex.split("words --data toyland --limit 40 --count red,black"))
    assert typed.stdout.strip()
    assert done.stdout.startswith(typed.stdout)
    assert Path("scenes/dataset_coco.json").is_file()
    assert done.stderr.index("Step 1 of 2: vitrail words") < done.stderr.index("Step 2 of 2: vitrail toyland")


def test_a_dry_run_prints_the_commands_and_runs_none(file):
    file.write_text(WHOLE)
    done = run(file, "--dry-run")
    assert done.stdout.splitlines() == [
        "vitrail words --data=toyland --limit=40 --count=red,black",
        "vitrail toyland --samples=12 --out=scenes",
    ]
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize(
    ("step", "typed"),
    [
        ('run = "evaluate"\nstudy = "a b"\nnoise = false', "vitrail evaluate --no-noise -- 'a b'"),
        ('run = "evaluate"\nnoise = true\nstudy = "-a"', "vitrail evaluate --noise -- -a"),
        ('run = "steer make"\ntask = "colour"\nlayers = [6, -1]', "vitrail steer make --task=colour --layers=6,-1"),
        ('run = "study"\nword = "no"\npenalty = 0.5', "vitrail study --word=no --penalty=0.5"),
        ('run = "study"\njson = false', "vitrail study"),
        ('run = "words"\nn = 9', "vitrail words -n9"),
        ('run = "compare"\na = "dog"\nb = "cat"', "vitrail compare --a=dog --b=cat"),
    ],
)
def test_entries_are_options_and_arguments(file, step, typed):
    file.write_text(f"[[step]]\n{step}\n")
    assert [str(s) for s in steps_of(file)] == [typed]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has no steps"),
        ("step = 3", "has no steps"),
        ("[[step]\n", "is no TOML"),
        ('[[step]]\nrun = "study"\nword = "a"\nword = "b"', "is no TOML"),
        ('[[step]]\nword = "dog"', "run = None is no command"),
        ('[[step]]\nrun = "studdy"', "step 1: run = 'studdy' is no command. Did you mean 'study'?"),
        ('[[step]]\nrun = "run"', "is no command"),
        (
            '[[step]]\nrun = "words"\n[[step]]\nrun = "study"\nwrod = "dog"',
            "step 2, study has no option 'wrod'. Did you",
        ),
        ('[[step]]\nrun = "evaluate"\nnoise = "no"', "noise is true or false, not 'no'"),
        ('[[step]]\nrun = "study"\nword = false', "word is a text or a number, not False"),
        ('[[step]]\nrun = "study"\nword = {a = 1}', "word is a text or a number"),
        ('modell = "x"\n[[step]]\nrun = "words"', "no step takes 'modell'"),
    ],
)
def test_a_file_that_cannot_be_run_is_refused_by_place_and_entry(file, text, says):
    file.write_text(text)
    with pytest.raises(UsageError) as refused:
        steps_of(file)
    assert says in str(refused.value)
    assert str(file) in str(refused.value)


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("concepts = 0", "--concepts"),
        ('layer = "x"', "--layer"),
        ('require = "neither"', "--require"),
    ],
)
def test_values_are_checked_before_any_step_runs(file, entry, says):
    file.write_text(
        f'[[step]]\nrun = "toyland"\nout = "scenes"\n[[step]]\nrun = "study"\nword = "dog"\nout = "s"\n{entry}'
    )
    done = run(file)
    assert isinstance(done.exception, UsageError)
    assert "step 2, study" in str(done.exception)
    assert says in str(done.exception)
    assert not Path("scenes").exists()


def test_a_file_that_is_not_there_is_said(file):
    with pytest.raises(UsageError, match="cannot be read"):
        steps_of(file)
