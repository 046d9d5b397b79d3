"""Where the files lie that data name. A path in somebody's data may lead out of their folder: by `..`, because it is
absolute, or through a symbolic link. Such a path is followed only where the user allows it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from vitrail.artifacts import url_of


def inside(root: Path, homes: Sequence[str] = ()) -> Callable[[Path], bool]:
    """A function that tells whether a path lies in `root` once all links are followed; it need not exist.

    Args:
        root: a folder.
        homes: URLs; a path that is a URL must lie below one of them.
    """
    below = tuple(f"{home}/" for home in homes)
    real_root = os.path.realpath(root)
    real_folder = cache(os.path.realpath)  # many files lie in one folder

    def is_inside(path: Path) -> bool:
        if url := url_of(path):
            return url.startswith(below) and ".." not in path.parts
        try:
            real = os.path.join(real_folder(path.parent), path.name)
            if os.path.islink(real):
                real = os.path.realpath(real)
        except (OSError, ValueError):  # a name that no disk could hold leads nowhere
            return True
        return real.startswith(os.path.join(real_root, ""))

    return is_inside
