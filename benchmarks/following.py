"""A planted forgetting: Toyland's model is fine-tuned on captions that never say snow. What shows it first?

    python -m benchmarks.following                # which step: concepts, what is said of snow, CIDEr-D, the loss
    python -m benchmarks.following --overhead     # alone on a machine: the share of training time that following takes

Writes benchmarks/results/following.json. The study is that of `monitor_pools`, of the factors of Toyland.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.monitor_pools import WORD, scenes, study_of_dogs
from platformdirs import user_cache_path

from vitrail import toyland
from vitrail.artifacts import versions, write_json
from vitrail.finetuning import FineTuneOptions, finetune
from vitrail.lmm import LMM, load, quieten
from vitrail.monitoring import Follow, FollowOptions
from vitrail.samples import Sample, load_samples
from vitrail.samples.examples import Example
from vitrail.scores import paired_p
from vitrail.scores.factors import auroc
from vitrail.scores.texts import cider_d
from vitrail.toyland.draw import draw
from vitrail.toyland.ground_truth import load_factors
from vitrail.toyland.language import references
from vitrail.words import whole_words

RESULT = Path(__file__).parent / "results" / "following.json"
SNOW = whole_words(["snow", "ice"])
STEPS, EVERY, N, ALPHA = 60, 5, 64, 0.05


def examples(samples: list[Sample]) -> list[Example]:
    """The captions of dogs that say no snow."""
    return [Example(s, text) for s in samples for text in s.references if WORD.find(text) and not SNOW.search(text)]


class Metric:
    """What a user measures today, at the same steps and on as many held-out samples: captions of them.

    Args:
        samples: of snow.
    """

    def __init__(self, samples: list[Sample]) -> None:
        self.samples = samples
        self.found: dict[int, dict[str, np.ndarray]] = {}

    def __call__(self, step: int, lmm: LMM) -> None:
        if step % EVERY:
            return
        training = lmm.model.training
        lmm.model.eval()
        said = lmm.caption([s.open() for s in self.samples])
        lmm.model.train(training)
        self.found[step] = {
            "says snow": np.array([bool(SNOW.search(text)) for text in said], float),
            "CIDEr-D": cider_d(said, [s.references for s in self.samples]),
        }

    def first(self, name: str) -> int | None:
        """The first step at which it is lower than before training, as surely as the alarm."""
        before = self.found[0][name]
        for step in sorted(set(self.found) - {0}):
            now = self.found[step][name]
            if now.mean() < before.mean() and paired_p(before, now) <= ALPHA:
                return step
        return None


def forgetting(home: Path) -> dict[str, Any]:
    lmm = load("toyland", device="cpu")
    study = study_of_dogs(lmm, home)
    folder = toyland.dataset_path()
    samples = load_samples(folder, split="train")
    truth = load_factors(folder) or {}
    drawn = islice((s for s in scenes("dog", 900_000_000) if s.place == "snow"), N)
    metric = Metric([Sample(str(s.seed), draw(s), tuple(references(s))) for s in drawn])
    metric(0, lmm)
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch)
        follow = Follow(
            study, lmm, samples, out=out / "followed", options=FollowOptions(every=EVERY, n_samples=N, least=0.1)
        )

        def after(step: int, pupil: LMM) -> None:
            follow(step, pupil)
            metric(step, pupil)

        options = FineTuneOptions(steps=STEPS, checkpoints=0, measure_every=EVERY, patience=STEPS)
        made = finetune(lmm, examples(samples), options, out=out / "tuned", after=after, progress=False)
    rows = [row for row, kept in zip(study.activations.rows, study.learned.kept, strict=True) if kept]
    aurocs = auroc(study.learned.V, np.array([truth[row.sample_id]["place"] == "snow" for row in rows]))
    snow = int(np.argmax(aurocs))
    return {
        "snow concept": {"index": snow, "title": study.titles[snow], "AUROC": float(aurocs[snow])},
        "first alarm": [str(turn) for turn in follow.turns[:1]],
        "step of the first alarm": follow.turns[0].step if follow.turns else None,
        "step at which the snow concept fades": next(
            (t.step for t in follow.turns for f in t.moved if f.stream.concept == snow and f.became == "fades"), None
        ),
        "step at which captions say less snow": metric.first("says snow"),
        "step at which CIDEr-D falls": metric.first("CIDEr-D"),
        "strength of the snow concept": {r.step: r.fates[snow].now for r in follow.readings},
        "before": follow.readings[0].fates[snow].before,
        "moved": {r.step: [str(fate) for fate in r.moved] for r in follow.readings},
        "says snow": {step: float(v["says snow"].mean()) for step, v in metric.found.items()},
        "CIDEr-D": {step: float(v["CIDEr-D"].mean()) for step, v in metric.found.items()},
        "held-out loss": made.loss.held_out,
    }


def overhead(home: Path, steps: int = 100) -> dict[str, Any]:
    """The share of the time of a fine-tune that following takes at its default interval, in percent."""
    lmm = load("toyland", device="cpu")
    study = study_of_dogs(lmm, home)
    samples = load_samples(toyland.dataset_path(), split="train")
    with tempfile.TemporaryDirectory() as scratch:
        start = time.perf_counter()
        follow = Follow(study, lmm, samples, out=Path(scratch) / "followed")
        begun = time.perf_counter() - start
        options = FineTuneOptions(steps=steps, checkpoints=0)
        finetune(lmm, examples(samples), options, out=Path(scratch) / "tuned", after=follow, progress=False)
        seconds = time.perf_counter() - start
    reading = sum(r.seconds for r in follow.readings)
    return {
        "steps": steps,
        "readings": len(follow.readings),
        "seconds": seconds,
        "reading, percent": 100 * reading / (seconds - begun),
        "reading and beginning, percent": 100 * (reading + begun) / seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=user_cache_path("vitrail") / "monitor")
    parser.add_argument("--overhead", action="store_true", help="measure the time alone")
    arguments = parser.parse_args()
    quieten()
    old = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    name, made = ("overhead", overhead) if arguments.overhead else ("forgetting", forgetting)
    found = made(arguments.home)
    print(json.dumps(found, indent=1))
    write_json(RESULT, {**old, name: found, "versions": versions()})


if __name__ == "__main__":
    main()
