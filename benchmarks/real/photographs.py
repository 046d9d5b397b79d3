"""Flickr8k (Hodosh, Young & Hockenmaier, 2013): photographs with five captions each, and their official splits.

Its folder has `Images/`, `Flickr8k.token.txt` (name#0<TAB>caption) and `Flickr_8k.{train,dev,test}Images.txt`. It is
for research only: no photograph, no caption and no weights trained on them belong into this repository.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

_SIDES = re.compile(r"\b(left|right)\b", re.IGNORECASE)


def clean(caption: str) -> str:
    """A caption as a person would write it: no quotes around it, no space before a mark, no dot at the end, and a
    capital first."""
    text = re.sub(r"\s+", " ", caption).strip().strip('"').strip()
    text = re.sub(r"[\s.]+$", "", text)
    text = re.sub(r"\s+([,.;:!?'])", r"\1", text)
    return text[:1].upper() + text[1:]


def names_a_side(captions: list[str]) -> bool:
    """Whether a caption says left or right, so that it is wrong of the mirrored photograph."""
    return any(_SIDES.search(caption) for caption in captions)


@dataclass
class Photographs:
    """The photographs of Flickr8k in `folder`.

    Args:
        folder: where `Images/` and the text files lie.

    Raises:
        FileNotFoundError: one of them is not there.
    """

    folder: Path
    captions: dict[str, list[str]] = field(init=False)

    def __post_init__(self) -> None:
        there = {path.name for path in (self.folder / "Images").iterdir()}
        found: defaultdict[str, list[str]] = defaultdict(list)
        for line in (self.folder / "Flickr8k.token.txt").read_text(encoding="utf-8").splitlines():
            name, caption = line.split("\t")
            if text := clean(caption):
                found[name.rpartition("#")[0]].append(text)
        self.captions = {name: texts for name, texts in found.items() if name in there}

    def names(self, split: str) -> list[str]:
        """The names of a split's photographs, in the order of the official list, without those that are missing."""
        listed = (self.folder / f"Flickr_8k.{split}Images.txt").read_text(encoding="utf-8").split()
        return [name for name in listed if name in self.captions]

    def image(self, name: str) -> Image.Image:
        """The photograph in RGB."""
        with Image.open(self.folder / "Images" / name) as image:
            return image.convert("RGB")
