"""The share of wall time in which the model is idle, when states are extracted from photographs of 12 megapixels.

    python -m benchmarks.idle [--photographs 128 --model small --out FILE]

Photographs are JPEG files of 4000 × 3000 pixels, as hard to compress as real ones. The model is busy while a pass of
it runs; all else of the wall time of `extract`, from its first line to its last, it is idle. The first batch must be
there before the model can begin, whatever is done: how long that takes stands by itself, and so does the share of what
comes after. Measured as it is, with images loaded by threads while the model works, and with each batch loaded when its
turn comes, in one run. The bar is 10 % once the model has begun.

The models, of LLaVA's structure with random weights, see 336-pixel images:

    small           some 100 million parameters, so that a pass over one photograph takes two cores longer than it takes
                    one core to decode it
    llava-1.5-7b    its real shape; needs a GPU
    toyland         the bundled model (112-pixel images): smaller than decoding, so its idle time is the decoder's
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from benchmarks.extract_large import HEADS, MODELS, SIDE, llava
from benchmarks.memory import write_photographs
from PIL import Image

import vitrail
from vitrail.activations import ExtractionOptions
from vitrail.artifacts import versions, write_json
from vitrail.extraction import extract_as
from vitrail.lmm import LMM, from_transformers
from vitrail.saying import asking

RESULT = Path(__file__).parent / "results" / "idle.json"
BAR = 0.10
SMALL_TEXT = {
    **HEADS,
    "hidden_size": 768,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "num_key_value_heads": 12,
    "max_position_embeddings": 1024,
}
SMALL_SIGHT = {
    "hidden_size": 384,
    "intermediate_size": 1536,
    "num_hidden_layers": 12,
    "num_attention_heads": 6,
    "image_size": SIDE,
    "patch_size": 14,
}
SHAPES: dict[str, Callable[[], tuple[Any, Any]]] = {**MODELS, "small": lambda: llava(SMALL_TEXT, SMALL_SIGHT, 512)}


def model_named(name: str) -> LMM:
    return vitrail.load("toyland") if name == "toyland" else from_transformers(*SHAPES[name](), name)


@contextmanager
def busy() -> Iterator[list[tuple[float, float]]]:
    """When every pass of a model inside the `with` block began, and how many seconds it took."""
    passes: list[tuple[float, float]] = []

    def timed(method: Any) -> Any:
        def call(self: LMM, *args: Any, **named: Any) -> Any:
            start = time.perf_counter()
            found = method(self, *args, **named)
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            passes.append((start, time.perf_counter() - start))
            return found

        return call

    with ExitStack() as stack:
        for name in ("generate", "states", "run"):  # the doctor's first look is work, too
            stack.enter_context(patch.object(LMM, name, timed(getattr(LMM, name))))
        yield passes


def measured(lmm: LMM, samples: list[Any], out: Path, ahead: bool, require: Any) -> dict[str, Any]:
    """Extracts states of the last block, and measures wall time and passes."""
    options = ExtractionOptions((-1,), require=require, max_new_tokens=20)
    with patch.object(asking, "AHEAD", asking.AHEAD if ahead else 0), busy() as passes:
        start = time.perf_counter()
        found = extract_as(lmm, samples, "a", options, out=out)
        wall = time.perf_counter() - start
    worked, until = sum(seconds for _, seconds in passes), passes[0][0] - start
    return {
        "ahead": ahead,
        "wall_seconds": wall,
        "busy_seconds": worked,
        "idle_share": 1 - worked / wall,
        "seconds_until_the_first_pass": until,
        "idle_share_after": 1 - worked / (wall - until),
        "samples_per_second": len(samples) / wall,
        "kept": found.counts.kept,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=int, default=128)
    parser.add_argument("--model", choices=[*SHAPES, "toyland"], default="small")
    parser.add_argument("--generate", action="store_true", help="let the model speak, instead of reading references")
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()
    lmm = model_named(args.model)
    require = "predicted" if args.generate else "truth"
    with tempfile.TemporaryDirectory() as home:
        photographs = Path(home) / "photographs"
        write_photographs(photographs, args.photographs)
        samples = vitrail.load_samples(photographs, progress=False)
        start = time.perf_counter()
        for sample in samples[:8]:
            sample.open()
        decoding = (time.perf_counter() - start) / 8
        lmm.caption([Image.new("RGB", (SIDE, SIDE))], max_new_tokens=2)  # what is loaded with the first pass
        ways = [measured(lmm, samples, Path(home) / str(ahead), ahead, require) for ahead in (True, False)]
    machine = {"cpus": os.cpu_count(), "threads": torch.get_num_threads(), "platform": platform.platform()}
    machine |= {"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}
    result = {
        "parameters": {name: value for name, value in vars(args).items() if name != "out"},
        "bar": BAR,
        "met": ways[0]["idle_share_after"] <= BAR,
        "seconds_to_decode_one": decoding,
        "ways": ways,
        "machine": machine | versions(),
    }
    write_json(args.out, result)
    for way in ways:
        how = "loaded ahead" if way["ahead"] else "loaded in turn"
        print(
            f"{how}: idle {way['idle_share']:.1%}; {way['idle_share_after']:.1%} once the model had begun, "
            f"{way['seconds_until_the_first_pass']:.1f} s in; {way['samples_per_second']:.2f} photographs a second"
        )
    met = "met" if result["met"] else "NOT met"
    print(f"one photograph is decoded in {decoding:.2f} s; the bar of {BAR:.0%} is {met}")


if __name__ == "__main__":
    main()
