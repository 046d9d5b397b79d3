"""Words of scripts without spaces between words, by ICU's dictionaries; other scripts need no extra."""

from __future__ import annotations

import sys

import pytest

from vitrail.errors import UsageError
from vitrail.words import nearest, spoken, words_said
from vitrail.words.scripts import check_segments, has_unspaced, segments

#: Script → a caption and its words, as dictionaries of the language part it.
CAPTIONS = {
    "Chinese": ("一只黑色的狗在草地上奔跑", "一只 黑色 的 狗 在 草地 上 奔跑"),
    "Japanese": ("黒い犬が草の上を走る。", "黒い 犬 が 草 の 上 を 走る"),
    "Thai": ("สุนัขสีดำวิ่งบนหญ้า", "สุนัข สี ดำ วิ่ง บน หญ้า"),
    "Chinese between English": ("A 狗 (dog)", "a 狗 dog"),
    "Korean, with spaces": ("검은 개가 달린다", "검은 개가 달린다"),
    "Greek": ("Ένας σκύλος", "ένας σκύλος"),
}


@pytest.mark.parametrize("script", CAPTIONS)
def test_words_of_every_script_are_told_apart(script):
    pytest.importorskip("icu4py")
    text, words = CAPTIONS[script]
    assert spoken(text) == words.split()
    assert has_unspaced(text) == (script in ("Chinese", "Japanese", "Thai", "Chinese between English"))
    assert words_said([[text]]) == [set(words.split())]


def test_segments_of_a_text_are_the_whole_text():
    pytest.importorskip("icu4py")
    for text, _ in CAPTIONS.values():
        assert "".join(segments(text)) == text


def test_without_icu_the_error_says_what_to_install_and_other_scripts_need_none(monkeypatch):
    from vitrail.words import scripts

    scripts._breaker.cache_clear()
    monkeypatch.setitem(sys.modules, "icu4py.breakers", None)
    for ask in (lambda: spoken("一只狗"), lambda: check_segments(["a dog", "一只狗"])):
        with pytest.raises(UsageError, match=r"pip install 'vitrail\[scripts\]'"):
            ask()
    assert spoken("Ein Hund 검은") == ["ein", "hund", "검은"]
    assert nearest("cat", ["一只狗", "a dog"]) == ["dog"]  # what is suggested in an error needs no extra
    check_segments(["a dog"])
