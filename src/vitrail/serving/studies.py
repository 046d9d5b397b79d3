"""What is told of a study: a concept with examples, its samples, a map of them, and what some have in common."""

from __future__ import annotations

import csv
import importlib.util
import io
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from vitrail.activations import Row
from vitrail.activations.rows import ShardRows
from vitrail.concepts.verdicts import of_concept
from vitrail.errors import UsageError
from vitrail.reports.maps import where
from vitrail.scores import auroc, corrected
from vitrail.scores.verdicts import SIGNIFICANT, Verdict
from vitrail.studies import ConceptNote, Study
from vitrail.words import frequent_among, words_said

Layout = Literal["pca", "umap"]
#: Examples of a concept at each place of its activations, and these places: a name and the quantile among the samples
#: that have the concept.
EXAMPLES = 6
QUANTILES = (
    ("strongest", 1.0),
    ("90th percentile", 0.9),
    ("75th percentile", 0.75),
    ("median", 0.5),
    ("25th percentile", 0.25),
    ("weakest", 0.0),
)
#: Axes of the map are learned from so many states at most; all of them are then placed on it.
FITTED = 5000
#: Rarer words are not tested, nor are more than the most frequent ones.
RAREST, MOST_WORDS = 3, 500


@dataclass(frozen=True)
class SampleView:
    """A sample. `before`, `said` and `after` are what the model said, `said` being the word.

    Args:
        row: its row; its picture is at `/api/studies/{study}/thumbs/{row}`.
        id: of the sample.
        references: what people said.
        strength: of the concept that was asked for; None where none was.
        concepts: its most active concepts, each with its strength.
        factors: what is known of it.
        where: where in the image the concept that was asked for comes from, in words; None where the study keeps no map
            of it. The map is at `/api/studies/{study}/maps/{concept}/{row}`.
    """

    row: int
    id: str
    before: str
    said: str
    after: str
    references: tuple[str, ...]
    strength: float | None = None
    concepts: tuple[tuple[int, float], ...] = ()
    factors: dict[str, str] | None = None
    where: str | None = None


@dataclass(frozen=True)
class Examples:
    """Samples at one place of a concept's activations."""

    place: str
    samples: tuple[SampleView, ...]


@dataclass(frozen=True)
class ConceptView:
    """A concept with examples, from the strongest to those that do not have it.

    Args:
        title: the name that somebody gave it, or its own title.
        own_title: its own.
        note: what somebody wrote to it.
        words: decoded from its direction; `captions` are the words of its images' captions.
        share: of samples whose strongest concept it is; `active` is the share that has it at all.
        stability: over seeds, and over resamples; None where it was not measured.
        verdicts: what follows from these.
    """

    index: int
    title: str
    own_title: str
    note: str
    words: tuple[str, ...]
    captions: tuple[str, ...]
    share: float
    active: float
    stability: dict[str, float] | None
    verdicts: tuple[Verdict, ...]
    examples: tuple[Examples, ...]


@dataclass(frozen=True)
class Sides:
    """Two concepts side by side.

    Args:
        cosine: of their directions; of `U`.
        correlation: of their activations over the samples.
        both: share of samples that have both.
        words: that both are decoded to.
    """

    a: ConceptView
    b: ConceptView
    cosine: float
    correlation: float
    both: float
    words: tuple[str, ...]


@dataclass(frozen=True)
class SampleList:
    """Some of the samples that were asked for; `total` is how many there are."""

    total: int
    samples: tuple[SampleView, ...]


