"""Toyland: a small world of drawn and captioned scenes with known factors, and models that are trained on it.

| file | what |
|---|---|
| `world.py` | the factors of a scene, drawn from one seed |
| `draw.py`, `scenery.py`, `sprites.py` | its picture |
| `language.py` | its captions, questions and answers |
| `dataset.py` | a data set of scenes on disk, like COCO and VQAv2 |
| `ground_truth.py` | the factors and masks of a data set, read from disk |
| `model/`, `clip/`, `text/` | the weights of a LLaVA, a CLIP and a text encoder, each with its model card |
| `adapters/` | LoRA adapters of the LLaVA |

The scripts that built, trained and measured the weights are in `tools/toyland` of the repository.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vitrail.progress import silent

if TYPE_CHECKING:
    from vitrail.progress import Progress

_HERE = Path(__file__).parent

#: The version of scenes and captions, part of the cache's name: an old data set is never taken for a new one.
WORLD = 2


def model_path() -> Path:
    """The folder of the bundled LLaVA model."""
    return _HERE / "model"


def clip_path() -> Path:
    """The folder of the bundled CLIP, which scores words against Toyland's pictures."""
    return _HERE / "clip"


def text_path() -> Path:
    """The folder of the bundled text encoder, which compares words with Toyland's captions."""
    return _HERE / "text"


def adapter_path(name: str) -> Path:
    """The folder of a bundled LoRA adapter: "colour", "place" or "mood".

    Raises:
        UsageError: there is no adapter of this name; the message names those that exist.
    """
    from vitrail.errors import UsageError

    path = _HERE / "adapters" / name
    if not (path / "adapter_config.json").is_file():
        known = sorted(p.parent.name for p in _HERE.glob("adapters/*/adapter_config.json"))
        raise UsageError(f"Toyland has no adapter {name!r}; it has {', '.join(known) or 'none'}.")
    return path


def dataset_path(samples: int = 5000, seed: int = 0, progress: Progress = silent) -> Path:
    """The folder of the data set behind the word "toyland". It is in the user's cache, and is drawn the first time.

    The environment variable `VITRAIL_CACHE` names another folder for the cache.

    Args:
        samples: how many scenes it has.
        seed: which scenes.
        progress: is told of every scene that is drawn.
    """
    import os

    from platformdirs import user_cache_path

    from vitrail.toyland.dataset import write_dataset
    from vitrail.toyland.ground_truth import MASKS

    cache = Path(os.environ.get("VITRAIL_CACHE") or user_cache_path("vitrail"))
    folder = cache / f"toyland-{WORLD}-{samples}-{seed}"
    if not ((folder / "dataset_coco.json").exists() and (folder / MASKS).exists()):  # an earlier version drew no masks
        write_dataset(folder, samples, seed, progress)
    return folder
