"""Options are what the types of their fields say, or are refused when they are made."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import pytest

from vitrail.errors import UsageError
from vitrail.options import Above, AtLeast, Count, CountOrAuto, CountOrNone, NameIn, Options, Seed


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
    rate: Annotated[float, Above(0)] = 1.0
    whether: bool = False
    text: str = ""
    seed: Seed = 0
    found: CountOrAuto = 1


def test_what_may_be_is_taken():
    Sketch(n=3, none=0, share=0.0, several=(), how="there", perhaps="b", layer="final", found="auto")


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("n", 0, "n must be at least 1; got 0"),
        ("none", -1, "none must be at least 0; got -1"),
        ("share", -0.5, "share must be at least 0; got -0.5"),
        ("share", math.nan, "share must be a number; got nan"),
        ("rate", 0.0, "rate must be more than 0; got 0"),
        ("rate", math.inf, "rate must be a number; got inf"),
        ("rate", 10**400, "rate must be a number; got 1000"),
        ("rate", "0.1", "rate must be a number; got '0.1'"),
        ("n", True, "n must be a whole number; got True"),
        ("n", np.True_, "n must be a whole number; got "),
        ("n", 2.0, "n must be a whole number; got 2.0"),
        ("n", None, "n must be a whole number; got None"),
        ("several", "12", "several must be several values; got '12'"),
        ("several", 3, "several must be several values; got 3"),
        ("several", (1, True), "several must be a whole number; got True"),
        ("whether", 1, "whether must be True or False; got 1"),
        ("text", "half \ud83d", "text must be text that is valid Unicode; got 'half"),
        ("text", b"bytes", "text must be text that is valid Unicode; got b'bytes'"),
        ("seed", -1, "seed must be at least 0; got -1"),
        ("several", (3, 0), "several must be at least 1; got 0"),
        ("how", "nowhere", "how must be 'here' or 'there'; got 'nowhere'"),
        ("found", 0, "found must be at least 1; got 0"),
        ("found", "autp", "found must be a number or 'auto'; got 'autp'"),
        ("perhaps", "c", "perhaps must be 'a' or 'b'; got 'c'"),
    ],
)
def test_what_cannot_be_is_refused_by_the_name_of_the_field(field, value, says):
    with pytest.raises(UsageError, match=says):
        Sketch(**{field: value})
    with pytest.raises(UsageError, match=says):
        dataclasses.replace(Sketch(), **{field: value})


@pytest.mark.parametrize(
    ("field", "given", "taken"),
    [
        ("n", np.int64(3), 3),
        ("several", np.array([3, 4], dtype=np.int16), (3, 4)),
        ("several", [3, np.uint8(4)], (3, 4)),
        ("share", np.float32(0.5), 0.5),
        ("share", 1, 1.0),
        ("whether", np.True_, True),
        ("layer", np.int32(-1), -1),
    ],
)
def test_numbers_of_numpy_become_those_of_python(field, given, taken):
    kept = getattr(Sketch(**{field: given}), field)
    assert kept == taken
    assert json.dumps(kept) == json.dumps(taken)  # so that a manifest says the same


def test_names_are_those_that_are_in_the_registry_now(monkeypatch):
    from vitrail.learners import LEARNERS, PCA

    known = NameIn("vitrail.learners.registry:LEARNERS")
    assert known.names() == tuple(LEARNERS)
    monkeypatch.setitem(LEARNERS, "own", PCA)
    assert "own" in known.names()
    assert "mean" in NameIn("vitrail.steering.methods.registry:task_methods").names()
