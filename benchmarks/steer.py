"""Steering Toyland's model: tasks, methods side by side, and what it costs, in one run.

    python -m benchmarks.steer [--train 150 --search 120 --eval 120 --steps 60 --only yes-no,colour --repeats 15]

Writes benchmarks/results/steer.json (or --out) after every part, and a page of the same name, a gallery of the colour
task. The times are taken in turns, and best on an idle machine; all else does not depend on it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from tools.toyland.grammar import is_sentence

import vitrail
from vitrail import toyland
from vitrail.artifacts import KeptParts, plain, versions, write_json
from vitrail.finetuning import TrainingOptions
from vitrail.lmm import LMM, quieten
from vitrail.lmm.positions import Positions, forced, prompt_width
from vitrail.lmm.scorers import ImageTextScorer, load_image_scorer
from vitrail.reports.steering import steering_page
from vitrail.samples import Sample, load_samples
from vitrail.steering import (
    TASKS,
    Add,
    AnswerTask,
    Application,
    CaptionTask,
    SteeringOptions,
    Task,
    make_steering,
    steer,
    until_said,
)
from vitrail.steering.options import Targets
from vitrail.trials import (
    Contender,
    ContenderResult,
    ContestOptions,
    SearchOptions,
    SearchResult,
    gallery_of,
    say_at_strengths,
    search,
)
from vitrail.trials.contenders import baselines, intervention_contender, steering_contender, trained_lora, unsteered
from vitrail.trials.contest import compare_contenders
from vitrail.trials.grid_search import candidates
from vitrail.trials.speed import speeds

RESULT = Path(__file__).parent / "results" / "steer.json"
LAYERS = (6, 8)
#: Of captions; of answers.
STRENGTHS = {CaptionTask: (0.5, 0.75, 1.0), AnswerTask: (0.25, 0.5, 0.75, 1.0)}
BUDGETS = {CaptionTask: 0.10, AnswerTask: 0.05}
#: Those with a table of all methods; the others have the vector, the vector with a guard, and LoReFT.
IN_FULL = ("yes-no", "colour", "place")
LEARNED = ("loreft", "direft")
#: Tasks of captions whose vectors are made too strong.
BROKEN = ("colour", "place", "neutral")


def data(task: Task, split: str, n: int) -> list[Sample]:
    """The first `n` captioned images, or `3 n` questions, of a split."""
    folder = toyland.dataset_path()
    if isinstance(task, AnswerTask):
        return load_samples(folder / f"v2_OpenEnded_mscoco_{split}2014_questions.json", limit=3 * n)
    samples = load_samples(folder, split=split)
    if not task.remove:
        return samples[:n]
    pattern = task.pattern  # of a removal, half of the images have what is to be removed
    there = [s for s in samples if any(pattern.search(r) for r in s.references)][: n // 2]
    return there + [s for s in samples if s not in there][: n - len(there)]


class Bench:
    """One run: what it needs, and what it found so far."""

    def __init__(self, args: argparse.Namespace, folder: Path) -> None:
        self.args, self.folder = args, folder
        self.lmm: LMM = vitrail.load("toyland")
        self.scorer: ImageTextScorer = load_image_scorer("toyland")
        self.result: dict[str, Any] = {"parameters": {**vars(args), "out": args.out.name}, "tasks": {}, "targets": {}}
        self.result["machine"] = {"cpus": os.cpu_count(), "platform": platform.platform(), **versions()}

    def write(self) -> None:
        write_json(self.args.out, self.result)

    def places(self, task: Task) -> Positions | None:
        """Where vectors are added: in captions, until the topic was mentioned."""
        return until_said(self.lmm, task) if isinstance(task, CaptionTask) else None

    def search(self, task: Task, made: Any) -> SearchResult:
        options = SearchOptions(STRENGTHS[type(task)], BUDGETS[type(task)])
        return search(self.lmm, task, data(task, "val", self.args.search), made, options)

    def task(self, name: str) -> None:
        """One task: where and how strongly, and the methods side by side."""
        start, task = time.perf_counter(), TASKS[name]
        samples, home, at = data(task, "train", self.args.train), self.folder / name, self.places(task)
        made = make_steering(self.lmm, task, samples, SteeringOptions(LAYERS), out=home / "mean")
        found = self.search(task, candidates(made, at))
        entry: dict[str, Any] = {"norms": {str(k): v for k, v in made.norms.items()}, "search": found.as_dict()}
        self.result["tasks"][name] = entry
        self.write()
        picked = found.picked or max(found.trials, key=lambda t: (-t.outcome.cost, t.outcome.effect.mean))
        best = made.only(picked.layer)
        contenders = baselines(best, picked.alpha, positions=at)
        if isinstance(task, AnswerTask) or task.remove:
            contenders.append(self.guarded(task, samples, home, entry))
        layer = min(int(best.layers[0]), self.lmm.n_blocks - 1)  # the last block has nothing after it but W_U
        contenders += self.taught(task, samples, home, layer, LEARNED if name in IN_FULL else LEARNED[:1])
        if name in IN_FULL:
            contenders += self.more(task, samples, home, best, picked.alpha, contenders[-1].parameters)
        timed = self.args.repeats if name == "colour" else 0
        shown = data(task, "test", self.args.eval)
        results = compare_contenders(
            self.lmm, task, shown, contenders, ContestOptions(repeats=timed), scorer=self.scorer
        )
        entry["methods"] = [r.as_dict() for r in results]
        if name == "colour":
            self.gallery(task, best, at, found, results)
        entry["seconds"] = time.perf_counter() - start
        self.write()
        print(f"{name}: {entry['seconds']:.0f} s", flush=True)

    def guarded(self, task: Task, samples: list[Sample], home: Path, entry: dict) -> Contender:
        """The vector behind a condition, at the layer and strength that are best for it."""
        made = make_steering(self.lmm, task, samples, SteeringOptions(LAYERS), out=home / "guarded", method="guarded")
        found = self.search(task, candidates(made))
        entry["search_guarded"] = found.as_dict()
        picked = found.picked or found.trials[0]
        return steering_contender(made.only(picked.layer), picked.alpha, "mean, guarded")

    def taught(
        self, task: Task, samples: list[Sample], home: Path, layer: int, ways: tuple[str, ...]
    ) -> list[Contender]:
        """LoReFT and DiReFT, trained on the answers as wanted."""
        options = SteeringOptions((layer,), steps=self.args.steps)
        return [
            steering_contender(make_steering(self.lmm, task, samples, options, out=home / way, method=way))
            for way in ways
        ]

    def more(
        self, task: Task, samples: list[Sample], home: Path, best: vitrail.Steering, alpha: float, budget: int
    ) -> list[Contender]:
        """L2S, and LoRA of as many parameters with the same examples and steps."""
        at, found = self.places(task), []
        if at is not None:
            found.append(steering_contender(best, alpha, "mean, at every step"))
        kinds: tuple[Targets, ...] = ("answers", "prompts") if isinstance(task, CaptionTask) else ("answers",)
        for kind in kinds:
            options = SteeringOptions(best.layers, targets=kind)
            l2s = make_steering(self.lmm, task, samples, options, out=home / f"l2s-{kind}", method="l2s")
            found.append(
                steering_contender(l2s, 1.0, "l2s" if kind == "answers" else "l2s, from prompts", positions=at)
            )
        training = TrainingOptions(self.args.steps)
        return [*found, trained_lora(self.lmm, task, samples, budget, training, parts=KeptParts(None, {}))]

    def gallery(
        self,
        task: Task,
        best: vitrail.Steering,
        at: Positions | None,
        found: SearchResult,
        results: list[ContenderResult],
    ) -> None:
        some = data(task, "test", 12)
        said = say_at_strengths(self.lmm, best, some, STRENGTHS[type(task)], Application(positions=at), task=task)
        shown = gallery_of(self.lmm, best, some, said, task=task, positions=at)
        steering_page(
            shown,
            out=self.args.out.with_suffix(".html"),
            start=found.picked.alpha if found.picked else 1.0,
            search=found,
            results=results,
        )

    def exactness(self) -> None:
        """Strength 0 leaves every bit as it is."""
        samples = data(TASKS["colour"], "test", 16)
        images = [s.open() for s in samples]
        inputs, labels = self.lmm.taught(images, [self.lmm.prompt] * 16, [s.references[0] for s in samples])
        width = prompt_width(labels)
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
        """What a vector adds to the time of generation, in turns with none, one image and 32 at a time."""
        samples, vector = data(TASKS["colour"], "test", 32), 1e-3 * torch.ones(self.lmm.n_features)
        plain, added = Contender("none", unsteered), intervention_contender("vector", Add({6: vector}))
        self.result["speed"] = {}
        for rows in (32, 1):
            found = speeds(
                self.lmm,
                TASKS["colour"],
                samples,
                [plain, added],
                repeats=2 * self.args.repeats,
                n_tokens=16,
                rows=rows,
            )
            self.result["speed"][f"{rows} at a time"] = {
                "plain": found[0].as_dict(),
                "steered": found[1].as_dict(),
            }

    def verdicts(self) -> None:
        """Which steerings break captions, by the verdict and by Toyland's grammar; at one layer, and shared by several.

        Of n layers, strength n adds the whole vector at each.
        """
        rows = self.result["verdicts"] = []
        for name in BROKEN:
            task = TASKS[name]
            samples, shown = data(task, "train", self.args.train), data(task, "val", self.args.eval // 2)
            for layers in ((6,), (8,), (6, 8), (5, 6, 7, 8)):
                out = self.folder / f"{name}-{'-'.join(map(str, layers))}"
                made = make_steering(self.lmm, task, samples, SteeringOptions(layers), out=out)
                for at in (until_said(self.lmm, task), None):
                    where = Application(positions=at)
                    for level in say_at_strengths(self.lmm, made, shown, (0.5, 1.0, 2.0, 4.0), where, task=task):
                        row = {"task": name, "layers": layers, "until_said": at is not None, "strength": level.alpha}
                        row["no_sentences"] = 1 - sum(map(is_sentence, level.texts)) / len(level.texts)
                        rows.append(row | {"wanted": plain(level.wanted), "loss": plain(level.loss)})
            self.write()

    def targets(self) -> None:
        """What was to be shown, and whether it was."""
        found: dict[str, Any] = {}
        for what, broken in (("whole captions", False), ("broken captions", True)):
            called = [bool(r["loss"]["broken"]) for r in self.result.get("verdicts", []) if _is_broken(r) is broken]
            found[f"{what} are told"] = {"of": len(called), "called broken": sum(called)}
            found[f"{what} are told"]["met"] = bool(called) and all(c is broken for c in called)
        for r in self.rows("yes-no"):
            lost = max(v for kind, v in r["side"]["lost"].items() if kind not in r["side"]["own_types"])
            found[f"yes-no, {r['name']}"] = {
                "moved": r["effect"]["mean"],
                "most_lost_by_another_type": lost,
                "broken": r["loss"]["broken"],
                "met": r["effect"]["mean"] >= 0.8 and lost <= 0.05 and not r["loss"]["broken"],
            }
        for name in ("colour", "place"):
            plain = next((r["effect"]["mean"] for r in self.rows(name)), None)
            for r in self.rows(name):
                share = r["effect"]["mean"]
                found[f"{name}, {r['name']}"] = {
                    "plain": plain,
                    "share": share,
                    "cider_lost_on_the_rest": r["cost"],
                    "broken": r["loss"]["broken"],
                    "met": plain is not None
                    and (share >= 2 * plain or share >= 0.9)
                    and r["cost"] <= 0.1
                    and not r["loss"]["broken"],
                }
        if "strength_0" in self.result:
            found["strength 0 is bit-identical"] = {
                "met": self.result["strength_0"]["logits_identical"] and self.result["strength_0"]["captions_identical"]
            }
        for rows, measured in self.result.get("speed", {}).items():
            share = measured["steered"]["share"]
            found[f"time added to generation, {rows}"] = {**share, "met": share["median"] <= 0.03}
        self.result["targets"] = found

    def rows(self, task: str) -> list[dict[str, Any]]:
        """The table of a task; nothing before it was run."""
        return self.result["tasks"].get(task, {}).get("methods", [])


def _is_broken(row: dict[str, Any]) -> bool | None:
    """Whether captions are broken by the grammar and the references, which no threshold knows; None between the two."""
    kept = row["loss"]["steered"]["cider"]["mean"] / row["loss"]["plain"]["cider"]["mean"]
    if row["no_sentences"] > 0.3:
        return True
    return False if row["no_sentences"] < 0.05 and kept > 0.5 else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--train", type=int, default=150, help="images that vectors are made from, or a third of the questions"
    )
    parser.add_argument("--search", type=int, default=120, help="images to search on, or a third of the questions")
    parser.add_argument("--eval", type=int, default=120, help="images to report on, or a third of the questions")
    parser.add_argument("--steps", type=int, default=60, help="of training LoReFT, DiReFT and LoRA")
    parser.add_argument(
        "--repeats", type=int, default=15, help="of every method's generation, for its time; 0 for none"
    )
    parser.add_argument("--only", default=",".join(TASKS), help="tasks, by commas")
    parser.add_argument("--out", type=Path, default=RESULT, help="the file to write")
    args = parser.parse_args()
    quieten()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(args, Path(folder))
        bench.exactness()
        if args.repeats:
            bench.speed()
        for name in args.only.split(","):
            bench.task(name)
            bench.targets()
            bench.write()
        bench.verdicts()
        bench.result["seconds"] = time.perf_counter() - start
        bench.targets()
        bench.write()
    print(json.dumps(bench.result["targets"], indent=2))


if __name__ == "__main__":
    main()
