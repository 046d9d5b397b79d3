"""Who does the work of a run: contradictions are refused, and the environment is read only where that is asked."""

from __future__ import annotations

import pytest

from vitrail.artifacts import Part
from vitrail.errors import UsageError
from vitrail.work import WorkOptions

CONTRADICTIONS = {
    "ranks and Ray": ({"engine": "ray", "rank": 0, "world_size": 2}, "without Ray"),
    "workers without Ray": ({"workers": 2}, "add --engine ray"),
    "GPUs without Ray": ({"gpus_per_worker": 1.0}, "add --engine ray"),
    "a cluster without Ray": ({"address": "auto"}, "add --engine ray"),
    "a rank alone": ({"rank": 0}, "needs a world size"),
    "a world size alone": ({"world_size": 2}, "needs a world size"),
    "a rank beyond the last": ({"rank": 2, "world_size": 2}, r"from 0 to 1.*got 2"),
    "a rank that is given twice": ({"rank": 0, "world_size": 2, "rank_from_env": True}, "from the environment"),
    "no workers": ({"engine": "ray", "workers": 0}, "at least 1"),
    "fewer than no GPUs": ({"engine": "ray", "gpus_per_worker": -1}, "at least 0"),
}


@pytest.mark.parametrize(("given", "says"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_what_is_contradictory_is_refused(given, says):
    with pytest.raises(UsageError, match=says):
        WorkOptions(**given)


ENVIRONMENTS = {
    "of torchrun": ({"RANK": "3", "WORLD_SIZE": "8"}, Part(3, 8)),
    "of SLURM": ({"SLURM_PROCID": "1", "SLURM_NTASKS": "2"}, Part(1, 2)),
    "of torchrun inside SLURM": (
        {"RANK": "3", "WORLD_SIZE": "8", "SLURM_PROCID": "0", "SLURM_NTASKS": "1"},
        Part(3, 8),
    ),
    "half of one": ({"RANK": "3"}, "neither RANK and WORLD_SIZE, or SLURM_PROCID"),
    "no number": ({"RANK": "-1", "WORLD_SIZE": "8"}, "whole numbers; they are -1 and 8"),
    "beyond the last": ({"RANK": "8", "WORLD_SIZE": "8"}, "from 0 to 7"),
}


@pytest.mark.parametrize(("variables", "expected"), ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_a_rank_comes_from_the_environment_where_that_is_asked(monkeypatch, variables, expected):
    for name in ("RANK", "WORLD_SIZE", "SLURM_PROCID", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert WorkOptions().part is None
    if isinstance(expected, Part):
        assert WorkOptions(rank_from_env=True).part == expected
    else:
        with pytest.raises(UsageError, match=expected):
            _ = WorkOptions(rank_from_env=True).part


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 12])
def test_the_parts_of_all_ranks_are_every_shard_once(n):
    for world_size in (1, 2, 3, 5):
        numbers = [i for rank in range(world_size) for i in Part(rank, world_size).numbers(n)]
        assert sorted(numbers) == [*range(n)]
