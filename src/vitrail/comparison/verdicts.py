"""What follows from a comparison: of the recovery by shifts, of its controls, and of correlations."""

from __future__ import annotations

from typing import Any

from vitrail.artifacts import plain
from vitrail.comparison.artifact import Findings
from vitrail.comparison.recovery import Control
from vitrail.scores import verdicts
from vitrail.scores.verdicts import Verdict


def of_recovery(found: Findings) -> Verdict:
    """Whether T-Overlap with the matches is larger after the shift than before."""
    recovery = found.recovery
    return verdicts.against(recovery.words_gain.mean, recovery.p, "before the shift", alternative="greater")


def of_control(found: Findings, control: Control) -> Verdict:
    """Whether the concepts' own shifts achieve more than another move."""
    gain = found.recovery.words_after.mean - control.words_after.mean
    return verdicts.against(gain, control.p, control.name, alternative="greater")


def findings_to_json(found: Findings) -> dict[str, Any]:
    """A comparison as JSON has it, with a `verdict` beside the recovery, each control and each correlation."""
    values = found.as_dict()
    values["recovery"]["verdict"] = plain(of_recovery(found))
    for value, control in zip(values["controls"], found.controls, strict=True):
        value["verdict"] = plain(of_control(found, control))
    for name, c in found.correlations.items():
        values["correlations"][name]["verdict"] = plain(verdicts.correlated(c.r, c.p))
    return values
