"""Where summaries go: `tensorboard:FOLDER`, `mlflow:URI`, `wandb:PROJECT`, or a function that takes them.

A new tracker is a class with `log`, and a line in `TRACKERS`.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from vitrail.errors import ArtifactError, UsageError, VitrailError
from vitrail.sharing.summary import Entry, Summary


class Tracker(Protocol):
    """Where a summary goes."""

    def log(self, summary: Summary) -> str:
        """Logs it, whole, and says where it is now."""


def log_to(to: str | Callable[[Summary], object] | Tracker, summary: Summary) -> str:
    """Logs a summary, and says where it is.

    Args:
        to: `KIND:ADDRESS`, a tracker, or a function that takes the summary.

    Raises:
        UsageError: there is no such tracker, or its library is not installed.
        ArtifactError: the tracker refuses, or cannot be reached.
    """
    if isinstance(to, str):
        kind, _, address = to.partition(":")
        if kind not in TRACKERS or not address:
            kinds = ", ".join(f"{name}:{what}" for name, (_, what) in TRACKERS.items())
            raise UsageError(f"{to!r} is no tracker: it is one of {kinds}.")
        try:
            return TRACKERS[kind][0](address).log(summary)
        except VitrailError:
            raise
        except Exception as error:  # of the tracker's library, of the network: whatever they raise
            raise ArtifactError(f"{to} does not take it. {type(error).__name__}: {error}") from error
    if callable(to):
        to(summary)
        return getattr(to, "__name__", type(to).__name__)
    return to.log(summary)


class ToTensorBoard:
    """Writes event files to a folder: scores, the table as text, and for each concept its pictures side by side."""

    def __init__(self, address: str) -> None:
        needed("tensorboard", "tensorboard")
        self.folder = Path(address)

    def log(self, summary: Summary) -> str:
        folder = self.folder / summary.name
        with needed("torch.utils.tensorboard", "tensorboard").SummaryWriter(folder) as writer:
            for name, value in summary.scores.items():
                writer.add_scalar(name, value, 0)
            for name, values in summary.curves.items():
                for step, value in values.items():
                    writer.add_scalar(name, value, step)
            writer.add_text("parameters", _markdown([summary.parameters]), 0)
            if summary.entries:
                writer.add_text("concepts", _markdown([entry.values for entry in summary.entries]), 0)
            for k, entry in enumerate(summary.entries):
                if entry.pictures:
                    writer.add_image(f"concepts/{k} {entry.title}", np.asarray(strip(entry)), 0, dataformats="HWC")
        return str(folder)


class ToMLflow:
    """A run of MLflow at a tracking URI (`http://…`, `file:…`, `sqlite:…`)."""

    def __init__(self, address: str) -> None:
        self.mlflow = needed("mlflow", "mlflow")
        self.mlflow.set_tracking_uri(address)

    def log(self, summary: Summary) -> str:
        with self.mlflow.start_run(run_name=summary.name) as run:
            self.mlflow.set_tag("vitrail.kind", summary.kind)
            self.mlflow.log_params({_plain(name): value[:500] for name, value in summary.parameters.items()})
            self.mlflow.log_metrics({_plain(name): value for name, value in summary.scores.items()})
            for name, values in summary.curves.items():
                for step, value in values.items():
                    self.mlflow.log_metric(_plain(name), value, step=step)
            if summary.entries:
                self.mlflow.log_dict([entry.values for entry in summary.entries], "concepts.json")
            for k, entry in enumerate(summary.entries):
                if entry.pictures:
                    self.mlflow.log_image(strip(entry), f"concepts/{k}.png")
            return str(run.info.run_id)


class ToWandB:
    """A run of Weights & Biases in a project; WANDB_MODE=offline keeps it on this machine."""

    def __init__(self, address: str) -> None:
        self.wandb, self.project = needed("wandb", "wandb"), address

    def log(self, summary: Summary) -> str:
        run = self.wandb.init(
            project=self.project, name=summary.name, job_type=summary.kind, config=dict(summary.parameters)
        )
        try:
            for name, values in summary.curves.items():
                for step, value in values.items():
                    run.log({name: value}, step=step)
            run.log(dict(summary.scores))
            if summary.entries:
                columns = [*summary.entries[0].values, "images"]
                table = self.wandb.Table(columns=columns)
                for entry in summary.entries:
                    image = self.wandb.Image(strip(entry)) if entry.pictures else None
                    table.add_data(*entry.values.values(), image)
                run.log({"concepts": table})
            return str(run.dir)
        finally:
            run.finish()


#: Kind → what makes a tracker from its address, and what the address is.
TRACKERS: dict[str, tuple[Callable[[str], Tracker], str]] = {
    "tensorboard": (ToTensorBoard, "FOLDER"),
    "mlflow": (ToMLflow, "URI"),
    "wandb": (ToWandB, "PROJECT"),
}


def needed(module: str, extra: str) -> Any:
    """A module of an extra.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise UsageError(f"This needs a library: pip install 'vitrail[{extra}]'.") from error


def strip(entry: Entry, height: int = 112) -> Image.Image:
    """The pictures of an entry side by side, of one height."""
    images = [Image.open(io.BytesIO(jpeg)).convert("RGB") for jpeg in entry.pictures if jpeg]
    images = [image.resize((max(1, round(image.width * height / image.height)), height)) for image in images]
    whole = Image.new("RGB", (sum(i.width for i in images) + 4 * (len(images) - 1), height), "white")
    left = 0
    for image in images:
        whole.paste(image, (left, 0))
        left += image.width + 4
    return whole


def _plain(name: str) -> str:
    """A name as MLflow takes it."""
    return "".join(c if c.isalnum() or c in "_-. /" else "_" for c in name)


def _markdown(rows: list[dict[str, Any]]) -> str:
    if not rows or not rows[0]:
        return ""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *([_cell(v) for v in row.values()] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    text = f"{value:.3g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
