"""Steering Toyland's model: tasks, methods side by side, and what it costs, in one run.

    python benchmarks/steer.py [--train 150 --eval 120 --steps 60 --only yes-no,colour]

Writes benchmarks/results/steer.json, after every part, and steer.html, a gallery of the colour task.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

import vitrail
from vitrail import toyland
from vitrail.artifacts import versions, write_json
from vitrail.finetune.training import Plan
from vitrail.lmm import LMM, quieten
from vitrail.positions import Positions, forced
from vitrail.samples import Sample, load_samples
from vitrail.scorers import ImageTextScorer, load_image_scorer
from vitrail.steer import TASKS, Add, AnswerTask, CaptionTask, say, search, steer
from vitrail.steer.evaluate import Contender, Result, baselines, by, evaluate_steering, of, trained_lora
from vitrail.steer.gallery import write_gallery
from vitrail.steer.recipes import guarded, make_for, tries
from vitrail.steer.search import Found
from vitrail.steer.tasks import Task, until_said

RESULT = Path(__file__).parent / "results" / "steer.json"
PAGE = RESULT.with_suffix(".html")
LAYERS = (5, 6, 8)
#: task → strengths to try; those with a table of all methods
STRENGTHS = {"yes-no": (0.25, 0.5, 0.75, 1.0), "colour": (0.5, 0.75, 1.0), "place": (0.5, 0.75, 1.0)}
IN_FULL = ("yes-no", "colour", "place")


def data(task: Task, split: str, n: int) -> list[Sample]:
    """The first `n` captioned images, or `3 n` questions, of a split."""
    folder = toyland.dataset_path()
    if isinstance(task, AnswerTask):
        return load_samples(folder / f"v2_OpenEnded_mscoco_{split}2014_questions.json", limit=3 * n)
    return load_samples(folder, split=split, limit=n)


class Bench:
    """One run: what it needs, and what it found so far."""

    def __init__(self, args: argparse.Namespace, folder: Path) -> None:
        self.args, self.folder = args, folder
        self.lmm: LMM = vitrail.load("toyland")
        self.scorer: ImageTextScorer | None = None
        if (toyland.model_path().parent / "clip" / "config.json").exists():
            self.scorer = load_image_scorer("toyland")
        self.result: dict[str, Any] = {"parameters": vars(args), "tasks": {}, "targets": {}}
        self.result["machine"] = {"cpus": os.cpu_count(), "platform": platform.platform(), **versions()}

    def write(self) -> None:
        write_json(RESULT, json.loads(json.dumps(self.result).replace("NaN", "null")))

    def places(self, task: Task) -> Positions | None:
        """Where vectors are added: in captions, until the topic was mentioned."""
        return until_said(self.lmm, task) if isinstance(task, CaptionTask) else None

    def vector(self, task: Task, samples: list[Sample]) -> tuple[vitrail.Steering, Found]:
        """The mean vector of a task, and where and how strongly it is best added."""
        made = make_for(self.lmm, task, samples, out=self.folder / task.name / "mean", layers=LAYERS)
        found = search(
            self.lmm, task, data(task, "val", self.args.eval), tries(made, self.places(task)),
            alphas=STRENGTHS.get(task.name, (0.5, 1.0, 1.5)), budget=0.05 if isinstance(task, AnswerTask) else 0.10,
        )  # fmt: skip
        return made, found

    def task(self, name: str) -> None:
        """One task: search, and for some a table of all methods."""
        start, task = time.perf_counter(), TASKS[name]
        samples = data(task, "train", self.args.train)
        made, found = self.vector(task, samples)
        entry: dict[str, Any] = {"norms": {str(k): v for k, v in made.norms.items()}, "search": found.as_dict()}
        self.result["tasks"][name] = entry
        self.write()
        if name in IN_FULL and found.picked is not None:
            best = made.only(found.picked.layer)
            results = self.table(task, samples, best, found.picked.alpha)
            entry["methods"] = [r.as_dict() for r in results]
            if name == "colour":
                shown = data(task, "test", 12)
                write_gallery(
                    self.lmm, best, shown, PAGE, strengths=STRENGTHS[name], task=task, positions=self.places(task),
                    found=found, results=results,
                )  # fmt: skip
        entry["seconds"] = time.perf_counter() - start
        self.write()
        print(f"{name}: {entry['seconds']:.0f} s", flush=True)

    def table(self, task: Task, samples: list[Sample], best: vitrail.Steering, alpha: float) -> list[Result]:
        """All methods on the test split: the same examples, the same steps, about as many parameters."""
        steps, home = self.args.steps, self.folder / task.name
        layer = min(int(best.layers[0]), self.lmm.n_blocks - 1)  # the last block has nothing after it but W_U
        l2s = make_for(self.lmm, task, samples, out=home / "l2s", method="l2s", layers=best.layers)
        learned = [
            make_for(self.lmm, task, samples, out=home / way, method=way, layers=[layer], steps=steps)
            for way in ("loreft", "direft")
        ]
        plan = Plan(steps, 16, 5e-3, 0, 20, 3, 0)
        worn = trained_lora(self.lmm, task, samples, learned[0].n_parameters, plan, home / "lora")
        at = self.places(task)
        contenders: list[Contender] = [*baselines(best, alpha, positions=at), of(best, alpha, positions=at)]
        if at is not None:
            contenders.append(of(best, alpha, "mean, at every step"))
        else:
            contenders.append(by("mean, guarded", guarded(self.lmm, task, samples, best)))
        contenders.append(of(l2s, 1.0, positions=at))
        contenders += [*map(of, learned), worn]
        return evaluate_steering(self.lmm, task, data(task, "test", self.args.eval), contenders, scorer=self.scorer)

    def exactness(self) -> None:
        """Strength 0 leaves every bit as it is."""
        samples = data(TASKS["colour"], "test", 16)
        images = [s.open() for s in samples]
        inputs, labels = self.lmm.taught(images, [self.lmm.prompt] * 16, [s.references[0] for s in samples])
        width = int((labels != -100).any(0).nonzero()[0])
        vector = torch.ones(self.lmm.n_features)
        with torch.inference_mode(), forced(width):
            plain = self.lmm.run(inputs).logits
            with steer(self.lmm, Add(dict.fromkeys((1, *LAYERS), vector), 0.0)) as done:
                same = self.lmm.run(inputs).logits
        before = self.lmm.caption(images)
        with steer(self.lmm, Add({-1: vector}, 0.0)):
            after = self.lmm.caption(images)
        self.result["strength_0"] = {
            "logits_identical": bool(torch.equal(plain, same)),
            "captions_identical": before == after,
            "positions_selected": done.selected,
            "positions_changed": done.changed,
        }

    def speed(self) -> None:
        """Seconds of generation with and without a vector, one after the other, so that other work hits both."""
        samples = data(TASKS["colour"], "test", 32)
        vector = 1e-3 * torch.ones(self.lmm.n_features)
        inputs = self.lmm.prepare([s.open() for s in samples], [self.lmm.prompt] * len(samples))
        seconds: dict[str, list[float]] = {"plain": [], "steered": []}
        say(self.lmm, samples[:2])
        for _ in range(self.args.runs):
            for name in seconds:
                start = time.process_time()
                if name == "plain":
                    self.lmm.generate(inputs, 24)
                else:
                    with steer(self.lmm, Add({-1: vector})):
                        self.lmm.generate(inputs, 24)
                seconds[name].append(time.process_time() - start)
        medians = {name: statistics.median(s) for name, s in seconds.items()}
        self.result["speed"] = {
            "processor_seconds": seconds,
            "medians": medians,
            "added": medians["steered"] / medians["plain"] - 1,
        }

    def targets(self) -> None:
        """What was to be shown, and whether it was."""
        found: dict[str, Any] = {}
        if "yes-no" in self.result["tasks"]:
            for r in self.result["tasks"]["yes-no"].get("methods", []):
                if r["name"] in ("mean", "mean, guarded", "l2s", "loreft", "direft"):
                    found[f"yes-no, {r['name']}"] = {
                        "moved": r["effect"]["mean"],
                        "most_lost_by_another_type": r["cost"],
                        "met": r["effect"]["mean"] >= 0.8 and r["cost"] <= 0.05,
                    }
        for name in ("colour", "place"):
            rows = self.result["tasks"].get(name, {}).get("methods", [])
            plain = next((r["effect"]["mean"] for r in rows if r["name"] == "none"), None)
            for r in rows:
                if r["name"] in ("mean", "l2s", "loreft", "direft"):
                    share = r["effect"]["mean"]
                    found[f"{name}, {r['name']}"] = {
                        "plain": plain,
                        "share": share,
                        "cider_lost_on_the_rest": r["cost"],
                        "met": (share >= 2 * plain or share >= 0.9) and r["cost"] <= 0.1,
                    }
        if "strength_0" in self.result:
            found["strength 0 is bit-identical"] = {
                "met": self.result["strength_0"]["logits_identical"] and self.result["strength_0"]["captions_identical"]
            }
        if "speed" in self.result:
            found["time added to generation"] = {
                "added": self.result["speed"]["added"],
                "met": self.result["speed"]["added"] <= 0.03,
            }
        self.result["targets"] = found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--train", type=int, default=150, help="images that vectors are made from, or a third of the questions"
    )
    parser.add_argument(
        "--eval", type=int, default=120, help="images to search on and to report on, or a third of the questions"
    )
    parser.add_argument("--steps", type=int, default=60, help="of training LoReFT, DiReFT and LoRA")
    parser.add_argument("--runs", type=int, default=9, help="of generation, for its time")
    parser.add_argument("--only", default="yes-no,colour,place,mood,neutral,1-3,white-black", help="tasks, by commas")
    args = parser.parse_args()
    quieten()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(args, Path(folder))
        bench.exactness()
        bench.speed()
        for name in args.only.split(","):
            bench.task(name)
            bench.targets()
            bench.write()
        bench.targets()
        bench.write()
    print(json.dumps(bench.result["targets"], indent=2))


if __name__ == "__main__":
    main()
