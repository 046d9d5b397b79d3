"""States of words from images: how many samples per second, by which way, and what the model alone costs.

    python benchmarks/extract.py [--samples 512 --batch 64 --runs 8 --pairs 30]
    python benchmarks/extract.py --samples 64 --runs 1 --pairs 2 --out /tmp/extract.json     # does it run?

All ways start from image files and end with the states of the last block at the word. They are measured in one run, in
turns, each for one word and for fifty where that makes a difference:

    released   a faithful restatement of the released loop: one image at a time, hooks copy the states of every block in
               every pass to the host, and all are kept until the end (on fewer samples, since it is slow)
    generate   plain batched generation: images are opened and captions generated; no state is kept
    hidden     batched generation with `output_hidden_states=True`, then the states of the word are picked
    nnsight    batched generation under nnsight's trace, where it is installed
    live       `vitrail.extract`, which keeps states while the model speaks
    said       `vitrail.extract(…, said=captions)`: captions that are there already are read

`certificate` is what the doctor's first look costs, once in a run of whatever size. `pairs` are batches that are
generated with and without keeping states, in turns: what keeping them costs by itself.
`limit` is what the multiplications of plain generation cost at the speed of this machine's matrix products.

Writes benchmarks/results/extract.json.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

import vitrail
from vitrail.activations import ExtractionOptions
from vitrail.artifacts import versions, write_json
from vitrail.extraction import Reader
from vitrail.lmm import LMM
from vitrail.samples import Sample
from vitrail.scores import median_estimate
from vitrail.words import Word, token_offsets, token_span

RESULT = Path(__file__).parent / "results" / "extract.json"
TOKENS = 40
#: How many samples the released loop is measured on.
FEW = 32


def batches(lmm: LMM, samples: list[Sample], size: int) -> Any:
    """The inputs of each batch, made when they are asked for."""
    for start in range(0, len(samples), size):
        yield lmm.prepare_samples(samples[start : start + size])


def released(lmm: LMM, samples: list[Sample]) -> int:
    """One image at a time; the states of all blocks in all passes go to the host and are kept."""
    kept: list[Tensor] = []

    def copy(_module: Any, _args: Any, output: Any) -> None:
        kept.append((output[0] if isinstance(output, tuple) else output).detach().cpu())

    handles = [block.register_forward_hook(copy) for block in lmm.parts.blocks]
    try:
        for inputs in batches(lmm, samples, 1):
            lmm.generate(inputs, TOKENS)
    finally:
        for handle in handles:
            handle.remove()
    return len(kept)


def generate(lmm: LMM, samples: list[Sample], size: int) -> int:
    return sum(len(lmm.generate(inputs, TOKENS)) for inputs in batches(lmm, samples, size))


def place_of(lmm: LMM, ids: tuple[int, ...], word: Word) -> int | None:
    """The step that says the first token of `word`; None without it."""
    match = word.find(vitrail.words.decode(lmm.tokenizer, ids))
    return None if match is None else token_span(token_offsets(lmm.tokenizer, ids), match)[0]


def hidden(lmm: LMM, samples: list[Sample], size: int, word: Word) -> int:
    found: list[Tensor] = []
    for inputs in batches(lmm, samples, size):
        width = inputs["input_ids"].shape[1]
        with torch.inference_mode():
            out = lmm.model.generate(
                **inputs,
                max_new_tokens=TOKENS,
                do_sample=False,
                output_hidden_states=True,
                return_dict_in_generate=True,
                pad_token_id=lmm.tokenizer.pad_token_id,
            )
        for row, ids in enumerate(out.sequences[:, width:].tolist()):
            step = place_of(lmm, lmm.backend.generation(ids).ids, word)
            if step is not None:
                found.append(out.hidden_states[step][-1][row, -1].clone())
    return len(found)


def traced(lmm: LMM, samples: list[Sample], size: int, word: Word) -> int:
    """nnsight: the last block's state at the last position of every step, saved; then those of the word are picked."""
    import nnsight

    warnings.filterwarnings("ignore", category=UserWarning, module="nnsight")  # a loop over all steps ends with them
    model, found = nnsight.NNsight(lmm.model), 0
    block = reduce(getattr, lmm.parts.names["blocks"].split("."), model)[-1]
    said: list[Tensor] = []

    def speak(**inputs: Any) -> Tensor:
        said.append(lmm.model.generate(**inputs, max_new_tokens=TOKENS, do_sample=False))
        return said[-1]

    for inputs in batches(lmm, samples, size):
        with model.trace(**inputs, fn=speak) as tracer:
            states = nnsight.save([])
            for _ in tracer.iter[:]:
                states.append(block.output[:, -1])
        for row, ids in enumerate(said[-1][:, inputs["input_ids"].shape[1] :].tolist()):
            step = place_of(lmm, lmm.backend.generation(ids).ids, word)
            found += step is not None and states[step][row].numel() > 0
    return found


# ---- measuring -------------------------------------------------------------------------------------------------------


