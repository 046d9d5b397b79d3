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


def test_the_words_of_the_image_s_tokens_are_a_page_and_have_their_places(run, concepts, dogs, tmp_path: Path) -> None:
    asked = ("explain", concepts.folder.parent, dogs[0].image, "--token-layer", 7)
    code, out, err = run(*asked, "--token-words", tmp_path / "words.html", "--json")
    assert "does not say" in err if code else len(json.loads(out)["token_words"]["tokens"]) == 64
    page = (tmp_path / "words.html").read_text()  # though the model may not say the word
    assert page.count('class="piece') == 64
    assert "layer <b>7</b>" in page
    code, _, err = run(*asked)
    assert code == 2
    assert "--token-layer is for --token-words" in err


def test_what_is_written_is_said(run, lmm, concepts, grounding, dogs, tmp_path: Path) -> None:
    said = lmm.caption([s.open() for s in dogs[:6]])
    image = next(s.image for s, text in zip(dogs, said, strict=False) if "dog" in text)
    picture = tmp_path / "explanation.png"
    code, out, err = run("explain", concepts.folder.parent, image, "--concepts", 2, "--picture", picture)
    assert code == 0, err
    assert f"Its picture: {picture}" in out
    assert picture.is_file()
