"""The page of a comparison: what a fine-tune did to the concepts of a word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from vitrail.activations import Activations
from vitrail.artifacts import MANIFEST, file_hash
from vitrail.comparison import Shift
from vitrail.reports import comparison_charts as charts
from vitrail.reports.content import Photo, photo_of, place
from vitrail.reports.flow import flow_picture
from vitrail.reports.page import template, write_page

_HERE = Path(__file__).parent
#: Images of a concept, before and after.
PHOTOS = 4
#: What the words for changes mean, in the order in which they are listed.
MEANINGS = {
    "refined": "its samples go on together, and at least half of its words stay",
    "changed": "its samples go on together, under other words",
    "split": "its samples go to several concepts",
    "merged": "its samples share a concept with those of another one",
    "faded": "nothing answers to it, or much less",
    "emerged": "a concept after that nothing before accounts for",
}


@dataclass(frozen=True)
class Word:
    """A word of a concept; `fate` is "kept", "lost" or "gained" against the concept on the other side, or empty."""

    text: str
    fate: str


@dataclass(frozen=True)
class Card:
    """One concept before, its match after, and the shifted concept between; `facts` are all its figures, `title` are
    the words that tell it from the others."""

    facts: Mapping[str, Any]
    title: list[str]
    before: list[Word]
    shifted: list[Word]
    after: list[Word]
    photos_before: list[Photo]
    photos_after: list[Photo]


def shift_report(shift: Shift, a: Activations, b: Activations, *, out: str | Path) -> Path:
    """The comparison as one HTML file `out`: the same bytes for the same comparison, no request to anywhere.

    Args:
        a, b: the activations that were compared, for the pictures and captions in them.
    """
    out, found = Path(out), shift.found
    rows_a, rows_b = ({row["sample_id"]: row for row in side.rows} for side in (a, b))
    flow, linked = np.array(found["flow"]), np.array(found["linked"])
    emerged = [e["index"] for e in found["emerged"]]
    before = [distinctive(c["words"], found["concepts"]) for c in found["concepts"]]
    after = [distinctive(c["words"], found["after"]) for c in found["after"]]
    page = template("shift.html.j2").render(
        extra=Markup((_HERE / "shift.css").read_text(encoding="utf-8")),
        found=found,
        word=found["word"]["text"],
        names=(_name(found["a"]["model"]), _name(found["b"]["model"])),
        place=place(found["layer"], found["a"]["model"].get("n_blocks")),
        counts=_counts(found),
        meanings=MEANINGS,
        picture=flow_picture(flow, linked, before, after, emerged=emerged),
        cards=[_card(c, title, rows_a, rows_b) for c, title in zip(found["concepts"], before, strict=True)],
        emerged=[(e, _photos(e["samples"], rows_b)) for e in found["emerged"]],
        recovery=charts.recovery_chart(found["concepts"]),
        alpha=charts.alpha_chart(found["sweep"]),
        consistency=charts.consistency_chart(found["concepts"], found["correlations"]["consistency and cosine_gain"]),
        by_layer=charts.points_chart(found["layers"], "layer", "by-layer") if found["layers"] else Markup(""),
        by_step=charts.points_chart(found["steps"], "step", "by-step") if found["steps"] else Markup(""),
        whole=found["whole"],
        moved=charts.layers_chart(found["whole"]["layers"]) if found["whole"] else Markup(""),
        divergence=charts.divergence_chart(found["whole"]["by_position"]) if found["whole"] else Markup(""),
        sha256=file_hash(shift.folder / MANIFEST),
        parameters=shift.parameters,
        parents=shift.manifest["parents"],
        versions=shift.manifest["versions"],
    )
    write_page(out, page)
    return out


def distinctive(words: Sequence[str], concepts: Sequence[Mapping[str, Any]], n: int = 3) -> list[str]:
    """The `n` of a concept's words that fewest of all `concepts` have, the strongest first where they tie."""
    often = Counter(w for c in concepts for w in c["words"])
    return sorted(words, key=lambda w: often[w])[:n]


def _name(model: Mapping[str, Any]) -> str:
    """A model in a word or two: its folder's or hub's last name, and its adapter's."""
    name = Path(model["name"]).name or model["name"]
    return name if not model["adapter"] else f"{name} + {Path(model['adapter']).name}"


def _counts(found: Mapping[str, Any]) -> dict[str, int]:
    """How many concepts had each fate, in the order of `MEANINGS`."""
    counted = Counter(c["change"] for c in found["concepts"])
    counted["emerged"] = len(found["emerged"])
    return {name: counted[name] for name in MEANINGS}


def _card(c: Mapping[str, Any], title: list[str], rows_a: Mapping[str, Any], rows_b: Mapping[str, Any]) -> Card:
    before, shifted, after = c["words"], c["words_shifted"], c["words_match"]
    return Card(
        facts=c,
        title=title,
        before=[Word(w, "kept" if w in after else "lost") for w in before],
        shifted=[Word(w, "kept" if w in after else "") for w in shifted],
        after=[Word(w, "kept" if w in before else "gained") for w in after],
        photos_before=_photos(c["samples"], rows_a),
        photos_after=_photos(c["samples_match"], rows_b),
    )


def _photos(ids: Sequence[str], rows: Mapping[str, Any]) -> list[Photo]:
    return [photo_of(rows[i]) for i in ids[:PHOTOS] if i in rows]
