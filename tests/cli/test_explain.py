"""`vitrail explain`."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image


def test_a_study_that_is_not_there(run, tmp_path: Path) -> None:
    code, _, err = run("explain", tmp_path / "none", tmp_path / "x.png")
    assert code == 1
    assert "There is no study at" in err


def test_maps_are_drawn_and_given_as_arrays(run, lmm, concepts, grounding, dogs, tmp_path: Path) -> None:
    said = lmm.caption([s.open() for s in dogs[:6]])
    image = next(s.image for s, text in zip(dogs, said, strict=False) if "dog" in text)
    asked = ("explain", concepts.folder.parent, image, "--concepts", 2, "--method", "gradient", "--json")
    code, out, err = run(*asked, "--maps", tmp_path / "maps.png")
    assert code == 0, err
    maps = json.loads(out)["maps"]
    assert maps["answers"].startswith("Which part of the picture")
    assert [len(m["shares"]) for m in maps["maps"]] == [112] * len(maps["maps"])
    assert [w["concept"] for w in maps["without"]] == [m["concept"] for m in maps["maps"][:-1]]
    before = set(maps["caption"].split())
    for said in [one[kind] for one in maps["without"] for kind in ("removed", "random")]:
        after = set(said["caption"].split())
        assert set(said["lost"]) == before - after
        assert set(said["gained"]) == after - before
    with Image.open(tmp_path / "maps.png") as drawn:
        assert drawn.width > 1000


def test_an_unknown_method_of_maps_is_refused_with_the_known_ones(run, concepts, dogs, tmp_path: Path) -> None:
    asked = ("explain", concepts.folder.parent, dogs[0].image, "--method", "attention", "--maps", tmp_path / "maps.png")
    code, _, err = run(*asked)
    assert code in (1, 2)
    assert "integrated-gradients" in err
