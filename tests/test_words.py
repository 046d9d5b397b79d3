"""A word is found in text, never in token ids; tokens are where their characters are."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from vitrail.errors import DataError, UsageError
from vitrail.toyland import model_path
from vitrail.words import Match, Word, absent, is_word, nearest, own_tokens, token_offsets, token_span, word_tokens


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


# ---- words in text ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "text", "found"),
    [
        (Word("cat"), "a cat on a mat", ("cat", 2)),
        (Word("cat"), "cat", ("cat", 0)),
        (Word("cat"), "what a cat!", ("cat", 7)),
        (Word("cat"), "a 'cat', maybe", ("cat", 3)),
        (Word("cat"), "a category of its own", None),
        (Word("cat"), "a wildcat", None),
        (Word("cat"), "cats", None),
        (Word("cat"), "cat_2 and 2cat", None),
        (Word("cat"), "", None),
        (Word("cat"), "a category, then a cat", ("cat", 19)),
        (Word("cat"), "a cat and a cat", ("cat", 2)),
        (Word("cat"), "A Cat, a CAT", ("Cat", 2)),
        (Word("cat", match_case=True), "A Cat, a CAT, a cat", ("cat", 16)),
        (Word("cat", forms=("kitten", "cats")), "two cats", ("cats", 4)),
        (Word("cat", forms=("kitten",)), "a kitten, a cat", ("kitten", 2)),
        (Word("hot dog"), "a hot dog in a bun", ("hot dog", 2)),
        (Word("hot dog"), "a hot, tired dog", None),
        (Word("dog", forms=("dog house",)), "the dog house", ("dog house", 4)),
        (Word("hot", forms=("hot dog",)), "a hot dog", ("hot dog", 2)),
        (Word("a.c"), "abc a.c", ("a.c", 4)),
        (Word("été"), "cet ÉTÉ-là", ("ÉTÉ", 4)),
        (Word("ете"), "летен", None),
        (Word("猫"), "一只 猫 在", ("猫", 3)),
    ],
)
def test_a_word_is_found_between_word_boundaries_in_any_stated_form(word, text, found):
    match = word.find(text)
    assert (match and (match.form, match.start)) == found
    if match:
        assert text[match.start : match.end] == match.form


@pytest.mark.parametrize("text", ["", " ", " dog", "dog ", "\tdog"])
def test_a_word_without_letters_or_with_outer_spaces_is_refused(text):
    with pytest.raises(UsageError, match="must not be empty or begin or end with a space"):
        Word(text)
    with pytest.raises(UsageError, match="must not be empty or begin or end with a space"):
        Word("dog", forms=(text,))


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_match_has_no_word_character_on_either_side(before, after):
    text = f"{before}dog{after}"
    match = Word("dog", match_case=True).find(text)
    free = not (before[-1:].isalnum() or before[-1:] == "_" or after[:1].isalnum() or after[:1] == "_")
    if free:
        assert match
    if match:
        outside = text[: match.start][-1:] + text[match.end :][:1]
        assert not any(c.isalnum() or c == "_" for c in outside)


# ---- tokens in text --------------------------------------------------------------------------------------------------


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


# ---- which tokens are words ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["dog", " Dog", "running", "brown", "3", "42", " umbrella "])
def test_english_words_and_numbers_say_something(text):
    assert is_word(text)


@pytest.mark.parametrize("text", ["", " ", "the", "with", "of", "ox", "a", "dgo", "brel", "it's", "dog.", "<s>", "3rd"])
def test_stop_words_pieces_short_words_and_marks_say_nothing(text):
    assert not is_word(text)


@pytest.mark.parametrize("mark", ["▁", "Ġ", " "])
def test_pieces_inside_a_word_are_no_words_where_spaces_are_marked(mark):
    pieces = ["<s>", f"{mark}dog", "dog", f"{mark}car", "car", f"{mark}xqz", f"{mark}the", mark, f"{mark}2", "7"]
    assert word_tokens(Fake(pieces, mark=mark, special=[0])) == {1: "dog", 3: "car", 8: "2"}


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
        assert tokenizer.decode([token]) == f" {word}"


def test_the_tokens_of_a_word_itself_are_those_of_each_part_form_and_case():
    own = ["hot", " hot", "Hot", " HOT", "dog", " dog", " Dog", "DOG", " cats", "Cats"]
    fake = Fake([*own, "running", " hotdog", " cat", "dogs"], mark=" ")
    assert own_tokens(fake, Word("hot dog", forms=("cats",))) == set(range(len(own)))
    assert own_tokens(fake, Word("Dog")) == {own.index(t) for t in ("dog", " dog", " Dog", "DOG")}


def test_the_tokens_of_a_word_of_several_pieces_are_all_its_pieces(tokenizer):
    pieces = tokenizer.encode(" sailboat", add_special_tokens=False)
    assert set(pieces) <= own_tokens(tokenizer, Word("sailboat"))


# ---- what to try instead ---------------------------------------------------------------------------------------------

TEXTS = ["a brown dog on the grass", "a brown horse", "the grass and the brown sand"]


def test_the_nearest_words_are_those_spelled_alike():
    assert nearest("dogs", TEXTS)[0] == "dog"
    assert nearest("GRAS", TEXTS)[0] == "grass"


def test_without_a_word_spelled_alike_the_most_frequent_are_named():
    assert nearest("zzzz", TEXTS, n=2) == ["brown", "grass"]


def test_words_that_say_nothing_are_never_proposed():
    assert "the" not in nearest("the", TEXTS)


def test_the_error_for_an_absent_word_says_where_it_was_looked_for_and_what_there_is():
    error = absent(Word("dogs"), "references", TEXTS)
    assert isinstance(error, DataError)
    assert str(error) == "No sample has 'dogs' in its references. Words that do occur: dog."


def test_a_match_is_a_form_and_its_place():
    assert Word("dog").find("a Dog") == Match("Dog", 2, 5)


# ---- other scripts and languages -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "text", "found"),
    [
        ("狗", "一只狗在草地上", True),  # Chinese has no spaces
        ("いぬ", "しろいいぬがいる", True),
        ("หมา", "มีหมาอยู่", True),
        ("कुत्त", "घास पर कुत्ता", False),  # the vowel sign belongs to the word
        ("कुत्ता", "घास पर कुत्ता", True),
        ("собак", "собака", False),
        ("cafe", "a cafe\u0301", False),  # an accent of its own
    ],
)
def test_a_whole_word_is_one_by_the_rules_of_its_script(word, text, found):
    assert (Word(word).find(text) is not None) == found


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("Hund", "de", True),
        ("собака", "ru", True),
        ("собакаа", "ru", False),
        ("dog", "any", True),
        ("qqq", "any", True),
        ("ab", "any", False),
        ("狗", "any", True),
        ("कुत्ता", "any", True),
        ("a-b", "any", False),
        ("", "any", False),
        ("12", "ru", True),
    ],
)
def test_words_of_other_languages_are_those_of_their_dictionary_or_anything_in_letters(text, language, expected):
    assert is_word(text, language) == expected


def test_a_language_without_a_dictionary_is_refused_and_those_with_one_are_named():
    with pytest.raises(UsageError, match=r"no dictionary of 'xx'; there are .*en, .*and `any`"):
        is_word("dog", "xx")


def test_tokens_of_a_script_without_spaces_need_no_mark_of_a_beginning():
    assert word_tokens(Fake(["▁dog", "狗", "ella", "▁猫"], special=[]), "any") == {0: "dog", 1: "狗", 3: "猫"}
