"""JSON is read as it was meant, or refused; never is one of two values dropped, and never does Python's limit show."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrail.artifacts import JSONError, parse

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_what_python_writes_is_read_back(value):
    assert parse(json.dumps(value)) == value
    assert parse(f" \n{json.dumps(value, indent=2, ensure_ascii=False)}\n") == value


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"a": 1, "a": 1}', "the name 'a' stands twice"),
        ('[{"b": {"a": 1, "c": 2, "a": 3}}]', "the name 'a' stands twice"),
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
        ('{"a": ' * 100_000, "nested too deeply"),
        ("9" * 5000, "too many digits"),
        ("[NaN]", "NaN is no number"),
        ("-Infinity", "-Infinity is no number"),
        ("[1,]", "line 1, column"),
        ("", "line 1, column 1"),
        ("[1] [2]", r"text after the end of the document, '\[2\]'"),
    ],
    ids=lambda text: text[:20],
)
def test_what_cannot_be_trusted_is_refused_with_the_reason(text, says):
    with pytest.raises(JSONError, match=says):
        parse(text)


@given(st.text())
def test_any_text_is_json_or_an_error_of_ours(text):
    with contextlib.suppress(JSONError):
        parse(text)
