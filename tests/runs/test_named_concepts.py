"""A concept that somebody named, wherever concepts go: explanations, maps, steering, comparisons, and the monitor."""

from __future__ import annotations

from collections import Counter

from tests.monitoring.conftest import observations

from vitrail.comparison import compare_studies
from vitrail.concepts import LearningOptions, learn_as
from vitrail.grounding import ground
from vitrail.maps import MapOptions
from vitrail.monitoring import reference_of
from vitrail.reports.comparison import comparison_page
from vitrail.steering import concept_direction, concept_vector
from vitrail.studies import Study, same_study
from vitrail.words import words_said


def test_a_named_concept_has_its_name_everywhere(lmm, changed_lmm, dogs, activations, quick, tmp_path):
    counts = Counter(word for said in words_said([d.references for d in dogs]) for word in said)
    name = min(counts, key=lambda word: (abs(counts[word] - len(dogs) / 2), word))  # half of the captions have it
    options = LearningOptions(n_concepts=4, stability=0, named=(name,), layer=-1)
    learned = learn_as(activations, options, out=tmp_path / "a" / "concepts")
    grounding = ground(lmm, activations, learned, out=tmp_path / "a" / "grounding")
    study = Study(tmp_path / "a", activations, learned, grounding)
    assert study.titles[0] == f"{name} (named)"

    image = next(d for d in dogs if name in " ".join(d.references)).open()
    titles = [concept.title for concept in study.explain(image).concepts]
    assert (f"{name} (named)",) in titles
    maps = study.maps(image, n_concepts=len(study), options=MapOptions("projection"))
    assert (f"{name} (named)",) in [one.title for one in maps.maps]
    steering = concept_vector(lmm, activations, learned, 0, out=tmp_path / "steering")
    assert (steering.directions[8] == concept_direction(learned, 0)).all()
    after = same_study(study, changed_lmm, dogs, out=tmp_path / "b")
    assert after.titles[0] == study.titles[0]  # found anew in the other model, by the same word
    shift = compare_studies(study, after, lmm, changed_lmm, out=tmp_path / "shift", options=quick)
    assert shift.concepts[0].match == 0
    page = comparison_page(shift, study, after, out=tmp_path / "shift.html").read_text(encoding="utf-8")
    assert f"{name} (named)" in page
    reference = reference_of(study, observations(300, 1, K=len(study)), out=tmp_path / "reference")
    assert reference.streams.all[0].name == f"{name} (named)"
