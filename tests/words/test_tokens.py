"""Tokens hold a word by their characters; a token is a word when it is the whole of one."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from vitrail.toyland import model_path
from vitrail.words import Word, own_tokens, token_offsets, token_span, word_tokens


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(model_path())


@dataclass
class Fake:
    """A tokenizer of stated pieces; `mark` stands for a space, `prefix` before the pieces that continue a word."""

    pieces: Sequence[str]
    mark: str = "▁"
    prefix: str | None = None
    special: Sequence[int] = ()
    all_special_ids: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.all_special_ids = list(self.special)

    def get_vocab(self) -> dict[str, int]:
        return {piece: i for i, piece in enumerate(self.pieces)}

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        assert not add_special_tokens
        return [self.pieces.index(text)] if text in self.pieces else []

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False, **_: object) -> str:
        pieces = [self.pieces[i] for i in ids if not (skip_special_tokens and i in self.special)]
        if self.prefix is None:
            return "".join(pieces).replace(self.mark, " ")
        return "".join(p.removeprefix(self.prefix) if p.startswith(self.prefix) else f" {p}" for p in pieces).strip()


# ---- tokens that hold a word ----------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, 99_999), max_size=25))
def test_offsets_of_any_tokens_cover_their_text_without_gaps(tokenizer, ids):
    ids = [i % len(tokenizer) for i in ids]
    text = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    offsets = token_offsets(tokenizer, ids)
    assert len(offsets) == len(ids)
    if not ids:
        return
    assert offsets[0][0] == 0
    assert offsets[-1][1] == len(text)
    for (start, end), (next_start, next_end) in itertools.pairwise(offsets):
        assert 0 <= start <= end <= len(text)
        assert start <= next_start <= end <= next_end


@settings(max_examples=300, deadline=None)
@given(st.text(st.one_of(st.sampled_from("dog e\u0301é猫🐕\n"), st.characters(exclude_categories=["Cs"])), max_size=12))
def test_offsets_are_those_of_the_bytes_of_each_token(tokenizer, text):
    ids = tokenizer.encode(text, add_special_tokens=False)
    # each character of a byte-level piece is one byte of the text
    sizes = [len(piece) for piece in tokenizer.convert_ids_to_tokens(ids)]
    character_of_byte = [i for i, c in enumerate(text) for _ in c.encode()]
    assert sum(sizes) == len(character_of_byte)
    expected, at = [], 0
    for size in sizes:
        expected.append((character_of_byte[at], character_of_byte[at + size - 1] + 1))
        at += size
    if "\ufffd" not in text:
        assert token_offsets(tokenizer, ids) == expected


def span(tokenizer, ids, word):
    text = tokenizer.decode(ids, skip_special_tokens=True)
    return token_span(token_offsets(tokenizer, ids), Word(word).find(text))


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (" a dog runs", "dog"),
        (" dog", "dog"),
        ("dog", "dog"),
        (" a sailboat on the water", "sailboat"),
        (" two puppies", "puppies"),
        (" a category, a cat", "cat"),
        (" a hot dog on a dog", "hot dog"),
        (" une été chaude", "été"),
        (" a 🐕猫, a 猫 猫", "猫"),
        (" naïveté", "naïveté"),
    ],
)
def test_the_tokens_of_a_word_are_the_fewest_that_hold_all_of_it(tokenizer, text, word):
    ids = tokenizer.encode(text, add_special_tokens=False)
    first, last = span(tokenizer, ids, word)
    match = Word(word).find(text)
    start, end = (len(text[:n].encode()) for n in (match.start, match.end))
    sizes = [len(piece) for piece in tokenizer.convert_ids_to_tokens(ids)]
    assert sum(sizes[:first]) <= start < sum(sizes[: first + 1])
    assert sum(sizes[:last]) < end <= sum(sizes[: last + 1])


def test_the_first_half_of_a_character_belongs_to_the_word_that_it_begins(tokenizer):
    ids = tokenizer.encode(" é", add_special_tokens=False)
    assert len(ids) > 1  # else the bundled vocabulary has a piece for it, and this tests nothing
    assert span(tokenizer, ids, "é")[1] == len(ids) - 1
    halves = [i for i, piece in enumerate(tokenizer.convert_ids_to_tokens(ids)) if set(piece) - {"Ġ"}]
    assert span(tokenizer, ids, "é")[0] == halves[0]


def test_a_leading_space_piece_is_the_word():
    assert span(Fake(["▁a", "▁dog", "▁runs"]), [0, 1, 2], "dog") == (1, 1)


def test_a_white_space_token_before_a_word_is_not_part_of_it():
    fake = Fake(["a", "▁", "dog", "gy"])
    assert span(fake, [0, 1, 2], "dog") == (2, 2)
    assert span(fake, [0, 1, 1, 2, 3], "doggy") == (3, 4)


def test_a_word_of_several_pieces_begins_at_the_first_and_ends_at_the_last():
    fake = Fake(["▁a", "▁sa", "il", "boat", "▁sails"])
    assert span(fake, [0, 1, 2, 3, 4], "sailboat") == (1, 3)


def test_a_piece_with_more_than_the_word_holds_it():
    assert span(Fake(["▁a", "▁dog,", "s"]), [0, 1, 2], "dog") == (1, 1)


def test_special_tokens_hold_no_characters():
    fake = Fake(["<pad>", "▁a", "▁dog"], special=[0])
    assert token_offsets(fake, [0, 1, 0, 2, 0]) == [(0, 0), (0, 2), (2, 2), (2, 6), (6, 6)]
    assert span(fake, [0, 1, 0, 2, 0], "dog") == (3, 3)


# ---- tokens that are words -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mark", ["▁", "Ġ", " "])
def test_pieces_inside_a_word_are_no_words_where_spaces_are_marked(mark):
    pieces = ["<s>", f"{mark}dog", "dog", f"{mark}car", "car", f"{mark}xqz", f"{mark}the", mark, f"{mark}2", "7"]
    assert word_tokens(Fake(pieces, mark=mark, special=[0])) == {1: "dog", 3: "car", 8: "2"}


class Greedy(Fake):
    """A tokenizer that writes a text in the longest pieces that fit, from left to right."""

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        rest, ids = text.replace(" ", self.mark), []
        while rest:
            piece = max((p for p in self.pieces if rest.startswith(p)), key=len)
            ids.append(self.pieces.index(piece))
            rest = rest[len(piece) :]
        return ids


VOCABULARIES = json.loads((Path(__file__).parent / "vocabularies.json").read_text(encoding="utf-8"))
"""Parts of published vocabularies: their numbers of one and two digits, some words, and some beginnings of words."""


BEGINNINGS = (
    "arg argu bir blu colo conc consid dis eleph fores gir indic lubric mex nigh ora pict pla recomb sta terr todd tra "
    "umb vari vul wat zeb"
)


@pytest.mark.parametrize("name", VOCABULARIES)
def test_words_and_numbers_of_published_vocabularies(name):
    pieces = VOCABULARIES[name]
    mark = "▁" if "▁dog" in pieces else "Ġ"
    found = word_tokens(Greedy(pieces, mark=mark))
    marked = {p.removeprefix(mark) for p in pieces if p.startswith(mark)}
    beginnings = set(BEGINNINGS.split())
    words = {w for w in marked - beginnings if w and not w.isdecimal()}
    assert {"dog", "Dog", "dogs", "car", "India", "children"} <= words
    assert {w for w in found.values() if not w.isdecimal()} == words
    # each number once, as the tokenizer writes it: with the mark where there is such a piece
    numbers = [pieces[i] for i, w in found.items() if w.isdecimal()]
    assert {p.removeprefix(mark) for p in numbers} >= set("0123456789")
    assert len({p.removeprefix(mark) for p in numbers}) == len(numbers)
    assert all(p.startswith(mark) for p in numbers) == ("Ġ1" in pieces)


def test_pieces_inside_a_word_are_no_words_where_continuations_are_marked():
    fake = Fake(["[CLS]", "dog", "##house", "house", "##s", "the"], prefix="##", special=[0])
    assert word_tokens(fake) == {1: "dog", 3: "house"}


def test_special_tokens_are_no_words_whatever_they_spell():
    assert word_tokens(Fake(["▁image", "▁dog"], special=[0])) == {1: "dog"}


def test_words_of_the_bundled_vocabulary_stand_for_themselves(tokenizer):
    found = word_tokens(tokenizer)
    assert len(found) > 100
    assert {"dog", "cat", "grass", "running"} <= set(found.values())
    for token, word in found.items():
        assert tokenizer.decode([token]) == (word if word.isdecimal() and word not in "1234" else f" {word}")
    assert not {"colo", "blu", "sta", "fores", "todd", "sunn", "pict"} & set(found.values())


def test_the_tokens_of_a_word_itself_are_those_of_each_part_form_and_case():
    own = ["hot", " hot", "Hot", " HOT", "dog", " dog", " Dog", "DOG", " cats", "Cats"]
    fake = Fake([*own, "running", " hotdog", " cat", "dogs"], mark=" ")
    assert own_tokens(fake, Word("hot dog", forms=("cats",))) == set(range(len(own)))
    assert own_tokens(fake, Word("Dog")) == {own.index(t) for t in ("dog", " dog", " Dog", "DOG")}


def test_the_tokens_of_a_word_of_several_pieces_are_all_its_pieces(tokenizer):
    pieces = tokenizer.encode(" sailboat", add_special_tokens=False)
    assert set(pieces) <= own_tokens(tokenizer, Word("sailboat"))


def test_tokens_of_a_script_without_spaces_need_no_mark_of_a_beginning():
    assert word_tokens(Fake(["▁dog", "狗", "ella", "▁猫"], special=[]), "any") == {0: "dog", 1: "狗", 3: "猫"}
