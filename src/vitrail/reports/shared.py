"""The page of a dictionary over words: each concept beside what every word makes of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitrail.activations import Activations
from vitrail.concepts import NamedConcept, SharedConcepts, Use
from vitrail.grounding import CaptionWord, Grounding
from vitrail.reports.choice import choice_view
from vitrail.reports.content import Photo, photo_of, place
from vitrail.reports.page import template, write_page
from vitrail.scores import Verdict, verdicts
from vitrail.words import lemma

#: Images of a concept for each word.
PHOTOS = 4
#: A word uses a concept if its activations are at least this share of those of all words.
USED = 0.5


@dataclass(frozen=True)
class OfWord:
    """What one word makes of a concept.

    Args:
        word: the word of interest.
        use: how it uses the concept; `length` is its strength, 0 to 1 among the words.
        captions: words that the captions of its most activating images have more often than the others'.
        decoded: words that are decoded from the direction beside the word's mean.
        photos: its most activating images.
    """

    word: str
    use: Use
    length: float
    captions: tuple[CaptionWord, ...]
    decoded: list[str]
    photos: list[Photo]


@dataclass(frozen=True)
class SharedCard:
    """A concept, its title, its stability over seeds and over resamples, what each word makes of it, and what is known
    of it where it was named."""

    index: int
    title: str
    stability: tuple[float, float] | None
    said: tuple[Verdict, ...]
    words: list[OfWord]
    used_by: int
    named: NamedConcept | None = None


def shared_page(
    shared: SharedConcepts, parts: Sequence[Activations], groundings: Mapping[str, Grounding], *, out: Path
) -> Path:
    """The dictionary as one HTML file `out`."""
    first = parts[0]
    page = template("shared.html.j2").render(
        model=Path(first.model.name).name or first.model.name,
        place=place(next(iter(shared.words.values())).layer, first.model.n_blocks),
        words=[
            (word, len(concepts.V), concepts.scores["explained_variance"], concepts.scores["active"])
            for word, concepts in shared.words.items()
        ],
        choice=None if shared.choice is None else choice_view(shared.choice),
        explained=[verdicts.explained(c.scores["explained_variance"]) for c in shared.words.values()],
        cards=[_card(shared, parts, groundings, k) for k in range(len(shared))],
    )
    write_page(out, page)
    return out


def _card(
    shared: SharedConcepts, parts: Sequence[Activations], groundings: Mapping[str, Grounding], k: int
) -> SharedCard:
    largest = max(uses[k].strength for uses in shared.uses.values()) or 1.0
    words = []
    for part in parts:
        word = part.word.text
        concept, use = groundings[word][k], shared.uses[word][k]
        photos = [photo_of(part.rows[s.row]) for s in concept.samples[:PHOTOS]]
        decoded = [w.word for w in concept.words[:5]]
        words.append(OfWord(word, use, use.strength / largest, concept.captions, decoded, photos))
    stable = shared.stability
    over = None if stable is None else (stable["seeds"][k], stable["resamples"][k])
    said = () if over is None else (verdicts.stability(over[0], "seeds"), verdicts.stability(over[1], "resamples"))
    used_by = sum(w.use.strength >= USED for w in words)
    named = shared.named[k] if k < len(shared.named) else None
    return SharedCard(k, title_of(groundings, k), over, said, words, used_by, named)


def title_of(groundings: Mapping[str, Grounding], k: int) -> str:
    """What a concept was named; or up to three words that name it: those that most of the words of interest have among
    theirs, those of captions first."""
    first = next(iter(groundings.values()))[k]
    if first.named:
        return first.title[0]
    captions = Counter(w.word.split()[0] for g in groundings.values() for w in g[k].captions)
    decoded = Counter(w.word for g in groundings.values() for w in g[k].words)
    said, own = captions or decoded, {lemma(word) for word in groundings}
    counts: Counter[str] = Counter()
    forms: dict[str, str] = {}
    for word, n in (said + Counter({word: n for word, n in decoded.items() if word in said})).most_common():
        counts[lemma(word)] += n
        forms.setdefault(lemma(word), word)
    named = [(form, n) for form, n in counts.most_common() if form not in own][:3]
    return " · ".join(forms[form] for form, n in named if n >= 0.4 * named[0][1]) or "no words"


def use_matrix(shared: SharedConcepts) -> np.ndarray:
    """(n_words, n_concepts): the strength with which every word uses every concept."""
    return np.array([[use.strength for use in uses] for uses in shared.uses.values()])
