"""Toyland: a small world of captioned scenes with known factors, and a LLaVA trained on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vitrail.progress import silent

if TYPE_CHECKING:
    from vitrail.progress import Progress

_HERE = Path(__file__).parent

#: Counts up when scenes or captions change, so that no cache shows an old world.
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
        UsageError: there is no such adapter; those that there are, are named.
    """
    from vitrail.errors import UsageError

    path = _HERE / "adapters" / name
    if not (path / "adapter_config.json").is_file():
        known = sorted(p.parent.name for p in _HERE.glob("adapters/*/adapter_config.json"))
        raise UsageError(f"Toyland has no adapter {name!r}; it has {', '.join(known) or 'none'}.")
    return path


def dataset_path(samples: int = 5000, seed: int = 0, progress: Progress = silent) -> Path:
    """The folder of the data set that "toyland" stands for, in the user's cache; drawn the first time.

    `VITRAIL_CACHE` names another place for the cache.
    """
    import os

    from platformdirs import user_cache_path

    from vitrail.toyland.dataset import write_dataset

    cache = Path(os.environ.get("VITRAIL_CACHE") or user_cache_path("vitrail"))
    folder = cache / f"toyland-{WORLD}-{samples}-{seed}"
    if not (folder / "dataset_coco.json").exists():
        write_dataset(folder, samples, seed, progress)
    return folder
