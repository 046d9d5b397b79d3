"""A family's model, built once for its tests."""

from __future__ import annotations

import datetime
import json
import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from transformers.utils import is_torchvision_available

from families.builders import FAMILIES, Family, shaken
from vitrail.artifacts import versions
from vitrail.lmm import LMM, quieten
from vitrail.lmm.loading import as_read


@cache
def built(name: str) -> LMM:
    family = next(f for f in FAMILIES if f.name == name)
    network, processor = family.build()
    return as_read(shaken(network), processor, name)


@pytest.fixture(scope="session", params=FAMILIES, ids=lambda family: family.name)
def family(request: pytest.FixtureRequest) -> Family:
    return request.param


@pytest.fixture
def tiny(family: Family) -> LMM:
    quieten()
    return built(family.name)


@pytest.fixture(scope="session")
def pictures() -> list[Image.Image]:
    """Four images of noise, one of them of another shape."""
    rng = np.random.default_rng(1)
    sides = [(40, 40), (40, 40), (56, 28), (40, 40)]
    return [Image.fromarray(rng.integers(0, 256, (*side, 3), dtype=np.uint8)) for side in sides]


# ---- what was proven, for docs/families.md ---------------------------------------------------------------------------

_RESULTS: dict[str, dict] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Notes the outcome of every test of a family, if `VITRAIL_FAMILIES` names a file to write them to."""
    properties = dict(report.user_properties)
    if report.when != "call" or "family" not in properties:
        return
    result = _RESULTS.setdefault(properties["family"], {"tests": {}})
    result["tests"][report.nodeid.split("::")[1].split("[")[0]] = report.outcome
    result |= {k: v for k, v in properties.items() if k != "family"}


@pytest.fixture(autouse=True)
def _named(request: pytest.FixtureRequest, record_property) -> None:
    if "family" in request.fixturenames:
        record_property("family", request.getfixturevalue("family").name)


def pytest_sessionfinish() -> None:
    if not (path := os.environ.get("VITRAIL_FAMILIES")):
        return
    rows = []
    for family in FAMILIES:
        if family.name in _RESULTS:
            lmm = built(family.name)
            described = {"family": family.name, "class": type(lmm.model).__name__, "proof": family.proof}
            rows.append({**described, "modules": lmm.modules, **_RESULTS[family.name]})
    results = {
        "date": datetime.date.today().isoformat(),
        "versions": {k: v for k, v in versions().items() if k in ("python", "torch", "transformers", "vitrail")},
        "torchvision": is_torchvision_available(),
        "families": rows,
    }
    Path(path).write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
