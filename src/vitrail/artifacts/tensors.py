"""Named tensors in a safetensors file."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from vitrail.artifacts.files import present
from vitrail.errors import ArtifactError


def read_tensors(
    path: Path, names: Collection[str], again: str, load: Callable[[Path], dict[str, Any]] | None = None
) -> dict[str, Any]:
    """All tensors in a file, by name.

    Args:
        names: those that must be there.
        again: the command that makes the file again, for the message.
        load: `load_file` of safetensors, which says whose arrays they become; numpy's for None.

    Raises:
        ArtifactError: the file is missing or damaged, or lacks one of `names`.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        found = (load or load_file)(present(path))
        if lacking := [name for name in names if name not in found]:
            raise ValueError(f"it has no tensor {lacking[0]!r}")
    except (OSError, ValueError, TypeError, SafetensorError) as error:
        raise ArtifactError(
            f"{path} is damaged or missing ({error}). Remove {path.parent} and {again} again."
        ) from error
    return found
