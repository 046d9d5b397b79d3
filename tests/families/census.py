"""Every architecture that transformers maps to image-text-to-text, through the one generic path, each in a process.

    python -m families.census [--jobs 2] [--again] [MODEL_TYPE …]      with `tests` on the path; `make torchvision`

What was found stands in `docs/architectures.json`, one entry for each, so a run that was stopped goes on; `--again`
proves what is there once more.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any

FOUND = Path(__file__).parents[2] / "docs" / "architectures.json"
#: Seconds that one architecture may take, and bytes of memory.
LIMIT, MEMORY = 600, 12 * 2**30
#: Checks of the doctor that need no image.
OF_IMAGES = ("image", "several images")
#: What is known of an architecture that fails: why.
KNOWN = {
    "hunyuan_vl": "transformers numbers the images through the whole batch, so that a row of it is not the row alone",
    "kosmos-2.5": "it counts the positions of what it generates from behind its padding token, whatever it is given",
}
#: What a check says that ended in an error of torch: the sizes of this tiny model do not fit each other.
RAISED = re.compile(r": (RuntimeError|TypeError|IndexError|KeyError|AttributeError): ")


def proven(model_type: str) -> dict[str, Any]:
    """What came of one architecture: its "outcome", and what tells more of it."""
    from transformers import CONFIG_MAPPING

    from families.tiny import ARCHITECTURES, build
    from vitrail.errors import ModelError
    from vitrail.lmm.finding import check_readable

    about: dict[str, Any] = {"class": ARCHITECTURES[model_type]}
    try:
        check_readable(CONFIG_MAPPING[model_type](), ARCHITECTURES[model_type])
    except ModelError as error:
        return about | {"outcome": "refused", "reason": str(error)}
    try:
        made = build(model_type)
    except Exception as error:
        return about | {"outcome": "not built", "reason": _first(error)}
    found = _examined(model_type, made)
    if made.why is None and found["outcome"] in ("fails", "not built"):
        # its own processor and this small model do not fit together; the language side is proven by itself
        why = f"with its own processor: {found['reason']}"
        alone = _examined(model_type, build(model_type, text_alone=why)) | {"reason_without_image": why}
        found = found if found["outcome"] == "fails" or alone["outcome"] != "passes" else alone
    return about | found


def _examined(model_type: str, made: Any) -> dict[str, Any]:
    from families.builders import shaken
    from vitrail.errors import ModelError
    from vitrail.lmm import from_transformers
    from vitrail.lmm.doctor import doctor, noise

    found: dict[str, Any] = {"image": made.why is None}
    if made.why is not None:
        found["reason_without_image"] = made.why
    try:
        lmm = from_transformers(shaken(made.network), made.processor, model_type)
    except ModelError as error:
        return found | {"outcome": "refused", "reason": str(error)}
    except Exception as error:  # sizes that were made small do not fit each other
        return found | {"outcome": "not built", "reason": _first(error)}
    found |= {"parts": lmm.parts.names, "blocks": _kinds(lmm)}
    pictures = [*noise(2, 40), noise(3, 56)[2]]
    try:
        lmm.prepare(pictures[:2], [lmm.prompt] * 2)
        lmm.run(lmm.prepare(pictures[:1], [lmm.prompt]))
    except Exception as error:
        return found | {"outcome": "not built", "reason": _first(error)}
    certificate = doctor(lmm, pictures)
    checks = [c for c in certificate.checks if made.why is None or c.name not in OF_IMAGES]
    failed = [f"{c.name}: {c.says}" for c in checks if c.passed is False]
    errors = [c.error for c in checks if c.passed and c.error is not None]
    found |= {
        "outcome": ("not built" if all(RAISED.search(f) for f in failed) else "fails") if failed else "passes",
        "checks": {c.name: c.passed for c in checks},
        "worst": max(errors, default=None),
    }
    return found | (
        {"reason": "; ".join([*([KNOWN[model_type]] if model_type in KNOWN else []), *failed])} if failed else {}
    )


def _kinds(lmm: Any) -> list[str]:
    """What the blocks are made of that not every decoder has, by their configuration and by their modules."""
    config = lmm.model.config.get_text_config(decoder=True)
    layers = getattr(config, "layer_types", None) or getattr(config, "layers_block_type", None) or ()
    modules = {type(m).__name__.lower() for block in lmm.parts.blocks for m in block.modules()}
    marks = {"experts": "expert", "state space": "mamba", "convolution": "shortconv", "linear attention": "deltanet"}
    kinds = {str(kind).replace("_", " ") for kind in layers} | {
        kind for kind, mark in marks.items() if any(mark in name for name in modules)
    }
    if lmm.backend.translates:
        kinds.add("an encoder reads the request")
    return sorted(kinds - {"full attention"} or kinds)


def _first(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()] or [""]
    return f"{type(error).__name__}: {lines[0].strip()}"


def _alone(model_type: str) -> dict[str, Any]:
    """What came of one architecture in a process of its own."""
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        command = [sys.executable, "-m", "families.census", "--one", model_type, out.name]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
        except subprocess.TimeoutExpired:
            return {"outcome": "not built", "reason": f"it took longer than {LIMIT} s"}
        text = Path(out.name).read_text(encoding="utf-8")
        if not text:
            last = (done.stderr.strip().splitlines() or ["no output"])[-1]
            return {"outcome": "not built", "reason": f"its process ended with {done.returncode}: {last}"}
        return json.loads(text)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--one", action="store_true", help="the names are an architecture and a file to write to")
    asked = parser.parse_args()
    if asked.one:
        return _write_one(*asked.names)
    from families.tiny import ARCHITECTURES
    from vitrail.artifacts import versions

    found = json.loads(FOUND.read_text(encoding="utf-8")) if FOUND.is_file() else {"architectures": {}}
    done, lock = found["architectures"], Lock()
    wanted = [name for name in asked.names or ARCHITECTURES if asked.again or name not in done]

    def prove(name: str) -> None:
        result = _alone(name)
        with lock:
            done[name] = result
            ordered = {name: done[name] for name in ARCHITECTURES if name in done}
            kept = {k: v for k, v in versions().items() if k in ("python", "torch", "transformers")}
            kept |= {k: metadata.version(k) for k in ("torchvision", "timm") if find_spec(k)}
            text = json.dumps({"versions": kept, "architectures": ordered}, indent=1, ensure_ascii=False)
            FOUND.write_text(text + "\n", encoding="utf-8")
            sys.stderr.write(f"{name}: {result['outcome']} {result.get('reason', '')[:200]}\n")

    with ThreadPoolExecutor(asked.jobs) as pool:
        list(pool.map(prove, wanted))


def _write_one(name: str, path: str) -> None:
    import resource

    warnings.simplefilter("ignore")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    from vitrail.lmm import quieten

    quieten()
    Path(path).write_text(json.dumps(proven(name)), encoding="utf-8")


if __name__ == "__main__":
    main()
