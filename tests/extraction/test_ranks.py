"""Ranks and workers of Ray give the folder of a single process, byte by byte, whatever dies on the way."""

from __future__ import annotations

import multiprocessing
import os
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from vitrail.activations import Activations, ExtractionOptions, WordStore, open_activations
from vitrail.artifacts import writing
from vitrail.errors import ArtifactError, UsageError
from vitrail.extraction import Reader, extract_as, extract_part, extract_words_as, merge, worker
from vitrail.extraction.worker import Worker
from vitrail.lmm import LMM
from vitrail.saying import SayingOptions, Texts, say_as, say_part
from vitrail.words import Word
from vitrail.work import WorkOptions

OPTIONS = ExtractionOptions(layers=(1, -1), require="truth", batch_size=4, shard_size=3)
DOG = Word("dog")


@pytest.fixture(scope="module")
def few(dogs):
    return dogs[:10]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder; no locks are left."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def whole(lmm, few, tmp_path_factory) -> dict[str, bytes]:
    """What a single process writes."""
    out = tmp_path_factory.mktemp("whole")
    extract_as(lmm, few, DOG, OPTIONS, out=out / "activations")
    return contents(out)


def ranks(n: int) -> list[WorkOptions]:
    return [WorkOptions(rank=rank, world_size=n) for rank in range(n)]


def part(lmm, few, out, work, words=(DOG,), options=OPTIONS):
    return extract_part(lmm, few, words, options, out=out, work=work)


# ---- ranks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 5])  # of four shards
def test_ranks_that_share_a_folder_give_that_of_one_process(lmm, few, whole, tmp_path, n):
    counts = [part(lmm, few, tmp_path / "dog", work) for work in reversed(ranks(n))]
    assert sum(c.scanned for c in counts) == len(few)
    with pytest.raises(ArtifactError, match="did not finish"):
        open_activations(tmp_path / "dog" / "activations")
    made = merge(tmp_path / "dog")
    assert isinstance(made, Activations)
    assert contents(tmp_path / "dog") == whole


