"""Options are what the types of their fields say, or are refused when they are made."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Annotated, Literal

import pytest

from vitrail.errors import UsageError
from vitrail.options import AtLeast, Count, CountOrNone, NameIn, Options


@dataclass(frozen=True)
class Sketch(Options):
    """A bit of everything."""

    n: Count = 1
    none: CountOrNone = 0
    share: Annotated[float, AtLeast(0)] | None = None
    several: tuple[Count, ...] = (1, 2)
    how: Literal["here", "there"] = "here"
    perhaps: Literal["a", "b"] | None = None
    layer: int | str | None = None


def test_what_may_be_is_taken():
    Sketch(n=3, none=0, share=0.0, several=(), how="there", perhaps="b", layer="final")


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("n", 0, "n must be at least 1; got 0"),
        ("none", -1, "none must be at least 0; got -1"),
        ("share", -0.5, "share must be at least 0; got -0.5"),
        ("share", math.nan, "share must be at least 0; got nan"),
        ("several", (3, 0), "several must be at least 1; got 0"),
        ("how", "nowhere", "how must be 'here' or 'there'; got 'nowhere'"),
        ("perhaps", "c", "perhaps must be 'a' or 'b'; got 'c'"),
    ],
)
def test_what_cannot_be_is_refused_by_the_name_of_the_field(field, value, says):
    with pytest.raises(UsageError, match=says):
        Sketch(**{field: value})
    with pytest.raises(UsageError, match=says):
        dataclasses.replace(Sketch(), **{field: value})


def test_names_are_those_that_are_in_the_registry_now(monkeypatch):
    from vitrail.learners import LEARNERS, PCA

    known = NameIn("vitrail.learners.registry:LEARNERS")
    assert known.names() == tuple(LEARNERS)
    monkeypatch.setitem(LEARNERS, "own", PCA)
    assert "own" in known.names()
    assert "mean" in NameIn("vitrail.steering.methods.registry:task_methods").names()
