"""`say`: samples + a model, here or behind a server → texts."""

from __future__ import annotations

import hashlib
import logging
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from vitrail.artifacts import Counts, Part, Run, Shards, Writer, check_room, folder_for, one_writer, writing
from vitrail.errors import DataError
from vitrail.lmm import DEFAULT_PROMPT, LMM, Generation, Loader, as_lmm, loader_of
from vitrail.lmm.running import Batches, BatchSize, Group
from vitrail.lmm.sizing import LAST, best_size
from vitrail.progress import Progress, Tally, shown, silent
from vitrail.samples import Sample, as_samples, summary_of
from vitrail.samples.opening import Opener, digests_of
from vitrail.samples.parts import Digests, Parts
from vitrail.saying.asking import Asked, BatchLoader, Loaded, Ready, asked_of
from vitrail.saying.endpoint import Endpoint
from vitrail.saying.options import SayingOptions
from vitrail.saying.texts import KIND, SCHEMA, SUFFIX, Texts, Utterance, texts_of
from vitrail.work import Pool, WorkOptions, part_of, pool_of, whole_run

log = logging.getLogger(__name__)

Said: TypeAlias = dict[str, Utterance]
#: (id, reason) of the samples that are left out.
Unsaid: TypeAlias = list[tuple[str, str]]


@dataclass(frozen=True)
class Speaker:
    """What says something of samples.

    Args:
        speak: the samples of each shard, who is told how many of a shard are done, and samples per batch → what was
            said of each, and what was left out, shard by shard.
        parameters: what decides what is said.
        best_size: some samples, and how many there are → the batch size at which they are fastest.
    """

    speak: Callable[[Iterable[Sequence[Sample]], Callable[[int], None], int], Generator[tuple[Said, Unsaid]]]
    parameters: dict[str, Any]
    best_size: Callable[[Sequence[Sample], int], int]


def say(
    lmm: LMM | Endpoint | str | Path,
    samples: Sequence[Sample] | str | Path,
    *,
    out: str | Path | None = None,
    prompt: str | None = None,
    max_new_tokens: int = 40,
    batch_size: int = 32,
    shard_size: int = 256,
    progress: Progress | bool = True,
) -> Texts:
    """What a model says of each sample, greedily, written to the folder `out`; `extract(…, said=out)` reads it.

    A run that was stopped goes on.

    Args:
        lmm: the model, its name or folder as `load` takes it, or the `Endpoint` of a server.
        samples: the samples, or their name, file or folder, as `load_samples` takes them.
        out: `vitrail-texts/MODEL` for None.
        prompt: this and the following as in `SayingOptions`.
        progress: bars where someone watches; False for nothing, or a function. See `vitrail.progress`.

    Raises:
        DataError: no samples, or no image can be read.
        ModelError: the server cannot be reached, or refuses.
        ArtifactError: `out` belongs to another run.
    """
    options = SayingOptions(prompt, max_new_tokens, batch_size, shard_size)
    with shown(progress) as tell:
        found = as_samples(samples, tell)
        speaker = lmm if isinstance(lmm, Endpoint) else as_lmm(lmm)
        name = (speaker.model or "endpoint") if isinstance(speaker, Endpoint) else Path(speaker.name).name
        return say_as(speaker, found, options, out=out or folder_for(None, "texts", name, progress), progress=tell)


@one_writer
def say_as(
    lmm: LMM | Loader | Endpoint,
    samples: Sequence[Sample],
    options: SayingOptions,
    *,
    out: str | Path,
    work: WorkOptions | None = None,
    progress: Progress = silent,
) -> Texts:
    """`say` with its options as one value; see `say`.

    Args:
        lmm: the model, a server, or a function that loads a model, where workers of Ray do.
        work: who does the work; this process for None. One rank of several is `say_part`.
    """
    shards = _written(lmm, samples, options, Path(out), whole_run(work), progress)
    counts = shards.counts()
    if not counts.kept:
        shards.discard()
        sample, why = counts.unreadable[0]
        raise DataError(f"Nothing was said of any of {counts.scanned} samples; the first, {sample}: {why}")
    return texts_of(Path(out), shards.finish_files())


