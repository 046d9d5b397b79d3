"""The page of an image's tokens: the image, and over each of its pieces the word that its token is nearest to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitrail.maps import ImageToken, ImageWords
from vitrail.reports.charts import TONES
from vitrail.reports.content import data_uri
from vitrail.reports.page import template, write_page

#: Two tokens lie over each other if they share more than this of the smaller one.
SHARED = 0.25


@dataclass(frozen=True)
class Cell:
    """A token on the page.

    Args:
        style: where it lies, as CSS.
        tone: the number of its colour; None for a word that is not among the most frequent.
        words: its words, the nearest first, each with its logit.
    """

    style: str
    tone: int | None
    words: tuple[tuple[str, float], ...]

    @property
    def said(self) -> str:
        """Its words with their logits, as one line."""
        return ", ".join(f"{word} {logit:.1f}" for word, logit in self.words)


def tokens_page(found: ImageWords, *, out: str | Path) -> Path:
    """The words of an image's tokens as one HTML file `out`: the same bytes for the same words.

    A model that sees an image in several views (tiles) has a picture for each.

    Raises:
        ArtifactError: `out` cannot be written.
    """
    counts = found.counts
    tones = {word: k for k, word in zip(range(TONES), counts, strict=False)}
    page = template("tokens.html.j2").render(
        found=found,
        picture=data_uri(found.picture),
        name=Path(found.image).name or found.image,
        lens="" if found.read_by == "unembedding" else Path(found.read_by).name,
        sheets=[[_cell(found.tokens[i], tones) for i in sheet] for sheet in sheets(found.tokens)],
        counts=counts,
        colours=tones,
    )
    write_page(Path(out), page)
    return Path(out)


def sheets(tokens: Sequence[ImageToken]) -> list[list[int]]:
    """The numbers of the tokens, those that lie over each other on different sheets."""
    boxes = np.array([token.box for token in tokens]).reshape(-1, 4)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    found: list[list[int]] = []
    for i, (left, top, right, bottom) in enumerate(boxes):
        for sheet in found:
            on = boxes[sheet]
            across = (np.minimum(right, on[:, 2]) - np.maximum(left, on[:, 0])).clip(0)
            down = (np.minimum(bottom, on[:, 3]) - np.maximum(top, on[:, 1])).clip(0)
            if (across * down <= SHARED * np.minimum(areas[i], areas[sheet])).all():
                sheet.append(i)
                break
        else:
            found.append([i])
    return found


def _cell(token: ImageToken, tones: dict[str, int]) -> Cell:
    left, top, right, bottom = (100 * share for share in token.box)
    style = f"left:{left:.2f}%;top:{top:.2f}%;width:{right - left:.2f}%;height:{bottom - top:.2f}%"
    words = tuple((word.word, word.logit) for word in token.words)
    return Cell(style, tones.get(words[0][0]) if words else None, words)