def timed(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def rates(seconds: dict[str, list[float]], counts: dict[str, int]) -> dict[str, Any]:
    """Samples per second of each way: the median with its interval."""
    found = {}
    for name, took in seconds.items():
        e = median_estimate([counts[name] / s for s in took])
        found[name] = {"samples_per_second": e.mean, "low": e.low, "high": e.high, "seconds": took}
    return found


def pairs(lmm: LMM, samples: list[Sample], size: int, n: int) -> dict[str, Any]:
    """Batches that are generated with and without keeping the last block's states, in turns."""
    made = list(batches(lmm, samples, size))
    ratios = []
    for i in range(n + 1):
        inputs = made[i % len(made)]

        def keeping(inputs: Any = inputs) -> None:
            with lmm.watched([-1], lambda spoken: None):
                lmm.generate(inputs, TOKENS)

        ways = {"plain": lambda inputs=inputs: lmm.generate(inputs, TOKENS), "kept": keeping}
        took = {name: timed(ways[name]) for name in (sorted(ways) if i % 2 else sorted(ways)[::-1])}
        if i:  # the first pair is a rehearsal
            ratios.append(took["kept"] / took["plain"])
    e = median_estimate(ratios)
    return {"kept_over_plain": e.mean, "low": e.low, "high": e.high, "ratios": ratios}


def limit(lmm: LMM, samples: list[Sample], size: int) -> dict[str, float]:
    """Samples per second if generation cost no more than its multiplications, at this machine's speed for products."""
    side = 1024
    a, b = torch.randn(side, side), torch.randn(side, side)
    speed = 2 * side**3 / min(timed(lambda: a @ b) for _ in range(8))
    inputs = next(batches(lmm, samples, size))
    with FlopCounterMode(display=False) as counter:
        said = lmm.generate(inputs, TOKENS)
    each = counter.get_total_flops() / len(said)
    return {"operations_per_second": speed, "operations_per_sample": each, "samples_per_second": speed / each}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=512)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--runs", type=int, default=8)
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()
    lmm = vitrail.load("toyland", device="cpu")
    samples = vitrail.load_samples("toyland", split="train")[: args.samples]
    nouns = list(vitrail.frequent_nouns(samples, 50))
    word = Word("dog")
    options = ExtractionOptions(require="predicted", batch_size=args.batch)
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        texts = vitrail.say(lmm, samples, out=here / "texts", batch_size=args.batch)
        captions = here / "captions.jsonl"
        captions.write_text("".join(json.dumps({"id": i, "text": u.text}) + "\n" for i, u in texts.items()))
        number = iter(range(10**6))

        def extracted(words: list[str], said: Path | None) -> None:
            out = here / f"run-{next(number)}"
            vitrail.extract_words(lmm, samples, words, out=out, options=options, said=said, progress=False)

        ways: dict[str, Callable[[], Any]] = {
            "released": lambda: released(lmm, samples[:FEW]),
            "generate": lambda: generate(lmm, samples, args.batch),
            "hidden": lambda: hidden(lmm, samples, args.batch, word),
            "live, one word": lambda: extracted(["dog"], None),
            "live, fifty words": lambda: extracted(nouns, None),
            "said, one word": lambda: extracted(["dog"], captions),
            "said, fifty words": lambda: extracted(nouns, captions),
            "certificate": lambda: Reader(lmm, (word,), options).certificate(samples),
        }
        if importlib.util.find_spec("nnsight"):
            ways["nnsight"] = lambda: traced(lmm, samples, args.batch, word)
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for run in range(args.runs + 1):
            for name in list(ways) if run % 2 else list(ways)[::-1]:
                took = timed(ways[name])
                if run:  # the first round is a rehearsal
                    seconds[name].append(took)
    starts = seconds.pop("certificate")
    counts = {name: FEW if name == "released" else len(samples) for name in seconds}
    result = {
        "parameters": {**vars(args), "out": args.out.name, "tokens": TOKENS, "words": nouns},
        "ways": rates(seconds, counts),
        "certificate_seconds": starts,
        "pairs": pairs(lmm, samples, args.batch, args.pairs),
        "limit": limit(lmm, samples, args.batch),
        "nnsight": "measured" if "nnsight" in ways else "not installed",
        "machine": {"cpus": os.cpu_count(), "threads": torch.get_num_threads(), "platform": platform.platform()}
        | versions(),
    }
    generating, live = np.array(seconds["generate"]), seconds["live, one word"]
    rate = {name: found["samples_per_second"] for name, found in result["ways"].items()}
    result["ratios"] = {
        "live over generate": rate["live, one word"] / rate["generate"],
        "live over generate, after the doctor": float(np.median(generating / (np.array(live) - starts))),
        "live over released": rate["live, one word"] / rate["released"],
        "said over live": rate["said, one word"] / rate["live, one word"],
        "fifty words over one, time": rate["live, one word"] / rate["live, fifty words"],
        "share of the limit": rate["live, one word"] / result["limit"]["samples_per_second"],
    }
    write_json(args.out, result)
    print(
        json.dumps({"rates": rate, "ratios": result["ratios"], "pairs": result["pairs"]["kept_over_plain"]}, indent=2)
    )


if __name__ == "__main__":
    main()
