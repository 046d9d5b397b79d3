"""Learning over Ray gives the concepts of one process, even when a worker dies."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
from tests.stored_states import representations, stored

from vitrail.activations.rows import ShardRows
from vitrail.concepts import learn
from vitrail.concepts.over_ray import over_ray
from vitrail.errors import UsageError
from vitrail.learners import SemiNMF


@pytest.fixture(scope="module")
def two_workers(ray_here):
    """A map over a Ray on this machine."""
    with over_ray() as over:
        yield over


@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_ray_gives_the_concepts_of_one_process(tmp_path, two_workers, small_pieces):
    import ray

    addresses = {node["NodeManagerAddress"] for node in ray.nodes()}
    assert addresses == {"127.0.0.1"}
    Z = representations()
    rows = ShardRows(stored(tmp_path, Z, (300, 400)), 4)
    local = SemiNMF(6).fit_rows(rows)
    remote = SemiNMF(6).fit_rows(rows, two_workers)
    assert remote.objective_ == pytest.approx(local.objective_, rel=1e-4)
    np.testing.assert_allclose(remote.components_, local.components_, atol=1e-4)


@pytest.mark.filterwarnings("ignore")
def test_a_worker_that_is_killed_during_the_fit_changes_nothing(tmp_path, two_workers, small_pieces):
    died = tmp_path / "died"
    Z = representations()

    class Fatal:
        """Rows whose third piece kills the process that reads it, once, in the third pass."""

        n_features, dtype, lengths = 24, np.dtype(np.float32), [100] * 7

        def __getitem__(self, index):
            if index == 2 and os.getpid() != driver:
                seen = len(list(tmp_path.glob("seen*")))
                (tmp_path / f"seen{seen}").touch()
                if seen == 3 and not died.exists():
                    died.touch()
                    os.kill(os.getpid(), signal.SIGKILL)
            return Z[index * 100 : index * 100 + 100]

    driver = os.getpid()
    expected = SemiNMF(6).fit_rows(Fatal())
    found = SemiNMF(6).fit_rows(Fatal(), two_workers)
    assert died.exists()
    np.testing.assert_array_equal(found.components_, expected.components_)
    assert found.objective_ == expected.objective_


@pytest.mark.filterwarnings("ignore")
def test_learn_runs_over_ray(tmp_path, two_workers, small_pieces):
    activations = stored(tmp_path / "a", representations(), (300, 400))
    local = learn(activations, out=tmp_path / "b", n_concepts=6, stability=1)
    remote = learn(activations, out=tmp_path / "c", n_concepts=6, stability=1, engine="ray")
    assert remote.manifest["engine"] == {"name": "ray", "in_memory": False}
    np.testing.assert_allclose(remote.U, local.U, atol=1e-4)
    np.testing.assert_allclose(remote.V, local.V, rtol=1e-3, atol=1e-2)
    assert remote.stability["seeds"] == pytest.approx(local.stability["seeds"], abs=1e-3)


def test_ray_that_is_not_installed_is_asked_for(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install 'vitrail\[ray\]'"), over_ray():
        pass
