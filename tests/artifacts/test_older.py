"""What version 0.1.0 wrote opens, or the error says which command makes it again.

The samples in `v0.1.0/` were written by that version: a study of "dog" with its evaluation and a sweep, a comparison,
an adapter, a steering, a search, and two comparisons of methods.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from vitrail.activations import open_activations
from vitrail.artifacts import check_ours, read_manifest, state_of
from vitrail.comparison import open_comparison
from vitrail.concepts import learn, open_concepts
from vitrail.errors import ArtifactError
from vitrail.evaluation import open_evaluation, open_method_comparison
from vitrail.explanation import explain_samples
from vitrail.finetuning import open_finetune
from vitrail.grounding import open_grounding
from vitrail.lmm import load
from vitrail.runs.report import report
from vitrail.steering.methods.registry import open_steering
from vitrail.studies import open_study
from vitrail.trials import open_contest
from vitrail.trials.grid_search import open_search

OLD = Path(__file__).parent / "v0.1.0"

OPENERS = {
    "study": open_study,
    "study/activations": open_activations,
    "study/concepts": open_concepts,
    "study/grounding": open_grounding,
    "study/evaluation": open_evaluation,
    "comparison": open_comparison,
    "adapter": open_finetune,
    "steering": open_steering,
    "search": open_search,
    "contest": open_contest,
    "methods": open_method_comparison,
}


#: What has figures now that were not measured then.
MADE_AGAIN = {"search": "search again", "contest": "evaluate again", "methods": "again"}


@pytest.mark.parametrize("name", OPENERS)
def test_it_opens_or_is_made_again(name):
    if name in MADE_AGAIN:
        with pytest.raises(ArtifactError, match=f"of another version of Vitrail.*{MADE_AGAIN[name]}"):
            OPENERS[name](OLD / name)
    else:
        assert OPENERS[name](OLD / name)


def test_an_old_study_knows_its_model_and_explains_and_reports(lmm, dogs, tmp_path):
    study = open_study(OLD / "study")
    assert lmm.differences(study.activations.model) == []
    assert len(study.explanations) >= 1
    assert study.factors
    held_out = [s for s in dogs if s.id not in set(study.activations.sample_ids())][:6]
    explain_samples(lmm, study.activations, study.concepts, study.grounding, held_out)
    assert state_of(report(study, out=tmp_path / "page.html")) == "whole"


def test_an_old_adapter_goes_on_its_model_and_a_damaged_one_does_not(tmp_path):
    pytest.importorskip("peft")
    assert load("toyland", adapter=OLD / "adapter", device="cpu").adapter


def test_old_files_beside_artifacts_are_ours():
    check_ours([OLD / "study" / "summary.json", OLD / "study" / "factors.json", OLD / "search" / "search.json"])


def test_no_run_goes_on_in_an_old_folder_and_the_command_that_makes_it_again_is_named(tmp_path):
    study = shutil.copytree(OLD / "study", tmp_path / "study")
    activations = open_activations(study / "activations")
    with pytest.raises(ArtifactError, match=r"made by an earlier Vitrail.*`vitrail learn` again"):
        learn(activations, out=study / "concepts", n_concepts=3)
    assert read_manifest(study / "concepts", "concepts")["schema"] == 1
