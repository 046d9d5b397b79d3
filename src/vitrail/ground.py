"""Grounding: concepts → words and images (CoX-LMM, Parekh et al. 2024, section 3.4).

Words are the top tokens of `W_U u_k`, through the final norm when the layer stands before it; images are the most
activating samples (MAS).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vitrail import words
from vitrail.activations import Activations
from vitrail.artifacts import check_parent, is_current, parent, read_manifest, write_json, write_manifest
from vitrail.concepts import Concepts
from vitrail.errors import ArtifactError, UsageError
from vitrail.lmm import LMM
from vitrail.words import Word

KIND = "grounding"
FILE = "grounding.json"


@dataclass(frozen=True)
class GroundedWord:
    """A word of a concept: its token, and the logit of that token in `W_U u_k`."""

    word: str
    token: int
    logit: float


@dataclass(frozen=True)
class GroundedSample:
    """A most activating sample of a concept; `row` is its row among the activations."""

    sample_id: str
    row: int
    activation: float


@dataclass(frozen=True)
class GroundedConcept:
    """A concept in words and in samples, the strongest first; `share` is that of samples whose strongest it is."""

    index: int
    words: tuple[GroundedWord, ...]
    samples: tuple[GroundedSample, ...]
    share: float


@dataclass(frozen=True)
class Grounding:
    """The concepts of a word, grounded."""

    folder: Path
    manifest: dict[str, Any]
    concepts: tuple[GroundedConcept, ...]

    def __len__(self) -> int:
        return len(self.concepts)

    def __getitem__(self, index: int) -> GroundedConcept:
        return self.concepts[index]

    @property
    def filter(self) -> dict[str, Any]:
        """Which words may stand for a concept here: what `allowed_words` takes."""
        asked = self.manifest["parameters"]
        return {"own_word": asked["own_word"], "language": asked.get("language", "en")}

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{c.index}</td><td>{', '.join(w.word for w in c.words)}</td><td>{c.share:.0%}</td></tr>"
            for c in self.concepts
        )
        return f"<table><tr><th>concept</th><th>words</th><th>share</th></tr>{rows}</table>"


def ground(
    lmm: LMM,
    activations: Activations,
    concepts: Concepts,
    *,
    out: str | Path,
    n_words: int = 10,
    n_samples: int = 5,
    own_word: bool = False,
    language: str = "en",
) -> Grounding:
    """Every concept in `n_words` words and `n_samples` samples, written to the folder `out`.

    Args:
        own_word: whether the tokens of the word of interest itself (and of its stated forms) may be among the words.
        language: of the words, by a dictionary ("en", "de", "fr", "ru", "ar" …), or "any" for all that is in letters.

    Raises:
        ArtifactError: the model, the activations and the concepts do not belong together.
    """
    if n_words < 1 or n_samples < 1:
        raise UsageError("n_words and n_samples must be at least 1.")
    out = Path(out)
    check_model(lmm, activations)
    check_parent(concepts.folder, concepts.manifest, activations.folder, "activations")
    parameters: dict[str, Any] = {"n_words": n_words, "n_samples": n_samples, "own_word": own_word}
    if language != "en":
        parameters["language"] = language
    parents = {"concepts": parent(concepts.folder)}
    if is_current(out, KIND, parameters, parents, FILE):
        return open_grounding(out, concepts)
    allowed = allowed_words(lmm, activations, own_word=own_word, language=language)
    by_words = top_words(lmm, concepts.U, concepts.layer, allowed, n_words)
    rows = [activations.rows[i] for i in np.flatnonzero(concepts.kept)]
    numbers = np.flatnonzero(concepts.kept)
    shares = share_of_samples(concepts.V)
    grounded = []
    for k in range(len(concepts)):
        best = most_activating(concepts.V[:, k], n_samples)
        samples = tuple(GroundedSample(rows[i]["sample_id"], int(numbers[i]), float(concepts.V[i, k])) for i in best)
        grounded.append(GroundedConcept(k, tuple(by_words[k]), samples, float(shares[k])))
    write_json(out / FILE, [asdict(c) for c in grounded])
    content = {"parameters": parameters, "parents": parents}
    return Grounding(out, write_manifest(out, KIND, content), tuple(grounded))


def word_of(activations: Activations) -> Word:
    """The word of interest that `activations` were extracted for."""
    word = activations.parameters["word"]
    return Word(**word | {"forms": tuple(word["forms"])})


def check_model(lmm: LMM, activations: Activations) -> None:
    """Raises `ArtifactError` unless `activations` were made by `lmm`; names both."""
    here, there = lmm.describe(), activations.parameters["model"]
    differing = [k for k in here if here[k] != there.get(k)]
    if differing:
        what = "; ".join(f"{k}: {there.get(k)!r} there, {here[k]!r} here" for k in differing)
        raise ArtifactError(
            f"{activations.folder} was made by the model {there['name']!r}, not by {here['name']!r} as loaded ({what})."
        )


def allowed_words(
    lmm: LMM, activations: Activations, *, own_word: bool = False, language: str = "en"
) -> dict[int, str]:
    """Token id → word: those that may stand for a concept of `activations`; see `ground`."""
    allowed = words.word_tokens(lmm.tokenizer, language)
    own = set() if own_word else words.own_tokens(lmm.tokenizer, word_of(activations))
    return {i: w for i, w in allowed.items() if i not in own}


def top_words(
    lmm: LMM, U: np.ndarray, layer: int | str, allowed: dict[int, str], n_words: int
) -> list[list[GroundedWord]]:
    """For each row of `U` (n_concepts, n_features) the `n_words` words of `allowed` (token id → word) with the largest
    logits, each word once."""
    logits = lmm.logits(torch.from_numpy(np.asarray(U, np.float32)), layer).cpu().numpy()
    ids = np.array([i for i in allowed if i < logits.shape[1]], dtype=int)  # tokenizers may know more than is ever said
    result = []
    for row in logits:
        found: dict[str, GroundedWord] = {}
        for token in ids[np.argsort(-row[ids], kind="stable")]:
            word = allowed[int(token)].lower()
            found.setdefault(word, GroundedWord(word, int(token), float(row[token])))
            if len(found) == n_words:
                break
        result.append(list(found.values()))
    return result


def most_activating(activations: np.ndarray, n: int) -> list[int]:
    """Rows of the `n` largest activations (n_samples,), the largest first, ties by row; zeros are no activations."""
    order = np.argsort(-activations, kind="stable")[:n]
    return [int(i) for i in order if activations[i] != 0]


def share_of_samples(V: np.ndarray) -> np.ndarray:
    """(n_concepts,): the share of samples whose largest |activation| is this concept's."""
    return np.bincount(np.abs(V).argmax(axis=1), minlength=V.shape[1]) / len(V)


def open_grounding(folder: str | Path, concepts: Concepts | None = None) -> Grounding:
    """The grounding in `folder`; when `concepts` are given, they must be the ones that it was made from.

    Raises:
        ArtifactError: missing, damaged, newer, or made from other concepts.
    """
    folder = Path(folder)
    manifest = read_manifest(folder, KIND)
    if concepts is not None:
        check_parent(folder, manifest, concepts.folder, "concepts")
    try:
        entries = json.loads((folder / FILE).read_text(encoding="utf-8"))
        grounded = tuple(
            GroundedConcept(
                e["index"],
                tuple(GroundedWord(**w) for w in e["words"]),
                tuple(GroundedSample(**s) for s in e["samples"]),
                e["share"],
            )
            for e in entries
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"{folder / FILE} is damaged or missing ({error}). Remove {folder} and ground again."
        ) from error
    return Grounding(folder, manifest, grounded)
