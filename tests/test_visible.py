"""No character of somebody's data acts on a terminal or a page: it is seen, or its escape is."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrail.visible import one_line, visible, visible_json

ANY = st.text(st.characters())  # surrogates, too

#: What acts, and what stands in its place.
ACTING = {
    "\x1b[2J": r"\x1b[2J",  # clears a terminal
    "\x1b]0;title\x07": r"\x1b]0;title\x07",
    "\x9b31m": r"\x9b31m",  # colours, in one byte of 8
    "a\rb": r"a\rb",  # goes back to the begin of the line
    "a\x08": r"a\x08",
    "\x00": r"\x00",
    "\u202egnp.exe": r"\u202egnp.exe",  # reads backwards
    "a\u2028b": r"a\u2028b",
    "\udcff": r"\udcff",  # a byte of a file name that is no UTF-8
}


@pytest.mark.parametrize(("acting", "seen"), ACTING.items(), ids=ascii)
def test_what_acts_stands_as_its_escape(acting, seen):
    assert visible(acting) == seen


@pytest.mark.parametrize("text", ["a dog", "zwei\nZeilen\t–", "нет", "שלום", "ไทย", "👩\u200d🚀", "می\u200cخواهم"])
def test_text_in_any_script_stays_as_it_is(text):
    assert visible(text) == text


@given(ANY)
def test_nothing_that_acts_is_left(text):
    left = visible(text)
    left.encode()
    assert not [c for c in left if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") and c not in "\t\n"]
    assert len(one_line(text).split("\n")) == 1


@given(ANY)
def test_json_says_the_same_with_escapes(text):
    written = visible_json(json.dumps(text, ensure_ascii=False))
    assert visible(written) == written
    assert json.loads(written) == text
