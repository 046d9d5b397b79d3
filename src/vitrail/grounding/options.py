"""How concepts are grounded: one value, kept in the manifest and passed whole to ground in the same way again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vitrail.options import Count, Options


@dataclass(frozen=True)
class GroundingOptions(Options):
    """How concepts are grounded.

    Args:
        n_words: words per concept.
        n_samples: most activating samples per concept.
        own_word: let the word of interest itself (and its stated forms) be among the words.
        language: whose dictionary says what is a word: "en", "de", "fr", "ru", "ar" …, or "any" for all in letters.
    """

    n_words: Count = 10
    n_samples: Count = 5
    own_word: bool = False
    language: str = "en"

    def parameters(self) -> dict[str, Any]:
        """What a manifest keeps of them."""
        values = dict(vars(self))
        if self.language == "en":  # as version 0.1.0 wrote it
            del values["language"]
        return values
