"""The card of what is shared: Markdown with metadata, as the README of a repository on the Hugging Face hub."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from vitrail.comparison import Comparison
from vitrail.steering import Steering
from vitrail.studies import Study
from vitrail.visible import one_line

#: A model's name on the hub.
_ON_HUB = re.compile(r"[\w.-]+/[\w.-]+")
_PICTURES = 5


@dataclass(frozen=True)
class Card:
    """A card.

    Args:
        text: the README.
        pictures: name → JPEG, of what the text shows.
    """

    text: str
    pictures: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class About:
    """What the card says beside the artifact itself.

    Args:
        repo: where it will lie.
        made: kind → how each part was made.
        licence: its identifier on the hub; None where nobody named one.
        pictures: whether pictures of the data are shown.
    """

    repo: str
    made: Mapping[str, Mapping[str, Any]]
    licence: str | None = None
    pictures: bool = False


def card_of(artifact: Study | Comparison | Steering, about: About) -> Card:
    """The card of a study, a comparison or a steering."""
    if isinstance(artifact, Study):
        return _study(artifact, about)
    if isinstance(artifact, Comparison):
        return _comparison(artifact, about)
    return _steering(artifact, about)


def _study(study: Study, about: About) -> Card:
    word, model = study.activations.word.text, study.activations.model.name
    pictures: dict[str, bytes] = {}
    rows = []
    for concept in sorted(study, key=lambda c: -c.share):
        shown = ""
        for n, sample in enumerate(concept.samples[:_PICTURES] if about.pictures else ()):
            if jpeg := study.activations.rows[sample.row].thumbnail:
                pictures[f"pictures/{concept.index}-{n}.jpg"] = jpeg
                shown += f"![](pictures/{concept.index}-{n}.jpg) "
        words = ", ".join(w.word for w in concept.words)
        rows.append((concept.index, study.titles[concept.index], f"{concept.share:.0%}", words, shown))
    heads = ("concept", "title", "share of samples", "words", "images that activate it most")
    n, name = len(heads) - (not about.pictures), "study" if about.pictures else "concepts"
    lines = [
        f"# Concepts behind “{_cell(word)}” in {_cell(model)}",
        f"{len(study)} concepts of {len(study.activations)} states at layer {study.learned.layer}, by "
        f"{study.learned.options.method}. A concept is a direction of the residual stream, in words (read by the "
        "unembedding) and in the samples that activate it most.",
        _table(heads[:n], [row[:n] for row in rows]),
        _use(about.repo, name, f"for c in {name}: print(c.title, c.words)"),
    ]
    return Card(_page(lines, about, model, "concepts"), pictures)


def _comparison(found: Comparison, about: About) -> Card:
    rows: list[tuple[Any, ...]] = [
        (c.index, c.change, ", ".join(c.words[:5]), ", ".join(c.words_counterpart[:5])) for c in found.concepts
    ]
    rows += [("–", "emerged", "", ", ".join(e.words[:5])) for e in found.emerged]
    lines = [
        f"# What a fine-tune did to the concepts of “{_cell(found.word.text)}”",
        f"{_cell(found.a.model.name)} before, {_cell(found.b.model.name)} after, on {found.samples.common} samples of "
        f"which both say the word; layer {found.layer}.",
        _table(("concept", "became", "words before", "words after"), rows),
        _use(about.repo, "comparison", "comparison.concepts[0].change"),
    ]
    return Card(_page(lines, about, found.a.model.name, "representation-shift"))


def _steering(found: Steering, about: About) -> Card:
    model = (found.parameters.get("model") or {}).get("name", "")
    norms = found.norms if found.method.is_vector else dict.fromkeys(found.layers, float("nan"))
    rows = [(layer, "a learned function" if norm != norm else f"{norm:.3g}") for layer, norm in norms.items()]
    lines = [
        f"# A steering of {_cell(model)}: {_cell(found.method.title)}",
        "It changes the residual stream while the model answers. A norm is what strength 1 adds, in units of the median"
        " norm of states.",
        _table(("layer", "norm"), rows),
        _use(about.repo, "steering", "with vitrail.steer(lmm, steering.intervention(1.0)): ..."),
    ]
    return Card(_page(lines, about, model, "steering"))


def _page(lines: Iterable[str], about: About, model: str, tag: str) -> str:
    from huggingface_hub import ModelCardData

    data = ModelCardData(
        library_name="vitrail",
        tags=["vitrail", "interpretability", tag],
        license=about.licence,
        base_model=model if _ON_HUB.fullmatch(model) else None,
    )
    held = (
        "Small pictures and captions of the data are included."
        if about.pictures
        else "No picture and no caption of the data is included; ids of samples are."
    )
    licence = f"Licence: {about.licence}." if about.licence else "No licence was named: ask before you use it."
    made = [line for kind, values in about.made.items() for line in (f"**{kind}**", "", *_facts(values), "")]
    return "\n\n".join([f"---\n{data.to_yaml()}\n---", *lines, "## What is in it", f"{held} {licence}"]) + (
        "\n\n## How it was made\n\n" + "\n".join(made)
    )


def _facts(values: Mapping[str, Any]) -> Iterable[str]:
    return (f"- {_cell(name)}: {_cell(value)}" for name, value in values.items() if value not in (None, "", [], {}))


def _use(repo: str, name: str, then: str) -> str:
    return f'```python\nimport vitrail\n\n{name} = vitrail.from_hub("{repo}")\n{then}\n```'


def _table(heads: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *(tuple(map(_cell, row)) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    """A value as text of a cell: no markup of the data's own, but for the pictures that were put there."""
    text = one_line(str(value))
    if re.fullmatch(r"(!\[\]\(pictures/\d+-\d+\.jpg\) )+", text):
        return text
    return re.sub(r"([\\`*_\[\]|#!])", r"\\\1", html.escape(text, quote=False))
