"""What follows from a comparison, in words and in JSON."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vitrail.comparison.verdicts import findings_to_json, of_control, of_recovery


@pytest.mark.parametrize(("gain", "p", "kind"), [(9.0, 0.004, "good"), (9.0, 0.2, "unclear"), (-9.0, 0.99, "bad")])
def test_recovery_is_judged_by_its_gain_and_its_test(comparison, gain, p, kind):
    recovery = comparison.recovery
    changed = replace(recovery, words_gain=replace(recovery.words_gain, mean=gain), p=p)
    assert of_recovery(replace(comparison, recovery=changed)).kind == kind


def test_every_control_and_correlation_has_a_verdict_in_json(comparison):
    values = findings_to_json(comparison)
    assert values["recovery"]["verdict"]["text"] == of_recovery(comparison).text
    for value, control in zip(values["controls"], comparison.controls, strict=True):
        assert value["verdict"]["text"] == of_control(comparison, control).text
        assert control.name in value["verdict"]["text"]
    assert all("verdict" in c for c in values["correlations"].values())
