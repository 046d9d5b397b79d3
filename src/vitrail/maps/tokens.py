"""The image's own tokens: where in the image each lies, and which words its state is nearest to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vitrail import words
from vitrail.artifacts import plain
from vitrail.errors import ModelError, UsageError
from vitrail.grounding import GroundedWord, WordReader
from vitrail.lenses import Lens, open_lens
from vitrail.lmm import LMM, Layer, as_lmm
from vitrail.notebook import Picture, Shown, View
from vitrail.samples import GivenImage, Layout, Sample, thumbnail

#: The longer side of the picture that is kept beside words, in pixels.
PICTURE = 640
#: Figures of a place in JSON.
_FIGURES = 4


@dataclass(frozen=True)
class ImageToken:
    """One token of the image.

    Args:
        box: left, top, right and bottom of the part of the image that it stands for, as shares of the image's width and
            height.
        words: the words that its state is nearest to, the nearest first.
    """

    box: tuple[float, float, float, float]
    words: tuple[GroundedWord, ...]


@dataclass(frozen=True, eq=False)
class ImageWords(Shown):
    """The words of an image's tokens.

    Args:
        image: its name.
        layer: whose states are read.
        read_by: "unembedding", or the lens by its folder.
        tokens: those that lie in the image, in the order of the model.
        picture: a JPEG of the image.
    """

    image: str
    layer: Layer
    read_by: str
    tokens: tuple[ImageToken, ...]
    picture: bytes

    @property
    def counts(self) -> dict[str, int]:
        """Word → how many tokens are nearest to it, the most frequent first."""
        return dict(Counter(token.words[0].word for token in self.tokens if token.words).most_common())

    def _shown(self) -> View:
        about = f"of the {len(self.tokens)} tokens of {self.image}, layer {self.layer}, read by {self.read_by}"
        rows = tuple(self.counts.items())
        return View("Words", about, ("word", "tokens"), rows, (Picture(self.picture, self.image),))

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the picture."""
        values: dict[str, Any] = plain(replace(self, picture=b""))
        del values["picture"]
        for token in values["tokens"]:
            token["box"] = [round(share, _FIGURES) for share in token["box"]]
        return values | {"counts": self.counts}


def token_words(
    lmm: LMM | str | Path,
    image: GivenImage,
    layer: Layer = -1,
    *,
    lens: Lens | str | Path | None = None,
    n_words: int = 5,
    language: str = "en",
) -> ImageWords:
    """The nearest words of every token of an image (path or PIL), in the coordinates of the image.

    Args:
        lmm: the model, or its name or folder, as `load` takes it.
        layer: whose states are read, one of the decoder.
        lens: of this model and layer, through which words are read: of each token what it changes in the states that
            predict the answer, beside the mean token of an image. The unembedding reads the states themselves for None.
        n_words: words per token.
        language: whose dictionary says what is a word, as in `GroundingOptions`.

    Raises:
        DataError: the image cannot be read.
        UsageError: there is no such layer, or the lens has no map of it.
        ModelError: the tokens of this family of models have no known place in the image.
        ArtifactError: the lens is of another model.
    """
    sample, lmm = Sample.of_image(image), as_lmm(lmm)
    layer, through = lmm.layer(layer), None
    if lens is not None:
        lens = lens if isinstance(lens, Lens) else open_lens(lens)
        lens.check(lmm)
        through = lens.of_image(layer)
    opened, request = sample.open(), lmm.request(sample)
    inputs = lmm.prepare([opened], [request])
    try:
        places = lmm.places(Layout.of(opened), request, "tokens")
    except (ModelError, UsageError) as error:
        raise ModelError(f"The image's tokens have no known place in the image. {error}") from error
    positions = lmm.whole(inputs, [()], [request], "image")[0].nonzero().flatten().tolist()
    states = lmm.states(inputs, [()], positions, [layer], [0] * len(positions))[layer].float().numpy()
    reader = WordReader(lmm, layer, words.word_tokens(lmm.tokenizer, language), n_words, language, lens=through)
    tokens = tuple(
        ImageToken(tuple(box), found)
        for boxes, found in zip(places.boxes.tolist(), reader.of_states(states), strict=True)
        for box in boxes
        if not np.isnan(box).any()
    )
    read_by = "unembedding" if lens is None else str(lens.folder)
    return ImageWords(sample.id, layer, read_by, tokens, thumbnail(opened, PICTURE))
