"""Where a model goes: on one device, or spread over several."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch

from vitrail.errors import UsageError
from vitrail.lmm.messages import first_line


@dataclass(frozen=True)
class Placement:
    """Where the modules of a model go, as accelerate takes it.

    Args:
        device_map: which module goes where; "auto" spreads the model over all devices, and what does not fit over the
            memory of the CPU and the disk.
        max_memory: with "auto", the most of each device, such as `{0: "20GiB", "cpu": "60GiB"}`.
        offload_folder: where weights are written that go to the disk.
    """

    device_map: Mapping[str, int | str] | Literal["auto"] = "auto"
    max_memory: Mapping[int | str, int | str] | None = None
    offload_folder: str | Path | None = None

    def as_options(self) -> dict[str, Any]:
        """What `from_pretrained` is told."""
        auto = self.device_map == "auto"
        found: dict[str, Any] = {"device_map": "auto" if auto else dict(cast(Mapping, self.device_map))}
        if self.max_memory is not None:
            found["max_memory"] = dict(self.max_memory)
        if self.offload_folder is not None:
            found["offload_folder"] = str(self.offload_folder)
        return found


def device_of(device: str | None) -> torch.device:
    """The device of that name; by default the accelerator if there is one.

    Raises:
        UsageError: torch can use no device of that name on this machine.
    """
    try:
        found = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(1, device=found)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"There is no device {device!r} that torch can use here: {first_line(error)}") from error
    return found
