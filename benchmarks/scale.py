"""The forms of learning, λ, and how it is decided which concept a sample belongs to: on Toyland and on a real model.

    python -m benchmarks.scale [--words dog,cat,bus,train,bird,horse --real FLICKR8K]

Concepts are learned from the last block (K = 20) and judged on new samples: on Toyland those of another seed, whose
factors are known. `--real` adds the small real model of benchmarks/real, with at most 400 photographs of dogs. States
are extracted once and kept in `--home`. Writes benchmarks/results/scale.json.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.real.photographs import Photographs
from sklearn.metrics import adjusted_mutual_info_score

from vitrail import toyland
from vitrail.activations import Activations, ExtractionOptions, open_activations
from vitrail.artifacts import MANIFEST, versions, write_json
from vitrail.concepts import Concepts, LearningOptions, learn_as
from vitrail.evaluation.control_words import Controls, random_words
from vitrail.evaluation.dictionary_scores import caption_shares
from vitrail.evaluation.embeddings import Embeddings
from vitrail.evaluation.inputs import Scorers
from vitrail.evaluation.measures import ClipMeasure
from vitrail.evaluation.protocols import score_concepts, score_images
from vitrail.extraction import extract_as
from vitrail.grounding import Grounding, GroundingOptions, ground_as, word_reader
from vitrail.lmm import LMM, load, quieten
from vitrail.lmm.scorers import load_image_scorer, load_text_scorer
from vitrail.samples import Sample, load_samples
from vitrail.scores import KnownFactors, explained_variance, factor_matrix, members, overlap
from vitrail.scores.properties import factor_properties, matches
from vitrail.toyland.ground_truth import load_factors
from vitrail.toyland.language import LEXICON
from vitrail.words import Word

RESULT = Path(__file__).parent / "results" / "scale.json"
K = 20
SPOKEN = ("colour", "action", "place")  # factors that captions name
VARIANTS = {
    "paper, λ = 2": LearningOptions(form="paper", n_concepts=K),
    **{f"centred, λ = {p}": LearningOptions(penalty=p, n_concepts=K) for p in (0.02, 0.05, 0.1, 0.2)},
}
#: How activations are scaled before the largest one decides.
RULES = {
    "as they are": lambda V: np.ones(V.shape[1]),
    "root mean square": lambda V: np.sqrt(np.mean(V**2, axis=0)),
    "mean of the active": lambda V: V.sum(0) / np.maximum((V > 0).sum(0), 1),
    "95th percentile": lambda V: np.quantile(V, 0.95, axis=0),
    "maximum": lambda V: V.max(0),
}


@dataclass(frozen=True)
class Case:
    """A word in a model: the states learned from and new ones, their samples in order, and what is known of them.

    `scored` has the embeddings of a scorer of images, where there is one that knows them.
    """

    name: str
    lmm: LMM
    learned: Activations
    new: Activations
    samples: Mapping[str, Sample]
    factors: KnownFactors
    scored: Embeddings | None


def kept(lmm: LMM, samples: Sequence[Sample], word: str, options: ExtractionOptions, out: Path) -> Activations:
    """The states in `out`, extracted if they are not there."""
    return open_activations(out) if (out / MANIFEST).exists() else extract_as(lmm, samples, word, options, out=out)


def toyland_case(word: str, lmm: LMM, home: Path, scored: Embeddings) -> Case:
    """A word of Toyland: learned from the training split of 5,000 scenes, judged on 3,000 of another seed."""
    worlds = [toyland.dataset_path(5000), toyland.dataset_path(3000, seed=1)]
    split = {"learned": load_samples(worlds[0], split="train"), "new": load_samples(worlds[1])}
    factors = [load_factors(world) or {} for world in worlds]
    split["new"] = [replace(s, id=f"new-{s.id}") for s in split["new"]]
    known = factors[0] | {f"new-{i}": row for i, row in factors[1].items()}
    samples = {s.id: s for part in split.values() for s in part}
    states = [kept(lmm, split[n], word, ExtractionOptions(), home / word / n) for n in split]
    return Case(word, lmm, *states, samples, known, scored)


def real_case(word: str, lmm: LMM, home: Path, data: Path) -> Case:
    """A word of Flickr8k, in the small real model."""
    photographs, options = Photographs(data), ExtractionOptions(max_new_tokens=24, shard_size=32)

    def having(split: str, n: int) -> list[Sample]:
        names = [i for i in photographs.names(split) if any(Word(word).find(c) for c in photographs.captions[i])]
        return [Sample(i, data / "Images" / i, tuple(photographs.captions[i])) for i in names[:n]]

    split = {"learned": having("train", 270), "new": having("test", 130)}
    states = [kept(lmm, split[n], word, options, home / word / n) for n in split]
    return Case(f"{word}, real", lmm, *states, {s.id: s for part in split.values() for s in part}, {}, None)


def measured(case: Case, options: LearningOptions, home: Path) -> dict[str, Any]:
    """What is measured of one way to learn the concepts of a word."""
    concepts = learn_as(case.learned, options, out=home / "concepts")
    grounding = ground_as(case.lmm, case.learned, concepts, GroundingOptions(), out=home / "grounding")
    layer, stable = concepts.layer, concepts.stability
    Z, Z_new = case.learned.states(layer)[concepts.kept], case.new.states(layer)
    V_new = np.asarray(concepts.learner.transform(Z_new))
    mean = Z.mean(0, dtype=np.float64)
    rebuilt = np.asarray(concepts.learner.inverse_transform(V_new))
    own = [[case.samples[s.sample_id] for s in c.samples] for c in grounding.concepts]
    shares, others = caption_shares(grounding.words, own)
    assert stable is not None
    return {
        "explained variance": concepts.scores["explained_variance"],
        "explained variance, new": explained_variance(Z_new, rebuilt, mean).mean,
        "active": 1 - concepts.scores["zeros"],
        "stability over seeds": float(np.mean(stable["seeds"])),
        "stability over resamples": float(np.mean(stable["resamples"])),
        "overlap of words": overlap(grounding.words),
        "words in own captions": float(np.nanmean(shares)),
        "words in captions of others": float(np.nanmean(others)),
        **clip_scores(case, concepts, grounding, own, V_new),
        **against_factors(case, concepts, V_new),
        "titles that hold in 4 of 5 images": titles_that_hold(case, grounding, own),
        "titles from captions": float(np.mean([bool(c.captions) for c in grounding.concepts])),
        "titles that disagree with decoded words": float(np.mean([c.disagrees for c in grounding.concepts])),
        "membership": {name: membership(case, scale(concepts.V), V_new) for name, scale in RULES.items()},
    }


def clip_scores(
    case: Case, concepts: Concepts, grounding: Grounding, own: Sequence[Sequence[Sample]], V_new: np.ndarray
) -> dict[str, float]:
    """CLIPScores of words on images, (a) of concepts and (b) of new images, each beside random words."""
    if case.scored is None:
        return {}
    clip = ClipMeasure(case.scored)
    reader = word_reader(case.lmm, case.learned, concepts.layer, grounding.options).beside(concepts.mean)
    controls = Controls(random_words(reader, 100, 0))
    new = [case.samples[i] for i in case.new.sample_ids()]
    found = {"(a)": score_concepts(clip, grounding.words, own, controls)}
    found["(b)"] = score_images(clip, grounding.words, new, concepts.comparable(V_new), controls)[1]
    values = {}
    for protocol, scored in found.items():
        values[f"CLIPScore {protocol}"] = scored.score.mean
        values[f"CLIPScore {protocol}, random words"] = scored.against["random"].level.mean
    return values


def against_factors(case: Case, concepts: Concepts, V_new: np.ndarray) -> dict[str, float]:
    """AUROC on new samples of the concept that tells a value best on those learned from, and of each concept."""
    if not case.factors:
        return {}
    matrix = factor_matrix(concepts.V, [case.factors[i] for i in np.array(case.learned.sample_ids())[concepts.kept]])
    columns = list(zip(matrix.factors, matrix.values, strict=True))
    new = factor_properties([case.factors[i] for i in case.new.sample_ids()], columns)
    best = matrix.match.argmax(axis=0)
    judged = np.where(new.enough(), matches(V_new, new)[0][best, np.arange(len(best))], np.nan)
    spoken = np.array([f in SPOKEN for f in matrix.factors])
    return {
        "AUROC of colour, action, place": float(np.nanmean(judged[spoken])),
        "AUROC of all factors": float(np.nanmean(judged)),
        "best AUROC of a concept": float(matrix.match.max(axis=1).mean()),
    }


def titles_that_hold(case: Case, grounding: Grounding, own: Sequence[Sequence[Sample]]) -> float:
    """The share of concepts whose first title word is true of at least 4 of the 5 images that activate it most."""
    return float(
        np.mean(
            [
                sum(holds(case, c.title[0], s) for s in mine) >= 4
                for c, mine in zip(grounding.concepts, own, strict=True)
                if c.title
            ]
        )
    )


def holds(case: Case, word: str, sample: Sample) -> bool:
    """Whether a word is true of a sample: a caption has it, or it names the value of a known factor."""
    first = word.split()[0] if word.split()[-1:] == [case.learned.word.text] else word
    if any(Word(first).find(text) for text in sample.references):
        return True
    known = case.factors.get(sample.id, {})
    return any(first in names.get(str(known.get(factor)), ()) for factor, names in LEXICON.items())


def membership(case: Case, scale: np.ndarray, V_new: np.ndarray) -> dict[str, float]:
    """How new samples are dealt out among concepts by the largest activation over `scale`: concepts without a sample,
    the largest share, the effective number of concepts (the exponential of the entropy), and what it tells of factors
    (adjusted mutual information, summed over them)."""
    owner = members(V_new / np.where(scale > 0, scale, 1.0))
    shares = np.bincount(owner[owner >= 0], minlength=V_new.shape[1]) / len(owner)
    some = shares[shares > 0] / shares.sum()
    found = {
        "empty": int((shares == 0).sum()),
        "largest": float(shares.max()),
        "effective": float(np.exp(-np.sum(some * np.log(some)))),
    }
    if case.factors:
        known = [case.factors[i] for i in case.new.sample_ids()]
        told = {f: adjusted_mutual_info_score([str(row.get(f)) for row in known], owner) for f in known[0]}
        found |= {"tells of factors": float(sum(told.values()))}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--words", default="dog,cat,bus,train,bird,horse")
    parser.add_argument("--real", type=Path, help="the folder of Flickr8k")
    parser.add_argument("--model", type=Path, default=Path("~/.cache/vitrail-real/model").expanduser())
    parser.add_argument("--home", type=Path, default=Path("~/.cache/vitrail/scale").expanduser())
    parser.add_argument("--result", type=Path, default=RESULT)
    args = parser.parse_args()
    quieten()
    scored = Embeddings(args.home / "embeddings", Scorers(load_image_scorer("toyland"), load_text_scorer("toyland")))
    lmm = load("toyland")
    cases = [toyland_case(word, lmm, args.home, scored) for word in args.words.split(",")]
    if args.real:
        cases.append(
            real_case("dog", load(args.model, trust_remote_code=True), args.model.parent / "studies", args.real)
        )
    found: dict[str, Any] = {}
    for case in cases:
        for name, options in VARIANTS.items():
            home = args.home / "tried" / case.name / name
            shutil.rmtree(home, ignore_errors=True)
            found.setdefault(case.name, {})[name] = measured(case, options, home)
            print(
                case.name,
                name,
                {k: round(v, 3) for k, v in found[case.name][name].items() if isinstance(v, float)},
                flush=True,
            )
    samples = {case.name: [len(case.learned), len(case.new)] for case in cases}
    machine = {"cpus": os.cpu_count(), "platform": platform.platform(), **versions()}
    write_json(args.result, {"samples": samples, "found": found, "machine": machine})


if __name__ == "__main__":
    main()
