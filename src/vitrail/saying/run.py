"""`say`: samples + a model, here or behind a server → texts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from vitrail.artifacts import Counts, Run, Shards, folder_for, one_writer
from vitrail.errors import DataError
from vitrail.lmm import DEFAULT_PROMPT, LMM, Generation, as_lmm
from vitrail.progress import Progress, shown, silent
from vitrail.samples import Sample, as_samples
from vitrail.samples.opening import Opener
from vitrail.saying.asking import Asked, asked_of, in_turn
from vitrail.saying.endpoint import Endpoint
from vitrail.saying.options import SayingOptions
from vitrail.saying.texts import KIND, SCHEMA, SUFFIX, Texts, Utterance, texts_of

#: Samples and who is told how many are done → what was said of each, and (id, reason) of those left out.
Speak = Callable[[Sequence[Sample], Callable[[int], None]], tuple[dict[str, Utterance], list[tuple[str, str]]]]


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
    lmm: LMM | Endpoint,
    samples: Sequence[Sample],
    options: SayingOptions,
    *,
    out: str | Path,
    progress: Progress = silent,
) -> Texts:
    """`say` with its options as one value; see `say`."""
    if not samples:
        raise DataError("There are no samples to say anything of.")
    speak, who = _at(lmm.named(), options) if isinstance(lmm, Endpoint) else _here(lmm, options)
    ids = hashlib.sha256("\n".join(s.id for s in samples).encode()).hexdigest()
    parameters = {**who, "samples": {"n": len(samples), "ids_sha256": ids}}
    size = options.shard_size
    parts = [samples[i : i + size] for i in range(0, len(samples), size)]
    sources = cache(lambda number: [s.digests() for s in parts[number]])
    shards = Shards(Path(out), Run(KIND, parameters, len(parts), (SUFFIX,), sources))
    missing = shards.missing()
    done, total = 0, sum(len(parts[i]) for i in missing)
    for number in missing:
        part = parts[number]
        said, left_out = speak(part, lambda n, done=done: progress("say", done + n, total))  # type: ignore[misc]
        table = _table(said)
        counts = Counts(len(part), len(said), 0, tuple(left_out))
        shards.write_files(number, {SUFFIX: partial(pq.write_table, table)}, counts)
        done += len(part)
    counts = shards.counts()
    if not counts.kept:
        shards.discard()
        sample, why = counts.unreadable[0]
        raise DataError(f"Nothing was said of any of {counts.scanned} samples; the first, {sample}: {why}")
    return texts_of(Path(out), shards.finish_files())


def _table(said: dict[str, Utterance]) -> pa.Table:
    rows = [
        {"sample_id": key, "image": u.image, "request": u.request, "text": u.text, "token_ids": u.ids}
        for key, u in said.items()
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _here(lmm: LMM, options: SayingOptions) -> tuple[Speak, dict[str, Any]]:
    """A model whose weights are here: its tokens are kept as it generated them."""
    prompted = lmm if options.prompt is None else replace(lmm, prompt=options.prompt)
    options = replace(options, prompt=prompted.prompt)

    def generate(batch: Sequence[Asked], images: Sequence[Image.Image]) -> list[Generation]:
        return lmm.generate(lmm.prepare(images, [a.request for a in batch]), options.max_new_tokens)

    def speak(
        samples: Sequence[Sample], step: Callable[[int], None]
    ) -> tuple[dict[str, Utterance], list[tuple[str, str]]]:
        opener = Opener(room=0)  # each image is opened once
        asked = asked_of(prompted, samples, opener)
        before = len(samples) - len(asked)
        size = options.batch_size
        said = in_turn(asked, opener, generate, batch_size=size, step=lambda n: step(before + n))
        found = {
            a.sample.id: Utterance(answer.text, answer.ids, a.request, a.sample.name)
            for a, answer in zip(asked, said, strict=True)
            if answer is not None
        }
        step(len(samples))
        return found, [(s.id, opener.skipped[s.id]) for s in samples if s.id in opener.skipped]

    return speak, {"model": prompted.describe().as_dict(), **asdict(options)}


def _at(endpoint: Endpoint, options: SayingOptions) -> tuple[Speak, dict[str, Any]]:
    """A model behind a server: its texts alone are known."""
    prompt = DEFAULT_PROMPT if options.prompt is None else options.prompt

    def speak(
        samples: Sequence[Sample], step: Callable[[int], None]
    ) -> tuple[dict[str, Utterance], list[tuple[str, str]]]:
        return endpoint.speak(samples, prompt, options.max_new_tokens, step)

    asked = {k: v for k, v in asdict(replace(options, prompt=prompt)).items() if k != "batch_size"}
    return speak, {"endpoint": endpoint.identity(), **asked}
