"""L2S by its published recipe on Toyland: questions of presence as POPE asks them, and VQA-like questions beside them.

    python -m benchmarks.learned_steering [--train 150 --choose 40 --test 100]

Three kinds of questions, as in POPE (Li et al. 2023): every image is asked for something that is in it, and for
something that is not: any thing, a frequent one, or one that is often seen with what is there. Targets are the states
of the true answer minus those of the opposite one, both forced after the same request, mean over the answer's own
positions (Parekh et al. 2025). Strength (and layer, of several `LAYERS`) is chosen on other images. Writes
benchmarks/results/learned_steering.json, which docs/steering.md quotes.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import vitrail
from vitrail import toyland
from vitrail.artifacts import versions, write_json
from vitrail.lmm import LMM, quieten
from vitrail.lmm.positions import Name
from vitrail.samples import Sample, load_samples
from vitrail.samples.facts import known_facts
from vitrail.scores import normal_answer, vqa_accuracy
from vitrail.steering import (
    TASKS,
    Add,
    Contrast,
    Intervention,
    SteeringOptions,
    example_states,
    learn_from_pairs,
    make_vectors,
    steer,
)
from vitrail.steering.tasks import answers_of
from vitrail.steering.vectors import random_like

RESULT = Path(__file__).parent / "results" / "learned_steering.json"
KINDS = ("random", "popular", "adversarial")
LAYERS, STRENGTHS = (6,), (0.5, 1.0, 2.0)
BATCH = 32
YES_NO = answers_of(TASKS["yes-no"])
#: What a batch is steered by.
OfBatch = Callable[[Sequence[Sample]], Intervention]


class Presence:
    """Questions of presence, by the known factors of scenes."""

    def __init__(self, train: Sequence[Sample]) -> None:
        self.factors = known_facts("toyland").factors or {}
        seen = [self.there(s) for s in train]
        self.often = Counter(thing for things in seen for thing in things)
        self.together = Counter((a, b) for things in seen for a in things for b in things if a != b)

    def there(self, sample: Sample) -> list[str]:
        """What is in a picture: its subject, and its companion."""
        known = self.factors[sample.id]
        return [str(known[name]) for name in ("kind", "companion") if known.get(name) not in (None, "none")]

    def absent(self, sample: Sample, kind: str, draw: np.random.Generator) -> str:
        """Something that is not in a picture, chosen as POPE does."""
        there = self.there(sample)
        others = sorted(thing for thing in self.often if thing not in there)
        if kind == "random":
            return str(draw.choice(others))
        weight = (lambda o: self.often[o]) if kind == "popular" else (lambda o: self.together[there[0], o])
        best = sorted(others, key=lambda o: -weight(o))[:5]
        return str(draw.choice(best))

    def questions(self, samples: Sequence[Sample], kinds: Sequence[str] = KINDS) -> list[Sample]:
        """Two questions a picture and kind: one whose answer is yes, and one whose answer is no."""
        asked = []
        for kind in kinds:
            draw = np.random.default_rng(KINDS.index(kind))
            for s in samples:
                for thing, answer in ((self.there(s)[0], "yes"), (self.absent(s, kind, draw), "no")):
                    article = "an" if thing[0] in "aeiou" else "a"
                    text = f"is there {article} {thing} ?"
                    own = f"{s.id}-{kind}-{answer}"
                    asked.append(replace(s, id=own, question=text, answers=(answer,) * 10, question_type=kind))
        return asked


@dataclass(frozen=True)
class Bench:
    """A model that is asked, steered or not."""

    lmm: LMM

    def says(self, samples: Sequence[Sample], steering: OfBatch | None) -> list[str]:
        """The answers; `steering` gives what a batch is steered by."""
        said = []
        for start in range(0, len(samples), BATCH):
            batch = samples[start : start + BATCH]
            inputs = self.lmm.prepare_samples(batch)
            if steering is None:
                said += [g.text for g in self.lmm.generate(inputs, 8)]
                continue
            with steer(self.lmm, steering(batch)):
                said += [g.text for g in self.lmm.generate(inputs, 8)]
        return said

    def accuracy(self, samples: Sequence[Sample], steering: OfBatch | None) -> dict[str, float]:
        """VQAv2's accuracy by type of question, in %."""
        of_type: dict[str, list[float]] = {}
        for s, text in zip(samples, self.says(samples, steering), strict=True):
            name = s.question_type if s.question_type in KINDS else s.answer_type
            of_type.setdefault(str(name), []).append(vqa_accuracy(normal_answer(text), s.answers))
        return {name: 100 * float(np.mean(values)) for name, values in of_type.items()}

    def oracle(self, layer: int, alpha: float, at: Name) -> OfBatch:
        """A vector a sample, from its own true answer: what no method knows, and all are measured by."""

        def steering(batch: Sequence[Sample]) -> Intervention:
            pair = YES_NO.opposites(batch)
            true, false = (
                example_states(self.lmm, of.examples, [layer], positions=pair.read_at).by_layer[layer]
                for of in (pair.toward, pair.away)
            )
            return Add({layer: true - false}, alpha, positions=at)

        return steering


