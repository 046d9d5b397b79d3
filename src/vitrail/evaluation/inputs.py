"""What an evaluation takes beside a study: data and scorers, each one value that travels whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitrail.lmm import scorers  # imports torch when it is used
from vitrail.progress import Progress, silent
from vitrail.samples import Sample, load_samples
from vitrail.samples.facts import data_folder, known_facts
from vitrail.samples.objects import Objects, load_objects
from vitrail.toyland.ground_truth import Masks

if TYPE_CHECKING:
    from vitrail.lmm.scorers import ImageTextScorer, TextScorer
    from vitrail.scores import KnownFactors

#: factor → value → the words that name it.
Lexicon = Mapping[str, Mapping[str, Sequence[str]]]


@dataclass(frozen=True)
class EvaluationData:
    """The samples of an evaluation, and what is known of them.

    Args:
        samples: those that the study was made of; they are the images and captions of the concepts.
        test_samples: held-out samples; those that have the word are scored.
        factors: sample id → factor → value, where factors are known.
        lexicon: factor → value → the words that name it, for the ablation.
        test_from: where the held-out samples come from, in words, for tables and pages.
        masks: which part of each picture stands where, where that is known: what maps are held against.
        objects: what stands where in photographs, by name; what maps are held against instead of `masks`.
    """

    samples: Sequence[Sample]
    test_samples: Sequence[Sample]
    factors: KnownFactors | None = None
    lexicon: Lexicon | None = None
    test_from: str = "held-out samples"
    masks: Masks | None = None
    objects: Objects | None = None

    @classmethod
    def load(
        cls,
        source: str | Path,
        *,
        learned_from: str | None = None,
        split: str = "test",
        images: str | Path | None = None,
        objects: str | Path | None = None,
        progress: Progress = silent,
    ) -> EvaluationData:
        """The data of one source, with the factors that are known beside it.

        Args:
            source: a name, file or folder, as `load_samples` takes it.
            learned_from: the split that concepts are, or will be, learned from; all of them for None.
            split: the split of the held-out samples.
            images: the folder below which the image paths lie.
            objects: a file that says what stands where in the images; see `samples.objects`.

        Raises:
            UsageError: there is no such split.
            DataError: the data, or the objects, are missing, malformed or empty.
        """
        whole = data_folder(source, progress) if str(source) == "toyland" else source
        facts = known_facts(source, progress)
        samples, aside = (load_samples(whole, split=s, images=images) for s in (learned_from, split))
        things = None if objects is None else load_objects(objects)
        where = f"the split {split} of {source}"
        return cls(samples, aside, facts.factors, facts.lexicon, where, facts.masks, things)

    def known(self, sample_ids: Sequence[str]) -> list[dict[str, Any]]:
        """The known factors of each sample; empty where none is known."""
        factors = self.factors or {}
        return [dict(factors.get(i, {})) for i in sample_ids]


@dataclass(frozen=True)
class Scorers:
    """The two models that score words: `image` for CLIPScore, `text` for BERTScore."""

    image: ImageTextScorer
    text: TextScorer

    @classmethod
    def load(
        cls, image: str = "toyland", text: str = "toyland", *, text_layer: int = -1, device: str | None = None
    ) -> Scorers:
        """The scorers of these names or folders; see `load_image_scorer` and `load_text_scorer`.

        Raises:
            ModelError: there is no such scorer.
        """
        found = scorers.load_image_scorer(image, device=device)
        return cls(found, scorers.load_text_scorer(text, layer=text_layer, device=device))

    def described(self) -> dict[str, dict[str, Any]]:
        """What a manifest keeps of them."""
        image, text = self.image, self.text
        return {
            "clip": {"name": image.name, "fingerprint": image.fingerprint},
            "bert": {"name": text.name, "fingerprint": text.fingerprint, "layer": text.layer},
        }
