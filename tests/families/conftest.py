"""A family's model, built once for its tests."""

from __future__ import annotations

import datetime
import json
import os
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from transformers.utils import is_torchvision_available

from families.builders import FAMILIES, Family, shaken
from vitrail.artifacts import versions
from vitrail.lmm import LMM, from_transformers, quieten


@cache
def built(name: str) -> LMM:
    family = next(f for f in FAMILIES if f.name == name)
    network, processor = family.build()
    return from_transformers(shaken(network), processor, name)


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


def described(name: str, lmm: LMM, proof: str) -> dict:
    """What docs/families.md says of a model beside the outcomes of its tests."""
    return {"family": name, "class": type(lmm.model).__name__, "proof": proof, "modules": lmm.modules}


@pytest.fixture(autouse=True)
def _named(request: pytest.FixtureRequest, record_property) -> None:
    if "tiny" in request.fixturenames:
        family, lmm = request.getfixturevalue("family"), request.getfixturevalue("tiny")
        record_property("described", described(family.name, lmm, family.proof))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Notes the outcome of every test of a family."""
    properties = dict(report.user_properties)
    if report.when != "call" or "described" not in properties:
        return
    about = properties.pop("described")
    result = _RESULTS.setdefault(about["family"], {**about, "tests": {}})
    result["tests"][report.nodeid.split("::")[1].split("[")[0]] = report.outcome
    result |= properties


def pytest_sessionfinish() -> None:
    """Puts what this run proved in its place in the file that `VITRAIL_FAMILIES` names: there is one run with
    torchvision and one without."""
    if not (path := os.environ.get("VITRAIL_FAMILIES")):
        return
    file = Path(path)
    seen = {
        name: metadata.version(name)
        for name in ("torchvision", "open_clip_torch")
        if find_spec(name.removesuffix("_torch"))
    }
    results = {
        "date": datetime.date.today().isoformat(),
        "versions": {k: v for k, v in versions().items() if k in ("python", "torch", "transformers", "vitrail")} | seen,
        "families": list(_RESULTS.values()),
    }
    runs = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    runs["with torchvision" if is_torchvision_available() else "without torchvision"] = results
    file.write_text(json.dumps(runs, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
