"""What tests of several commands need."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image


@pytest.fixture
def captioned() -> Callable[..., Path]:
    """`captioned(folder, n=12, word="dog")` writes a JSONL of `n` pictures of Toyland whose caption has `word`."""
    from vitrail.toyland.draw import draw
    from vitrail.toyland.world import scene

    def write(folder: Path, n: int = 12, word: str = "dog") -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        lines = []
        for i in range(n):
            draw(scene(i)).save(folder / f"{i}.png")
            lines.append(json.dumps({"image": f"{i}.png", "caption": f"a {word} in the grass"}))
        path = folder / "data.jsonl"
        path.write_text("\n".join(lines))
        return path

    return write


@pytest.fixture
def captions(tmp_path: Path) -> Path:
    """A JSONL of three captions, about two dogs and a bus."""
    rows = ["the black dog is running", "two dogs in the street", "a red bus"]
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    lines = [json.dumps({"id": str(i), "image": "a.png", "caption": text}) for i, text in enumerate(rows)]
    (tmp_path / "data.jsonl").write_text("\n".join(lines))
    return tmp_path / "data.jsonl"
