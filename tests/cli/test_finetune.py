"""`vitrail finetune`."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("arguments", [(), ("--style", "place", "--words", "red")])
def test_one_way_to_choose_captions_must_be_named(run, world, tmp_path, arguments):
    code, _, err = run("finetune", "--data", world, "--out", tmp_path / "t", *arguments)
    assert code == 2
    assert "either --style (of Toyland) or --words" in err
