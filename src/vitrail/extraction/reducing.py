"""`reduce`: samples + LMM + words → means, covariances and Gram matrices of states, without a state on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from vitrail.activations import ExtractionOptions, Moments
from vitrail.activations.moments import Sums, by_word
from vitrail.artifacts import Writer, folder_for, one_writer
from vitrail.extraction.checks import check_words
from vitrail.extraction.run import Asked
from vitrail.extraction.worker import Way, Worker
from vitrail.lmm import LMM, as_lmm
from vitrail.lmm.doctor import keeps_states
from vitrail.progress import Progress, Tally, shown, silent
from vitrail.samples import Sample, as_samples
from vitrail.samples.parts import Parts
from vitrail.saying import Texts, open_texts
from vitrail.scores.moments import check_reducers
from vitrail.words import Word


def reduce(
    lmm: LMM | str | Path,
    samples: Sequence[Sample] | str | Path,
    words: Sequence[Word | str],
    reducers: Sequence[str] = ("mean",),
    *,
    out: str | Path | None = None,
    options: ExtractionOptions | None = None,
    said: Texts | str | Path | None = None,
    progress: Progress | bool = True,
) -> Moments:
    """What `reducers` keep of the states of `words`, in one pass over the samples, written to the folder `out`.

    The states are those of `extract_words` with the same options. A run that was stopped goes on.

    Args:
        lmm: the model, or its name or folder, as `load` takes it.
        samples: the samples, or their name, file or folder, as `load_samples` takes them.
        words: the words; a sample counts once for each that it has.
        reducers: "mean", "covariance" or "gram", or several of them; float64.
        out: `vitrail-studies/moments` for None.
        options: how states are extracted.
        said: what was said before, as for `extract`.
        progress: bars where someone watches; False for nothing, or a function. See `vitrail.progress`.

    Raises:
        UsageError: there is no such reducer, there are no words, or one is named twice.
        WordError: no sample has one of the words; the nearest words that occur are named.
        DataError, NumericsError, ArtifactError: as `extract`.
    """
    check_reducers(reducers)
    wanted = [Word(word) if isinstance(word, str) else word for word in words]
    options = options or ExtractionOptions()
    out = folder_for(out, "studies", "moments", progress)
    with shown(progress) as tell:
        samples = as_samples(samples, tell)
        check_words(samples, wanted, options.require)  # before a model is loaded
        said = open_texts(said) if isinstance(said, str | Path) else said
        return reduce_as(as_lmm(lmm), samples, wanted, reducers, out=out, options=options, said=said, progress=tell)


@one_writer
def reduce_as(
    lmm: LMM,
    samples: Sequence[Sample],
    words: Sequence[Word],
    reducers: Sequence[str],
    *,
    out: str | Path,
    options: ExtractionOptions,
    said: Texts | None = None,
    progress: Progress = silent,
) -> Moments:
    """`reduce` for a model that is loaded; see there."""
    check_reducers(reducers)
    asked, out = Asked.of_many(samples, words, options, said), Path(out)
    worker, parts = Worker(lmm, asked.words, options), Parts(asked.some, options.shard_size)
    prepared = worker.prepare(asked.some, said)
    named = {**asked.named(), "reduce": list(reducers)}
    parents = {} if said is None else said.parents
    parameters = {**named, **prepared.parameters(asked.source, said)}
    sums = Sums(out, parameters, parts.digests, len(parts), parents, asked.data)
    missing = range(sums.done, len(parts))
    if missing and sums.certificate is None and (certificate := worker.certificate(asked.some)):
        sums.certify(certificate)
    way = Way(options.of_the_word and keeps_states(sums.certificate))
    if missing and options.batch_size == "auto":
        way = replace(way, batch_size=sums.batch_size or worker.best_size(asked.some, said, way.live))
        sums.certify(sums.certificate, way.batch_size)
    tally = Tally(progress, "extract", sum(len(parts[i]) for i in missing))
    given = ((parts[i], None if said is None else said.of(parts[i]), way) for i in missing)
    texts: list[str] = []
    with Writer() as writer:
        for number, (read, digests) in zip(missing, worker.read(given, tally.within), strict=True):
            texts += () if read.rows else read.said
            counts = read.counts + asked.without if number == 0 else read.counts
            states = {layer: tensor.float().numpy() for layer, tensor in read.states.items()}
            parts.keep(number, digests)
            writer.write(partial(sums.add, by_word([row.word for row in read.rows], states), counts))
            tally.add(len(parts[number]))
    asked.check_kept(sums.counts, texts, sums.discard, out)
    return sums.finish()
