"""An artifact of every kind, small, and what reads each of them again: for the campaign of faults, and for tests.

A new kind of artifact is a line in `READERS`, and a few in `make`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vitrail.activations import ExtractionOptions, open_activations, open_moments, open_words
from vitrail.artifacts import file_hash, read_json, write_json, write_manifest, write_sealed
from vitrail.comparison import open_comparison
from vitrail.concepts import LearningOptions, open_concepts, open_shared, share_as
from vitrail.concepts.evidence import Evidence, open_evidence, save_evidence
from vitrail.concepts.verdicts import of_concepts
from vitrail.evaluation import open_evaluation
from vitrail.evaluation.embeddings import Cache
from vitrail.extraction import extract_words, reduce_as
from vitrail.finetuning import open_finetune
from vitrail.lenses import LensOptions, fit_lens, open_lens
from vitrail.lmm import LMM
from vitrail.maps import MapOptions, StudyMaps, open_maps
from vitrail.maps.artifact import save_maps
from vitrail.monitoring import (
    Observation,
    Watch,
    WatchOptions,
    open_reference,
    read_observations,
    read_status,
    read_summary,
    read_windows,
    reference_of,
    window_files,
)
from vitrail.monitoring.sinks.files import ToJsonl, ToParquet
from vitrail.runs.atlas import atlas
from vitrail.samples import Sample
from vitrail.saying import open_texts, say_as
from vitrail.saying.options import SayingOptions
from vitrail.scores import Estimate
from vitrail.steering import TASKS, SteeringOptions, make_steering, open_steering
from vitrail.studies import Study, open_study
from vitrail.trials import open_contest
from vitrail.trials.contest import ContenderResult, write_contest
from vitrail.trials.grid_search import SearchResult, Trial, open_search
from vitrail.trials.losses import TextFigures, TextLoss
from vitrail.trials.outcome import CaptionSideEffects, Outcome
from vitrail.words import Word

# ---- read ------------------------------------------------------------------------------------------------------------


def _activations(folder: Path) -> str:
    found = open_activations(folder)
    states = [found.states(layer).tobytes().hex() for layer in found.layers]
    return repr((found.rows, found.options, found.model, found.counts, found.word, states))


def _concepts(folder: Path) -> str:
    found = open_concepts(folder)
    codes = found.learner.transform(np.ones((2, found.U.shape[1]), np.float32))
    arrays = [array.tobytes().hex() for array in (found.U, found.V, found.kept, codes)]
    return repr((found.options, found.choice, found.named, found.scores, found.stability, of_concepts(found), arrays))


def _study(folder: Path) -> str:
    found = open_study(folder)
    grounded = (found.grounding.concepts, found.grounding.options, found.grounding.mean, found.grounding.word_logit)
    told = (found.titles, found.explanations, found.factors)
    return repr((_activations(folder / "activations"), _concepts(folder / "concepts"), grounded, told))


def _many(folder: Path) -> str:
    store = open_words(folder)
    return repr((store.kept, store.counts, [_activations(store.of(word.text).folder) for word in store.words]))


def _maps(folder: Path) -> str:
    found = open_maps(folder)
    shares = {key: map_.tobytes().hex() for key, map_ in found.shares.items()}
    return repr((found.options, dict(found.values), shares))


def _atlas(folder: Path) -> str:
    found = read_json(folder / "atlas.json", dict[str, Any], "run the atlas")
    return repr((found, [_concepts(p.parent) for p in sorted(folder.glob("words/*/concepts/manifest.json"))]))


def _shared(folder: Path) -> str:
    found = open_shared(folder)
    return repr((found.uses, found.stability, [_concepts(concepts.folder) for concepts in found.words.values()]))


def _texts(folder: Path) -> str:
    found = open_texts(folder)
    return repr((found.by, dict(found.said), found.unsaid, found.images, found.max_new_tokens))


def _steering(folder: Path) -> str:
    found = open_steering(folder)
    tensors = {name: tensor.numpy().tobytes().hex() for name, tensor in found.tensors.items()}
    says = (found.layers, found.medians, found.share, found.fit, found.applied_at, found.n_parameters)
    return repr((type(found.intervention(1.0)), says, tensors))


def _finetune(folder: Path) -> str:
    found = open_finetune(folder)
    return repr((found.options, found.n_examples, found.loss, found.loss.best, [*found.checkpoints]))


def _reference(folder: Path) -> str:
    found = open_reference(folder)
    values = (found.values.tobytes().hex(), found.bins.tolist())
    return repr((found.word, found.layer, found.streams, found.captions, found.samples, found.thumbnails, values))


def _lens(folder: Path) -> str:
    found = open_lens(folder)
    tensors = {name: tensor.tobytes().hex() for name, tensor in found.tensors.items()}
    return repr((found.options, found.model, found.fit, tensors))


def _watch(folder: Path) -> str:
    windows = [read_summary(path).as_dict() for path in window_files(folder)]
    return repr((read_status(folder), read_windows(folder), windows))


def _moments(folder: Path) -> str:
    found = open_moments(folder)
    asked = [(w.text, layer, r) for w in found.words for layer in found.layers for r in found.reducers]
    return repr((found.counts, [(found.n(word), found.of(word, *one).value.tolist()) for word, *one in asked]))


def _comparison(folder: Path) -> str:
    found = open_comparison(folder)
    arrays = [array.tobytes().hex() for array in (found.shifts, found.shifted, found.mean_move)]
    return repr((found.as_dict(), found.options, arrays))


def _evidence(folder: Path) -> str:
    return repr(open_evidence(folder, open_concepts(folder.parent / "study" / "concepts")))


def _embeddings(folder: Path) -> str:
    found = Cache(folder).get(KEYS, KEYS, _ones, lambda done, of: None)
    return repr([vectors.tobytes().hex() for vectors in found])


KEYS = ("a", "b")


def _ones(items: Sequence[str]) -> list[np.ndarray]:
    """What a scorer makes of items that are not in a cache."""
    return [np.ones((1, 4), np.float32)] * len(items)


#: The folder of an artifact → all that it says, as text.
READERS: dict[str, Callable[[Path], str]] = {
    "texts": _texts,
    "maps": _maps,
    "many": _many,
    "moments": _moments,
    "atlas": _atlas,
    "shared": _shared,
    "vectors": _steering,
    "network": _steering,
    "lens": _lens,
    "reference": _reference,
    "watch": _watch,
    "observed": lambda folder: repr(read_observations(folder)),
    "lines": lambda folder: repr(read_observations(folder / "observed.jsonl")),
    "evidence": _evidence,
    "search": lambda folder: repr(open_search(folder)),
    "contest": lambda folder: repr(open_contest(folder)),
    "embeddings": _embeddings,
    "study": _study,
    "finetune": _finetune,
    "evaluation": lambda folder: repr(open_evaluation(folder)),
    "comparison": _comparison,
}


# ---- made ------------------------------------------------------------------------------------------------------------


def make(out: Path, lmm: LMM, samples: Sequence[Sample], study: Study) -> None:
    """Artifacts of the stages after a study, in folders of `out`: those in `READERS` but for the last four."""
    say_as(lmm, samples[:60], SayingOptions(shard_size=30), out=out / "texts")
    reduce_as(
        lmm, samples[:40], [Word("dog")], ("mean", "gram"), out=out / "moments", options=ExtractionOptions((1, -1))
    )
    _make_many(out, lmm, samples)
    for name, method, more in (("vectors", "mean", {}), ("network", "l2s", {"hidden": 2, "epochs": 1})):
        options = SteeringOptions(layers=(4,), **more)
        make_steering(lmm, TASKS["colour"], samples[:30], options, method=method, out=out / name, progress=False)
    fit_lens(lmm, samples[:6], LensOptions((4,), rows=0, max_new_tokens=8), out=out / "lens", progress=False)
    drawn = StudyMaps(out / "maps", MapOptions(), {(0, "1"): 1.5}, {(0, "1"): np.eye(3)})
    save_maps(drawn, study.grounding, 1)
    _make_watch(out, study)
    _make_trials(out)
    Cache(out / "embeddings").get(KEYS, KEYS, _ones, lambda done, of: None)


def _make_many(out: Path, lmm: LMM, samples: Sequence[Sample]) -> None:
    options, learning = ExtractionOptions((-1,), require="truth"), LearningOptions(n_concepts=2, stability=1)
    for name in ("many", "atlas"):
        extract_words(lmm, samples, ["dog", "cat"], out=out / name, options=options, progress=False)
    atlas(lmm, out / "atlas", words=["cat"], learning=learning, progress=False)
    share_as([*open_words(out / "many")], learning, out=out / "shared")


def observations(study: Study, n: int, seed: int, start: float = 0.0) -> list[Observation]:
    """Observations of the study's word as a model at work makes them; nobody made these."""
    rng, k = np.random.default_rng(seed), len(study)
    word, layer = study.activations.word.text, study.learned.layer
    strengths = np.maximum(rng.normal(size=(n, k)) - 0.3, 0)
    return [
        Observation(
            word=word,
            layer=layer,
            form=word,
            time=start + i,
            activations=tuple(row.tolist()),
            strengths=tuple(row.tolist()),
            error=float(rng.gamma(4, 0.05)),
            caption=f"a {('brown', 'black')[rng.integers(2)]} {word} on the {('street', 'grass')[rng.integers(2)]}",
            sample=f"{seed}-{i}",
            thumbnail=None,
            tags={"version": "1"},
        )
        for i, row in enumerate(strengths)
    ]


