"""The whole line: stopped anywhere it goes on, run again it changes nothing, and what does not belong is refused."""

from __future__ import annotations

import dataclasses
import itertools
import json
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.resealing import reseal

from vitrail.activations import ExtractionOptions
from vitrail.concepts import LearningOptions
from vitrail.errors import ArtifactError, UsageError, WordError
from vitrail.grounding import GroundingOptions
from vitrail.lmm import LMM
from vitrail.runs.study import hold_out, study
from vitrail.samples import Sample
from vitrail.studies import Study, open_study
from vitrail.words import Word

CAPTION = "a brown dog on the grass"
STAGES = ("activations", "concepts", "grounding", "explanations")
TRUTH = ExtractionOptions(require="truth")


@contextmanager
def saying_so(lmm):
    """Every image is said to show the same."""
    caption = lmm.continuation(lmm.prompt, CAPTION)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LMM, "generate", lambda self, inputs, n: [caption] * len(inputs["input_ids"]))
        yield


def quick(lmm, samples, out, word="dog", **options) -> Study:
    """A study of block 1 by references, in a second or two."""
    options = {"layer": 1, "extraction": TRUTH, "method": "kmeans", "n_concepts": 3} | options
    with saying_so(lmm):
        return study(lmm, samples, word, out=out, **options)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file but the summary, which says how long it took."""
    files = (p for p in folder.rglob("*") if p.is_file() and p.name != "summary.json")
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


@pytest.fixture(scope="module")
def some(dogs):
    return dogs[:20]


@pytest.fixture(scope="module")
def made(lmm, some, tmp_path_factory) -> Study:
    """A finished study. Not to be written to."""
    return quick(lmm, some, tmp_path_factory.mktemp("study") / "dog")


@pytest.fixture
def copy(made, tmp_path) -> Path:
    return shutil.copytree(made.folder, tmp_path / "dog")


# ---- what comes out --------------------------------------------------------------------------------------------------


def test_a_study_is_a_folder_of_its_stages_a_report_and_a_summary(made):
    assert sorted(p.name for p in made.folder.iterdir()) == sorted([*STAGES, "report.html", "summary.json"])
    page = (made.folder / "report.html").read_text()
    assert all(word in page for word in [w.word for w in made.grounding[0].words])


def test_the_summary_says_what_was_found(made):
    summary = json.loads((made.folder / "summary.json").read_text())
    assert summary["word"] == "dog"
    assert summary["model"] == "toyland"
    assert (summary["layer"], summary["alignment"], summary["method"]) == (1, "predicts", "kmeans")
    assert summary["n_concepts"] == len(summary["concepts"]) == 3
    assert summary["samples"] == {"scanned": 16, "kept": 16, "unreadable": []}
    assert summary["explained_variance"] == made.concepts.scores["explained_variance"]
    assert set(summary["seconds"]) == {"extract", "learn", "ground", "explain", "report"}
    assert all(seconds >= 0 for seconds in summary["seconds"].values())
    for k, concept in enumerate(summary["concepts"]):
        assert concept["index"] == k
        assert concept["words"] == [w.word for w in made.grounding[k].words]
        assert concept["samples"] == [s.sample_id for s in made.grounding[k].samples]
        assert (len(concept["words"]), len(concept["samples"])) == (10, 5)
    assert sum(concept["share"] for concept in summary["concepts"]) == pytest.approx(1)


def test_the_last_samples_are_held_out_and_explained(made, some):
    learned_from = {row.sample_id for row in made.activations.rows}
    assert learned_from == {s.id for s in some[:16]}
    assert [e.image for e in made.explanations] == [s.name for s in some[16:]]
    assert {e.caption for e in made.explanations} == {CAPTION}


def test_a_finished_study_is_opened_as_it_was_made(made):
    opened = open_study(made.folder)
    assert opened.activations == made.activations
    assert opened.grounding == made.grounding
    assert opened.explanations == made.explanations
    assert (opened.concepts.V == made.concepts.V).all()


def test_the_options_reach_their_stages_and_are_read_back_whole(lmm, some, tmp_path):
    extraction = ExtractionOptions(
        (2,), "reads", "truth", "What is this?", max_new_tokens=7, batch_size=4, shard_size=9
    )
    learning = LearningOptions(penalty=3.0, seed=4, stability=2, consensus=True, n_concepts=9)
    grounding = GroundingOptions(n_words=6, n_samples=2, own_word=True, language="de")
    options = {"extraction": extraction, "learning": learning, "grounding": grounding, "method": None}
    made = quick(lmm, some[:6], tmp_path, **options, n_concepts=2)
    assert made.activations.options == dataclasses.replace(extraction, layers=(1,))
    assert made.activations.word == Word("dog")
    assert made.activations.model == lmm.describe()
    assert made.concepts.options == dataclasses.replace(learning, n_concepts=2, layer=1)
    assert made.grounding.options == grounding


def test_options_that_cannot_be_are_refused_before_anything_is_done(lmm, some, tmp_path, monkeypatch):
    monkeypatch.setattr(LMM, "prepare", None)
    with pytest.raises(UsageError, match="k-means has no consensus"):
        quick(lmm, some, tmp_path / "dog", method="kmeans", learning=LearningOptions(consensus=True))
    assert not (tmp_path / "dog").exists()


@pytest.mark.usefixtures("trained")
def test_the_bundled_model_is_studied_from_its_own_captions(lmm, samples, tmp_path):
    made = study(
        lmm, samples, "dog", out=tmp_path / "dog", n_concepts=5, extraction=ExtractionOptions(max_new_tokens=20)
    )
    summary = json.loads((tmp_path / "dog" / "summary.json").read_text())
    assert summary["samples"]["kept"] >= 10
    assert 0 < summary["explained_variance"] <= 1
    for concept in summary["concepts"]:
        assert len(concept["words"]) == 10
        assert "dog" not in concept["words"]
        assert len(concept["samples"]) <= 5
    assert sum(len(concept["samples"]) for concept in summary["concepts"]) >= 10
    for row in made.activations.rows:
        assert Word("dog").find(row.text)
        assert any(Word("dog").find(text) for text in row.references)
    assert len(made.explanations) > 0


# ---- which samples are held out --------------------------------------------------------------------------------------


def numbered(n: int, dogs: set[int]) -> list[Sample]:
    return [Sample(str(i), Path(), ("a dog" if i in dogs else "a cat",)) for i in range(n)]


@pytest.mark.parametrize(
    ("n", "dogs", "require", "aside"),
    [
        (200, range(0, 200, 2), "both", range(180, 200, 2)),  # the last ten with the word
        (200, range(0, 200, 2), "truth", range(180, 200, 2)),
        (200, range(0, 200, 2), "predicted", range(190, 200)),  # what is said is not known yet
        (60, range(20), "both", range(16, 20)),  # a fifth of few
        (60, range(4), "both", ()),
        (60, (), "both", ()),
    ],
)
def test_the_last_samples_with_the_word_are_held_out(n, dogs, require, aside):
    samples = numbered(n, set(dogs))
    learned_from, held_out = hold_out(samples, Word("dog"), require)
    assert [int(s.id) for s in held_out] == list(aside)
    assert [int(s.id) for s in learned_from] == [i for i in range(n) if i not in set(aside)]


# ---- again, and interrupted ------------------------------------------------------------------------------------------


def test_a_second_run_opens_what_is_there_and_changes_no_byte(lmm, some, made, monkeypatch):
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for s in STAGES[:3] for p in (made.folder / s).iterdir()}
    for module, name in (("concepts.learning", "describe_fit"), ("grounding.run", "word_reader")):
        monkeypatch.setattr(sys.modules[f"vitrail.{module}"], name, None)
    again = quick(lmm, some, made.folder)
    assert {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in before} == before
    assert again.explanations == made.explanations


@pytest.mark.parametrize(
    ("module", "moment"),
    [
        ("runs.study", "learn_as"),
        ("concepts.learning", "write_manifest"),
        ("runs.study", "ground_as"),
        ("grounding.run", "write_manifest"),
        ("runs.study", "explain_samples"),
        ("explanation", "write_manifest"),
        ("reports.page", "write_ours"),
        ("runs.study", "write_sealed"),
    ],
)
def test_a_study_stopped_after_any_stage_goes_on_to_the_same_end(
    lmm, some, made, tmp_path, monkeypatch, module, moment
):
    def stop(*_args, **_options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sys.modules[f"vitrail.{module}"], moment, stop)
        with pytest.raises(KeyboardInterrupt):
            quick(lmm, some, tmp_path / "dog")
    assert not (tmp_path / "dog" / "summary.json").exists()
    activations = contents(tmp_path / "dog" / "activations")
    again = quick(lmm, some, tmp_path / "dog")
    assert contents(tmp_path / "dog" / "activations") == activations
    assert contents(tmp_path / "dog") == contents(made.folder)
    assert again.explanations == made.explanations


def test_a_study_stopped_during_extraction_goes_on_to_the_same_end(lmm, some, made, tmp_path):
    def stop(*_args):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quick(lmm, some, tmp_path / "dog", progress=stop)
    with pytest.raises(ArtifactError, match="did not finish"):
        open_study(tmp_path / "dog")
    quick(lmm, some, tmp_path / "dog")
    assert contents(tmp_path / "dog") == contents(made.folder)


# ---- what does not belong --------------------------------------------------------------------------------------------


def test_a_folder_of_another_word_is_refused_and_left_as_it_was(lmm, some, copy):
    before = contents(copy)
    with pytest.raises(ArtifactError, match=r'word\.text is "dog" there and "grass" here'):
        quick(lmm, [dataclasses.replace(s, references=("the grass",)) for s in some], copy, "grass")
    assert contents(copy) == before


def test_other_concepts_in_the_same_folder_are_refused(lmm, some, copy):
    with pytest.raises(ArtifactError, match="n_concepts is 3 there and 4 here"):
        quick(lmm, some, copy, n_concepts=4)


def test_a_file_in_place_of_the_folder_is_refused_before_anything_is_done(lmm, some, tmp_path, monkeypatch):
    monkeypatch.setattr(LMM, "states", None)
    (tmp_path / "dog").write_text("a file")
    with pytest.raises(ArtifactError, match="is a file; what is written needs a folder"):
        quick(lmm, some, tmp_path / "dog")


def test_too_many_concepts_are_refused_and_fewer_can_be_asked_for_in_the_same_folder(lmm, some, tmp_path):
    with pytest.raises(UsageError, match="17 concepts need at least as many samples to learn from; 16 have 'dog'"):
        quick(lmm, some, tmp_path, n_concepts=17)
    assert len(quick(lmm, some, tmp_path, n_concepts=2).concepts) == 2


def test_a_word_in_no_reference_leaves_nothing_behind(lmm, some, tmp_path):
    with pytest.raises(WordError, match="No sample has 'zebra'"):
        quick(lmm, some, tmp_path / "zebra", "zebra")
    assert not (tmp_path / "zebra").exists()


@pytest.mark.parametrize("stage", STAGES[:3])
def test_a_study_with_a_stage_missing_is_not_opened(copy, stage):
    shutil.rmtree(copy / stage)
    with pytest.raises(ArtifactError, match=f"{stage} holds no {stage}"):
        open_study(copy)


@pytest.mark.parametrize(("stage", "child"), [*itertools.pairwise(STAGES)])
def test_a_study_with_a_stage_of_another_run_is_not_opened(copy, stage, child):
    reseal(copy / stage, note="of another run")
    with pytest.raises(ArtifactError, match=f"{child} was not made from .*{stage}"):
        open_study(copy)


def test_where_there_is_no_study_nothing_is_opened(tmp_path):
    with pytest.raises(ArtifactError, match="There is no study at"):
        open_study(tmp_path / "none")
    with pytest.raises(ArtifactError, match="holds no activations"):
        open_study(tmp_path)


def test_a_study_can_be_moved(made, copy):
    assert open_study(copy).explanations == made.explanations
