"""Maps judged against the truth: how right they are, in scenes of Toyland whose masks are known.

    python -m benchmarks.localisation [--words dog,cat,horse,bird,bus,train,man,boat] [--images 24] [--checked 5]
    python -m benchmarks.localisation --page

Writes benchmarks/results/localisation.json: for every method and part of the picture pointing, energy and overlap, for
some images also deletion and insertion of the concept's activation, flip and shift, all beside the controls of
`vitrail.evaluation.map_scores`; and the time. Then, or alone with --page, the tables of docs/localisation.md from it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from vitrail import toyland
from vitrail.activations import Activations, ExtractionOptions, WordStore, open_words
from vitrail.artifacts import plain, versions, write_json
from vitrail.concepts import Concepts, learn
from vitrail.evaluation.map_parts import TELLS, FactorParts, Meaning, meanings
from vitrail.evaluation.map_scores import MOST, Judged, MapJudge, map_scores
from vitrail.evaluation.results import MAP_CONTROLS, MAP_MEASURES
from vitrail.explanation import read_samples
from vitrail.extraction import extract_words
from vitrail.lmm import LMM, load, quieten
from vitrail.maps import MapOptions, question_of
from vitrail.maps.methods.registry import METHODS
from vitrail.samples import Sample, load_samples
from vitrail.scores.verdicts import number, p_value
from vitrail.toyland.ground_truth import load_factors, load_masks

RESULT = Path(__file__).parent / "results" / "localisation.json"
PAGE = Path(__file__).parents[1] / "docs" / "localisation.md"
WORDS = "dog,cat,horse,bird,bus,train,man,boat"
#: The first is the default; controls stand in the place of its maps.
METHODS_JUDGED = "integrated-tokens,gradient-tokens,integrated-gradients,projection,rollout"
#: The methods whose curves are measured.
CURVED = frozenset({"integrated-tokens", "integrated-gradients", "occlusion"})
#: What is measured of some images alone, since it takes many passes.
CHECKED = ("deletion", "insertion", "flip", "shift")
#: On so many images of a word the time is taken.
TIMED = 3
#: Where the tables of the page begin and end.
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def judged(
    word: str, home: Path, images: int, checked: int, methods: Sequence[str]
) -> tuple[list[Judged], dict[str, str], dict[str, float]]:
    """The maps of the new scenes of one word, what its concepts stand for, and the seconds that each method took, of
    the first `TIMED` images; and those of `explain`, to compare with."""
    quieten()
    lmm, world = load("toyland"), toyland.dataset_path()
    factors, masks = load_factors(world), load_masks(world)
    assert factors is not None
    assert masks is not None
    learned, new = (open_words(home / name).of(word) for name in ("learned", "new"))
    concepts = learn(learned, out=home / "concepts" / word, stability=0, progress=False)
    ids = [i for i, kept in zip(learned.sample_ids(), concepts.kept, strict=True) if kept]
    meant = meanings(concepts, [factors[i] for i in ids], masks)
    part_of = FactorParts(masks, factors, {**meant})
    samples = {s.id: s for s in load_samples(world)}
    judge, seconds, known = MapJudge(methods, CURVED), defaultdict(float), {}
    for i, chosen in shown(new, concepts, meant, samples, part_of)[:images]:
        row = new.rows[i]
        asked = question_of(lmm, new, concepts, [row], [samples[row.sample_id].open()], [chosen], MapOptions())
        asked = replace(asked, targets=replace(asked.targets, words=None), known=known)
        judge.judge(
            asked, [part_of(samples[row.sample_id], k, asked.shape) for k in chosen], whole=judge.n_images < checked
        )
        if judge.n_images <= TIMED:  # once more, so that nothing else is in the time
            for method in methods:
                start = time.perf_counter()
                METHODS[method].make(asked)
                seconds[method] += time.perf_counter() - start
            start = time.perf_counter()
            read_samples(lmm, new, concepts, [samples[row.sample_id]])
            seconds["explain"] += time.perf_counter() - start
    print(word, judge.n_images, flush=True)
    of_word = {name: total / min(TIMED, judge.n_images) for name, total in seconds.items()}
    return judge.maps, {str(k): f"{m.factor}: {m.value}" for k, m in meant.items()}, of_word


def shown(
    new: Activations,
    concepts: Concepts,
    meant: dict[int, Meaning],
    samples: dict[str, Sample],
    part_of: FactorParts,
) -> list[tuple[int, tuple[int, ...]]]:
    """The rows of new scenes, each with its strongest concepts whose part is in the picture, where there are any."""
    V = np.asarray(concepts.learner.transform(new.states(concepts.layer)))
    found = []
    for i, strengths in enumerate(concepts.strengths(V)):
        active = [int(k) for k in np.argsort(-strengths) if V[i, k] > 0 and int(k) in meant]
        sample = samples[new.rows[i].sample_id]
        with_part = tuple(k for k in active if part_of(sample, k, (1, 1)) is not None)[:MOST]
        if with_part:
            found.append((i, with_part))
    return found


def states_of(lmm: LMM, words: list[str], splits: tuple[str, ...], folder: Path) -> WordStore:
    """The states of the words in the last block, of the scenes of some splits; what is in the folder is kept."""
    samples = [s for split in splits for s in load_samples(toyland.dataset_path(), split=split)]
    extract_words(lmm, samples, words, out=folder, options=ExtractionOptions(layers=(-1,)))
    return open_words(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--words", default=WORDS)
    parser.add_argument("--images", type=int, default=24, help="new scenes of each word")
    parser.add_argument("--checked", type=int, default=5, help="of these, on how many all is measured")
    parser.add_argument("--methods", default=METHODS_JUDGED)
    parser.add_argument("--keep", type=Path, help="keep the states in this folder")
    parser.add_argument("--result", type=Path, default=RESULT)
    parser.add_argument("--page", action="store_true", help="measure nothing; write the tables of the page anew")
    args = parser.parse_args()
    if not args.page:
        measure(args.words.split(","), args.images, args.checked, args.methods.split(","), args.keep, args.result)
    if args.page or args.result == RESULT:
        write_page(json.loads(RESULT.read_text()))


def measure(words: list[str], images: int, checked: int, methods: list[str], keep: Path | None, result: Path) -> None:
    quieten()
    lmm, home, start = load("toyland"), keep or Path(tempfile.mkdtemp()), time.perf_counter()
    for name, splits in {"learned": ("train",), "new": ("val", "test")}.items():
        states_of(lmm, words, splits, home / name)
    n = len(words)
    with ProcessPoolExecutor(min(os.cpu_count() or 1, n), get_context("spawn")) as pool:
        made = list(pool.map(judged, words, [home] * n, [images] * n, [checked] * n, [methods] * n))
    maps = [replace(m, image=m.image + images * w) for w, (some, _, _) in enumerate(made) for m in some]
    found = {method: plain(map_scores(maps, method)) for method in methods}
    for method in methods[1:]:  # the controls are of maps of the first
        for measures in [found[method]["measures"], *(part["measures"] for part in found[method]["parts"].values())]:
            for measure in measures.values():
                measure["against"] = {c: v for c, v in measure["against"].items() if c in ("pieces", "blob")}
    values = {
        "parameters": {
            "words": words,
            "images": images,
            "checked": checked,
            "tells": TELLS,
            "most": MOST,
            "steps": MapOptions().steps,
        },
        "images": found[methods[0]]["n_images"],
        "concepts": {word: meant for word, (_, meant, _) in zip(words, made, strict=True)},
        "methods": found,
        "seconds per image": {
            name: float(np.mean([seconds[name] for _, _, seconds in made])) for name in [*methods, "explain"]
        },
        "seconds": time.perf_counter() - start,
        "machine": {"cpus": os.cpu_count(), "platform": platform.platform(), **versions()},
    }
    write_json(result, json.loads(json.dumps(plain(values)), parse_float=lambda t: float(f"{float(t):.4g}")))


# ---- the page --------------------------------------------------------------------------------------------------------


def write_page(result: dict[str, Any]) -> None:
    """The tables of docs/localisation.md, between its two marks."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{tables(result)}\n{END}{after}", encoding="utf-8")


