"""How many samples a batch should have, and how much memory it takes: both measured, by doubling."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from vitrail.lmm.running import out_of_memory

#: The first size that is tried, and the last.
FIRST, LAST = 4, 512
#: Doubling must make a sample so many times as fast.
GAIN = 1.1
#: What the next size is expected to take must be less than this share of the memory that is left.
SHARE = 0.5


@dataclass
class Used:
    """What a `with` block of `measuring` took: `seconds`, and `memory`, by how many bytes its peak was above what was
    in use when it began."""

    seconds: float = 0.0
    memory: int = 0


@contextmanager
def measuring(device: torch.device) -> Iterator[Used]:
    """Measures the time and the memory that the `with` block takes: that of the accelerator, or that of this process
    where the model is on the CPU.

    The process's own peak is what Linux tells; elsewhere it is not known, and 0.
    """
    used, on_cuda = Used(), device.type == "cuda"
    if on_cuda:
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
    else:
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = _of_process("VmRSS")
    start = time.perf_counter()
    yield used
    if on_cuda:
        torch.cuda.synchronize(device)
    used.seconds = time.perf_counter() - start
    peak = torch.cuda.max_memory_allocated(device) if on_cuda else _of_process("VmHWM")
    used.memory = max(0, peak - before)


def memory_peak(device: torch.device) -> int | None:
    """Bytes that were in use at most so far, where the model is; None where that is not known."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return _line("/proc/self/status", "VmHWM")


def memory_left(device: torch.device) -> int | None:
    """Bytes that are free where the model is; None where that is not known."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return _line("/proc/meminfo", "MemAvailable")


def _of_process(name: str) -> int:
    return _line("/proc/self/status", name) or 0


def _line(path: str, name: str) -> int | None:
    """The bytes on the line of a file of Linux's that begins with `name`."""
    with suppress(OSError, ValueError, IndexError):
        [line] = [line for line in Path(path).read_text().splitlines() if line.startswith(f"{name}:")]
        return int(line.split()[1]) * 1024
    return None


def best_size(load: Callable[[int], Callable[[], object]], n: int, device: torch.device) -> int:
    """The batch size at which samples are fastest, found by doubling until time or memory says stop.

    Args:
        load: loads a batch of the size that it is given, and gives what runs it, which is timed.
        n: how many samples there are; a size of which there are not eight batches is not tried.
        device: where the model is.
    """
    best, rate, size = 1, 0.0, FIRST
    while size <= min(LAST, max(FIRST, n // 8)):
        try:
            if size == FIRST:
                load(size)()  # a rehearsal: a model's first pass takes longer
            run = load(size)
            with measuring(device) as used:
                run()
        except (RuntimeError, MemoryError) as error:
            if out_of_memory(error):
                break
            raise
        if size / used.seconds < GAIN * rate:
            break
        best, rate = size, size / used.seconds
        left = memory_left(device)
        if left is not None and 2 * used.memory > SHARE * left:
            break
        size *= 2
    return best