def _make_watch(out: Path, study: Study) -> None:
    """What the monitor writes, with evidence that nobody measured."""
    reference = reference_of(study, observations(study, 60, 1), out=out / "reference")
    watch = Watch(reference, out=out / "watch", options=WatchOptions(window=50))
    watch.write([*observations(study, 60, 2, 100.0), *observations(study, 40, 3, 200.0)])
    watch.close()
    for sink in (ToParquet(str(out / "observed")), ToJsonl(str(out / "lines" / "observed.jsonl"))):
        sink.write(observations(study, 9, 4))
        sink.flush()
    some, n = Estimate(0.7, 0.1, 0.6, 0.8, 9), len(study) + 1
    evidence = Evidence("dog", (0.0,) * n, (1.0,) * n, (0.5,) * n, 0.1, 9, some, some)
    save_evidence(evidence, study.learned, out / "evidence")


def _make_trials(out: Path) -> None:
    """A search and a contest, with figures that nobody measured."""
    some = Estimate(0.5, 0.1, 0.4, 0.6, 9)
    figures = TextFigures(None, 7.0, 0.1, 0.5, some)
    outcome = Outcome(some, 0.5, 0.1, TextLoss(figures, figures, 0.5, ()), CaptionSideEffects(None, some, 1.0, 0.0))
    trial = Trial(4, 1.0, outcome)
    found = SearchResult("colour", 0.1, (trial,), trial, outcome, outcome, outcome, (0,))
    write_sealed(out / "search" / "search.json", found.as_dict())
    write_manifest(out / "search", "steering search", {"parameters": {"task": "colour"}}, ["search.json"])
    write_contest([ContenderResult("none", outcome, 0, 0.0)], out / "contest")


