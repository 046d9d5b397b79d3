"""The whole line on the small real model: five words of photographs that nobody drew.

    python -m benchmarks.real.line --data FLICKR8K [--cache DIR --only words,fine-tune,steering,monitor,maps]

Concepts of each word at three layers, with the scores of their words against people's captions, and by how many of
their photographs a title holds; what a fine-tune on captions that name colours did to them; steering towards colour
and place; a monitor on photographs as before and on others; whether maps show what concepts come from. Artifacts and
pages lie in DIR/line; what is finished is kept. Figures: benchmarks/results/real_line.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.real.cache import default_cache
from benchmarks.real.photographs import Photographs
from jaxtyping import Float
from PIL import ImageEnhance
from scipy.stats import hypergeom
from transformers import AutoModel, AutoTokenizer

from vitrail.activations import Activations, ExtractionOptions, open_activations
from vitrail.artifacts import MANIFEST, plain, versions, write_json
from vitrail.comparison import ComparisonOptions, compare_studies
from vitrail.concepts import LearningOptions, learn_as
from vitrail.evaluation.control_words import Controls, random_words
from vitrail.evaluation.map_scores import SIDE, Curves
from vitrail.evaluation.measures import WordList
from vitrail.evaluation.protocols import score_concepts, score_images
from vitrail.evaluation.results import Scored
from vitrail.explanation import read_samples
from vitrail.extraction import extract_as
from vitrail.finetuning import FineTuneOptions, finetune
from vitrail.grounding import GroundingOptions, ground_as, word_reader
from vitrail.lmm import LMM, load, quieten
from vitrail.maps import MapOptions, question_of
from vitrail.maps.methods.registry import map_method
from vitrail.monitoring import (
    Reference,
    ReferenceOptions,
    Watch,
    WatchOptions,
    fit_reference,
    monitor,
    open_reference,
    read_status,
    read_windows,
)
from vitrail.reports.comparison import comparison_page
from vitrail.runs.report import report
from vitrail.samples import Sample
from vitrail.samples.examples import captions_about
from vitrail.scores import bert_score, estimate, explained_variance, overlap, paired_p, words_text
from vitrail.scores.maps import area_under, of_pieces
from vitrail.steering import TASKS, CaptionTask, SteeringOptions, make_steering, until_said
from vitrail.studies import Study, same_activations
from vitrail.trials import SearchOptions, search
from vitrail.trials.grid_search import candidates
from vitrail.words import Word

RESULT = Path(__file__).parents[1] / "results" / "real_line.json"
#: word → how many photographs of it are learned from. The model says *girl* and *water* of a third of theirs alone.
WORDS = {"dog": 400, "man": 400, "girl": 700, "grass": 400, "water": 600}
#: How many new photographs of each word are judged on.
NEW = 200
#: A third, two thirds, and the end of the depth.
LAYERS = (6, 12, 18)
EXTRACTION = ExtractionOptions(layers=LAYERS, max_new_tokens=24, shard_size=32)
LEARNING = LearningOptions(n_concepts=20)
#: Of a concept's photographs, in how many a word must be true, and how many words of it are looked at.
HOLDS, FIRST = 3, 3
#: The fine-tune takes every fifth of the captions that name a colour: a tenth of them is read to measure the loss.
EVERY = 5
FINE_TUNE = FineTuneOptions(steps=80, batch_size=16, checkpoints=0)
TASK_NAMES = ("colour", "place")
STRENGTHS = (0.5, 0.75, 1.0, 1.5)
TRAIN, TRIED = 150, 120
#: The word that is watched, how many answers make its reference, and how many each stream has.
WATCHED, REFERENCE, STREAM, MAPPED = "dog", 500, 150, 24


class Sentences:
    """The sentence encoder (all-MiniLM-L6-v2): the mean of its last states, and its tokens' states.

    Args:
        folder: of the encoder.
    """

    def __init__(self, folder: Path) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModel.from_pretrained(folder).eval()
        self.known: dict[str, np.ndarray] = {}

    def tokens(self, texts: Sequence[str]) -> list[Float[np.ndarray, "t d"]]:
        """The state of every token of each text, the marks of its beginning and end included."""
        new = list(dict.fromkeys(t for t in texts if t not in self.known))
        for start in range(0, len(new), 256):
            some = new[start : start + 256]
            batch = self.tokenizer(some, padding=True, truncation=True, return_tensors="pt")
            with torch.inference_mode():
                states = self.model(**batch).last_hidden_state
            for text, rows, mask in zip(some, states, batch["attention_mask"].bool(), strict=True):
                self.known[text] = rows[mask].numpy()
        return [self.known[t] for t in texts]

    def sentences(self, texts: Sequence[str]) -> Float[np.ndarray, "n d"]:
        """One vector of norm 1 for each text."""
        means = np.array([rows.mean(0) for rows in self.tokens(texts)])
        return means / np.linalg.norm(means, axis=1, keepdims=True)


@dataclass(frozen=True)
class CaptionMeasure:
    """Scores words against the captions of a sample, as their mean: by the cosine of sentences, or by BERTScore."""

    name: Any
    encoder: Sentences

    def pairs(self, texts: Sequence[str], references: Sequence[str]) -> Float[np.ndarray, "n m"]:
        """The score of every text on every reference."""
        if self.name == "sentences":
            return self.encoder.sentences(texts) @ self.encoder.sentences(references).T
        candidates, wanted = ([_unit_rows(r[1:-1]) for r in self.encoder.tokens(t)] for t in (texts, references))
        return bert_score(candidates, wanted).f1

    def words(self, samples: Sequence[Sample], lists: Sequence[WordList]) -> Float[np.ndarray, "n n_lists"]:
        """See `vitrail.evaluation.measures.Measure`."""
        found = np.full((len(samples), len(lists)), np.nan)
        some = [j for j, words in enumerate(lists) if words]
        owner = np.repeat(np.arange(len(samples)), [len(s.references) for s in samples])
        pairs = self.pairs([words_text(lists[j]) for j in some], [t for s in samples for t in s.references])
        for i in range(len(samples)):
            found[i, some] = pairs[:, owner == i].mean(1)
        return found

    def captions(self, samples: Sequence[Sample]) -> Float[np.ndarray, " n"]:
        """The mean over a sample's captions, each against the others."""
        found = []
        for sample in samples:
            pairs, n = self.pairs(sample.references, sample.references), len(sample.references)
            found.append(pairs[~np.eye(n, dtype=bool)].mean() if n > 1 else np.nan)
        return np.array(found)


