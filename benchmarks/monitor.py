"""Drift of what a model says, planted in streams of Toyland's dogs: how often, how soon and by what name it is found.

    python -m benchmarks.monitor [--runs 200 --home FOLDER]
    python -m benchmarks.monitor --overhead        # alone on a machine: what watching adds to the time of generation

Writes benchmarks/results/monitor.json. States are extracted once (see `monitor_pools`) and kept in `--home`; a run
draws a reference of 1,000 and a stream from them, without overlap, and watches it as `vitrail.Watch` does.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.monitor_pools import SIZES, WORD, Pool, pool, study_of_dogs
from platformdirs import user_cache_path

import vitrail
from vitrail import toyland
from vitrail.artifacts import plain, versions, write_json
from vitrail.lmm import load, quieten
from vitrail.monitoring.alarms import FEWEST
from vitrail.monitoring.streams import Streams
from vitrail.samples import load_samples
from vitrail.scores import auroc, corrected, estimate
from vitrail.scores.betting import Bets, ConformalRanks, Wealth, adjusted, e_bh, shares
from vitrail.scores.drift import mmd_p, rank_test, window_test
from vitrail.studies import Study
from vitrail.words.captions import frequent_among, words_said

RESULT = Path(__file__).parent / "results" / "monitor.json"
ALPHA, REFERENCE, STEPS, WINDOW, QUIET = 0.05, 1000, 600, 300, 2000


@dataclass(frozen=True)
class Change:
    """What changes in a stream.

    Args:
        to: of the plain pool, those that come more often; None where another pool comes.
        pool: the other pool.
        share: of the stream that is replaced; None raises the share of `to` by 20 points.
        of: only these are replaced.
        start: after how many answers it begins.
        steps: how long the stream is.
        words: the words that name it.
    """

    to: Callable[[dict[str, Any]], bool] | None = None
    pool: str = "plain"
    share: float | None = None
    of: Callable[[dict[str, Any]], bool] = field(default=lambda factors: True)
    start: int = 0
    steps: int = STEPS
    words: tuple[str, ...] = ()


def having(factor: str, value: str) -> Callable[[dict[str, Any]], bool]:
    return lambda factors: factors[factor] == value


CHANGES = {
    "snow": Change(having("place", "snow"), words=("snow",)),
    "night": Change(having("light", "night"), words=("night",)),
    "big": Change(having("size", "big"), words=("big",)),
    "ball": Change(having("companion", "ball"), words=("ball",)),
    "brown dogs turn black": Change(
        having("colour", "black"), share=1.0, of=having("colour", "brown"), words=("black", "brown")
    ),
    "a kind never seen: hot dogs, 20 %": Change(pool="hot dogs", share=0.2),
    "darker pictures": Change(pool="darker", share=1.0),
    "noise of a camera": Change(pool="noise", share=1.0),
    "fine-tune: colour": Change(pool="colour", share=1.0),
    "fine-tune: place": Change(pool="place", share=1.0),
    "fine-tune: mood": Change(pool="mood", share=1.0),
    "snow, after 1,000 quiet answers": Change(having("place", "snow"), start=1000, steps=2000, words=("snow",)),
}


class World:
    """The pools as streams of values, and what concepts know of the factors."""

    def __init__(self, study: Study, home: Path, n_words: int = 32) -> None:
        self.pools = {name: pool(name, home) for name in SIZES}
        plain_pool = self.pools["plain"]
        said = words_said([c] for c in plain_pool.captions)
        words = frequent_among(said, WORD, "en", int(0.02 * len(said)))[:n_words]
        self.study, self.streams = study, Streams(tuple(study.titles), tuple(words))
        self.names = [str(s) for s in self.streams.all]
        Z = study.activations.states(study.learned.layer)
        self.spread = float(((Z - Z.mean(axis=0)) ** 2).sum(axis=1).mean())
        self.values = {name: self._values(p) for name, p in self.pools.items()}
        self.limits = -np.log(shares(ALPHA, self.streams.groups))

    def _values(self, found: Pool) -> np.ndarray:
        return self.values_of(found.states, found.captions)

    def values_of(self, states: np.ndarray, captions: list[str]) -> np.ndarray:
        learner = self.study.learned.learner
        V = learner.transform(states)
        errors = ((states - learner.inverse_transform(V)) ** 2).sum(axis=1) / self.spread
        said = words_said([c] for c in captions)
        has = np.array([[word in one for word in self.streams.words] for one in said])
        return np.column_stack([self.study.learned.strengths(V), errors, has]).astype(np.float32)

    def knows(self, change: Change) -> tuple[list[int], float | None]:
        """The streams that name a change rightly, and the AUROC of the concept that separates the factor best."""
        right = [self.names.index(f"the word {word!r}") for word in change.words if word in self.streams.words]
        if change.to is None:
            return right, None
        has = np.array([change.to(f) for f in self.pools["plain"].factors])
        V = self.values["plain"][:, : len(self.streams.titles)]
        aurocs = [auroc(column, has) for column in V.T]
        best = int(np.argmax(aurocs))
        return [*right, *([best] if aurocs[best] >= 0.85 else [])], float(aurocs[best])

    def calls(self, stream: int) -> str:
        """The word that a stream is known by: a word of captions, or the first of a concept's title."""
        one = self.streams.all[stream]
        return one.name.split(" · ")[0]

    def draw(self, change: Change | None, rng: np.random.Generator) -> tuple[np.ndarray, list[tuple[str, int]]]:
        """The indices of a reference in the plain pool, and of a stream in pools."""
        factors = self.pools["plain"].factors
        order = rng.permutation(len(factors))
        reference, rest = order[:REFERENCE], order[REFERENCE:]
        if change is None:
            return reference, [("plain", int(i)) for i in rest[:QUIET]]
        stream = [("plain", int(i)) for i in rest[: change.steps]]
        new = (
            np.arange(len(self.pools[change.pool]))
            if change.to is None
            else np.array([i for i in rest if change.to(factors[i])])
        )
        share = change.share if change.share is not None else 0.2 / (1 - len(new) / len(rest))
        for step in range(change.start, change.steps):
            if change.of(factors[stream[step][1]]) and rng.random() < share:
                stream[step] = (change.pool, int(rng.choice(new)))
        return reference, stream

    def at(self, stream: list[tuple[str, int]], what: str = "values") -> np.ndarray:
        of = self.values if what == "values" else {name: getattr(p, what) for name, p in self.pools.items()}
        return np.array([of[name][i] for name, i in stream])


