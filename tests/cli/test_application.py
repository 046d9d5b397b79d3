"""The command line as a whole: its commands, its version, errors in one line, and groups of options."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, make_dataclass
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from vitrail.cli import app
from vitrail.cli.application import command
from vitrail.cli.derived import Without


def test_help_names_every_command(run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    assert all(c in out for c in ("study", "demo", "extract", "learn", "ground", "explain", "report", "toyland"))


def test_the_version_is_the_installed_one(run) -> None:
    from importlib.metadata import version

    assert run("--version")[1].strip() == version("vitrail")


def test_a_missing_option_is_a_matter_of_usage(run, tmp_path: Path) -> None:
    code, _, err = run("study", "--out", tmp_path / "s")
    assert code == 2
    assert "--word" in err


def test_an_unknown_option_is_refused(run, tmp_path: Path) -> None:
    assert run("study", "--word", "dog", "--out", tmp_path / "s", "--lambda", 3)[0] == 2


def test_ctrl_c_says_how_to_go_on(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vitrail.toyland.dataset.write_dataset", stop)
    code, _, err = run("toyland", "--out", tmp_path / "t")
    assert code == 130
    assert "Stopped" in err
    assert "kept" in err


def test_our_own_faults_are_one_line_too(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("something [odd] happened")

    monkeypatch.setattr("vitrail.toyland.dataset.write_dataset", broken)
    code, _, err = run("toyland", "--out", tmp_path / "t")
    assert code == 1
    assert "RuntimeError: something [odd] happened" in err


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    arguments = ["--debug", "explain", str(tmp_path / "none"), "x.png"]
    done = start("vitrail.cli", *arguments)
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_the_package_runs_as_a_module(tmp_path: Path) -> None:
    done = start("vitrail", "explain", str(tmp_path / "none"), "x.png")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: There is no study at")


def start(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m MODULE ARGUMENTS`, in a process of its own."""
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"})


# ---- groups of options -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Animal:
    """A group as a command takes it."""

    name: Annotated[str, typer.Option("--name", help="What it is called.")]
    legs: Annotated[int, typer.Option("--n-legs", min=0, help="How many.")] = 4


def added(*functions):
    """An application with these functions as its commands."""
    made = typer.Typer()
    for function in functions:
        command(made)(function)
    return made


def call(application, *arguments: str):
    return CliRunner().invoke(application, list(arguments), env={"COLUMNS": "200"})


def test_a_command_gets_its_groups_whole():
    got = []

    def keep(*, place: str = "farm", animal: Animal) -> None:
        got.append((place, animal))

    application = added(keep)
    assert call(application, "--name", "dog").exit_code == 0
    assert call(application, "--n-legs", "3", "--place", "zoo", "--name", "cat").exit_code == 0
    assert got == [("farm", Animal(name="dog")), ("zoo", Animal(name="cat", legs=3))]


def test_the_rules_of_a_field_hold_in_every_command():
    def keep(animal: Animal) -> None: ...

    application = added(keep)
    assert "Missing option '--name'" in call(application).output
    assert call(application, "--name", "dog", "--n-legs", "-1").exit_code == 2


def test_an_option_that_a_group_gains_is_in_every_command_that_takes_it():
    option = Annotated[bool, typer.Option("--tame", help="Whether it bites.")]
    Pet = make_dataclass("Pet", [("tame", option, False)], bases=(Animal,), frozen=True, kw_only=True)

    def keep(animal: Pet) -> None: ...
    def sell(animal: Pet, price: int = 1) -> None: ...

    for function in (keep, sell):
        function.__annotations__["animal"] = Pet
        assert "--tame" in call(added(function), "--help").output


def test_every_command_that_takes_the_model_of_a_study_offers_all_its_options():
    for name in ("learn", "ground", "explain"):
        offered = call(app, name, "--help").output
        assert all(option in offered for option in ("--model", "--device", "--trust-remote-code"))


def test_what_a_command_leaves_out_keeps_its_default():
    got = []

    def keep(animal: Annotated[Animal, Without("legs")]) -> None:
        got.append(animal)

    application = added(keep)
    assert "--n-legs" not in call(application, "--help").output
    assert call(application, "--name", "dog").exit_code == 0
    assert got == [Animal(name="dog", legs=4)]


def test_two_options_of_one_name_are_refused():
    def keep(animal: Animal, other: Animal) -> None: ...

    with pytest.raises(TypeError, match="keep has the options --n-legs, --name twice"):
        added(keep)


def test_a_command_remains_a_function_that_takes_groups():
    seen = []

    @command(typer.Typer())
    def keep(animal: Animal) -> None:
        seen.append(animal)

    keep(Animal(name="dog"))
    assert seen == [Animal(name="dog")]