def tables(result: dict[str, Any]) -> str:
    """What was measured, as Markdown: for each measure a table with a row for each method and control."""
    parameters, found = result["parameters"], result["methods"]
    main = next(iter(found))
    parts = [p for p in found[main]["parts"] if found[main]["parts"][p]["maps"] > 1]
    counts = ", ".join(f"{p} {found[main]['parts'][p]['maps']}" for p in parts)
    times = result["seconds per image"]
    lines = [
        f"Of {result['images']} images, {parameters['images']} of each of {len(parameters['words'])} words; "
        f"{', '.join(CHECKED)} of the first {parameters['checked']} of each. Maps by part: {counts}. "
        f"Machine: {result['machine']['cpus']} CPUs; the whole run took {result['seconds']:.0f} s.",
        "",
    ]
    for measure, title in MAP_MEASURES.items():
        rows = [(method, [_cell(found[method], p, measure) for p in ["", *parts]]) for method in found]
        for control, name in MAP_CONTROLS.items():
            rows.append((f"{main}: {name}" if control not in ("pieces", "blob") else name,
                         [_control(found[main], p, measure, control) for p in ["", *parts]]))  # fmt: skip
        rows = [row for row in rows if any(cell != "—" for cell in row[1])]
        if measure == "energy":
            areas = [found[main]["parts"][p]["area"]["mean"] for p in parts]
            rows.insert(0, ("area of the part", ["—", *map(number, areas)]))
        if rows:
            lines += [
                f"**{title[:1].upper()}{title[1:]}**",
                "",
                f"| | all | {' | '.join(parts)} |",
                "|---|" + "---|" * (1 + len(parts)),
            ]
            lines += [f"| {name} | {' | '.join(cells)} |" for name, cells in rows] + [""]
    lines += ["**Time of an image, seconds**", "", f"| {' | '.join(times)} |", "|" + "---|" * len(times)]
    return "\n".join([*lines, f"| {' | '.join(f'{value:.2f}' for value in times.values())} |", ""])


def _measures(found: dict[str, Any], part: str) -> dict[str, Any]:
    return found["parts"].get(part, {}).get("measures", {}) if part else found["measures"]


def _cell(found: dict[str, Any], part: str, measure: str) -> str:
    score = _measures(found, part).get(measure)
    return "—" if score is None else _interval(score["score"])


def _control(found: dict[str, Any], part: str, measure: str, control: str) -> str:
    against = _measures(found, part).get(measure, {}).get("against", {}).get(control)
    return "—" if against is None else f"{_interval(against['level'])} p {p_value(against['p'])}"


def _interval(estimate: dict[str, Any]) -> str:
    if estimate["mean"] is None:
        return "—"
    known = estimate["low"] is not None
    return number(estimate["mean"], 2) + (
        f" [{number(estimate['low'], 2)}, {number(estimate['high'], 2)}]" if known else ""
    )


if __name__ == "__main__":
    main()
