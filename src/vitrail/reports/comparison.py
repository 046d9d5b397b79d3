"""The page of a comparison: what a fine-tune did to the concepts of a word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from vitrail.activations import Row
from vitrail.artifacts import MANIFEST, file_hash
from vitrail.comparison import Comparison, ConceptChange
from vitrail.comparison import verdicts as follows
from vitrail.comparison.changes import Change
from vitrail.reports import comparison_charts as charts
from vitrail.reports.content import Photo, photo_of, place
from vitrail.reports.flow import flow_picture
from vitrail.reports.page import template, write_page
from vitrail.studies import Study

#: Images of a concept, before and after.
PHOTOS = 4
#: What the words for changes mean, in the order in which they are listed.
MEANINGS: dict[Change, str] = {
    "refined": "its samples stay together, and at least half of its words stay",
    "changed": "its samples stay together, under other words",
    "split": "its samples go to several concepts",
    "merged": "its samples share a concept with those of another one",
    "faded": "no concept after corresponds to it, or only much weaker ones",
    "emerged": "a concept after that no concept before accounts for",
}
#: Sample id → its row of the activations.
Rows = Mapping[str, Row]


@dataclass(frozen=True)
class Word:
    """A word of a concept; `fate` says whether it was "kept", "lost" or "gained" from before to after, or is empty."""

    text: str
    fate: str


@dataclass(frozen=True)
class Card:
    """One concept before, the shifted concept, and its match after, with their titles; `facts` are its figures."""

    facts: ConceptChange
    title: str
    title_after: str
    before: list[Word]
    shifted: list[Word]
    after: list[Word]
    photos_before: list[Photo]
    photos_after: list[Photo]


def comparison_page(found: Comparison, a: Study, b: Study, *, out: str | Path) -> Path:
    """The comparison as one HTML file `out`: the same bytes for the same comparison; it loads nothing from elsewhere.

    Args:
        a: the study before, for its titles, pictures and captions; `b` is the study after.

    Raises:
        ArtifactError: `out` cannot be written.
    """
    write_page(Path(out), template("comparison.html.j2").render(comparison_view(found, a, b)))
    return Path(out)


def comparison_view(found: Comparison, a: Study, b: Study) -> dict[str, Any]:
    """The values of the template of a comparison's page; see `comparison_page`."""
    rows_a, rows_b = ({row.sample_id: row for row in side.activations.rows} for side in (a, b))
    before, after = a.titles, b.titles
    emerged = [e.index for e in found.emerged]
    return {
        "found": found,
        "names": (found.a.model.title, found.b.model.title),
        "place": place(found.layer, found.a.model.n_blocks),
        "counts": _counts(found),
        "meanings": MEANINGS,
        "picture": flow_picture(np.array(found.flow), np.array(found.linked), before, after, emerged=emerged),
        "cards": [_card(c, (before, after), (rows_a, rows_b)) for c in found.concepts],
        "emerged": [(e, after[e.index], _photos(e.samples, rows_b)) for e in found.emerged],
        "titles_after": after,
        "recovery": follows.of_recovery(found),
        "controls": [(control, follows.of_control(found, control)) for control in found.controls],
        "charts": _charts(found),
        "sha256": file_hash(found.folder / MANIFEST),
        "call": _call(found),
        "origin": {
            "a": {"folder": found.a.folder, "model": found.a.model.as_dict()},
            "b": {"folder": found.b.folder, "model": found.b.model.as_dict()},
            "parents": found.manifest["parents"],
            "versions": found.manifest["versions"],
        },
    }


def _charts(found: Comparison) -> dict[str, Markup]:
    """The charts of the page by name; those of views that the comparison lacks are left out."""
    shown = {
        "recovery": charts.recovery_chart(found.concepts),
        "alpha": charts.alpha_chart(found.alpha_curve),
        "consistency": charts.consistency_chart(found.concepts, found.correlations["consistency and cosine_gain"]),
    }
    if found.layers:
        shown["by_layer"] = charts.series_chart(found.layers, "layer")
    if found.steps:
        shown["by_step"] = charts.series_chart(found.steps, "step")
    if found.whole is not None:
        shown["moved"] = charts.layers_chart(found.whole.layers)
        shown["divergence"] = charts.divergence_chart(found.whole.by_position)
    return shown


def _call(found: Comparison) -> str:
    """The Python call that makes the comparison again."""
    names = ("matching", "estimator", "alpha", "n_words", "n_images", "draws", "resamples", "seed", "n_whole")
    options = ", ".join(f"{name}={getattr(found.options, name)!r}" for name in names)
    return (
        "vitrail.compare(a, b, lmm_a, lmm_b, samples=samples, out=out, "
        f"options=vitrail.ComparisonOptions({options}, rules=vitrail.{found.options.rules!r}))"
    )


def _counts(found: Comparison) -> dict[str, int]:
    """How many concepts had each fate, in the order of `MEANINGS`."""
    counted = Counter(c.change for c in found.concepts)
    counted["emerged"] = len(found.emerged)
    return {name: counted[name] for name in MEANINGS}


def _card(c: ConceptChange, titles: tuple[list[str], list[str]], rows: tuple[Rows, Rows]) -> Card:
    before, shifted, after = c.words, c.words_shifted, c.words_match
    return Card(
        facts=c,
        title=titles[0][c.index],
        title_after="" if c.match is None else titles[1][c.match],
        before=[Word(w, "kept" if w in after else "lost") for w in before],
        shifted=[Word(w, "kept" if w in after else "") for w in shifted],
        after=[Word(w, "kept" if w in before else "gained") for w in after],
        photos_before=_photos(c.samples, rows[0]),
        photos_after=_photos(c.samples_match, rows[1]),
    )


def _photos(ids: Sequence[str], rows: Rows) -> list[Photo]:
    return [photo_of(rows[i]) for i in ids[:PHOTOS] if i in rows]
