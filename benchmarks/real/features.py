"""What the frozen vision tower makes of every photograph, computed once.

    python -m benchmarks.real.features --data FLICKR8K [--cache DIR --views 8 --grid 4 --device cuda]

A photograph is seen in several views, so that training does not see the same features again and again: whole, whole
and mirrored, and random cuts of it (seeded), every second one mirrored. One file for each split; after a kill it goes
on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.real.cache import default_cache
from benchmarks.real.modeling import EfficientNetLiteModel
from benchmarks.real.parts import vision
from benchmarks.real.photographs import Photographs
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

#: ImageNet's mean and standard deviation of red, green and blue.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
#: A cut has at least this share of the photograph's area.
LEAST_AREA = 0.6
BATCH = 16


def view(image: Image.Image, which: int, seed: Sequence[int], size: int) -> Image.Image:
    """A view of a photograph in `size` × `size` pixels: 0 is the whole, odd ones are mirrored, from 2 on they are cuts.

    Args:
        image: the photograph.
        which: the number of the view.
        seed: what the cut is drawn by, beside `which`.
        size: pixels per side.
    """
    width, height = image.size
    box = (0.0, 0.0, float(width), float(height))
    if which >= 2:
        rng = np.random.default_rng([*seed, which])
        area, aspect = rng.uniform(LEAST_AREA, 1.0), np.exp(rng.uniform(-0.25, 0.25))
        w, h = min(1.0, np.sqrt(area * aspect)) * width, min(1.0, np.sqrt(area / aspect)) * height
        x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
        box = (x, y, x + w, y + h)
    seen = image.resize((size, size), Image.Resampling.BICUBIC, box=box)
    return ImageOps.mirror(seen) if which % 2 else seen


def pixels(image: Image.Image) -> Tensor:
    """(3, height, width) numbers from the pixels, as the tower was trained on."""
    values = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
    return (values - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


class Views(Dataset[Tensor]):
    """Every photograph as (views, 3, size, size) pixels."""

    def __init__(self, photographs: Photographs, names: list[str], views: int, size: int) -> None:
        self.photographs, self.names, self.views, self.size = photographs, names, views, size

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, i: int) -> Tensor:
        image = self.photographs.image(self.names[i])
        return torch.stack([pixels(view(image, v, [i], self.size)) for v in range(self.views)])


def file_of(cache: Path, split: str, views: int, grid: int) -> Path:
    """Where the features of a split are kept."""
    return cache / "features" / f"{split}-{views}-views-{grid}x{grid}.npy"


@torch.inference_mode()
def features(
    cache: Path, photographs: Photographs, split: str, *, views: int, grid: int, device: str = "cpu", workers: int = 0
) -> Path:
    """The file of the features of a split: (photographs, views, grid², 1280) in float16.

    Args:
        cache: where the file is kept, and the tower.
        photographs: Flickr8k.
        split: "train", "dev" or "test".
        views: of each photograph; 1 is the whole photograph.
        grid: positions per side.
        device: where the tower runs; on "cuda" in bfloat16.
        workers: processes that read photographs.
    """
    path = file_of(cache, split, views, grid)
    if path.exists():
        return path
    tower: Any = EfficientNetLiteModel.from_pretrained(vision(cache), grid=grid, dtype=torch.float32)
    tower = tower.to(device, torch.float32 if device == "cpu" else torch.bfloat16, memory_format=torch.channels_last)
    names = photographs.names(split)
    shape = (len(names), views, grid * grid, tower.config.hidden_size)
    partial, marker = path.with_suffix(".partial"), path.with_suffix(".json")
    path.parent.mkdir(parents=True, exist_ok=True)
    done = _done(partial, marker, names)
    stored = np.lib.format.open_memmap(partial, "r+" if done else "w+", np.float16, shape)
    data = Views(photographs, names, views, tower.config.image_size)
    loader = DataLoader(data, BATCH, sampler=range(done, len(names)), num_workers=workers)
    began, first = time.perf_counter(), done
    for batch in loader:
        x = batch.flatten(0, 1).to(device, tower.dtype)
        found = torch.cat([tower(part).last_hidden_state for part in x.split(4 if device == "cpu" else 256)])
        stored[done : done + len(batch)] = found.view(len(batch), *shape[1:]).half().cpu().numpy()
        done += len(batch)
        if (done // BATCH) % 20 == 0:
            stored.flush()
            marker.write_text(json.dumps({"names": names, "done": done}), encoding="utf-8")
            print(f"{split}: {done} of {len(names)}, {(time.perf_counter() - began) / (done - first):.3f} s each")
    stored.flush()
    partial.rename(path)
    marker.unlink(missing_ok=True)
    return path


def _done(partial: Path, marker: Path, names: list[str]) -> int:
    """How many photographs of an unfinished file are done: none if it is of other photographs."""
    if not (partial.exists() and marker.exists()):
        return 0
    read = json.loads(marker.read_text(encoding="utf-8"))
    return read["done"] if read["names"] == names else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of Flickr8k")
    parser.add_argument("--cache", type=Path, default=default_cache())
    parser.add_argument("--views", type=int, default=8, help="of each training photograph")
    parser.add_argument("--grid", type=int, default=4, help="positions per side: 4 or 8")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=0)
    a = parser.parse_args()
    for split, views in (("train", a.views), ("dev", 1)):
        print(
            features(
                a.cache,
                Photographs(a.data),
                split,
                views=views,
                grid=a.grid,
                device=a.device,
                workers=a.workers,
            )
        )


if __name__ == "__main__":
    main()
