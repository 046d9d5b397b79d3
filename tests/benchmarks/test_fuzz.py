"""Every reader of files reads what comes, or ends in an error of ours."""

from __future__ import annotations

import random

import pytest
from benchmarks.fuzz import READERS, Reader, feed, mutated
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SEEDS = {name: reader.seed() for name, reader in READERS.items()}
FEW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("name", READERS)
def test_a_good_file_is_read(name, tmp_path):
    path = tmp_path / READERS[name].file
    path.write_bytes(SEEDS[name])
    READERS[name].read(path)


@pytest.mark.parametrize("name", READERS)
@FEW
@given(data=st.data())
def test_a_changed_file_is_read_or_refused(name, tmp_path, data):
    draw = random.Random(data.draw(st.integers(0, 2**32)))
    feed(READERS[name], mutated(SEEDS[name], draw), tmp_path)


@pytest.mark.parametrize("name", READERS)
@FEW
@given(content=st.binary(max_size=300) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "replace")))
def test_any_bytes_are_read_or_refused(name, tmp_path, content):
    feed(READERS[name], content, tmp_path)


def test_an_error_that_is_not_ours_is_seen(tmp_path):
    with pytest.raises(ZeroDivisionError):
        feed(Reader("x", lambda: b"", lambda path: 1 / 0), b"", tmp_path)
