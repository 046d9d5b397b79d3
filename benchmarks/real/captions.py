"""Says the 1,000 test photographs of Flickr8k, and scores what was said → benchmarks/results/real.json.

    python -m benchmarks.real.captions --data FLICKR8K [--cache DIR --model DIR --first N]

CIDEr-D and BLEU-4 against the five captions of people; precision and recall of ten words. For scale, by the same
measures: the caption of another photograph (the least), and one person's caption against those of the other four (about
the most). The captions are kept in the cache as they come, so that a run that was killed goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.real.cache import default_cache, new_file
from benchmarks.real.photographs import Photographs
from benchmarks.real.scores import corpus, words

from vitrail import load
from vitrail.artifacts import versions, write_json

RESULT = Path(__file__).parent.parent / "results" / "real.json"
BATCH = 32
LONGEST = 24


def say(model: Path, photographs: Photographs, names: Sequence[str], kept: Path) -> tuple[dict[str, str], float]:
    """Photograph → what the model in folder `model` says of it, and seconds a caption (of those that were new).

    Args:
        model: its folder; it is loaded only if a caption is missing.
        photographs: Flickr8k.
        names: which photographs.
        kept: the file where captions are kept.
    """
    stamp = (model / "model.safetensors").stat()
    own = [stamp.st_size, stamp.st_mtime_ns]
    read = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    captions: dict[str, str] = read["captions"] if read.get("model") == own else {}
    missing = [name for name in names if name not in captions]
    if not missing:
        return captions, read["seconds"]
    lmm = load(model, trust_remote_code=True)
    began, spent = time.perf_counter(), 0.0
    for start in range(0, len(missing), BATCH):
        batch = missing[start : start + BATCH]
        said = lmm.caption([photographs.image(name) for name in batch], max_new_tokens=LONGEST)
        captions |= dict(zip(batch, said, strict=True))
        spent = (time.perf_counter() - began) / (start + len(batch))
        with new_file(kept) as made:
            made.write_text(
                json.dumps({"model": own, "seconds": spent, "captions": captions}, indent=0), encoding="utf-8"
            )
        print(f"{start + len(batch)} of {len(missing)}, {spent:.2f} s each", flush=True)
    return captions, spent


def scale(references: Sequence[Sequence[str]], seed: int = 0) -> dict[str, dict[str, float]]:
    """The scores of another photograph's caption, and of one person's against those of the others."""
    order = np.random.default_rng(seed).permutation(len(references))
    another = [""] * len(references)
    for i, j in zip(order, np.roll(order, 1), strict=True):
        another[i] = references[j][0]
    return {
        "another photograph's": corpus(another, references),
        "a person's": corpus([each[0] for each in references], [each[1:] for each in references]),
    }


def training_of(cache: Path, run: str) -> list[dict[str, Any]]:
    """The settings and the evaluations of a run, and of those that it began with, the first first."""
    folder = cache / "runs" / run
    settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines() if line]
    own = {"run": run, "settings": settings, "dev": [line for line in lines if "dev" in line]}
    before = settings.get("begin")
    return [*(training_of(cache, before) if before else []), own]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of Flickr8k")
    parser.add_argument("--cache", type=Path, default=default_cache())
    parser.add_argument("--model", type=Path, help="by default model/ in the cache")
    parser.add_argument("--run", default="reward", help="the run that the model came from, for the record")
    parser.add_argument("--trained-on", default="", help="the machine that trained it, for the record")
    parser.add_argument("--first", type=int, help="only the first photographs")
    parser.add_argument("--out", type=Path, default=RESULT)
    a = parser.parse_args()
    photographs = Photographs(a.data)
    names = photographs.names("test")[: a.first]
    model = a.model or a.cache / "model"
    captions, seconds = say(model, photographs, names, a.cache / "captions.json")
    said, references = [captions[name] for name in names], [photographs.captions[name] for name in names]
    result = {
        "photographs": len(names),
        "captions": corpus(said, references)
        | {"seconds_a_caption": round(seconds, 3), "different": len(set(said))}
        | {"words_a_caption": float(np.mean([len(caption.split()) for caption in said]))},
        "scale": scale(references),
        "words": words(said, references),
        "training": training_of(a.cache, a.run),
        "trained_on": a.trained_on or platform.machine(),
        "machine": {"platform": platform.platform(), "cores": os.cpu_count(), "threads": torch.get_num_threads()},
        "versions": versions(),
    }
    write_json(a.out, result)
    print(json.dumps({name: result[name] for name in ("captions", "scale", "words")}, indent=1))


if __name__ == "__main__":
    main()
