"""Prints the lowest versions that pyproject.toml states, one a line, as constraints for pip.

    python tools/oldest.py > lowest.txt

`python tools/oldest.py torch=2.13.0` puts another version in the place of a lowest one that has no build for a machine.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: Extras whose lowest versions are taken, too: those that the tests of `make oldest` use.
EXTRAS = ("peft",)


def lowest(requirement: str) -> str:
    """`numpy>=1.26` as `numpy==1.26`; what is behind a semicolon stays."""
    found, semicolon, marker = requirement.partition(";")
    return re.sub(r"\s*>=\s*", "==", found.strip()) + (f" ;{marker}" if semicolon else "")


def main() -> None:
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    others = dict(argument.split("=", 1) for argument in sys.argv[1:])
    extras = [requirement for name in EXTRAS for requirement in project["optional-dependencies"][name]]
    for requirement in [*project["dependencies"], *extras]:
        line = lowest(requirement)
        name = line.partition("==")[0]
        sys.stdout.write(f"{name}=={others[name]}\n" if name in others else f"{line}\n")


if __name__ == "__main__":
    main()
