"""Checks the package as people install it: a wheel, alone in an empty environment, runs the demo in an empty folder.

The dependencies are those of the environment that runs this script, by a `.pth` file; `vitrail` itself comes from the
wheel, which the check proves. The environment must have them all; the wheel's own list is held against it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
#: Runs in the new environment: where the package is, and which of its requirements are missing.
PROBE = """
import json, importlib.metadata as m, importlib.util
from packaging.requirements import Requirement
missing = []
for text in m.requires("vitrail"):
    need = Requirement(text)
    if need.marker is None or need.marker.evaluate({"extra": ""}):
        try:
            version = m.version(need.name)
        except m.PackageNotFoundError:
            version = None
        if version is None or not need.specifier.contains(version, prereleases=True):
            missing.append(f"{text} (found {version})")
print(json.dumps({"where": importlib.util.find_spec("vitrail").origin, "missing": missing}))
"""


def main() -> int:
    """Builds, installs and runs; 0 if all of it worked."""
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        wheel = built(work)
        python = environment(work / "env")
        run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=work)
        found = json.loads(run(python, "-c", PROBE, cwd=work))
        if not Path(found["where"]).is_relative_to(work):
            return say(f"vitrail was imported from {found['where']}, not from the wheel")
        if found["missing"]:
            return say(f"the environment lacks what the wheel requires: {', '.join(found['missing'])}")
        command = python.with_name("vitrail.exe" if sys.platform == "win32" else "vitrail")
        run(command, "--version", cwd=work)
        run(command, "demo", "--out", "demo", "--json", cwd=work)
        summary = json.loads((work / "demo" / "summary.json").read_text(encoding="utf-8"))
        if not (work / "demo" / "report.html").is_file() or summary["word"] != "dog" or not summary["concepts"]:
            return say("the demo wrote no report of dogs")
        sys.stdout.write(
            f"{wheel.name} ({wheel.stat().st_size / 1e6:.1f} MB) installs alone, and its demo finds "
            f"{len(summary['concepts'])} concepts.\n"
        )
    return 0


def built(work: Path) -> Path:
    """The wheel of this checkout, built from a copy, so that nothing which an earlier build left here gets into it."""
    copy = work / "source"
    shutil.copytree(ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", work / "dist", copy, cwd=work)
    (wheel,) = (work / "dist").glob("vitrail-*.whl")
    return wheel


def environment(folder: Path) -> Path:
    """The Python of a new environment that sees the packages of this one, after its own."""
    venv.create(folder, with_pip=True)
    places = {"base": str(folder), "platbase": str(folder)}
    own = Path(sysconfig.get_path("purelib", "nt_venv" if sys.platform == "win32" else "posix_prefix", places))
    (own / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def run(*command: object, cwd: Path) -> str:
    """The stdout of a command; the script ends where the command fails."""
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([*map(str, command)], cwd=cwd, env=plain, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(say(f"{' '.join(map(str, command[:4]))} … failed"))
    return done.stdout


def say(problem: str) -> int:
    sys.stderr.write(f"wheel-check: {problem}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