def say_part(
    lmm: LMM | Loader | Endpoint,
    samples: Sequence[Sample],
    options: SayingOptions,
    *,
    out: str | Path,
    work: WorkOptions,
    progress: Progress = silent,
) -> Counts:
    """One rank's part of the texts. All ranks write to `out`, or each to a folder of its own; `merge` completes them.

    Returns:
        What became of the samples of this part.

    Raises:
        UsageError: `work` names no rank, or the batch size is "auto".
        ArtifactError: another process has the same rank, or the folder was begun with another number of ranks.
    """
    with writing(out, part_of(work, options.batch_size).rank):
        return _written(lmm, samples, options, Path(out), work, progress).counts()


def _written(
    lmm: LMM | Loader | Endpoint,
    samples: Sequence[Sample],
    options: SayingOptions,
    out: Path,
    work: WorkOptions,
    progress: Progress,
) -> Shards:
    """The shards at `out`, all or those of a rank."""
    if not samples:
        raise DataError("There are no samples to say anything of.")
    if isinstance(lmm, Endpoint):
        make = partial(_at, lmm.named(), options)
    elif work.engine == "local":
        make = partial(_here, lmm if isinstance(lmm, LMM) else lmm(), options)
    else:
        make = partial(_loaded, loader_of(lmm), options)
    with pool_of(make, work) as pool:
        return _filled(pool, options, samples, out, work.part, progress)


def _filled(
    pool: Pool[Speaker],
    options: SayingOptions,
    samples: Sequence[Sample],
    out: Path,
    part: Part | None,
    progress: Progress,
) -> Shards:
    """The shards at `out`, with what `pool` says."""
    parts = Parts(samples, options.shard_size)
    ids = hashlib.sha256("\n".join(s.id for s in samples).encode()).hexdigest()
    parameters = {**pool.once(_parameters), "samples": {"n": len(samples), "ids_sha256": ids}}
    origin = summary_of(samples)
    data = None if origin is None else origin.as_dict()
    shards = Shards(out, Run(KIND, parameters, len(parts), (SUFFIX,), parts.digests, part=part, data=data))
    missing = shards.missing()
    room = len(samples) * (500 + 12 * options.max_new_tokens)  # a text, its tokens, and what was asked
    log.info(
        "%d samples; batch size %s; up to %.1f MB on disk, %.1f GB are free",
        *(len(samples), parameters.get("batch_size", "that of the server"), room / 1e6, check_room(out, room) / 1e9),
    )
    size = options.samples_per_batch
    if missing and pool.once(_parameters).get("batch_size") == "auto":
        size = shards.batch_size or pool.once(_best_size, samples[:LAST], len(samples))
        log.info("batch size %d", size)
        shards.certify(shards.certificate, size)
    tally = Tally(progress, "say", sum(len(parts[i]) for i in missing))
    jobs = ((number, (parts[number], size)) for number in missing)
    with Writer() as writer:
        for number, (said, left_out, digests) in pool.each(_spoken, jobs, tally.within):
            parts.keep(number, digests)
            counts = Counts(len(parts[number]), len(said), 0, tuple(left_out))
            files = {SUFFIX: partial(pq.write_table, _table(said))}
            writer.write(partial(shards.write_files, number, files, counts))
            tally.add(len(parts[number]))
    return shards


def _parameters(speaker: Speaker) -> dict[str, Any]:
    return speaker.parameters


def _best_size(speaker: Speaker, some: Sequence[Sample], n: int) -> int:
    return speaker.best_size(some, n)


