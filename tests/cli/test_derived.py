"""Options of the command line come from dataclasses: their names, values, defaults and help."""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import typer
from tests.cli.offered import commands
from typer.testing import CliRunner

from vitrail.cli.application import command
from vitrail.cli.derived import Named, Without, docs, options_of
from vitrail.lmm.options import Layer
from vitrail.options import AtLeast, Count, CountOrAuto, Options

#: Every option that there was when options were first derived, with its default. Others may be added.
RECORDED = json.loads((Path(__file__).parent / "options.json").read_text(encoding="utf-8"))


def defaults(of: Any) -> dict[str, str | None]:
    """The options of a command, and their defaults as text."""
    named = {"/".join([*p.opts, *p.secondary_opts]): p for p in of.params if p.param_type_name == "option"}
    return {name: None if p.default in (None, "") else str(p.default) for name, p in named.items()}


@pytest.mark.parametrize("name", RECORDED)
def test_what_was_on_offer_still_is_with_the_same_default(name):
    now = defaults(dict(commands())[name])
    assert {option: now.get(option, "is gone") for option in RECORDED[name]} == RECORDED[name]


@dataclass(frozen=True)
class Ways(Options):
    """Fields of every kind.

    Args:
        n_words: words per concept, of
            which there are many.
        share: λ of [all].
        layer: one layer.
        layers: layers.
        sizes: sizes.
        names: names.
        how: how.
        keep: keep it.
        drop: drop it.
        found: how many.
    """

    n_words: Count = 10
    share: Annotated[float, AtLeast(0)] | None = None
    layer: Layer | None = None
    layers: tuple[Layer, ...] = (-1,)
    sizes: tuple[Annotated[float, AtLeast(0)], ...] = (0.5, 1.0)
    names: tuple[str, ...] = ()
    how: Literal["here", "there"] = "here"
    keep: bool = True
    drop: bool = False
    found: CountOrAuto = 20


def taken(*arguments: str, of: Any = Ways) -> Any:
    """What a command gets whose only parameter is a group; the output where it refuses."""
    got = []

    def keep(*, ways: Ways) -> None:
        got.append(ways)

    keep.__annotations__["ways"] = of
    application = typer.Typer()
    command(application)(keep)
    done = CliRunner().invoke(application, list(arguments), env={"COLUMNS": "300"})
    return got[0] if got else done.output


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", Ways()),
        ("--words 3", Ways(n_words=3)),
        ("--share 0", Ways(share=0.0)),
        ("--layer final", Ways(layer="final")),
        ("--layer -2", Ways(layer=-2)),
        ("--layers 0,-1,final", Ways(layers=(0, -1, "final"))),
        ("--layers all", Ways(layers=("all",))),
        ("--sizes 1,2", Ways(sizes=(1.0, 2.0))),
        ("--names a,b", Ways(names=("a", "b"))),
        ("--how there", Ways(how="there")),
        ("--no-keep --drop", Ways(keep=False, drop=True)),
        ("--found auto", Ways(found="auto")),
        ("--found 7", Ways(found=7)),
        ("--found some", "Expected a number of at least 1 or auto; got 'some'"),
        ("--found 0", "Expected a number of at least 1 or auto; got '0'"),
        ("--words 0", "Invalid value for '--words'"),
        ("--share -1", "Invalid value for '--share'"),
        ("--layer middle", "or a module inside one of these two; got 'middle'"),
        ("--layers 1,middle", "or a module inside one of these two; got 'middle'"),
        ("--sizes many", "Expected numbers of at least 0, by commas; got 'many'"),
        ("--sizes -1", "Expected numbers of at least 0, by commas; got '-1'"),
        ("--how nowhere", "'here', 'there'"),
        ("--no-drop", "No such option"),
    ],
)
def test_values_of_every_type_are_read_or_refused(arguments, expected):
    found = taken(*arguments.split())
    assert found == expected if isinstance(expected, Ways) else expected in found


def test_help_is_the_documentation_of_the_field():
    shown = taken("--help")
    assert "Words per concept, of which there are many." in shown
    assert "λ of [all]." in shown
    assert "[default: 0.5,1]" in shown
    assert "Ways ─" in shown  # under the name of the parameter


def test_an_option_may_have_another_name_or_be_left_out():
    of = Annotated[Ways, Without("how"), Named(n_words="--number", keep="--keep/--throw")]
    assert taken("--number", "4", "--throw", of=of) == Ways(n_words=4, keep=False)
    assert "No such option" in taken("--how", "there", of=of)


@pytest.mark.parametrize("rule", [Without("what"), Named(what="--what")])
def test_a_field_that_is_not_there_can_be_neither_left_out_nor_named(rule):
    with pytest.raises(TypeError, match="Ways has no field what"):
        taken(of=Annotated[Ways, rule])


def test_docs_of_a_field_are_inherited():
    from vitrail.finetuning.options import FineTuneOptions

    assert docs(FineTuneOptions)["patience"].startswith("measurements without")
    assert docs(FineTuneOptions)["rank"] == "of the adapter's matrices."


def test_every_option_says_what_it_is():
    silent = [f"{name} {p.name}" for name, of in commands() for p in of.params if not p.help and p.name != "help"]
    assert silent == []


def test_options_come_one_for_one_from_the_fields_of_a_library_dataclass():
    parameter = inspect.Parameter("ways", inspect.Parameter.KEYWORD_ONLY, annotation=Ways)
    assert [o.name for o in options_of(Ways, parameter)] == [f"ways__{name}" for name in Ways.__dataclass_fields__]
