"""The maps of the images that activate concepts most, kept beside a study: arrays in the coordinates of the images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from vitrail.artifacts import (
    check_parent,
    is_current,
    manifest_of,
    parent,
    read_finished,
    read_made,
    read_tensors,
    typed,
    write_json,
    write_manifest,
    write_whole,
)
from vitrail.grounding import Grounding
from vitrail.maps.options import MapOptions
from vitrail.notebook import Shown, View

KIND = "maps"
FILE, ARRAYS = "maps.json", "maps.safetensors"


@dataclass(frozen=True)
class _Parameters:
    """What decides maps: how many images of each concept, and the fields of `MapOptions` that change maps."""

    n_images: int
    method: str
    steps: int
    cells: int

    @classmethod
    def of(cls, n_images: int, options: MapOptions) -> _Parameters:
        return cls(n_images, options.method, options.steps, options.cells)

    @property
    def options(self) -> MapOptions:
        return MapOptions(self.method, self.steps, self.cells)


@manifest_of(KIND)
@dataclass(frozen=True)
class _Manifest:
    """What the manifest of maps has."""

    parameters: _Parameters


@dataclass(frozen=True)
class SampleMap:
    """Which map is of what.

    Args:
        concept: the row of the concept in `U`.
        sample: id of the sample.
        value: the activation, in multiples of the typical one.
    """

    concept: int
    sample: str
    value: float

    @property
    def name(self) -> str:
        """Of its array."""
        return f"{self.concept} {self.sample}"


@dataclass(frozen=True)
class StudyMaps(Shown):
    """Where in the images that activate it most each concept comes from.

    Args:
        folder: where they lie.
        options: how they were made.
        values: (concept, id of a sample) → its activation, in multiples of the typical one.
        shares: the same → (height, width), in the coordinates of the image, in the same units; see `TargetMap.shares`.
    """

    folder: Path
    options: MapOptions
    values: Mapping[tuple[int, str], float]
    shares: Mapping[tuple[int, str], Float[np.ndarray, "height width"]]

    def _shown(self) -> View:
        rows = tuple(
            (k, sample, value, float(self.shares[k, sample].sum())) for (k, sample), value in self.values.items()
        )
        heads = ("concept", "sample", "× typical", "sum of the map")
        return View(
            "Maps", f"of {len(rows)} images of concepts, by {self.options.method}, in {self.folder}", heads, rows
        )


def maps_are_current(folder: Path, grounding: Grounding, n_images: int, options: MapOptions) -> bool:
    """Whether `folder` holds the maps of so many images of every concept, made in this way from `grounding`.

    Raises:
        ArtifactError: it holds maps that were made in another way, or something else.
    """
    made = asdict(_Parameters.of(n_images, options))
    return is_current(folder, KIND, made, {"grounding": parent(grounding.folder)})


def save_maps(maps: StudyMaps, grounding: Grounding, n_images: int) -> None:
    """Writes maps to their folder."""
    from safetensors.numpy import save_file

    index = [SampleMap(k, sample, value) for (k, sample), value in maps.values.items()]
    arrays = {one.name: maps.shares[one.concept, one.sample].astype(np.float32) for one in index}
    write_json(maps.folder / FILE, index)
    write_whole(maps.folder / ARRAYS, lambda path: save_file(arrays, path))
    made = asdict(_Parameters.of(n_images, maps.options))
    content = {"parameters": made, "parents": {"grounding": parent(grounding.folder)}}
    write_manifest(maps.folder, KIND, content, [FILE, ARRAYS])


def open_maps(folder: str | Path, grounding: Grounding | None = None) -> StudyMaps:
    """The maps in `folder`.

    Args:
        grounding: the one whose concepts they must be of; any for None.

    Raises:
        ArtifactError: missing, damaged, or of other concepts.
    """
    folder = Path(folder)
    manifest = read_finished(folder, KIND, "run the study")
    if grounding is not None:
        check_parent(folder, manifest, grounding.folder, "grounding")
    index = read_made(folder / FILE, lambda values: typed(values, list[SampleMap]), "run the study")
    arrays = read_tensors(folder / ARRAYS, [one.name for one in index], "run the study")
    values = {(one.concept, one.sample): one.value for one in index}
    shares = {(one.concept, one.sample): arrays[one.name] for one in index}
    return StudyMaps(folder, typed(manifest["parameters"], _Parameters).options, values, shares)