def _spoken(
    speaker: Speaker, parts: Iterable[tuple[Sequence[Sample], int]], step: Callable[[int], None]
) -> Iterator[tuple[Said, Unsaid, Digests]]:
    """What is said of the samples of each shard, and what the samples are."""
    given, found = iter(parts), deque[Future[Digests]]()
    first = next(given, None)
    if first is None:
        return

    def opened() -> Iterator[Sequence[Sample]]:
        for samples, _ in chain([first], given):
            found.append(digests_of(samples))
            yield samples

    with closing(speaker.speak(opened(), step, first[1])) as spoken:
        for said, left_out in spoken:
            yield said, left_out, found.popleft().result()


def _loaded(load: Loader, options: SayingOptions) -> Speaker:
    """A speaker in a process of its own, which loads the model."""
    return _here(load(), options)


def _table(said: dict[str, Utterance]) -> pa.Table:
    rows = [
        {"sample_id": key, "image": u.image, "request": u.request, "text": u.text, "token_ids": u.ids}
        for key, u in said.items()
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _here(lmm: LMM, options: SayingOptions) -> Speaker:
    """A model whose weights are here: its tokens are kept as it generated them."""
    prompted = lmm if options.prompt is None else replace(lmm, prompt=options.prompt)
    options = replace(options, prompt=prompted.prompt)

    def generate(ready: Ready[Asked]) -> list[Generation]:
        return lmm.generate(ready.inputs, options.max_new_tokens)

    def speak(
        parts: Iterable[Sequence[Sample]], step: Callable[[int], None], size: int
    ) -> Generator[tuple[Said, Unsaid]]:
        loader = BatchLoader(prompted)
        how: Batches[Asked, Loaded[Asked], Generation | None] = Batches(
            lambda loaded: loaded.each(generate), BatchSize(size), lambda a: a.shape, lambda a: a.pixels, loader.ahead
        )
        opened: deque[tuple[Sequence[Sample], Opener, list[Asked]]] = deque()

        def groups() -> Iterator[Group[Asked, Loaded[Asked]]]:
            for samples in parts:
                opener = Opener(room=0)  # each image is opened once
                asked = asked_of(prompted, samples, opener)
                opened.append((samples, opener, asked))
                yield Group(asked, partial(loader.load, opener=opener, asked=lambda a: a), step)

        for said in how.through(groups()):
            samples, opener, asked = opened.popleft()
            found = {
                a.sample.id: Utterance(answer.text, answer.ids, a.request, a.sample.name)
                for a, answer in zip(asked, said, strict=True)
                if answer is not None
            }
            step(len(samples))
            yield found, [(s.id, opener.skipped[s.id]) for s in samples if s.id in opener.skipped]

    def fastest(some: Sequence[Sample], n: int) -> int:
        loader, opener = BatchLoader(prompted), Opener(room=0)
        asked = asked_of(prompted, some, opener)

        def load(size: int) -> Callable[[], object]:
            loaded = loader.load(asked[:size], opener, lambda a: a)
            return lambda: loaded.each(generate)

        return best_size(load, n, lmm.device)

    return Speaker(speak, {"model": prompted.describe().as_dict(), **asdict(options)}, fastest)


def sized(lmm: LMM, samples: Sequence[Sample], options: SayingOptions) -> SayingOptions:
    """The options with a batch size that is found for these samples, where it is "auto"."""
    if options.batch_size != "auto":
        return options
    return replace(options, batch_size=_here(lmm, options).best_size(samples[:LAST], len(samples)))


def _at(endpoint: Endpoint, options: SayingOptions) -> Speaker:
    """A model behind a server: its texts alone are known."""
    prompt = DEFAULT_PROMPT if options.prompt is None else options.prompt

    def speak(
        parts: Iterable[Sequence[Sample]], step: Callable[[int], None], size: int
    ) -> Generator[tuple[Said, Unsaid]]:
        for samples in parts:
            yield endpoint.speak(samples, prompt, options.max_new_tokens, step)

    asked = {k: v for k, v in asdict(replace(options, prompt=prompt)).items() if k != "batch_size"}
    return Speaker(speak, {"endpoint": endpoint.identity(), **asked}, lambda some, n: options.samples_per_batch)