@dataclass(frozen=True)
class Watched:
    """All runs together.

    Args:
        first: (runs,), when each raised an alarm; infinite for never.
        since: (runs,), since when it says that things changed.
        capital: (runs, streams), the logarithms at the alarm.
        wealth: at the end.
    """

    first: np.ndarray
    since: np.ndarray
    capital: np.ndarray
    wealth: Wealth


def watched(world: World, references: np.ndarray, ranks: np.ndarray) -> Watched:
    """Watches all runs."""
    wealth = Wealth(Bets.against(references))
    first, since = np.full(len(ranks), np.inf), np.zeros(len(ranks), int)
    capital = np.zeros(wealth.log.shape)
    for step in range(ranks.shape[1]):
        wealth.add(ranks[:, step])
        over = wealth.log - world.limits
        new = (over.max(axis=1) >= 0) & np.isinf(first)
        first[new], since[new] = step + 1, wealth.since[new, over.argmax(axis=1)[new]]
        capital[new] = wealth.log[new]
    return Watched(first, since, capital, wealth)


def named_first(reference: np.ndarray, values: np.ndarray, seen: Watched, run: int) -> int:
    """The stream that an alarm names first, as `alarms.alarm_of` orders them."""
    alarm = int(seen.first[run])
    p, _ = rank_test(reference, values[min(seen.since[run], max(alarm - FEWEST, 0)) : alarm])
    return int((seen.capital[run] - np.log(np.maximum(p, 1e-300))).argmax())


def measured(world: World, change: Change | None, runs: int, baselines: int) -> dict[str, Any]:
    """What the sequential alarm, the window test and the baselines find of a change."""
    references, ranks, streams, windows, others = [], [], [], [], []
    start = 0 if change is None else change.start
    for run in range(runs):
        rng = np.random.default_rng([run, 7])
        reference, stream = world.draw(change, rng)
        values, own = world.at(stream), world.values["plain"][reference]
        references.append(own)
        streams.append(values)
        ranks.append(ConformalRanks(own, rng)(values))
        after = stream[start : start + WINDOW]
        test = window_test(own, values[start : start + WINDOW], permutations=0)
        windows.append((test.q.min() <= ALPHA, int(test.p.argmin())))
        if run < baselines:
            others.append(_baselines(world, reference, after, run))
    seen = watched(world, np.array(references), np.array(ranks))
    first, wealth = seen.first, seen.wealth
    found = np.isfinite(first) & (first > start)
    causes = np.array([named_first(references[i], streams[i], seen, i) for i in np.flatnonzero(found)])
    made: dict[str, Any] = {
        "runs": runs,
        "found": float(found.mean()),
        "false before the change": float((first <= start).mean()),
        "delay, median": float(np.median(np.where(found, first - start, np.inf))),
        "first": Counter(world.names[i] for i in causes).most_common(3),
        "window test found": float(np.mean([w for w, _ in windows])),
        "window test first": Counter(world.names[i] for w, i in windows if w).most_common(3),
        "baselines": {name: float(np.mean([o[name] for o in others])) for name in (others[0] if others else {})},
    }
    if change is None:
        listed = [e_bh(adjusted(highest), ALPHA).any() for highest in wealth.highest]
        plain_e = [e_bh(np.exp(highest), ALPHA).any() for highest in wealth.highest]
        made |= {"e-BH lists any, adjusted": np.mean(listed), "e-BH lists any, not adjusted": np.mean(plain_e)}
    elif change.words:
        right, best = world.knows(change)
        called = [i for i in range(len(world.names)) if world.calls(i) in change.words]
        made["AUROC of the best concept"] = best
        for name, streams_of in (("right cause first", right), ("change named first", called)):
            made[name] = float(np.isin(causes, streams_of).mean())
            made[f"{name}, window test"] = float(np.mean([i in streams_of for w, i in windows if w]))
    return made


