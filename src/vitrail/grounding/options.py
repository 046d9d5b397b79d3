"""How concepts are grounded: one value, kept in the manifest and passed whole to ground in the same way again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitrail.artifacts import read_finished, url_of
from vitrail.options import Count, Options


@dataclass(frozen=True)
class GroundingOptions(Options):
    """How concepts are grounded.

    Args:
        n_words: words per concept.
        n_samples: most activating samples per concept.
        own_word: let the word of interest itself (and its stated forms) be among the words.
        language: whose dictionary says what is a word: "en", "de", "fr", "ru", "ar" …, or "any" for all in letters.
        lens: the folder of a lens of this model and layer (`vitrail lens fit`), through which words of a middle layer
            are read; the unembedding reads them alone for None.
    """

    n_words: Count = 10
    n_samples: Count = 5
    own_word: bool = False
    language: str = "en"
    lens: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lens is not None and url_of(self.lens) is None:  # wherever it is asked for again
            object.__setattr__(self, "lens", str(Path(self.lens).absolute()))

    def check_lens(self) -> None:
        """Raises `ArtifactError` unless the lens that they name is there, finished and whole. Of which model and layer
        it is, is seen later."""
        if self.lens is not None:
            read_finished(Path(self.lens), "lens", "fit the lens")

    def parameters(self) -> dict[str, Any]:
        """What a manifest keeps of them."""
        values = dict(vars(self))
        if self.language == "en":  # as version 0.1.0 wrote it
            del values["language"]
        if self.lens is None:
            del values["lens"]
        return values