def always(one: Intervention) -> OfBatch:
    """The same intervention for every batch."""
    return lambda _: one


def steerings(
    lmm: LMM, contrast: Contrast, folder: Path
) -> tuple[dict[str, Callable[[int, float], Intervention]], dict[str, Any]]:
    """Name → the intervention at a layer and strength; and how well the networks fit."""
    made, fits = {}, {}
    for layer in LAYERS:
        options = SteeringOptions((layer,))
        made["mean", layer] = make_vectors(lmm, contrast, options, out=folder / f"mean-{layer}")
        made["l2s", layer] = learn_from_pairs(lmm, contrast, options, out=folder / f"l2s-{layer}")
        fits[str(layer)] = made["l2s", layer].fit

    def random(layer: int, alpha: float) -> Intervention:
        return Add({layer: random_like(made["mean", layer].directions[layer])}, alpha)

    return {
        "mean vector, generated": lambda layer, alpha: made["mean", layer].intervention(alpha),
        "mean vector, all positions": lambda layer, alpha: made["mean", layer].intervention(alpha, positions="all"),
        "random vector, as long": random,
        "L2S": lambda layer, alpha: made["l2s", layer].intervention(alpha),
    }, fits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=int, default=150, help="pictures to learn from")
    parser.add_argument("--choose", type=int, default=40, help="pictures to choose layer and strength on")
    parser.add_argument("--test", type=int, default=100, help="pictures to test on")
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()
    quieten()
    bench, folder = Bench(vitrail.load("toyland")), toyland.dataset_path()
    splits = {name: load_samples(folder, split=name) for name in ("train", "val", "test")}
    presence = Presence(splits["train"])
    learned = presence.questions(splits["train"][: args.train])
    choosing = presence.questions(splits["val"][: args.choose])
    test = presence.questions(splits["test"][: args.test])
    vqa = load_samples(folder / "v2_OpenEnded_mscoco_test2014_questions.json", limit=3 * args.test)
    result: dict[str, Any] = {"parameters": {**vars(args), "out": args.out.name}, "versions": versions(), "methods": {}}
    with tempfile.TemporaryDirectory() as made:
        methods, result["fits"] = steerings(bench.lmm, YES_NO.opposites(learned), Path(made))

        def note(name: str, steering: OfBatch | None, chosen: Mapping[str, Any]) -> None:
            figures = {"presence": bench.accuracy(test, steering)}
            if name != "oracle":
                figures["vqa"] = bench.accuracy(vqa, steering)
            result["methods"][name] = {**chosen, **figures}
            write_json(args.out, result)
            print(name, result["methods"][name], flush=True)

        note("none", None, {})
        for name, at in methods.items():
            tried = {}
            for layer in LAYERS:
                for alpha in STRENGTHS:
                    found = bench.accuracy(choosing, always(at(layer, alpha)))
                    tried[layer, alpha] = float(np.mean(list(found.values())))
            layer, alpha = max(tried, key=lambda key: tried[key])
            note(name, always(at(layer, alpha)), {"layer": layer, "alpha": alpha})
        layer = result["methods"]["L2S"]["layer"]
        note("oracle", bench.oracle(layer, 1.0, "generated"), {"layer": layer, "alpha": 1.0})


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
