"""What an import must be told, because the files do not say it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vitrail.lmm.options import Layer, PositionName
from vitrail.options import Count, Options


@dataclass(frozen=True)
class ImportOptions(Options):
    """What an import must be told, because the files do not say it.

    Args:
        word: of features, the word of interest.
        layer: of vectors and networks, whose states they change; of analyses and dictionaries, whose states they have.
        key: of vectors and ids, which of several.
        context: of networks, the layer that they read; `layer` by default.
        applied_at: of vectors and networks, the positions that they change.
        activations: of analyses, the folder of the imported features; of a dictionary, any activations of its model.
        method: of analyses that do not say it: `snmf`, `kmeans`, `pca` or `simple`.
        concepts: of a dictionary, how many features, those that are most active.
    """

    word: str | None = None
    layer: Layer | None = None
    key: str | None = None
    context: Layer | None = None
    applied_at: PositionName = "generated"
    activations: Path | None = None
    method: str | None = None
    concepts: Count = 20
