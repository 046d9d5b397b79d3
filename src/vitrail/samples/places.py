"""Where the files lie that data name. A path in somebody's data may lead out of their folder: by `..`, because it is
absolute, or through a symbolic link. Such a path is followed only where the user allows it."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path


def inside(root: Path) -> Callable[[Path], bool]:
    """A function that tells whether a path lies in `root` once all links are followed; it need not exist."""
    real_root = os.path.realpath(root)
    real_folder = cache(os.path.realpath)  # many files lie in one folder

    def is_inside(path: Path) -> bool:
        try:
            real = os.path.join(real_folder(path.parent), path.name)
            if os.path.islink(real):
                real = os.path.realpath(real)
        except (OSError, ValueError):  # a name that no disk could hold leads nowhere
            return True
        return real.startswith(os.path.join(real_root, ""))

    return is_inside