# ---- edited ----------------------------------------------------------------------------------------------------------

#: How a name in JSON may be edited.
EDITS = ("missing", "another type")


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The place of every name in JSON but its digest; in lists, and in tables of texts, of the first item alone."""
    items = [*value.items()] if isinstance(value, dict) else [*enumerate(value)] if isinstance(value, list) else []
    alike = isinstance(value, list) or all(isinstance(inner, str) for _, inner in items)
    for key, inner in items[:1] if alike else items:
        if isinstance(value, dict) and (*path, key) != ("digest",):
            yield (*path, key)
        yield from places(inner, (*path, key))


def edited(values: Any, path: tuple[Any, ...], how: str) -> Any:
    """A copy of JSON, in which the name at a place is missing, or has a value of another type; `how` is of `EDITS`."""
    found = json.loads(json.dumps(values))
    inside = found
    for key in path[:-1]:
        inside = inside[key]
    was = inside.pop(path[-1])
    if how == "another type":
        inside[path[-1]] = 3 if isinstance(was, str | list | dict) else "x"
    return found


def write_again(file: Path, values: Any, hashes: Mapping[Path, str]) -> None:
    """Writes a JSON file anew, and every digest that speaks of it: its own, and those of `hashes`, which are the files
    of the folder and their hashes before."""
    _write(file, values)
    changed = {hashes[file]: file_hash(file)}
    while changed:
        found: dict[str, str] = {}
        for path in (p for p in hashes if p.name == "manifest.json" and p != file):
            text = new = path.read_text(encoding="utf-8")
            for before, now in changed.items():
                new = new.replace(before, now)
            if new != text:
                before = file_hash(path)
                _write(path, json.loads(new))
                found[before] = file_hash(path)
        changed = found


def _write(file: Path, values: Any) -> None:
    if isinstance(values, dict) and "digest" in values:
        write_sealed(file, {k: v for k, v in values.items() if k != "digest"})
    else:
        write_json(file, values)
