"""Following: what becomes of a word's concepts while a model is trained, on samples and texts that stay the same."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from vitrail.artifacts import check_free, differences, parent, plain, read_json, write_json, write_whole
from vitrail.errors import ArtifactError, DataError
from vitrail.lmm import LMM, Batch, Layer
from vitrail.monitoring.coding import Coder
from vitrail.monitoring.live import check_watched
from vitrail.monitoring.options import FollowOptions
from vitrail.monitoring.streams import Kind, Stream, Streams
from vitrail.notebook import Shown, View
from vitrail.progress import Progress, silent
from vitrail.samples import Sample, as_samples
from vitrail.scores.drift import paired_test
from vitrail.studies import Study, as_study, own_samples, same_study

if TYPE_CHECKING:
    from vitrail.lmm.trainer import AfterSteps

log = logging.getLogger(__name__)

STATE, READINGS, AFTER = "followed.json", "readings", "after"
#: Is added to what a concept was before (1 is typical of a sample that has it): nothing emerges from next to nothing.
FLOOR = 0.05
_BATCH = 16

#: What became of a stream: weaker than before, stronger, or as strong but of other states.
Became = Literal["fades", "emerges", "shifts", "stays"]


@dataclass(frozen=True)
class Fate:
    """What became of a concept, or of the novelty, since training began.

    Args:
        stream: which one.
        before: its mean size over the probe before training; 1 is typical of a sample that has the concept.
        now: the same now.
        shift: how far the states of the samples that had the concept have moved, as the length of their mean move in
            multiples of the spread (the root mean squared distance of all states to their mean); of all samples for the
            novelty; NaN where no sample had it.
        q: how surely its activations changed: the false discovery rate of a paired test (Wilcoxon).
        became: what that makes of it.
    """

    stream: Stream
    before: float
    now: float
    shift: float
    q: float
    became: Became

    def __str__(self) -> str:
        return f"{self.stream} {self.became}: {self.before:.2f} → {self.now:.2f}"


@dataclass(frozen=True)
class Reading:
    """The concepts at one step.

    Args:
        step: of training.
        seconds: that reading took.
        fates: of every concept, and of the novelty.
    """

    step: int
    seconds: float
    fates: tuple[Fate, ...]

    @property
    def moved(self) -> tuple[Fate, ...]:
        """Those that fade or emerge, the surest first."""
        return tuple(sorted((f for f in self.fates if f.became in ("fades", "emerges")), key=lambda f: f.q))


@dataclass(frozen=True)
class Turn:
    """An alarm along training: streams that fade or emerge for the first time.

    Args:
        word: of the study.
        layer: of its concepts.
        step: of training.
        time: in seconds since 1970.
        moved: what fades and emerges, the surest first.
    """

    word: str
    layer: Layer
    step: int
    time: float
    moved: tuple[Fate, ...]

    def __str__(self) -> str:
        return f"{self.word!r} at step {self.step}: {'; '.join(map(str, self.moved))}"


@dataclass(frozen=True)
class Followed:
    """What was followed, as it lies on disk.

    Args:
        study: the digest of its concepts.
        word: of the study.
        layer: of its concepts.
        options: how it was followed.
        samples: the ids of the probe.
        readings: one for each time that the concepts were read.
        turns: the alarms.
    """

    study: str
    word: str
    layer: Layer
    options: FollowOptions
    samples: tuple[str, ...]
    readings: tuple[Reading, ...]
    turns: tuple[Turn, ...]


@dataclass(frozen=True)
class _Batch:
    """A part of the probe, ready for the model."""

    inputs: Batch
    answers: tuple[tuple[int, ...], ...]
    positions: tuple[int, ...]


class Follow(Shown):
    """Follows the concepts of a study while a model is trained.

        follow = vitrail.Follow("studies/dog", lmm, "toyland", out="followed/dog")
        trainer = transformers.Trainer(…, callbacks=[follow.callback()])        # or, in a loop of your own:
        for step in range(1, steps + 1):
            …
            follow(step)                                                        # reads at every 50th step
        follow.close()

    The probe are samples of the study with the texts that the model said of them when the study was made. They are read
    before training, and again every few steps, in a forward pass without gradients; the model trains on as if nothing
    had been read. The same samples are compared with themselves, so a few dozen are enough.

    `out` holds what was found (`followed.json`), and the states and activations of every reading (`readings/`). With
    `study_after` it holds the study of the trained model on the samples of the study, too (`after/`), for `compare`.

    Args:
        study: the study to follow, or its folder.
        lmm: the model that will be trained, in place; `lmm.model` is read.
        samples: the data that the study was made of, or their name, file or folder.
        out: the folder to write. If it holds the same, it goes on.
        options: how concepts are followed.
        tell: functions that are told of alarms.

    Raises:
        UsageError: the study is not of states of a word.
        DataError: the samples are not those of the study, or fewer than 8 of them can be read.
        ArtifactError: another model made the study, or `out` holds something else.
    """

    def __init__(
        self,
        study: Study | str | Path,
        lmm: LMM,
        samples: Sequence[Sample] | str | Path,
        *,
        out: str | Path,
        options: FollowOptions | None = None,
        tell: Sequence[Callable[[Turn], None]] = (),
    ) -> None:
        self.study, self.lmm, self.out = as_study(study), lmm, Path(out)
        self.options, self.tell = options or FollowOptions(), tuple(tell)
        there = read_followed(self.out) if (self.out / STATE).exists() else None
        if there is None:
            check_free(self.out, "followed")
        self._coder = Coder(self.study)
        check_watched(lmm, self._coder, self.options.another_model)
        self._coder.prepare()
        self.samples = own_samples(self.study.activations, as_samples(samples))
        self.streams = Streams(tuple(self.study.titles), ()).all
        self.ids, self._batches = self._probe()
        self.readings: list[Reading] = []
        self.turns: list[Turn] = []
        self._told: set[tuple[Kind, int | None, Became]] = set()
        if there is not None:
            self._resume(there)
        self._before = self._read(lmm, 0) if there is None else self._kept(0)
        self._write()

    # ---- the probe ---------------------------------------------------------------------------------------------------

    def _probe(self) -> tuple[list[str], list[_Batch]]:
        """The ids of the samples, and the batches that are read again and again."""
        known = {sample.id: sample for sample in self.samples}
        activations = self.study.activations
        learned = self.study.learned
        rows = [activations.rows[i] for i in np.flatnonzero(learned.kept)]
        usable = [i for i, row in enumerate(rows) if row.sample_id in known and row.position is not None]
        chosen = strongest_in_turn(np.abs(learned.V[usable]), self.options.n_samples)
        rows = [rows[usable[i]] for i in chosen]
        if len(rows) < 8:
            raise DataError(f"Only {len(rows)} samples of the study are in these data; following needs 8 at least.")
        batches = []
        for start in range(0, len(rows), _BATCH):
            part = rows[start : start + _BATCH]
            images = [known[row.sample_id].open() for row in part]
            inputs = self.lmm.prepare(images, [row.request for row in part])
            offset = 0 if self._coder.alignment == "reads" else -1
            ends = [row.token + offset for row in part]
            width = inputs["input_ids"].shape[1]
            answers = tuple(tuple(row.token_ids[: end + 1]) for row, end in zip(part, ends, strict=True))
            batches.append(_Batch(inputs, answers, tuple(width + end for end in ends)))
        return [row.sample_id for row in rows], batches

    # ---- reading -----------------------------------------------------------------------------------------------------

    def __call__(self, step: int, lmm: LMM | None = None) -> Reading | None:
        """Reads the concepts after a step, if it is one of those at which they are read; None else.

        Args:
            step: 1, 2, …
            lmm: the model, where it is another object than the one that was given.
        """
        if step % self.options.every or any(reading.step == step for reading in self.readings):
            return None
        return self.read(step, lmm)

    def read(self, step: int, lmm: LMM | None = None) -> Reading:
        """Reads the concepts now."""
        start = time.perf_counter()
        now = self._read(lmm or self.lmm, step)
        fates = self._fates(now)
        reading = Reading(step, time.perf_counter() - start, fates)
        self.readings.append(reading)
        self._turn(reading)
        self._write()
        return reading

    def _read(self, lmm: LMM, step: int) -> dict[str, np.ndarray]:
        """The states, strengths and errors of the probe, which are kept on disk."""
        layer = lmm.layer(self._coder.layer)
        with _resting(lmm.model), torch.no_grad():
            states = torch.cat(
                [lmm.states(b.inputs, b.answers, b.positions, [layer])[layer].float() for b in self._batches]
            )
        codes = self._coder(states)
        found = {"states": states.cpu().numpy(), "strengths": codes.strengths, "errors": codes.errors}
        found = {name: np.ascontiguousarray(values, np.float32) for name, values in found.items()}
        write_whole(self._path(step), lambda partial: save_file(found, partial))
        return found

    def _fates(self, now: dict[str, np.ndarray]) -> tuple[Fate, ...]:
        """What became of each stream."""
        first, second = (np.column_stack([np.abs(r["strengths"]), r["errors"]]) for r in (self._before, now))
        q = paired_test(first, second).q
        moves = now["states"] - self._before["states"]
        spread = float(np.sqrt(self._coder.spread))
        had = np.column_stack([self._before["strengths"] != 0, np.ones(len(first), bool)])
        fates = []
        for i, stream in enumerate(self.streams):
            before, after = float(first[:, i].mean()), float(second[:, i].mean())
            shift = float(np.linalg.norm(moves[had[:, i]].mean(axis=0))) / spread if had[:, i].any() else float("nan")
            least = self.options.least if q[i] <= self.options.alpha else math.inf
            became = _became(before, after, shift, least)
            fates.append(Fate(stream, before, after, shift, float(q[i]), became))
        return tuple(fates)

    def _turn(self, reading: Reading) -> None:
        """Raises an alarm for what fades or emerges for the first time."""
        new = tuple(f for f in reading.moved if _name(f) not in self._told)
        if not new:
            return
        self._told |= {_name(f) for f in new}
        turn = Turn(self._coder.word.text, self._coder.layer, reading.step, time.time(), new)
        self.turns.append(turn)
        log.warning("vitrail.monitor: %s", turn)
        for tell in self.tell:
            tell(turn)

    # ---- for trainers ------------------------------------------------------------------------------------------------

    def callback(self) -> AfterSteps:
        """A callback for `transformers.Trainer`, whose model must be `lmm.model`."""
        from vitrail.lmm.trainer import AfterSteps

        return AfterSteps(self, self.close)

    def _shown(self) -> View:
        about = f"of “{self.study.activations.word.text}” in {self.out}: read {len(self.readings)} times"
        rows = tuple((turn.step, "; ".join(map(str, turn.moved))) for turn in self.turns)
        return View("Follow", about, ("step", "what moved"), rows, notes=() if rows else ("Nothing fades or emerges.",))

    def close(self, lmm: LMM | None = None, progress: Progress = silent) -> None:
        """Writes the study of the trained model, if the options say so."""
        lmm = lmm or self.lmm
        if self.options.study_after:
            with _resting(lmm.model):
                same_study(self.study, lmm, self.samples, out=self.out / AFTER, progress=progress)

    # ---- on disk -----------------------------------------------------------------------------------------------------

    def _path(self, step: int) -> Path:
        return self.out / READINGS / f"step-{step:06d}.safetensors"

    def _kept(self, step: int) -> dict[str, np.ndarray]:
        try:
            return load_file(self._path(step))
        except (OSError, SafetensorError) as error:
            raise ArtifactError(f"{self._path(step)} is damaged or missing ({error}). Name another folder.") from error

    @property
    def followed(self) -> Followed:
        """All that was found so far."""
        digest = parent(self.study.learned.folder)["manifest_sha256"]
        return Followed(
            digest,
            self._coder.word.text,
            self._coder.layer,
            self.options,
            tuple(self.ids),
            tuple(self.readings),
            tuple(self.turns),
        )

    def _write(self) -> None:
        write_json(self.out / STATE, self.followed)

    def _resume(self, there: Followed) -> None:
        """Takes up what lies in the folder."""
        same = ("study", "options", "samples")
        wanted = {name: plain(asdict(self.followed)[name]) for name in same}
        if differing := differences({name: plain(asdict(there)[name]) for name in same}, wanted):
            raise ArtifactError(f"{self.out} followed something else: {'; '.join(differing)}. Name another folder.")
        self.readings, self.turns = list(there.readings), list(there.turns)
        self._told = {_name(fate) for turn in self.turns for fate in turn.moved}


def strongest_in_turn(V: np.ndarray, n: int) -> list[int]:
    """`n` rows of activations (rows, concepts): the strongest of each concept, then the next of each, and so on.

    So that rare concepts are seen, too. This biases nothing, since the same rows are compared with themselves.

    >>> strongest_in_turn(np.array([[9, 0], [8, 1], [7, 3]]), 2)
    [0, 2]
    """
    ranked = np.argsort(-V, axis=0, kind="stable")
    return list(dict.fromkeys(ranked.ravel().tolist()))[:n]


def _name(fate: Fate) -> tuple[Kind, int | None, Became]:
    return fate.stream.kind, fate.stream.concept, fate.became


def _became(before: float, now: float, shift: float, least: float) -> Became:
    """`least` is the share by which it must be weaker or stronger; infinite where that is not sure."""
    if abs(now - before) >= least * (before + FLOOR):
        return "fades" if now < before else "emerges"
    return "shifts" if shift >= 0.5 else "stays"


@contextmanager
def _resting(model: torch.nn.Module) -> Iterator[None]:
    """The model without dropout; afterwards every module trains as before."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def read_followed(folder: str | Path) -> Followed:
    """What was followed, from its folder.

    Raises:
        ArtifactError: there is nothing, or it is damaged.
    """
    path = Path(folder) / STATE
    if not path.is_file():
        raise ArtifactError(f"Nothing was followed at {folder}: `vitrail finetune --watch STUDY` writes it.")
    return read_json(path, Followed, "follow")
