"""`fit_lens`: a model and samples → a lens."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from vitrail.artifacts import (
    MANIFEST,
    check_place,
    is_current,
    one_writer,
    plain,
    read_manifest,
    same_run,
    write_manifest,
    write_whole,
)
from vitrail.artifacts.files import remove
from vitrail.errors import DataError, UsageError
from vitrail.extraction import check_images
from vitrail.lenses.artifact import FILE, KIND, SUMS, Lens, open_lens
from vitrail.lenses.fitting import ROWS, Answered, Sums, added, fit_of, maps_of, of_batch
from vitrail.lenses.options import LensOptions
from vitrail.lmm import LMM, Layer, as_lmm
from vitrail.lmm.doctor import certificate
from vitrail.lmm.running import BatchSize, halving
from vitrail.progress import Progress, Tally, shown
from vitrail.samples import Sample, as_samples, digest_of
from vitrail.samples.opening import Opener
from vitrail.saying import Asked, BatchLoader, Ready, asked_of

log = logging.getLogger(__name__)

#: Every so many samples one is held out: it tells how well a lens does, and is not fitted on.
HELD_OUT = 5
#: The sums are written after so many seconds, and a run that was stopped goes on from there.
KEPT_EVERY = 60.0


@one_writer
def fit_lens(
    lmm: LMM | str | Path,
    samples: Sequence[Sample] | str | Path,
    options: LensOptions,
    *,
    out: str | Path,
    progress: Progress | bool = True,
) -> Lens:
    """The lens of a model, fitted on what it says of `samples`, in the folder `out`.

    It maps states of middle layers to those of the last block, so that the unembedding reads words of them: see
    `lenses.fitting` for its formula. A few hundred samples are enough; every fifth is held out, and tells how well the
    lens does. A run that was stopped goes on.

    Args:
        lmm: the model, or its name or folder, as `load` takes it.
        samples: the samples, or their name, file or folder, as `load_samples` takes them.
        options: which layers, and how it is fitted.
        progress: bars where someone watches; False for nothing, or a function. See `vitrail.progress`.

    Raises:
        UsageError: a layer that a lens cannot have.
        DataError: too few samples, or none can be read.
        ArtifactError: `out` belongs to another run.
    """
    out = Path(out)
    check_place(out, KIND)
    with shown(progress) as tell:
        samples = as_samples(samples, tell)
        check_images(samples)  # before a model is loaded
        lmm = as_lmm(lmm)
        options = replace(options, layers=_own_layers(lmm, options.layers))
        _check_enough(len(samples), lmm.n_features, options)
        parameters = plain(
            {
                "model": lmm.describe().as_dict(),
                "prompt": lmm.prompt,
                "samples": {"n": len(samples), "sha256": digest_of(samples)},
                **asdict(options),
            }
        )
        if (out / MANIFEST).exists():
            manifest = read_manifest(out, KIND)
            same_run(out, manifest, parameters)
            if manifest.get("complete", True) and is_current(out, KIND, parameters, {}):
                return open_lens(out)
        return _Fitting(lmm, samples, options, out, parameters).run(tell)


def _own_layers(lmm: LMM, layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """The layers by their own names, each once.

    Raises:
        UsageError: there is no such layer, or nothing lies between it and the last block.
    """
    found = lmm.layers(layers)
    if last := [layer for layer in found if layer in (lmm.n_blocks, "final")]:
        raise UsageError(
            f"A lens maps a layer to the last block, {lmm.n_blocks}; layer {last[0]} needs none. Name layers from 0 to "
            f"{lmm.n_blocks - 1}."
        )
    if not found:
        raise UsageError("Name the layers of the lens.")
    return found


def _check_enough(n: int, d: int, options: LensOptions) -> None:
    """Raises `DataError` if there are too few samples."""
    fitted_on = n - n // HELD_OUT
    if n < HELD_OUT:
        raise DataError(f"A lens needs at least {HELD_OUT} samples, one of which is held out; got {n}.")
    if options.rows and fitted_on * min(options.rows, d) < 2 * d:
        raise DataError(
            f"With {options.rows} rows of the Jacobian of each of {fitted_on} samples (every {HELD_OUT}th is held out) "
            f"not every one of its {d} rows is computed twice. Give more samples, or more rows of each."
        )


def _readable(samples: Sequence[Sample], n: int) -> list[Sample]:
    """The first `n` samples whose image can be read."""
    found: list[Sample] = []
    for sample in samples:
        with suppress(DataError):
            sample.open()
            found.append(sample)
        if len(found) == n:
            break
    return found


def _read_sums(path: Path) -> tuple[Sums, int]:
    """The sums that a run which was stopped left, and over how many parts they are; none where the file is damaged."""
    try:
        with safe_open(path, framework="np") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, int(file.metadata()["done"])  # noqa: SIM118
    except FileNotFoundError:
        return {}, 0
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        log.warning("the lens is fitted from the first sample on: %s is damaged (%s)", path, error)
        return {}, 0


class _Fitting:
    """A lens being fitted."""

    def __init__(
        self, lmm: LMM, samples: Sequence[Sample], options: LensOptions, out: Path, parameters: dict[str, Any]
    ) -> None:
        self.lmm, self.options, self.out, self.parameters = lmm, options, out, parameters
        held = list(samples[HELD_OUT - 1 :: HELD_OUT])
        fitted = [s for i, s in enumerate(samples) if i % HELD_OUT != HELD_OUT - 1]
        size = options.batch_size
        self.parts = [
            (start, of_kind[start : start + size], of_kind is held)
            for of_kind in (fitted, held)
            for start in range(0, len(of_kind), size)
        ]
        self.loader, self.size, self.n = BatchLoader(lmm), BatchSize(size), len(samples)
        self.left_out: dict[str, str] = {}
        self.certificate = certificate(lmm, _readable(samples, 2))

    def run(self, progress: Progress) -> Lens:
        """Goes on from the sums that are there, and writes the lens."""
        begun = (self.out / MANIFEST).exists()
        sums, done = _read_sums(self.out / SUMS) if begun else ({}, 0)
        content = {"parameters": self.parameters, "complete": False, "doctor": self.certificate}
        write_manifest(self.out, KIND, content)
        tally, kept = Tally(progress, "fit lens", self.n), time.monotonic()
        for number, (start, part, held) in enumerate(self.parts):
            if number >= done:
                sums = added(sums, self.of_part(start, part, held))
                if time.monotonic() - kept > KEPT_EVERY:
                    write_whole(self.out / SUMS, partial(save_file, sums, metadata={"done": str(number + 1)}))
                    kept = time.monotonic()
            tally.add(len(part))
        return self.finish(sums)

    def of_part(self, start: int, part: Sequence[Sample], held: bool) -> Sums:
        """The sums over some samples, of which the first has the number `start` among those of its kind."""
        opener = Opener()
        numbers = {sample.id: start + i for i, sample in enumerate(part)}
        asked = asked_of(self.lmm, part, opener)
        found: Sums = {}

        def once(some: Sequence[Asked]) -> list[Sums]:
            return [self.of_ready(ready, numbers, held) for _, ready in self.loader.load(some, opener, _itself).pieces]

        for one in halving(once, asked, self.size) if asked else ():
            found = added(found, one)
        self.left_out |= opener.skipped
        return found

    def of_ready(self, ready: Ready[Asked], numbers: Mapping[str, int], held: bool) -> Sums:
        """The sums over samples that the model can be given at once."""
        said = self.lmm.generate(ready.inputs, self.options.max_new_tokens)
        batch = Answered(
            [numbers[asked.sample.id] for asked in ready.items],
            ready.inputs,
            [asked.request for asked in ready.items],
            [answer.ids for answer in said],
            held,
        )
        return of_batch(self.lmm, batch, self.options)

    def finish(self, sums: Sums) -> Lens:
        """Writes the lens.

        Raises:
            DataError: no sample could be read, or a row of the Jacobian was computed less than twice.
        """
        last = self.lmm.n_blocks
        if "n" not in sums or f"{ROWS}{last}" not in sums:
            why = "; ".join(f"{name}: {why}" for name, why in [*self.left_out.items()][:1])
            raise DataError(f"Too few of {self.n} samples could be read. {why}")
        for name, why in self.left_out.items():
            log.warning("%s was left out: %s", name, why)
        maps = maps_of(sums, self.options, last)
        fit = {str(layer): fit_of(self.lmm, sums, maps, layer) for layer in self.options.layers}
        write_whole(self.out / FILE, partial(save_file, maps))
        content = {"parameters": self.parameters, "fit": plain(fit), "doctor": self.certificate}
        write_manifest(self.out, KIND, content, [FILE])
        remove(self.out / SUMS)
        return open_lens(self.out)


def _itself(asked: Asked) -> Asked:
    return asked