@dataclass(frozen=True)
class Line:
    """What every part of the line needs."""

    lmm: LMM
    photographs: Photographs
    home: Path
    encoder: Sentences

    def having(self, word: str, split: str, n: int) -> list[Sample]:
        """The first `n` photographs of a split of which a caption has the word."""
        said = self.photographs.captions
        names = [i for i in self.photographs.names(split) if any(Word(word).find(c) for c in said[i])]
        return [self.sample(i) for i in names[:n]]

    def sample(self, name: str) -> Sample:
        return Sample(name, self.photographs.folder / "Images" / name, tuple(self.photographs.captions[name]))

    def samples(self, split: str) -> list[Sample]:
        """All photographs of a split."""
        return [self.sample(name) for name in self.photographs.names(split)]

    def states(self, word: str) -> tuple[Activations, Activations]:
        """The states of a word that are learned from, and new ones."""
        splits = {"learned": self.having(word, "train", WORDS[word])}
        splits["new"] = [s for split in ("test", "dev") for s in self.having(word, split, NEW)][:NEW]
        made = [extract_as(self.lmm, s, word, EXTRACTION, out=self.home / word / n) for n, s in splits.items()]
        return made[0], made[1]

    def study(self, lmm: LMM, activations: Activations, folder: Path, learning: LearningOptions = LEARNING) -> Study:
        """Concepts and grounding in `folder`."""
        concepts = learn_as(activations, learning, out=folder / "concepts")
        grounding = ground_as(lmm, activations, concepts, GroundingOptions(), out=folder / "grounding")
        return Study(folder, activations, concepts, grounding, ())

    # ---- the concepts of a word ----------------------------------------------------------------------------------

    def word(self, word: str) -> dict[str, Any]:
        """What is found of a word, by layer; the page of the last layer."""
        learned, new = self.states(word)
        found: dict[str, Any] = {"learned": learned.counts, "new": new.counts}
        for layer in LAYERS:
            options = LearningOptions(**{**vars(LEARNING), "layer": layer})
            study = self.study(self.lmm, learned, self.home / word / f"layer-{layer}", options)
            found[f"layer {layer}"] = self.scored(study, new)
        report(study)
        return found

    def scored(self, study: Study, new: Activations) -> dict[str, Any]:
        """Figures of the concepts of a study: of the dictionary, of its words against captions, of its titles."""
        concepts, grounding, layer = study.concepts, study.grounding, study.concepts.layer
        by_id = {s.id: s for split in ("train", "test", "dev") for s in self.samples(split)}
        own = [[by_id[s.sample_id] for s in c.samples] for c in grounding.concepts]
        fresh = [by_id[i] for i in new.sample_ids()]
        Z, Z_new = study.activations.states(layer)[concepts.kept], new.states(layer)
        V_new = np.asarray(concepts.learner.transform(Z_new))
        rebuilt = np.asarray(concepts.learner.inverse_transform(V_new))
        reader = word_reader(self.lmm, study.activations, layer, grounding.options).beside(concepts.mean)
        controls = Controls(random_words(reader, 200, 0))
        titles = [list(c.title) for c in grounding.concepts]
        assert concepts.stability is not None
        found: dict[str, Any] = {
            "stability over seeds": float(np.mean(concepts.stability["seeds"])),
            "stability over resamples": float(np.mean(concepts.stability["resamples"])),
            "explained variance, new": explained_variance(Z_new, rebuilt, Z.mean(0, dtype=np.float64)).mean,
            "active": float(np.mean(concepts.V > 0)),
            "overlap of words": overlap(grounding.words),
            "words": self.judged(study, grounding.words),
            "titles": self.judged(study, titles),
        }
        for name in ("sentences", "bert"):
            measure = CaptionMeasure(name, self.encoder)
            of_concepts = score_concepts(measure, grounding.words, own, controls)
            of_images = score_images(measure, grounding.words, fresh, concepts.comparable(V_new), controls)
            of_titles = score_images(measure, titles, fresh, concepts.comparable(V_new), controls)
            found[name] = {
                "concepts": brief(of_concepts),
                "new photographs": brief(of_images[1]),
                "new photographs, titles": brief(of_titles[1]),
            }
        return found

    def judged(self, study: Study, lists: Sequence[Sequence[str]]) -> dict[str, Any]:
        """How many concepts have one of their first words in captions of most of their photographs.

        p is that of as many by chance, of the words that are looked at together, among all photographs learned from.
        """
        rows = study.activations.rows
        texts = {row.sample_id: row.references for row in rows}
        held, beyond = 0, 0
        for words, concept in zip(lists, study.grounding.concepts, strict=True):
            counts, odds = [0], [1.0]
            for word in [w for w in words if w != study.activations.word.text][:FIRST]:
                true = {i for i, said in texts.items() if any(Word(word).find(t) for t in said)}
                counts.append(sum(s.sample_id in true for s in concept.samples))
                chance = hypergeom.sf(counts[-1] - 1, len(texts), len(true), len(concept.samples))
                odds.append(float(chance) * FIRST)
            held += max(counts) >= HOLDS
            beyond += min(odds) < 0.05
        return {"hold": held, "more often than by chance (p < .05)": beyond, "of": len(lists)}

    # ---- before and after a fine-tune ----------------------------------------------------------------------------

    def fine_tuned(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """What a LoRA on captions that name colours did to the concepts of every word, by each method."""
        examples = captions_about(self.samples("train"), "colour")[::EVERY]
        made = finetune(self.lmm, examples, FINE_TUNE, out=self.home / "colour")
        tuned = load(self.lmm.name, adapter=made.folder, trust_remote_code=True)
        for word in WORDS:
            learned, _ = self.states(word)
            after = same_activations(learned, tuned, self.samples("train"), out=self.home / word / "tuned")
            for method in ("kmeans", "semi-nmf"):
                learning = LearningOptions(method=method, n_concepts=20, stability=0, layer=LAYERS[-1])
                a = self.study(self.lmm, learned, self.home / word / f"before-{method}", learning)
                b = self.study(tuned, after, self.home / word / f"after-{method}", learning)
                out = self.home / word / f"shift-{method}"
                shift = compare_studies(a, b, self.lmm, tuned, out=out, options=ComparisonOptions(n_words=15))
                comparison_page(shift, a, b, out=out / "report.html")
                yield (
                    f"{word}, {method}",
                    {
                        "samples": shift.samples,
                        "recovery": shift.recovery,
                        "controls": {c.name: {"words_after": c.words_after, "p": c.p} for c in shift.controls},
                        "correlations": shift.correlations,
                    },
                )

    # ---- steering ------------------------------------------------------------------------------------------------

    def steered(self, name: str) -> dict[str, Any]:
        """Where and how strongly to steer until a task is said: chosen on one half of new photographs, told of
        the other."""
        task, home = TASKS[name], self.home / "steering" / name
        assert isinstance(task, CaptionTask)
        made = make_steering(self.lmm, task, self.samples("train")[:TRAIN], SteeringOptions(LAYERS[1:]), out=home)
        tried = candidates(made, until_said(self.lmm, task))
        out = home / "search-until-said"
        return search(self.lmm, task, self.samples("dev")[:TRIED], tried, SearchOptions(STRENGTHS), out=out).as_dict()

    # ---- a model at work -----------------------------------------------------------------------------------------

    def watched(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """What a watch says of photographs like those of its reference, and of others; each stream is watched alone."""
        learned = extract_as(
            self.lmm,
            self.having(WATCHED, "train", WORDS[WATCHED]),
            WATCHED,
            EXTRACTION,
            out=self.home / WATCHED / "learned",
        )
        options = LearningOptions(**{**vars(LEARNING), "layer": LAYERS[-1]})
        study = self.study(self.lmm, learned, self.home / WATCHED / f"layer-{LAYERS[-1]}", options)
        home = self.home / "monitor"
        others = self.having(WATCHED, "train", 10_000)[WORDS[WATCHED] :]
        out, options = home / "reference", ReferenceOptions(n_samples=REFERENCE)
        there = (out / MANIFEST).exists()
        reference = open_reference(out) if there else fit_reference(study, self.lmm, others, out=out, options=options)
        yield "reference", {"answers": len(reference), "streams": len(reference.streams.all)}
        used = set(reference.samples or ())
        fresh = [s for split in ("test", "dev") for s in self.having(WATCHED, split, 10_000)]
        fresh += [s for s in others if s.id not in used]
        for name, samples in streams_of(fresh).items():
            yield name, self.watch(study, reference, samples, home / name.replace(" ", "-"))

    def mapped(self, n: int = MAPPED) -> dict[str, Any]:
        """Whether the strongest concept of new photographs comes from what its map shows: the area under its activation
        while pieces are blurred, those that the map shows most first, and in random order (`evaluation.map_scores`)."""
        learned = open_activations(self.home / WATCHED / "learned")
        options = LearningOptions(**{**vars(LEARNING), "layer": LAYERS[-1]})
        study = self.study(self.lmm, learned, self.home / WATCHED / f"layer-{LAYERS[-1]}", options)
        samples = {s.id: s for s in self.having(WATCHED, "test", 3 * n)}
        read = read_samples(self.lmm, learned, study.concepts, [*samples.values()])
        V = np.asarray(study.concepts.learner.transform(read.states[study.concepts.layer].float().numpy()))
        rng, asking = np.random.default_rng(0), MapOptions(batch_size=4)
        areas: dict[str, list[float]] = {"map": [], "pieces at random": []}
        for row, v in [*zip(read.rows, V, strict=True)][:n]:
            strongest = int(study.concepts.comparable(v).argmax())
            image = [samples[row.sample_id].open()]
            asked = question_of(self.lmm, learned, study.concepts, [row], image, [(strongest,)], asking)
            curves, shares = Curves(asked), map_method(asking.method).make(asked)[0][0]
            orders = {"map": shares, "pieces at random": of_pieces(rng.random((SIDE, SIDE)), asked.shape)}
            for name, order in orders.items():
                areas[name].append(area_under(np.array(curves.of(order, 0).deletion)))
        found = {name: np.array(values) for name, values in areas.items()}
        p = paired_p(found["map"], found["pieces at random"])
        return plain({"photographs": len(V[:n]), "p": p, **{name: estimate(v) for name, v in found.items()}})

    def watch(self, study: Study, reference: Reference, samples: Sequence[Sample], out: Path) -> dict[str, Any]:
        """One stream, until it has enough answers."""
        if out.exists():  # a watch goes on where it was; a stream is whole or begins anew
            shutil.rmtree(out)
        watch = Watch(reference, out=out, options=WatchOptions(window=STREAM))
        with monitor(self.lmm, study, sink=watch) as watching:
            for start in range(0, len(samples), 16):
                if watching.counts["observations"] >= STREAM:
                    break
                watching.caption(samples[start : start + 16])
        windows, alarms = read_windows(out), read_status(out).alarms
        return {
            "answers": windows[0].n,
            "joint p of the window": windows[0].joint,
            "streams of the window with q < .05": int(np.sum(np.array(windows[0].q) < 0.05)),
            "alarm after": alarms[0].observation if alarms else None,
            "moved": [str(m) for m in alarms[0].moved[:3]] if alarms else [],
        }


def streams_of(samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    """Streams of photographs: as they come, with one thing that their captions say more often, or dark."""

    def saying(word: str) -> list[Sample]:
        return [s for s in samples if sum(bool(Word(word).find(c)) for c in s.references) >= 2]

    return {
        "as before": list(samples),
        "dark": [replace(s, image=ImageEnhance.Brightness(s.open()).enhance(0.3)) for s in samples[: 3 * STREAM]],
        "snow": saying("snow"),
        "black": saying("black"),
        "water": saying("water"),
    }


def _unit_rows(rows: Float[np.ndarray, "t d"]) -> Float[np.ndarray, "t d"]:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def brief(scored: Scored) -> dict[str, Any]:
    """A score beside its controls, without the values of each concept."""
    return {
        "score": scored.score,
        "against": {name: {"level": c.level, "gain": c.gain, "p": c.p} for name, c in scored.against.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of Flickr8k")
    parser.add_argument("--cache", type=Path, default=default_cache())
    parser.add_argument("--only", default="words,fine-tune,steering,monitor,maps", help="parts, by commas")
    parser.add_argument("--result", type=Path, default=RESULT)
    a = parser.parse_args()
    quieten()
    lmm = load(a.cache / "model", trust_remote_code=True)
    line = Line(lmm, Photographs(a.data), a.cache / "line", Sentences(a.cache / "sentences"))
    result: dict[str, Any] = json.loads(a.result.read_text()) if a.result.exists() else {}
    for part, name, values in parts(line, a.only.split(",")):
        result.setdefault(part, {})[name] = values
        result["machine"] = {"cpus": os.cpu_count(), "platform": platform.platform(), **versions()}
        write_json(a.result, result)
        print(part, name, "done", flush=True)


def parts(line: Line, asked: Sequence[str]) -> Iterator[tuple[str, str, Any]]:
    """The parts that are asked for, one result at a time: (part, name, figures)."""
    for word in WORDS if "words" in asked else ():
        yield "words", word, line.word(word)
    if "fine-tune" in asked:
        for name, values in line.fine_tuned():
            yield "fine-tune", name, values
    for name in TASK_NAMES if "steering" in asked else ():
        yield "steering", name, line.steered(name)
    if "maps" in asked:
        yield "maps", WATCHED, line.mapped()
    if "monitor" in asked:
        for name, values in line.watched():
            yield "monitor", name, values


if __name__ == "__main__":
    main()
