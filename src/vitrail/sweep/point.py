"""What a sweep measures at one K and λ."""

from __future__ import annotations

from dataclasses import dataclass

from vitrail.scores import Verdict, verdicts

#: What a sweep measures → the title of its panel in the plot.
MEASURES = {
    "explained_variance": "explained variance",
    "zeros": "zero activations",
    "stability_seeds": "stability over seeds",
    "stability_resamples": "stability over resamples",
    "similarity": "similarity of concepts",
    "word_overlap": "word overlap",
}


@dataclass(frozen=True)
class SweepPoint:
    """What is measured at one K and λ; `penalty` is None for a method without one.

    `explained_variance`, `zeros`, `active` and `dead` are those of `concepts.describe_fit`. The stabilities are means
    over concepts, see `concepts.stability`. `similarity` is the mean |cosine| of two concepts. `word_overlap` is
    CoX-LMM's overlap of the concepts' top words, None without a model.
    """

    n_concepts: int
    penalty: float | None
    explained_variance: float
    zeros: float
    active: float
    dead: int
    stability_seeds: float
    stability_resamples: float
    similarity: float
    word_overlap: float | None

    @property
    def verdict(self) -> dict[str, Verdict]:
        """What follows from its measures, by their names."""
        return {
            "explained_variance": verdicts.explained(self.explained_variance),
            "active": verdicts.sparse(self.active, self.n_concepts),
            "dead": verdicts.dead(self.dead),
            "stability_seeds": verdicts.stability(self.stability_seeds, "seeds"),
            "stability_resamples": verdicts.stability(self.stability_resamples, "resamples"),
        }
