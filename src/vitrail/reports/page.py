"""The page of a study: one HTML file that requests no other, in which no text of the data becomes markup."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from vitrail.artifacts import check_parent, write_ours
from vitrail.concepts.verdicts import of_concepts
from vitrail.evaluation import EvaluationScores
from vitrail.evaluation import verdicts as follows
from vitrail.reports import charts, content
from vitrail.reports.choice import choice_view
from vitrail.reports.evaluation import view_of
from vitrail.reports.policy import deferred, locked
from vitrail.reports.terms import term
from vitrail.scores import verdicts
from vitrail.studies import Study
from vitrail.visible import visible

_HERE = Path(__file__).parent


def study_page(study: Study, *, out: str | Path, evaluation: EvaluationScores | None = None) -> Path:
    """The study as one HTML file `out`: the same bytes for the same study, without requests to other files.

    It shows the study's explanations and, where the factors of its samples are known, how concepts match them.

    Args:
        evaluation: the scores of `vitrail.evaluate`, to show as well.

    Raises:
        ArtifactError: the study's artifacts do not belong together, or `out` cannot be written.
    """
    write_page(Path(out), study_html(study, evaluation))
    return Path(out)


def study_html(study: Study, evaluation: EvaluationScores | None = None) -> str:
    """The page of a study as HTML, not yet locked; see `study_page`."""
    return template("page.html.j2").render(study_view(study, evaluation))


def study_view(study: Study, evaluation: EvaluationScores | None = None) -> dict[str, Any]:
    """The values of the template of a study's page; see `study_page`."""
    activations, concepts, grounding = study.activations, study.concepts, study.grounding
    check_parent(concepts.folder, concepts.manifest, activations.folder, "activations")
    check_parent(grounding.folder, grounding.manifest, concepts.folder, "concepts")
    truth = content.truth_of(activations, concepts, study.factors)
    overlap, matrix = content.word_overlap(grounding)
    return {
        "head": content.headline(activations, concepts, grounding),
        "counts": activations.counts,
        "scores": concepts.scores,
        "stability": content.mean_stability(concepts),
        "said": of_concepts(concepts),
        "dropped": concepts.manifest.get("dropped", []),
        "named": content.MAX_NAMED,
        "overlap": overlap,
        "matrix": matrix,
        "mean": grounding.mean,
        "cards": content.cards(study, truth),
        "choice": None if concepts.choice is None else choice_view(concepts.choice),
        "logit": grounding.word_logit,
        "left": content.unexplained(activations, concepts),
        "largest_share": max((c.share for c in grounding.concepts), default=0.0) or 1.0,
        "truth": truth,
        "best": content.best_of(truth),
        "locals": content.locals_of(activations, study.titles, study.explanations),
        "origins": content.origins(activations, concepts, grounding),
        "evaluation": None if evaluation is None else view_of(evaluation, study.titles),
    }


def write_page(out: Path, page: str) -> None:
    """Writes a page, whole or not at all: without control characters, and locked (see `policy`).

    Raises:
        ArtifactError: `out` cannot be written, or somebody else's file is there.
    """
    write_ours(out, whole(page).encode())


def whole(page: str) -> str:
    """A page as it is written: without control characters, and locked."""
    return locked(visible(page))


@dataclass(frozen=True)
class Parts:
    """The parts of a page as HTML, for whoever has a head, a style and a script already, such as the viewer.

    Args:
        title: of the page, as text.
        head: what the page is about.
        sections: links to its sections.
        main: the sections.
    """

    title: str
    head: str
    sections: str
    main: str


def parts_of(name: str, view: Mapping[str, Any]) -> Parts:
    """The parts of the page that the template `name` makes of `view`, without control characters.

    A `style` attribute becomes `data-style` (see `policy.deferred`): no policy worth having lets one in.
    """
    made = template(name, base="parts-only.html.j2").render(view)
    title, *rest = (visible(part.strip()) for part in made.split("<!--part-->"))
    return Parts(str(Markup(title).unescape()), *map(deferred, rest))


def template(name: str, base: str = "base.html.j2") -> jinja2.Template:
    """A template of this folder, with the filters, the style and the script that all pages share.

    Args:
        base: the template that it fills.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": verdicts.percent,
        "number": number,
        "short": verdicts.number,
        "flat": content.flat,
        "groups": groups,
        "term": term,
    }
    environment.globals |= {
        "base": base,
        "histogram": charts.histogram,
        "tones": charts.TONES,
        "says": verdicts,
        "follows": follows,
        "marks": verdicts.MARKS,
        "meanings_of_marks": verdicts.MEANINGS,
        "style": Markup((_HERE / "style.css").read_text(encoding="utf-8")),
        "script": Markup((_HERE / "script.js").read_text(encoding="utf-8")),
    }
    return environment.get_template(name)


def number(value: Any) -> str:
    """Numbers to three digits, whole ones whole; lists with commas; anything else as text."""
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return ", ".join(map(number, value))
    return str(value)


def groups(names: Sequence[str]) -> list[tuple[str, int]]:
    """Runs of equal names and their lengths: for headings over several columns."""
    return [(name, len(list(same))) for name, same in itertools.groupby(names)]
