"""Workers get one job after the other; the job of one that dies goes to another, and not for ever."""

from __future__ import annotations

import os
import signal

import pytest

from vitrail.errors import ModelError, UsageError, WordError
from vitrail.work import WorkOptions, connected, pool_of

RAY = WorkOptions(engine="ray", workers=2)


def doubled(worker: int, jobs, step):
    for (job,) in jobs:
        step(1)
        yield worker + 2 * job


def killed(worker: int, jobs, step):
    """Kills its process so many times."""
    for folder, times in jobs:
        died = len(list(folder.iterdir()))
        if died < times:
            (folder / str(died)).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        yield died


def fails(worker: int, jobs, step):
    raise WordError("the word is not there")


def test_a_worker_here_does_one_job_after_the_other_and_tells_how_far_it_is():
    told = []
    with pool_of(int, WorkOptions()) as pool:
        found = list(pool.each(doubled, ((n, (n,)) for n in range(3)), told.append))
        assert pool.once(lambda worker, more: worker + more, 5) == 5
    assert found == [(0, 0), (1, 2), (2, 4)]
    assert told == [1, 1, 1]


@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_workers_of_ray_do_every_job_once(ray_here):
    with pool_of(int, RAY) as pool:
        assert dict(pool.each(doubled, ((n, (n,)) for n in range(9)), None)) == {n: 2 * n for n in range(9)}
        assert list(pool.each(doubled, (), None)) == []
        with pytest.raises(WordError, match="the word is not there"):  # as it would be here
            list(pool.each(fails, [(0, ())], None))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("times", [2, 4])
def test_the_job_of_a_worker_that_dies_is_done_by_another_and_not_for_ever(ray_here, tmp_path, times):
    with pool_of(int, RAY) as pool:
        found = pool.each(killed, [(7, (tmp_path, times))], None)
        if times < 4:
            assert list(found) == [(7, times)]
        else:
            with pytest.raises(ModelError, match="The worker that made shard 7 died, 4 times"):
                list(found)
    assert len(list(tmp_path.iterdir())) == times


def test_ray_that_is_not_installed_is_asked_for(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install 'vitrail\[ray\]'"), connected():
        pass
