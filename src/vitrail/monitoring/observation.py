"""One observation: a word of interest was said, and these concepts were behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from vitrail.artifacts import plain
from vitrail.lmm import Layer
from vitrail.notebook import Picture, Shown, View, bars


@dataclass(frozen=True)
class Observation(Shown):
    """A word of interest was said, and these concepts were behind it.

    Args:
        word: the word of the study.
        layer: whose concepts these are.
        form: the word as it was said.
        time: when it was said, in seconds since 1970.
        activations: of each concept, exactly as `Concepts.learner.transform` gives them.
        strengths: the activations in multiples of each one's root mean square over the samples learned from.
        error: the squared distance from the state to what the concepts make of it, in multiples of the mean squared
            distance of the samples learned from to their mean: how little of the state is made of known concepts.
        ordinary: False for a state of more than ten times the median norm of those learned from: an attention sink. Its
            activations are those of no word, so summaries and alarms leave it out.
        caption: all that was said; None where texts are not kept.
        sample: the id that `about` gave to what was asked.
        thumbnail: a small JPEG of the image; None where it is not known or not kept.
        tags: of the user's own, such as the version of the model.
        evidence: the probability that the word is true, by the concepts behind it (`fit_evidence`); None where the
            monitor was given no evidence.
    """

    word: str
    layer: Layer
    form: str
    time: float
    activations: tuple[float, ...]
    strengths: tuple[float, ...]
    error: float
    ordinary: bool = True
    caption: str | None = None
    sample: str | None = None
    thumbnail: bytes | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    evidence: float | None = None

    def kept(self, *, text: bool, images: bool) -> Observation:
        """The observation without what is not to be kept."""
        return replace(self, caption=self.caption if text else None, thumbnail=self.thumbnail if images else None)

    def _shown(self) -> View:
        order = sorted(range(len(self.strengths)), key=lambda k: -self.strengths[k])[:5]
        rows = tuple(zip(order, bars([self.strengths[k] for k in order], "{:.1f} ×"), strict=True))
        pictures = () if self.thumbnail is None else (Picture(self.thumbnail, self.caption or ""),)
        about = f"in “{self.caption.strip()}”" if self.caption else ""
        notes = (f"Novelty {self.error:.2f}.",)
        return View(f"“{self.form.strip()}”", about, ("concept", "strength"), rows, pictures, notes)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; the thumbnail in base64."""
        return plain(self)