@dataclass(frozen=True)
class FactorView:
    """A known factor, and its values in the order of their codes."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class MapView:
    """What the map of samples can show. Columns are binary, little-endian, one number a sample, in the same order.

    Args:
        n: how many samples there are.
        rows: their rows.
        titles: of the concepts, whose strengths are columns.
        factors: known factors, whose codes are columns.
        sets: name → rows of the samples of sets that people kept.
        explained: share of the variance that the two axes hold; None for UMAP, whose axes hold no share.
        layouts: the ways in which samples can be placed here.
    """

    n: int
    rows: tuple[int, ...]
    titles: tuple[str, ...]
    factors: tuple[FactorView, ...]
    sets: dict[str, tuple[int, ...]]
    explained: float | None
    layouts: tuple[Layout, ...]


@dataclass(frozen=True)
class CommonConcept:
    """A concept that some samples have more, or less, than the others: the mean strengths, and how well it tells them
    apart (0.5 is chance)."""

    index: int
    title: str
    inside: float
    outside: float
    auroc: float


@dataclass(frozen=True)
class CommonWord:
    """A word, or the value of a factor, that some samples have more often than the others; `q` is the false discovery
    rate (Fisher's exact test, one-sided; Benjamini & Hochberg)."""

    text: str
    inside: float
    outside: float
    q: float


@dataclass(frozen=True)
class Common:
    """What some samples have in common that the others do not."""

    n: int
    others: int
    concepts: tuple[CommonConcept, ...]
    words: tuple[CommonWord, ...]
    factors: tuple[CommonWord, ...]


# ---- concepts --------------------------------------------------------------------------------------------------------


def concept_view(study: Study, k: int) -> ConceptView:
    """Concept `k` with examples.

    Raises:
        UsageError: there is no such concept.
    """
    check_concept(study, k)
    grounded, stability = study.grounding[k], study.learned.stability
    note = study.notes.concepts.get(k, ConceptNote())
    column = study.learned.V[:, k]
    return ConceptView(
        index=k,
        title=study.titles[k],
        own_title=grounded.name(study.activations.word.text),
        note=note.text,
        words=tuple(w.word for w in grounded.words),
        captions=tuple(w.word for w in grounded.captions),
        share=grounded.share,
        active=float(np.mean(column != 0)),
        stability=None if stability is None else {kind: float(v[k]) for kind, v in stability.items()},
        verdicts=tuple(of_concept(study.learned, k).values()),
        examples=tuple(_examples(study, k)),
    )


def _examples(study: Study, k: int) -> Iterator[Examples]:
    """Samples at each of `QUANTILES` of the concept, none twice, and samples without it."""
    V, rows = study.learned.V, np.flatnonzero(study.learned.kept)
    strengths = study.learned.strengths(V)[:, k]
    order = np.argsort(-np.abs(strengths), kind="stable")
    active = order[: np.count_nonzero(strengths)]
    used: set[int] = set()
    for name, quantile in QUANTILES:
        middle = round((1 - quantile) * (len(active) - 1))
        near = sorted((i for i in range(len(active)) if i not in used), key=lambda i: (abs(i - middle), i))[:EXAMPLES]
        used.update(near)
        if near:
            yield Examples(name, tuple(sample_view(study, int(rows[active[i]]), k) for i in sorted(near)))
    without = order[len(active) :]
    if len(without):
        step = max(len(without) // EXAMPLES, 1)  # from all over the samples, the same every time
        some = sorted(without.tolist())[::step][:EXAMPLES]
        yield Examples("without it", tuple(sample_view(study, int(rows[i]), k) for i in some))


def sides(study: Study, a: int, b: int) -> Sides:
    """Concepts `a` and `b` side by side.

    Raises:
        UsageError: there is no such concept, or both are one.
    """
    one, other = concept_view(study, a), concept_view(study, b)
    if a == b:
        raise UsageError("Two different concepts are compared.")
    U, V = study.learned.U[[a, b]].astype(np.float64), study.learned.V[:, [a, b]].astype(np.float64)
    norms = np.linalg.norm(U, axis=1)
    spread = V.std(axis=0)
    both = V - V.mean(axis=0)
    return Sides(
        one,
        other,
        cosine=float(U[0] @ U[1] / (norms.prod() or np.nan)),
        correlation=float((both[:, 0] * both[:, 1]).mean() / (spread.prod() or np.nan)),
        both=float(np.mean((V != 0).all(axis=1))),
        words=tuple(w for w in one.words if w in other.words),
    )


def check_concept(study: Study, k: int) -> None:
    """Raises `UsageError` if there is no concept `k`."""
    if not 0 <= k < len(study):
        raise UsageError(f"There is no concept {k}; there are 0 to {len(study) - 1}.")


def concepts_csv(study: Study) -> bytes:
    """A line per concept: number, title, decoded words, words of captions, share, stability."""
    stability = study.learned.stability or {}
    heads = ["concept", "title", "words", "captions", "share", *(f"stability_{kind}" for kind in stability)]
    lines = [
        [
            c.index,
            title,
            " ".join(w.word for w in c.words),
            " ".join(w.word for w in c.captions),
            f"{c.share:.6g}",
            *(f"{values[c.index]:.6g}" for values in stability.values()),
        ]
        for c, title in zip(study, study.titles, strict=True)
    ]
    return _csv(heads, lines)


def _csv(heads: Sequence[str], lines: Sequence[Sequence[object]]) -> bytes:
    """A table as CSV. A cell that a spreadsheet would take for a formula begins with an apostrophe."""
    file = io.StringIO()
    writer = csv.writer(file)
    for line in [heads, *lines]:
        writer.writerow(
            [f"'{cell}" if str(cell)[:1] in ("=", "+", "@", "-") and _is_text(cell) else cell for cell in line]
        )
    return ("\ufeff" + file.getvalue()).encode("utf-8", "replace")


def _is_text(cell: object) -> bool:
    try:
        float(str(cell))
    except ValueError:
        return True
    return False


# ---- samples ---------------------------------------------------------------------------------------------------------


def sample_view(study: Study, row: int, concept: int | None = None) -> SampleView:
    """The sample of a row, with the strength of `concept`."""
    found: Row = study.activations.rows[row]
    at = _places(study)[row]
    strengths = None if at < 0 else study.learned.strengths(study.learned.V[at])
    top = (
        [] if strengths is None else [int(k) for k in np.argsort(-np.abs(strengths), kind="stable")[:3] if strengths[k]]
    )
    known = (study.factors or {}).get(found.sample_id, {})
    maps = None if concept is None else study.sample_maps
    shares = None if maps is None or concept is None else maps.shares.get((concept, found.sample_id))
    return SampleView(
        row=row,
        id=found.sample_id,
        before=found.text[: found.start].lstrip(),
        said=found.text[found.start : found.end],
        after=found.text[found.end :].rstrip(),
        references=found.references,
        strength=None if concept is None or strengths is None else float(strengths[concept]),
        concepts=tuple((k, float(strengths[k])) for k in top) if strengths is not None else (),
        factors={name: str(value) for name, value in known.items() if value is not None} or None,
        where=None if shares is None else where(shares),
    )


def _places(study: Study) -> np.ndarray:
    """(n_rows,): for each row of the activations its row of `V`; −1 for one that was not learned from."""
    kept = study.learned.kept
    places = np.full(len(kept), -1)
    places[kept] = np.arange(kept.sum())
    return places


def sample_list(study: Study, rows: Sequence[int], concept: int | None, offset: int, limit: int) -> SampleList:
    """Some of the samples of `rows`; those that have `concept` most come first."""
    ordered = list(rows)
    if concept is not None:
        check_concept(study, concept)
        places, V = _places(study), np.abs(study.learned.V[:, concept])
        ordered = sorted((r for r in rows if places[r] >= 0), key=lambda r: (-float(V[places[r]]), r))
    some = ordered[offset : offset + limit]
    return SampleList(len(ordered), tuple(sample_view(study, r, concept) for r in some))


def matching(study: Study, text: str) -> list[int]:
    """The rows whose id, captions or known values have every word of `text` in them."""
    terms = text.lower().split()
    known = study.factors or {}

    def has(row: Row) -> bool:
        values = (str(value) for value in known.get(row.sample_id, {}).values())
        whole = " ".join((row.sample_id, row.text, *row.references, *values)).lower()
        return all(term in whole for term in terms)

    return [i for i, row in enumerate(study.activations.rows) if not terms or has(row)]


def samples_csv(study: Study) -> bytes:
    """A line per sample that was learned from: id, what the model said, and the strength of each concept."""
    rows = [study.activations.rows[i] for i in np.flatnonzero(study.learned.kept)]
    strengths = study.learned.strengths(study.learned.V)
    heads = ["sample", "said", *(f"concept_{k}" for k in range(len(study)))]
    return _csv(
        heads, [[r.sample_id, r.text.strip(), *(f"{v:.4g}" for v in s)] for r, s in zip(rows, strengths, strict=True)]
    )


# ---- the map ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Placed:
    """Samples on a plane: `xy` (n, 2) float32, and the share of the variance that the plane holds (None for UMAP)."""

    xy: np.ndarray
    explained: float | None


def layouts() -> tuple[Layout, ...]:
    """The ways to place samples on a plane: PCA, and UMAP where it is installed."""
    return ("pca", "umap") if importlib.util.find_spec("umap") else ("pca",)


def placed(study: Study, layout: Layout = "pca", other: Study | None = None) -> Placed:
    """The samples that were learned from on a plane: along the two axes in which their states differ most (PCA), or so
    that neighbours stay neighbours (UMAP, of the first 50 axes). Those of `other` follow, on the same plane.

    Raises:
        UsageError: states of the two studies have different widths, or UMAP is not installed.
    """
    from sklearn.decomposition import PCA

    if layout not in layouts():
        raise UsageError("UMAP is not installed where the viewer runs: pip install 'vitrail[umap]'.")
    several = (study,) if other is None else (study, other)
    parts = [ShardRows(s.activations, s.learned.layer, s.learned.kept) for s in several]
    widths = [s.learned.U.shape[1] for s in several]
    if len(set(widths)) > 1:
        raise UsageError(f"States of {widths[0]} and of {widths[1]} numbers do not lie in one space.")
    n = sum(int(s.learned.kept.sum()) for s in several)
    step = max(n // FITTED, 1)
    some = np.concatenate([part[i][::step] for part in parts for i in range(len(part.lengths))])
    if len(some) < 2:
        return Placed(np.zeros((n, 2), np.float32), 0.0 if layout == "pca" else None)
    wanted = 2 if layout == "pca" else 50
    axes = PCA(n_components=min(wanted, *some.shape), svd_solver="randomized", random_state=0).fit(some)
    found = np.concatenate([axes.transform(part[i]) for part in parts for i in range(len(part.lengths))])
    if layout == "umap" and n > 3:
        return Placed(_neighbours(found.astype(np.float32)), None)
    xy = np.pad(found[:, :2], ((0, 0), (0, max(2 - found.shape[1], 0)))).astype(np.float32)
    return Placed(xy, float(np.nansum(axes.explained_variance_ratio_[:2])) if layout == "pca" else None)


def _neighbours(states: np.ndarray) -> np.ndarray:
    """UMAP of states (n, d), the same every time."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about TensorFlow, of numba, and that a seed forbids threads
        from umap import UMAP

        return UMAP(n_neighbors=min(15, len(states) - 1), random_state=0).fit_transform(states).astype(np.float32)


def map_view(study: Study, found: Placed) -> MapView:
    """What the map can show."""
    rows = np.flatnonzero(study.learned.kept)
    ids = [study.activations.rows[i].sample_id for i in rows]
    by_id = {name: int(row) for name, row in zip(ids, rows, strict=True)}
    sets = {name: tuple(by_id[i] for i in kept if i in by_id) for name, kept in study.notes.sets.items()}
    return MapView(
        n=len(rows),
        rows=tuple(rows.tolist()),
        titles=tuple(study.titles),
        factors=tuple(FactorView(name, values) for name, values in _values(study).items()),
        sets=sets,
        explained=found.explained,
        layouts=layouts(),
    )


def strengths_column(study: Study, k: int) -> bytes:
    """The strengths of concept `k`, float32, one a sample of the map."""
    check_concept(study, k)
    return study.learned.strengths(study.learned.V)[:, k].astype("<f4").tobytes()


def factor_column(study: Study, name: str) -> bytes:
    """The codes of a factor's values, uint16, one a sample of the map; 65535 where it is not known."""
    values = _values(study).get(name)
    if values is None:
        raise UsageError(f"There is no factor {name[:60]!r}.")
    codes, known = {value: i for i, value in enumerate(values)}, study.factors or {}
    rows = [study.activations.rows[i] for i in np.flatnonzero(study.learned.kept)]
    found = [known.get(row.sample_id, {}).get(name) for row in rows]
    return np.array([65535 if v is None else codes[str(v)] for v in found], "<u2").tobytes()


def _values(study: Study) -> dict[str, tuple[str, ...]]:
    """Factor → its values among the samples, in order."""
    ids = [study.activations.rows[i].sample_id for i in np.flatnonzero(study.learned.kept)]
    found: dict[str, set[str]] = {}
    for known in ((study.factors or {}).get(i, {}) for i in ids):
        for name, value in known.items():
            if value is not None:
                found.setdefault(name, set()).add(str(value))
    return {name: tuple(sorted(values)) for name, values in found.items() if 1 < len(values) < 65535}


def common(study: Study, rows: Sequence[int], n: int = 6) -> Common:
    """What the samples of `rows` have in common that the other samples do not.

    Raises:
        UsageError: no row, all of them, or one that is not there.
    """
    kept = np.flatnonzero(study.learned.kept)
    inside = np.isin(kept, list(rows))
    if not inside.any() or inside.all():
        raise UsageError("Choose some of the samples, and not all of them.")
    strengths = study.learned.strengths(study.learned.V)
    told = auroc(strengths, inside)
    order = np.argsort(-np.abs(told - 0.5), kind="stable")[:n]
    titles, samples = study.titles, [study.activations.rows[i] for i in kept]
    said = words_said([(*row.references, row.text) for row in samples])
    language = study.grounding.options.language
    words = frequent_among(said, study.activations.word, language, RAREST)[:MOST_WORDS]
    known = [
        {f"{name} {value}" for name, value in (study.factors or {}).get(row.sample_id, {}).items() if value is not None}
        for row in samples
    ]
    return Common(
        n=int(inside.sum()),
        others=int((~inside).sum()),
        concepts=tuple(
            CommonConcept(
                int(k),
                titles[k],
                float(strengths[inside, k].mean()),
                float(strengths[~inside, k].mean()),
                float(told[k]),
            )
            for k in order
        ),
        words=_more_often(words, said, inside, n),
        factors=_more_often(sorted(set().union(*known)), known, inside, n),
    )


def _more_often(words: Sequence[str], has: Sequence[set[str]], inside: np.ndarray, n: int) -> tuple[CommonWord, ...]:
    """The words that samples `inside` have more often than the others, those that tell most first."""
    if not words:
        return ()
    table = np.array([[word in one for word in words] for one in has], bool)
    a, b, m = table[inside].sum(axis=0), table.sum(axis=0), int(inside.sum())
    p = stats.hypergeom.sf(a - 1, len(inside), b, m)
    q = np.array(corrected(p.tolist()))
    order = [int(j) for j in np.argsort(p, kind="stable") if q[j] < SIGNIFICANT][:n]
    rest = len(inside) - m
    return tuple(CommonWord(words[j], float(a[j] / m), float((b[j] - a[j]) / rest), float(q[j])) for j in order)