def _baselines(world: World, reference: np.ndarray, after: list[tuple[str, int]], seed: int) -> dict[str, bool]:
    """What is built today, on windows of the same size: whether each finds a change at the same level."""
    plain_pool = world.pools["plain"]
    states, new = plain_pool.states[reference], world.at(after, "states")
    return {
        "MMD on states": mmd_p(states, new, seed, 199) <= ALPHA,
        "KS on states, by feature": min(corrected(window_test(states, new, permutations=0).ks.tolist())) <= ALPHA,
        "MMD on CLIP embeddings": mmd_p(plain_pool.embeddings[reference], world.at(after, "embeddings"), seed, 199)
        <= ALPHA,
    }


def false_windows(world: World, runs: int = 3000) -> dict[str, Any]:
    """How often a window test finds something although nothing changed: a share with its interval."""
    plain_values, found = world.values["plain"], []
    for run in range(runs):
        order = np.random.default_rng([run, 9]).permutation(len(plain_values))
        reference, window = order[:REFERENCE], order[REFERENCE : REFERENCE + WINDOW]
        p, _ = rank_test(plain_values[reference], plain_values[window])
        found.append(float(min(corrected(p.tolist())) <= ALPHA))
    return {"runs": runs, "found": estimate(np.array(found))}


def against_learned(world: World, runs: int) -> float:
    """How often a watch raises an alarm although nothing changed, if its reference are the samples learned from."""
    study = world.study
    rows, kept = study.activations.rows, study.learned.kept
    states = study.activations.states(study.learned.layer)[kept]
    own = world.values_of(states, [row.text for row, k in zip(rows, kept, strict=True) if k])
    ranks = []
    for run in range(runs):
        rng = np.random.default_rng([run, 8])
        _, stream = world.draw(None, rng)
        ranks.append(ConformalRanks(own, rng)(world.at(stream)))
    seen = watched(world, np.broadcast_to(own, (runs, *own.shape)), np.array(ranks))
    return float(np.isfinite(seen.first).mean())


def world_of(home: Path) -> World:
    return World(study_of_dogs(load("toyland", device="cpu"), home), home)


def detection(home: Path, runs: int, baselines: int) -> dict[str, Any]:
    world = world_of(home)
    found: dict[str, Any] = {"words": world.streams.words, "titles": world.streams.titles}
    found["nothing changes"] = measured(world, None, runs, baselines)
    print("nothing changes", json.dumps(plain(found["nothing changes"])), flush=True)
    found["nothing changes, window test"] = false_windows(world)
    found["nothing changes, reference: samples learned from"] = against_learned(world, runs)
    for name, change in CHANGES.items():
        found[name] = measured(world, change, runs, baselines)
        print(name, json.dumps(plain(found[name])), flush=True)
    return found


def overhead(home: Path, pairs: int = 30, n: int = 256) -> dict[str, Any]:
    """What watching adds to the time of captions, of pairs with and without in turns, in percent with its interval."""
    lmm = load("toyland")
    study = study_of_dogs(lmm, home)
    samples = load_samples(toyland.dataset_path(), split="test")[:n]
    inputs = [lmm.prepare_samples(samples[i : i + 32]) for i in range(0, n, 32)]

    def generate() -> float:
        start = time.perf_counter()
        for batch in inputs:
            lmm.generate(batch, 40)
        return time.perf_counter() - start

    def watched_too() -> float:
        got: list[vitrail.Observation] = []
        start = time.perf_counter()
        with vitrail.monitor(lmm, study, sink=got.extend):
            generate()
        return time.perf_counter() - start

    generate(), watched_too()
    ratios = []
    for pair in range(pairs):
        both = [generate, watched_too] if pair % 2 else [watched_too, generate]
        seconds = {run: run() for run in both}
        ratios.append(100 * (seconds[watched_too] / seconds[generate] - 1))
    of_pairs = estimate(np.array(ratios))
    return {"pairs": pairs, "captions": n, "percent, median": statistics.median(ratios), "percent": of_pairs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--baselines", type=int, default=50, help="runs in which the baselines are measured, too")
    parser.add_argument("--home", type=Path, default=user_cache_path("vitrail") / "monitor")
    parser.add_argument("--windows", action="store_true", help="measure the false alarms of the window test alone")
    parser.add_argument("--overhead", action="store_true", help="measure the time alone")
    arguments = parser.parse_args()
    quieten()
    old = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    if arguments.overhead:
        old["overhead"] = overhead(arguments.home)
    elif arguments.windows:
        old["detection"]["nothing changes, window test"] = false_windows(world_of(arguments.home))
    else:
        old["detection"] = detection(arguments.home, arguments.runs, arguments.baselines)
    machine = {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    write_json(RESULT, {**old, "versions": versions(), "machine": machine})


if __name__ == "__main__":
    main()
