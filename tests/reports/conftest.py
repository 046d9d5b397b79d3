"""Every page that the package writes, made from Toyland; a new page is a line in `pages`. Read only."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def steered_pages(lmm, samples, tmp_path_factory) -> dict[str, Path]:
    """The pages of a steering towards colours: its gallery alone, with a search, and with methods side by side."""
    from vitrail.reports.steering import steering_page
    from vitrail.steering import TASKS, Application, SteeringOptions, make_steering
    from vitrail.trials import SearchOptions, gallery_of, say_at_strengths, search
    from vitrail.trials.contenders import steering_contender
    from vitrail.trials.contest import compare_contenders
    from vitrail.trials.grid_search import candidates

    folder, task = tmp_path_factory.mktemp("steered"), TASKS["colour"]
    made = make_steering(lmm, task, samples[:60], SteeringOptions(layers=(6,)), out=folder / "made")
    levels = say_at_strengths(lmm, made, samples[60:64], (1.0,), Application(), task=task)
    gallery = gallery_of(lmm, made, samples[60:64], levels, task=task)
    found = search(lmm, task, samples[60:76], candidates(made), SearchOptions((0.5, 1.0), 0.5))
    nothing = dataclasses.replace(found, picked=None, held_out=None)
    results = compare_contenders(lmm, task, samples[60:72], [steering_contender(made)])
    return {
        "gallery": steering_page(gallery, out=folder / "gallery.html"),
        "search": steering_page(gallery, out=folder / "search.html", search=found),
        "search in vain": steering_page(gallery, out=folder / "vain.html", search=nothing),
        "contest": steering_page(gallery, out=folder / "contest.html", results=results),
    }


def choice_among_twelve():
    """A choice of the number of concepts and λ."""
    from vitrail.concepts import Tried, choose
    from vitrail.scores import Estimate

    return choose(
        [
            Tried(
                k, p, k / 60, Estimate(0.6 + k / 200, 0.01, 0.6, 0.9, 99), 7, 1.0, 0.9 - p, 0.2, 0.1, 0.5, k / 2, 0, 0
            )
            for k in (10, 20, 30, 40)
            for p in (0.005, 0.02, 0.1)
        ]
    )


def chosen_of(study):
    """`study`, as if the number of its concepts had been chosen."""
    from vitrail.artifacts import plain

    manifest = {**study.learned.manifest, "choice": plain(choice_among_twelve())}
    return dataclasses.replace(study, learned=dataclasses.replace(study.learned, manifest=manifest))


def _watch_pages(study, folder: Path) -> dict[str, Path]:
    """The pages of a watch: one that has seen nothing, one that is quiet, and one with an alarm."""
    from tests.monitoring.conftest import observations

    from vitrail.monitoring import Watch, WatchOptions, read_status, read_windows, reference_of
    from vitrail.reports.monitoring import watch_page

    reference = reference_of(study, observations(300, 1), out=folder / "reference")
    quiet = observations(150, 4)
    seen = {"new watch": [], "quiet watch": quiet, "watch": [*quiet, *observations(250, 8, snow=0.6, start=9000.0)]}
    made = {}
    for name, found in seen.items():
        watch = Watch(reference, out=folder / name, options=WatchOptions(window=50))
        watch.write(found)
        watch.close()
        out = folder / f"{name}.html"
        made[name] = watch_page(read_status(folder / name), read_windows(folder / name), out=out)
    return made


@pytest.fixture(scope="session")
def dictionary_page(lmm, samples, tmp_path_factory) -> Path:
    """The page of one dictionary over two words."""
    from vitrail.activations import ExtractionOptions
    from vitrail.concepts import LearningOptions
    from vitrail.extraction import extract_words
    from vitrail.runs.share import share

    folder = tmp_path_factory.mktemp("dictionary")
    options = ExtractionOptions(layers=(-1,), require="truth")
    extract_words(lmm, samples, ["dog", "cat"], out=folder / "many", options=options)
    learning = LearningOptions(n_concepts=6, stability=1)
    return share([folder / "many"], out=folder / "shared", learning=learning, lmm=lmm, progress=False).page


@pytest.fixture(scope="session")
def pages(
    lmm,
    dictionary_page,
    dog_study,
    evaluation,
    factors,
    held_out,
    side_by_side,
    comparison,
    before_and_after,
    steered_pages,
    tmp_path_factory,
) -> dict[str, Path]:
    """Name → file of every page."""
    from tests.reports.test_atlas import ENTRIES

    from vitrail.explanation import explain_samples
    from vitrail.reports import atlas_page, methods_page, study_page
    from vitrail.reports.comparison import comparison_page

    folder = tmp_path_factory.mktemp("pages")
    parts = (dog_study.activations, dog_study.concepts, dog_study.grounding)
    shown = tuple(explain_samples(lmm, *parts, [s for s in held_out if "dog" in " ".join(s.references)][:3]))
    study = dataclasses.replace(dog_study, explanations=shown, factors=factors)
    return {
        "study": study_page(study, out=folder / "study.html", evaluation=evaluation.scores),
        "chosen study": study_page(chosen_of(dog_study), out=folder / "chosen.html"),
        "dictionary": dictionary_page,
        "plain study": study_page(dog_study, out=folder / "plain.html"),
        "atlas": atlas_page(ENTRIES, model="toyland", out=folder / "atlas.html"),
        **_watch_pages(dog_study, folder),
        "methods": methods_page(side_by_side, out=folder / "methods.html"),
        "comparison": comparison_page(comparison, *before_and_after, out=folder / "comparison.html"),
        **steered_pages,
    }
