"""The monitor: which concepts are behind the words of interest that a model says, while it works."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import torch
from PIL import Image
from torch import Tensor

from vitrail import words
from vitrail.concepts.evidence import Evidence
from vitrail.errors import DataError, ModelError, UsageError, VitrailError
from vitrail.grounding import check_model
from vitrail.lmm import LMM, Generation, as_lmm
from vitrail.lmm.watching import Spoken
from vitrail.monitoring.coding import Coder
from vitrail.monitoring.observation import Observation
from vitrail.monitoring.options import MonitorOptions
from vitrail.monitoring.sinks import Announces, Sink, Telemetry, Watched, as_sinks
from vitrail.samples import Sample, thumbnail
from vitrail.samples.bounds import batches
from vitrail.studies import Study, as_study

log = logging.getLogger(__name__)

#: What may be given as a sink: the sink itself, a function of observations, or its kind and address as a text.
SinkLike = Sink | Callable[[Sequence[Observation]], None] | str | Path


def monitor(
    lmm: LMM | str | Path,
    studies: Study | str | Path | Sequence[Study | str | Path],
    *,
    sink: SinkLike | Sequence[SinkLike] = (),
    evidence: Sequence[Evidence] = (),
    options: MonitorOptions | None = None,
) -> Monitor:
    """A context in which each word of interest that `lmm` says is observed: the concepts behind it go to the sinks.

        with vitrail.monitor(lmm, "studies/dog", sink="jsonl:dogs.jsonl") as watching:
            lmm.caption(images)                    # or model.generate(…) of your own, on the same model

    What is generated does not change. See `docs/monitoring.md`.

    Args:
        lmm: the model, or its name or folder, as `load` takes it; `lmm.model` is watched.
        studies: of which words and layers; studies or their folders.
        sink: where observations go: a function of them, a `Sink`, or a text such as "jsonl:FILE" or "prometheus:PORT";
            or several.
        evidence: for words of the studies, whether they are true; see `fit_evidence`.
        options: how it is watched.

    Raises:
        UsageError: no studies, two of the same word and layer, one of other states than those of a word, or no such
            sink.
        ArtifactError: a study is damaged, or was made with another model.
        ModelError: the model's states cannot be read.
    """
    several = [as_study(s) for s in ([studies] if isinstance(studies, Study | str | Path) else studies)]
    sinks = [sink] if isinstance(sink, str | Path) or not isinstance(sink, Sequence) else list(sink)
    known = {one.word: one for one in evidence}
    if unknown := set(known) - {study.activations.word.text for study in several}:
        raise UsageError(f"There is evidence for {', '.join(sorted(unknown))}, and no study of it is watched.")
    coders = [Coder(study, known.get(study.activations.word.text)) for study in several]
    return Monitor(as_lmm(lmm), coders, as_sinks(sinks), options or MonitorOptions())


@dataclass(frozen=True)
class _Context:
    """What `about` said of the next generation."""

    ids: tuple[str, ...] | None = None
    images: tuple[Image.Image, ...] | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


_NOTHING = _Context()
_CONTEXT: ContextVar[_Context] = ContextVar("monitored", default=_NOTHING)


@dataclass(frozen=True)
class _Found:
    """A word that was said: its state waits to be coded."""

    state: Tensor
    form: str
    time: float
    caption: str
    sample: str | None
    thumbnail: bytes | None
    tags: Mapping[str, str]


class Monitor:
    """Observes words of interest while a model generates; made by `monitor`, used in a `with` block.

    Threads may generate at the same time, on one model: each answer is followed in its own thread, and `about` holds
    for the thread, or the task of asyncio, that it was called in. Sinks are called by one thread at a time.

    Attributes:
        counts: how many `answers` were heard, and how many `observations` and `outliers` (attention sinks) were made of
            them; `unread` counts words at the very end of an answer whose state was never computed, which happens with
            the alignment "reads" alone; `errors` those that `on_error="log"` passed over.
    """

    def __init__(self, lmm: LMM, coders: Sequence[Coder], sinks: Sequence[Sink], options: MonitorOptions) -> None:
        if not coders:
            raise UsageError("Name a study, or several, whose concepts are to be watched.")
        self.lmm, self.options, self.sinks = lmm, options, tuple(sinks)
        self.coders = {coder.name: coder for coder in coders}
        if len(self.coders) < len(coders):
            raise UsageError("Two studies are of the same word and layer; watch one of them.")
        for coder in self.coders.values():
            check_watched(lmm, coder, options.another_model)
            coder.prepare()
        self._introduce()
        self.counts: Counter[str] = Counter()
        self._waiting: dict[str, list[_Found]] = {name: [] for name in self.coders}
        self._lock = threading.RLock()
        self._open = ExitStack()

    def _introduce(self) -> None:
        """Tells sinks of dashboards what is watched, and lets them hear the alarms of the others."""
        watched = [Watched(coder.word.text, coder.layer, coder.names) for coder in self.coders.values()]
        for sink in self.sinks:
            if isinstance(sink, Telemetry):
                sink.begin(watched)
                for other in self.sinks:
                    if isinstance(other, Announces):
                        other.announce(sink.alarm)

    # ---- the block ---------------------------------------------------------------------------------------------------

    def __enter__(self) -> Monitor:
        layers = self.lmm.layers(coder.layer for coder in self.coders.values())
        for sink in self.sinks:
            self._open.callback(sink.close)
        self._open.enter_context(self.lmm.watched(layers, self._guarded(self._hear)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.flush()
        finally:
            self._open.close()

    @contextmanager
    def about(
        self,
        *,
        ids: Sequence[str] | None = None,
        images: Sequence[Image.Image] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Iterator[None]:
        """Says what the generations inside the `with` block are about.

        Args:
            ids: one for each row of every generation inside, to find it again; so there is one generation, as a rule.
            images: one for each row; their thumbnails are kept.
            tags: added to those of an outer block.
        """
        before = _CONTEXT.get()
        of_rows = (None if ids is None else tuple(ids), None if images is None else tuple(images))
        token = _CONTEXT.set(_Context(*of_rows, {**before.tags, **(tags or {})}))
        try:
            yield
        finally:
            _CONTEXT.reset(token)

    def caption(
        self, samples: Sequence[Sample], *, max_new_tokens: int = 40, batch_size: int = 32, begin: str = ""
    ) -> list[str | None]:
        """What the model says of each sample, observed with its id and image; None where the image cannot be read.

        Args:
            begin: how every answer begins; the model goes on from there, and is observed where it goes on.
        """
        texts: list[str | None] = [None] * len(samples)
        for places in batches([_pixels(sample) for sample in samples], batch_size):
            opened = []
            for i in places:
                try:
                    opened.append((i, samples[i], samples[i].open()))
                except DataError as error:
                    log.warning("%s", error)
            if not opened:
                continue
            inputs = self.lmm.prepare([image for *_, image in opened], [self.lmm.request(s) for _, s, _ in opened])
            for rows in self.lmm.together(inputs):
                part = [opened[row] for row in rows]
                batch = self.lmm.prepare([image for *_, image in part], [self.lmm.request(s) for _, s, _ in part])
                if begin:
                    forced = [self.lmm.continuation(self.lmm.request(s), begin).ids for _, s, _ in part]
                    batch = self.lmm.extended(batch, forced)
                with self.about(ids=[s.id for _, s, _ in part], images=[image for *_, image in part]):
                    said = self.lmm.generate(batch, max_new_tokens)
                for (i, *_), answer in zip(part, said, strict=True):
                    texts[i] = answer.text.strip()
        return texts

    def flush(self) -> None:
        """Works out all observations that wait, and gives them to the sinks."""
        with self._lock:
            for name in self.coders:
                self._work(name)
            for sink in self.sinks:
                sink.flush()

    # ---- from answers to observations --------------------------------------------------------------------------------

    def _guarded(self, hear: Callable[[Spoken | ModelError], None]) -> Callable[[Spoken | ModelError], None]:
        """`hear`, whose errors are logged and counted where the options say so."""

        def guarded(spoken: Spoken | ModelError) -> None:
            try:
                hear(spoken)
            except Exception as error:
                if self.options.on_error == "raise":
                    raise
                with self._lock:
                    self.counts["errors"] += 1
                log.error("vitrail.monitor: %s", error, exc_info=not isinstance(error, VitrailError))

        return guarded

    def _hear(self, spoken: Spoken | ModelError) -> None:
        """Finds the words in what one call of `generate` said, and keeps their states."""
        if isinstance(spoken, ModelError):
            raise spoken
        now, context = time.time(), _CONTEXT.get()
        answers = [self.lmm.backend.generation(ids) for ids in spoken.ids.tolist()]
        for what, given in (("ids", context.ids), ("images", context.images)):
            if given is not None and len(given) != len(answers):
                raise UsageError(f"`about` was told {len(given)} {what}, and {len(answers)} answers were generated.")
        with self._lock:
            self.counts["answers"] += len(answers)
            for coder in self.coders.values():
                self._find(coder, spoken, answers, context, now)
            for name, waiting in self._waiting.items():
                if len(waiting) >= self.options.every:
                    self._work(name)

    def _find(self, coder: Coder, spoken: Spoken, answers: Sequence[Generation], context: _Context, now: float) -> None:
        """The states of the coder's word, in those answers that have it."""
        rows, steps, forms = [], [], []
        for row, answer in enumerate(answers):
            match = coder.word.find(answer.text)
            if match is None:
                continue
            first, last = words.token_span(words.token_offsets(self.lmm.tokenizer, answer.ids), match)
            step = first if coder.alignment == "predicts" else last + 1
            if step >= spoken.ids.shape[1]:
                self.counts["unread"] += 1
                continue
            rows.append(row)
            steps.append(step)
            forms.append(match.form)
        if not rows:
            return
        states = spoken.at(self.lmm.layer(coder.layer), rows, steps)
        for row, form, state in zip(rows, forms, states, strict=True):
            image = context.images[row] if context.images is not None and self.options.images else None
            self._waiting[coder.name].append(
                _Found(
                    state,
                    form,
                    now,
                    answers[row].text.strip(),
                    None if context.ids is None else context.ids[row],
                    None if image is None else thumbnail(image),
                    context.tags,
                )
            )

    def _work(self, name: str) -> None:
        """Codes the states that wait for one study, and gives the observations to the sinks."""
        found, self._waiting[name] = self._waiting[name], []
        if not found:
            return
        coder = self.coders[name]
        codes = coder(torch.stack([f.state for f in found]))
        made = [
            Observation(
                word=coder.word.text,
                layer=coder.layer,
                form=f.form,
                time=f.time,
                activations=tuple(codes.activations[i].tolist()),
                strengths=tuple(codes.strengths[i].tolist()),
                error=float(codes.errors[i]),
                ordinary=bool(codes.ordinary[i]),
                caption=f.caption,
                sample=f.sample,
                thumbnail=f.thumbnail,
                tags=f.tags,
                evidence=None if codes.evidence is None else float(codes.evidence[i]),
            ).kept(text=self.options.text, images=self.options.images)
            for i, f in enumerate(found)
        ]
        self.counts["observations"] += len(made)
        self.counts["outliers"] += sum(not one.ordinary for one in made)
        for sink in self.sinks:
            sink.write(made)


def check_watched(lmm: LMM, coder: Coder, another_model: bool) -> None:
    """Raises unless the model may be watched with the coder's study; `another_model` as in `MonitorOptions`."""
    if (at := coder.study.activations.options.read_at) != "word":
        raise UsageError(
            f"A monitor reads the state of a word, and the study of {coder.word.text!r} is of the states at {at!r}. "
            "Watch a study of the states of the word."
        )
    if not another_model:
        check_model(lmm, coder.study.activations)
    made = coder.study.activations.model
    if (lmm.n_features, lmm.n_blocks) != (made.n_features, made.n_blocks):
        raise UsageError(
            f"The study of {coder.word.text!r} is of a model with {made.n_blocks} blocks of width {made.n_features}; "
            f"{lmm.name} has {lmm.n_blocks} of width {lmm.n_features}."
        )


def _pixels(sample: Sample) -> int:
    """How many pixels the sample's image has; 0 for one that cannot be read, which is said when it is opened."""
    try:
        return sample.pixels()
    except DataError:
        return 0
