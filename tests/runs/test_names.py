"""Verbs take names, files and folders where they take a model, samples or a study."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

import vitrail
from vitrail.errors import ArtifactError, UsageError
from vitrail.runs import compare as compare_run
from vitrail.steering import apply
from vitrail.steering.artifact import Steering

TAKES_NAMES = {"lmm", "samples", "study", "lmm_a", "lmm_b", "a", "b", "activations", "data"}
VERBS = (
    vitrail.extract,
    vitrail.learn,
    vitrail.study,
    vitrail.report,
    vitrail.evaluate,
    vitrail.compare,
    vitrail.compare_methods,
    vitrail.compare_models,
    vitrail.finetune,
    vitrail.make_steering,
    vitrail.captions_about,
    vitrail.doctor,
)


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.__name__)
def test_a_verb_takes_names(verb):
    parameters = inspect.signature(verb).parameters.values()
    taken = {p.name: str(p.annotation) for p in parameters if p.name in TAKES_NAMES}
    assert taken
    assert all("str" in annotation and "Path" in annotation for annotation in taken.values()), taken


@pytest.mark.parametrize("verb", [v for v in VERBS if "progress" in inspect.signature(v).parameters])
def test_a_verb_shows_its_progress_unless_told_otherwise(verb):
    assert inspect.signature(verb).parameters["progress"].default is True


@pytest.fixture(scope="module")
def names(toyland_cache, tmp_path_factory):
    """A study by two names, made in an empty current folder; with that folder."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setenv("VITRAIL_CACHE", str(toyland_cache))
        made = vitrail.study("toyland", "toyland", "dog", method="kmeans", n_concepts=4)
        yield made


def test_a_study_by_names_goes_to_a_folder_of_the_word(names):
    assert names.folder == Path("vitrail-studies/dog")
    assert (names.folder / "report.html").is_file()
    assert names.factors  # found beside the samples
    assert repr(names).startswith("<Study of 'dog' in toyland: 4 concepts of ")


def test_a_study_reports_itself(names, tmp_path):
    assert names.report() == names.folder / "report.html"
    page = names.report(out=tmp_path / "page.html")
    assert page.read_bytes() == (names.folder / "report.html").read_bytes()
    assert isinstance(vitrail.open_study(names.folder), vitrail.Study)


def test_a_study_by_names_goes_on_and_never_overwrites_another(names):
    before = (names.folder / "concepts" / "concepts.safetensors").stat().st_mtime_ns
    vitrail.study("toyland", "toyland", "dog", method="kmeans", n_concepts=4)
    assert (names.folder / "concepts" / "concepts.safetensors").stat().st_mtime_ns == before
    with pytest.raises(ArtifactError, match=r"n_concepts is 4 there and 5 here. Name another folder"):
        vitrail.study("toyland", "toyland", "dog", method="kmeans", n_concepts=5)
    assert (names.folder / "concepts" / "concepts.safetensors").stat().st_mtime_ns == before


def test_the_stages_by_themselves_make_the_folders_of_a_study(toyland_cache, names, lmm):
    states = vitrail.extract("toyland", vitrail.load_samples("toyland"), "cat", require="truth", max_new_tokens=8)
    assert states.folder == Path("vitrail-studies/cat/activations")
    concepts = vitrail.learn(states.folder, n_concepts=3, method="kmeans", stability=0)
    grounding = vitrail.ground(lmm, states, concepts)
    assert (concepts.folder.name, grounding.folder.name) == ("concepts", "grounding")
    assert len(vitrail.open_study("vitrail-studies/cat")) == 3


def test_a_study_opened_again_finds_its_model_by_itself(names, dogs):
    again = vitrail.open_study(str(names.folder))
    found = again.explain(next(s for s in dogs if "dog" in again.lmm.caption([s.open()])[0]).image)
    assert "dog" in found.caption
    assert found.concepts


def test_a_comparison_of_a_folder_with_an_adapter_needs_no_more_than_names(names, monkeypatch):
    asked = []
    monkeypatch.setattr(compare_run, "load_tuned", lambda states, **options: asked.append(options) or names.lmm)
    monkeypatch.setattr(compare_run, "_compare", lambda *parts, out, progress: (*parts[:4], out, *parts[4:]))
    a, b, before, _, out, samples, *_ = vitrail.compare(
        str(names.folder), lmm_b="toyland:place", samples="toyland", progress=False
    )
    assert (a.folder, b, out) == (names.folder, None, Path("vitrail-comparisons/dog"))
    assert before.describe() == names.lmm.describe()
    assert len(samples) > 100
    vitrail.compare(names, lmm_b="elsewhere/model", samples="toyland")
    assert asked == [{"adapter": "toyland:place"}, {"model": "elsewhere/model"}]
    with pytest.raises(UsageError, match="needs a model after"):
        vitrail.compare(names)


def test_an_evaluation_names_what_is_missing(names):
    with pytest.raises(UsageError, match="needs the data that the study was made of"):
        vitrail.evaluate(names)
    data = vitrail.EvaluationData(vitrail.load_samples("toyland"), vitrail.load_samples("toyland", split="test"))
    with pytest.raises(UsageError, match="Toyland's scorers know Toyland alone"):
        vitrail.evaluate(names.folder, data=data)


def test_evaluation_data_of_a_name_have_their_splits_and_factors(names):
    data = vitrail.EvaluationData.load("toyland")
    assert {s.id for s in data.test_samples} < {s.id for s in data.samples}
    assert data.factors
    assert data.lexicon
    learned = vitrail.EvaluationData.load("toyland", learned_from="train")
    assert not {s.id for s in learned.samples} & {s.id for s in data.test_samples}


def test_a_topic_is_a_list_of_words(samples):
    by_name = vitrail.captions_about(samples, "colour")
    assert by_name == vitrail.captions_about(samples, vitrail.TOPICS["colour"])
    assert vitrail.captions_about(samples, "black, red") == vitrail.captions_about(samples, ["black", "red"])


def test_steering_takes_a_steering_at_strength_one(lmm, monkeypatch):
    made = object.__new__(Steering)
    monkeypatch.setattr(Steering, "intervention", lambda self: "as made")
    monkeypatch.setattr(Steering, "check", lambda self, lmm: None)
    checked = []
    monkeypatch.setattr(apply, "_check_width", lambda one, lmm: checked.append(one) or 1 / 0)
    with pytest.raises(ZeroDivisionError), vitrail.steer(lmm, made):
        pass
    assert checked == ["as made"]