def test_a_folder_may_be_named_from_where_one_is(lmm, few, whole, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for work in ranks(2):
        part(lmm, few, "dog", work)
    merge("dog")
    assert contents(tmp_path / "dog") == whole


def test_ranks_with_folders_of_their_own_give_that_of_one_process(lmm, few, whole, tmp_path):
    for work in ranks(3):
        part(lmm, few, tmp_path / str(work.rank), work)
    before = contents(tmp_path / "1")
    merge(*(tmp_path / name for name in "201"), out=tmp_path / "dog")
    assert contents(tmp_path / "dog") == whole
    assert contents(tmp_path / "1") == before
    merge(*(tmp_path / name for name in "012"), out=tmp_path / "0")  # or into one of them
    assert contents(tmp_path / "0") == whole


def test_a_process_without_a_rank_makes_what_ranks_left(lmm, few, whole, tmp_path):
    part(lmm, few, tmp_path, ranks(3)[1])
    extract_as(lmm, few, DOG, OPTIONS, out=tmp_path / "activations")
    assert contents(tmp_path) == whole


def test_many_words_and_texts_are_merged_as_well(lmm, few, tmp_path):
    words, said = [DOG, Word("grass")], SayingOptions(max_new_tokens=3, shard_size=4)
    one = extract_words_as(lmm, few, words, OPTIONS, out=tmp_path / "one")
    texts = say_as(lmm, few[:6], said, out=tmp_path / "texts")
    for work in ranks(2):
        part(lmm, few, tmp_path / "two", work, words)
        say_part(lmm, few[:6], said, out=tmp_path / "said", work=work)
    store, merged = merge(tmp_path / "two"), merge(tmp_path / "said")
    assert isinstance(store, WordStore)
    assert store.kept == one.kept
    assert contents(tmp_path / "two") == contents(tmp_path / "one")
    assert isinstance(merged, Texts)
    assert dict(merged) == dict(texts)
    assert contents(tmp_path / "said") == contents(tmp_path / "texts")


def test_a_rank_that_is_missing_is_named(lmm, few, tmp_path):
    for work in ranks(3)[:2]:
        part(lmm, few, tmp_path / "all", work)
        part(lmm, few, tmp_path / str(work.rank), work)
    with pytest.raises(ArtifactError, match=r"lacks 1 of 4 shards: those of rank 2 of 3"):
        merge(tmp_path / "all")
    with pytest.raises(ArtifactError, match=r"lacks 1 of 4 shards: those of rank 2 of 3"):
        merge(tmp_path / "0", tmp_path / "1", out=tmp_path / "dog")


def test_a_shard_that_was_damaged_is_missing(lmm, few, tmp_path):
    for work in ranks(2):
        part(lmm, few, tmp_path, work)
    (tmp_path / "activations" / "part-00001.parquet").write_bytes(b"damaged")
    with pytest.raises(ArtifactError, match=r"lacks 1 of 4 shards: those of rank 1 of 2"):
        merge(tmp_path)


FOREIGN = {
    "other options": lambda lmm, few, out: part(
        lmm, few, out, ranks(2)[1], options=ExtractionOptions((2,), require="truth", shard_size=3)
    ),
    "other samples": lambda lmm, few, out: part(lmm, few[1:], out, ranks(2)[1]),
    "another word": lambda lmm, few, out: part(lmm, few, out, ranks(2)[1], (Word("a"),)),
    "another number of ranks": lambda lmm, few, out: part(lmm, few, out, ranks(3)[1]),
}
DIFFERS = {
    "other options": r"layers is \[1, 8\] there and \[2\] here",
    "other samples": r"samples.n is 10 there and 9 here",
    "another word": r'word.text is "dog" there and "a" here',
    "another number of ranks": r"world_size is 2 there and 3 here",
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_belongs_to_another_run_is_refused_by_name(lmm, few, tmp_path, kind):
    part(lmm, few, tmp_path / "0", ranks(2)[0])
    FOREIGN[kind](lmm, few, tmp_path / "1")
    with pytest.raises(ArtifactError, match=f"parts of different runs: .*{DIFFERS[kind]}"):
        merge(tmp_path / "0", tmp_path / "1", out=tmp_path / "dog")
    assert not (tmp_path / "dog").exists()
    begun = "begun with --world-size 2; here it is 3" if kind == "another number of ranks" else DIFFERS[kind]
    with pytest.raises(ArtifactError, match=begun):
        FOREIGN[kind](lmm, few, tmp_path / "0")


def test_two_ranks_of_one_number_are_refused(lmm, few, tmp_path):
    for name in "ab":
        part(lmm, few, tmp_path / name, ranks(2)[0])
    with pytest.raises(ArtifactError, match=r"a/activations and .*b/activations both hold shard 0: two ranks"):
        merge(tmp_path / "a", tmp_path / "b", out=tmp_path / "dog")


def test_a_whole_run_is_not_one_of_a_rank_nor_a_part_one_of_all(lmm, few, tmp_path):
    with pytest.raises(UsageError, match="One rank makes a part alone"):
        extract_as(lmm, few, DOG, OPTIONS, out=tmp_path / "a", work=ranks(2)[0])
    with pytest.raises(UsageError, match="A part needs a rank"):
        part(lmm, few, tmp_path / "a", WorkOptions())
    assert not (tmp_path / "a").exists()


def test_ranks_do_not_find_a_batch_size_each_for_itself(lmm, few, tmp_path):
    found = replace(OPTIONS, batch_size="auto")
    with pytest.raises(UsageError, match="one batch size"):
        part(lmm, few, tmp_path / "dog", ranks(2)[0], options=found)
    with pytest.raises(UsageError, match="one batch size"):
        say_part(lmm, few, SayingOptions(batch_size="auto"), out=tmp_path / "texts", work=ranks(2)[0])
    assert not list(tmp_path.iterdir())


def test_what_no_ranks_wrote_is_refused(tmp_path, concepts):
    with pytest.raises(ArtifactError, match="holds concepts, which no ranks share"):
        merge(concepts.folder)
    with pytest.raises(ArtifactError, match="holds nothing that"):
        merge(tmp_path)
    with pytest.raises(UsageError, match="--out for the whole"):
        merge(tmp_path / "a", tmp_path / "b")


def test_no_state_at_all_is_an_error_once_all_ranks_are_done(lmm, few, tmp_path, saying):
    saying("a cat")
    options = ExtractionOptions((1,), shard_size=3, batch_size=4)
    for work in ranks(2):
        assert part(lmm, few, tmp_path, work, options=options).kept == 0
    with pytest.raises(ArtifactError, match="No rank found anything to keep"):
        merge(tmp_path)


def _hold(folder: Path, rank: int | None, held, done) -> None:
    with writing(folder, rank):
        held.set()
        done.wait()


@pytest.mark.parametrize(
    ("theirs", "ours", "says"),
    [
        (1, 0, None),
        (1, 1, r"Rank 1 of .*/dog is being written by another process \(process \d+ on"),
        (1, None, r"/dog is being written by another process"),
        (None, 1, r"/dog is being written by another process"),
    ],
)
def test_ranks_write_side_by_side_and_nobody_else_does(tmp_path, monkeypatch, theirs, ours, says):
    monkeypatch.setattr("vitrail.artifacts.lock.PATIENCE", 0.1)
    monkeypatch.setattr("vitrail.artifacts.lock.PATIENCE_OF_RANKS", 0.1)
    context = multiprocessing.get_context("fork")
    held, done = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(tmp_path / "dog", theirs, held, done))
    process.start()
    try:
        assert held.wait(20)
        for place in ("dog", "dog/activations", "."):
            if says is None and place == "dog":
                with writing(tmp_path / place, ours):
                    pass
            else:
                expected = says if says and place == "dog" else "/dog is being written by another process"
                with pytest.raises(ArtifactError, match=expected), writing(tmp_path / place, ours):
                    raise AssertionError
    finally:
        done.set()
        process.join()
    with writing(tmp_path / "dog"):
        pass
    assert not (tmp_path / "dog").exists() or not contents(tmp_path / "dog")


# ---- workers of Ray --------------------------------------------------------------------------------------------------


def toyland() -> LMM:
    from vitrail.lmm import load

    return load("toyland", device="cpu")


@pytest.mark.filterwarnings("ignore")  # Ray's own
@pytest.mark.parametrize("n", [1, 4])
def test_workers_of_ray_give_the_folder_of_one_process(ray_here, lmm, few, whole, tmp_path, n):
    work = WorkOptions(engine="ray", workers=n)
    extract_as(toyland if n == 1 else lmm, few, DOG, OPTIONS, out=tmp_path / "activations", work=work)
    assert contents(tmp_path) == whole


def fatal(sample: str, died: Path, load, words, options) -> Worker:
    """A worker whose process is killed, once, in the midst of the shard that has `sample`."""

    class Fatal(Reader):
        def _answers(self, asked, *rest):
            if sample in {a.sample.id for a in asked} and not died.exists():
                died.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return super()._answers(asked, *rest)

    worker.Reader = Fatal  # in the process of the worker
    return Worker(load(), words, options)


@pytest.mark.filterwarnings("ignore")
def test_a_worker_that_is_killed_in_the_midst_of_a_shard_loses_nothing(ray_here, few, whole, tmp_path, monkeypatch):
    died = tmp_path / "died"
    monkeypatch.setattr("vitrail.extraction.run._loaded", partial(fatal, few[4].id, died))
    work = WorkOptions(engine="ray", workers=2)
    extract_as(toyland, few, DOG, OPTIONS, out=tmp_path / "a" / "activations", work=work)
    assert died.exists()
    assert contents(tmp_path / "a") == whole


@pytest.mark.filterwarnings("ignore")
def test_more_gpus_than_there_are_is_said_before_anything_is_loaded(ray_here, few, tmp_path):
    work = WorkOptions(engine="ray", workers=2, gpus_per_worker=1)
    with pytest.raises(UsageError, match="2 workers with 1 GPUs each need 2; this machine has 0"):
        extract_as(toyland, few, DOG, OPTIONS, out=tmp_path / "a", work=work)
