"""The loss curve of a fine-tune as a picture."""

from __future__ import annotations

from pathlib import Path

from vitrail.artifacts import write_whole
from vitrail.finetuning.training import LossCurve

PICTURE = "loss.svg"


def draw_loss(loss: LossCurve, path: Path) -> None:
    """Draws the loss of every step, and that of the held-out examples, to `path` (SVG)."""
    import matplotlib
    from matplotlib.figure import Figure

    # the same bytes in every run, and text that stays text
    with matplotlib.rc_context({"svg.hashsalt": "vitrail", "svg.fonttype": "none"}):
        figure = Figure(figsize=(6, 3.2), layout="constrained")
        axes = figure.add_subplot()
        axes.plot(range(1, len(loss.training) + 1), loss.training, linewidth=1, alpha=0.6, label="training")
        steps, values = zip(*loss.held_out, strict=True)
        axes.plot(steps, values, marker="o", markersize=4, label="held out")
        axes.axvline(loss.best, linestyle=":", color="grey", label=f"kept: step {loss.best}")
        axes.set_title(loss.verdict.text, fontsize=10, loc="left")
        axes.set(xlabel="step", ylabel="loss per token (nats)", ylim=(0, None))
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
        write_whole(path, lambda partial: figure.savefig(partial, format="svg", metadata={"Date": None}))
