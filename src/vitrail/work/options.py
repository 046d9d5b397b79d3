"""Who does the work of a run, as a user says it. It decides nothing about the result, so no manifest keeps it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated, Literal

from vitrail.artifacts.shards import Part
from vitrail.errors import UsageError
from vitrail.options import AtLeast, Count, CountOrNone, Options

#: "local" is this process.
Engine = Literal["local", "ray"]
#: Pairs of variables that say which of several processes this one is, and how many there are.
RANK_VARIABLES = (("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_NTASKS"))


@dataclass(frozen=True, kw_only=True)
class WorkOptions(Options):
    """Who makes the shards of a run. The result is the same, whoever does.

    Args:
        engine: `ray`: workers of Ray on one machine or many, each with a model (pip install 'vitrail[ray]').
        workers: how many workers Ray starts.
        gpus_per_worker: GPUs of each worker; a part of 1 lets several share one.
        address: of a running Ray cluster; one on this machine by default.
        world_size: how many processes share the work without Ray. Each runs the same command with a --rank of its own;
            `vitrail merge` completes what they made.
        rank: which of these processes this one is, from 0.
        rank_from_env: take --rank and --world-size from RANK and WORLD_SIZE, or SLURM_PROCID and SLURM_NTASKS.
    """

    engine: Engine = "local"
    workers: Count = 1
    gpus_per_worker: Annotated[float, AtLeast(0)] = 0.0
    address: str | None = None
    world_size: Count | None = None
    rank: CountOrNone | None = None
    rank_from_env: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        ranks = self.rank_from_env or self.rank is not None or self.world_size is not None
        if self.engine == "ray" and ranks:
            raise UsageError("Ranks share the work without Ray. Use either --engine ray, or --rank and --world-size.")
        if self.engine == "local" and (self.workers, self.gpus_per_worker, self.address) != (1, 0, None):
            raise UsageError("Workers, their GPUs and an address belong to Ray; add --engine ray.")
        if self.rank_from_env and (self.rank, self.world_size) != (None, None):
            raise UsageError("Give --rank and --world-size, or take both from the environment.")
        if (self.rank is None) != (self.world_size is None):
            raise UsageError("A rank needs a world size, and a world size a rank; got one of them.")
        if self.rank is not None and self.world_size is not None:
            _checked(self.rank, self.world_size)

    @property
    def part(self) -> Part | None:
        """The part of the shards that this process makes; None for all.

        Raises:
            UsageError: the environment should say it, and does not.
        """
        if self.rank_from_env:
            return _from_environment()
        return None if self.rank is None or self.world_size is None else Part(self.rank, self.world_size)


def whole_run(work: WorkOptions | None) -> WorkOptions:
    """Who does the work of a run that ends with all shards; this process for None.

    Raises:
        UsageError: one rank of several does a part of it.
    """
    work = work or WorkOptions()
    if work.part is not None:
        raise UsageError("One rank makes a part alone: `extract_part` or `say_part`, and `merge` when all are done.")
    return work


def part_of(work: WorkOptions, batch_size: int | Literal["auto"]) -> Part:
    """The part of a run that a rank makes.

    Raises:
        UsageError: `work` names no rank; or each rank would find a batch size of its own, and states of other batch
            sizes differ by rounding, so that the folder would not be that of one process.
    """
    if work.part is None:
        raise UsageError("A part needs a rank and a world size.")
    if batch_size == "auto":
        raise UsageError("Ranks need one batch size, as all parts are of one run. Give --batch-size a number.")
    return work.part


def _from_environment() -> Part:
    for pair in RANK_VARIABLES:
        if all(name in os.environ for name in pair):
            given = [os.environ[name] for name in pair]
            if not all(text.isdecimal() for text in given):
                raise UsageError(f"{' and '.join(pair)} should be whole numbers; they are {' and '.join(given)}.")
            return _checked(*map(int, given))
    wanted = ", or ".join(" and ".join(pair) for pair in RANK_VARIABLES)
    raise UsageError(f"The rank should come from the environment, which has neither {wanted}.")


def _checked(rank: int, world_size: int) -> Part:
    if rank >= world_size:
        raise UsageError(f"rank must be from 0 to {world_size - 1}, for a world size of {world_size}; got {rank}.")
    return Part(rank, world_size)
