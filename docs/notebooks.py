"""Runs the notebooks, and writes each as a page with what its cells showed: `docs/notebooks/NAME.md`, not in git.

Reports that a notebook writes are copied beside its page, which links to them. `python docs/notebooks.py NAME…` runs
those alone.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbconvert import MarkdownExporter

ROOT = Path(__file__).parent.parent
SOURCE, OUT = ROOT / "notebooks", ROOT / "docs" / "notebooks"
#: The longest that a cell may take, in seconds.
PATIENCE = 900


def page(path: Path) -> str:
    """A notebook as Markdown, run in an empty folder; pictures and pages that it makes go to `OUT`."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        metadata = {"metadata": {"path": folder}}
        NotebookClient(notebook, timeout=PATIENCE, kernel_name="python3", resources=metadata).execute()
        links = [_kept(path.stem, file, file.relative_to(folder)) for file in sorted(Path(folder).rglob("*.html"))]
    for cell in notebook.cells:
        if "outputs" in cell:  # without bars of progress, which are written to stderr
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
            for output in cell.outputs:
                _on_one_line(output)
    text, made = MarkdownExporter().from_notebook_node(
        notebook, {"unique_key": path.stem, "output_files_dir": f"{path.stem}-files"}
    )
    for name, content in made["outputs"].items():
        (OUT / name).parent.mkdir(exist_ok=True)
        (OUT / name).write_bytes(content)
    return "\n".join([text.rstrip(), *(["", "## The pages that it wrote", "", *links] if links else []), ""])


def _kept(notebook: str, file: Path, name: Path) -> str:
    """Copies a page that a notebook wrote; gives the line that links to it."""
    kept = "-".join((notebook, *name.parts))
    shutil.copyfile(file, OUT / kept)
    return f"- [{name.as_posix()}]({kept})"


def _on_one_line(output: nbformat.NotebookNode) -> None:
    """HTML without line breaks: Markdown would end it at the first empty line."""
    data = output.get("data", {})
    if "text/html" in data:
        data["text/html"] = f"<div>{' '.join(data['text/html'].split(chr(10)))}</div>"


def main() -> None:
    OUT.mkdir(exist_ok=True)
    for path in sorted(SOURCE.glob("*.ipynb")):
        if not sys.argv[1:] or path.stem in sys.argv[1:]:
            (OUT / f"{path.stem}.md").write_text(page(path), encoding="utf-8")
            sys.stdout.write(f"docs/notebooks/{path.stem}.md\n")


if __name__ == "__main__":
    main()
