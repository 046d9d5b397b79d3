"""Scores of texts: against the published code's figures, and by hand."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

from vitrail.errors import DataError
from vitrail.scores.texts import bleu, cider_d, distinct, meteor, normal_answer, tokens, vqa_accuracy

REFERENCES = [
    ["a dog on the grass", "a brown dog runs"],
    ["two cats in a room"],
    ["the bus is red", "a red bus on the street", "a big bus"],
]
CANDIDATES = ["a brown dog on the grass", "a cat in a room", "a red bus"]


def test_cider_is_that_of_the_published_code():
    # computed once by pycocoevalcap 1.2, `Cider().compute_score`, on the same tokens
    published = [4.817639208853427, 3.526709006307398, 2.526976947437256]
    np.testing.assert_allclose(cider_d(CANDIDATES, REFERENCES), published, rtol=1e-9)


def test_what_was_written_by_people_has_the_highest_cider():
    texts = [refs[0] for refs in REFERENCES]
    assert cider_d(texts, [[t] for t in texts]) == pytest.approx([10.0] * 3)
    assert cider_d(["x y z"] * 3, REFERENCES).tolist() == [0.0] * 3


def test_who_repeats_a_word_is_paid_for_it_once():
    # by hand: of four orders only the first matches, min(2, 1)·1 of norms 2 and 1; one bigram too long, σ = 6
    once, twice = cider_d(["dog", "cat cat"], [["dog"], ["cat"]])
    assert once == pytest.approx(10 / 4)
    assert twice == pytest.approx(10 / 4 * 0.5 * np.exp(-1 / 72))


def test_cider_needs_two_images_with_references():
    with pytest.raises(DataError, match="two images"):
        cider_d(["a dog"], [["a dog"]])
    with pytest.raises(DataError, match="reference"):
        cider_d(["a dog", "a cat"], [["a dog"], []])


def test_bleu_counts_what_any_reference_has():
    assert bleu(["a dog on the grass", "two cats in a room"], REFERENCES[:2]) == pytest.approx(100.0)
    assert bleu(CANDIDATES, REFERENCES) == pytest.approx(54.413074047685974)  # by sacreBLEU 2.6.0, once
    assert bleu(["x", "y"], REFERENCES[:2]) == 0.0


def test_meteor_is_the_published_formula_on_equal_words_and_stems():
    # "a", "dog" and "running" (by its stem) in one chunk, "fast" alone: P = 4/5, R = 4/6, two chunks of four matches
    said, reference = "a dog running and fast", "a dog runs on grass fast"
    precision, recall = 4 / 5, 4 / 6
    mean = precision * recall / (0.9 * precision + 0.1 * recall)
    expected = mean * (1 - 0.5 * (2 / 4) ** 3)
    assert meteor([said], [["two cats", reference]]) == pytest.approx([expected])
    assert meteor(["dog", ""], [["cat"], ["cat"]]).tolist() == [0, 0]
    with pytest.raises(DataError, match="reference"):
        meteor(["a dog"], [[]])


def test_captions_are_compared_by_words():
    assert tokens("A dog's ball, on the GRASS .") == ["a", "dog's", "ball", "on", "the", "grass"]


def test_those_who_say_the_same_are_not_distinct():
    assert distinct(["a dog runs", "a dog runs"]) == 0.5
    assert distinct(["a dog", "two cats"]) == 1.0
    assert distinct([]) == 0.0
    assert distinct(["a dog", "the dog"]) == 1.0  # pairs of words: the last word of a text begins none


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("Yes.", "yes"),
        ("The dog", "dog"),
        ("Two", "2"),
        ("3.5", "3.5"),
        ("1,000", "1000"),
        ("black/white", "black white"),
        ("black / white", "black white"),
        ("U.S.A.", "usa"),
        ("10:30 a.m.", "10:30 am"),
        ("dont know", "don't know"),
        ("t-shirt", "t shirt"),
        ("t - shirt", "t shirt"),
        ("1,000 t-shirts", "1000 tshirts"),  # where a comma stands between digits, every mark goes
        ("none", "0"),
        ("  it's  ", "it's"),
    ],
)
def test_answers_are_compared_as_the_challenge_does(text, normal):
    assert normal_answer(text) == normal


# The rules that visualqa.org publishes, in the order of its code, with its own table of contractions.
PUBLISHED_PAIRS = """
    aint=ain't arent=aren't cant=can't couldve=could've couldnt=couldn't couldn'tve=couldn't've couldnt've=couldn't've
    didnt=didn't doesnt=doesn't dont=don't hadnt=hadn't hadnt've=hadn't've hadn'tve=hadn't've hasnt=hasn't
    havent=haven't hed=he'd hed've=he'd've he'dve=he'd've hes=he's howd=how'd howll=how'll hows=how's Id've=I'd've
    I'dve=I'd've Im=I'm Ive=I've isnt=isn't itd=it'd itd've=it'd've it'dve=it'd've itll=it'll let's=let's maam=ma'am
    mightnt=mightn't mightnt've=mightn't've mightn'tve=mightn't've mightve=might've mustnt=mustn't mustve=must've
    neednt=needn't notve=not've oclock=o'clock oughtnt=oughtn't ow's'at='ow's'at 'ows'at='ow's'at 'ow'sat='ow's'at
    shant=shan't shed've=she'd've she'dve=she'd've she's=she's shouldve=should've shouldnt=shouldn't
    shouldnt've=shouldn't've shouldn'tve=shouldn't've somebody'd=somebodyd somebodyd've=somebody'd've
    somebody'dve=somebody'd've somebodyll=somebody'll somebodys=somebody's someoned=someone'd someoned've=someone'd've
    someone'dve=someone'd've someonell=someone'll someones=someone's somethingd=something'd
    somethingd've=something'd've something'dve=something'd've somethingll=something'll thats=that's thered=there'd
    thered've=there'd've there'dve=there'd've therere=there're theres=there's theyd=they'd theyd've=they'd've
    they'dve=they'd've theyll=they'll theyre=they're theyve=they've twas='twas wasnt=wasn't wed've=we'd've
    we'dve=we'd've weve=we've werent=weren't whatll=what'll whatre=what're whats=what's whatve=what've whens=when's
    whered=where'd wheres=where's whereve=where've whod=who'd whod've=who'd've who'dve=who'd've wholl=who'll whos=who's
    whove=who've whyll=why'll whyre=why're whys=why's wont=won't wouldve=would've wouldnt=wouldn't
    wouldnt've=wouldn't've wouldn'tve=wouldn't've yall=y'all yall'll=y'all'll y'allll=y'all'll yall'd've=y'all'd've
    y'alld've=y'all'd've y'all'dve=y'all'd've youd=you'd youd've=you'd've you'dve=you'd've youll=you'll youre=you're
    youve=you've"""
PUBLISHED_CONTRACTIONS = dict(pair.split("=") for pair in PUBLISHED_PAIRS.split())
NUMBER_WORDS = "zero one two three four five six seven eight nine ten"
PUBLISHED_NUMBERS = {"none": "0"} | {word: str(n) for n, word in enumerate(NUMBER_WORDS.split())}


def published_form(answer: str) -> str:
    """An answer by the published rules, one after the other."""
    answer = answer.replace("\n", " ").replace("\t", " ").strip()
    out = answer
    for mark in [
        ";",
        "/",
        "[",
        "]",
        '"',
        "{",
        "}",
        "(",
        ")",
        "=",
        "+",
        "\\",
        "_",
        "-",
        ">",
        "<",
        "@",
        "`",
        ",",
        "?",
        "!",
    ]:
        if mark + " " in answer or " " + mark in answer or re.search(r"(\d)(,)(\d)", answer) is not None:
            out = out.replace(mark, "")
        else:
            out = out.replace(mark, " ")
    out = "".join(c for i, c in enumerate(out) if c != "." or out[i + 1 : i + 2].isdigit())
    kept = []
    for word in out.lower().split():
        word = PUBLISHED_NUMBERS.get(word, word)
        if word not in ("a", "an", "the"):
            kept.append(PUBLISHED_CONTRACTIONS.get(word, word))
    return " ".join(kept)


ODD = """a an the dog Dog U.S.A. a.m. p.m 3.5 .5 1,000 10:30 t-shirt black/white No. 7 5. St. it's yes! (red) 50% 7,
é x.y"""
JOINTS = [*("  .,-/'!_;@&\n\t\"" * 2), " ", ", ", " - ", "? ", ": ", ". "]
ENDS = ["", "", ".", "!", " "]


def odd_answers() -> list[str]:
    """Answers with all that the rules speak of: contractions, numbers, articles, marks between, beside and around."""
    rng = np.random.default_rng(0)
    words = [*PUBLISHED_CONTRACTIONS, *PUBLISHED_NUMBERS, *ODD.split(), ""]
    found = []
    for _ in range(8000):
        first, *others = rng.choice(words, rng.integers(1, 4))
        found.append(first + "".join(rng.choice(JOINTS) + other for other in others) + rng.choice(ENDS))
    return [str(answer) for answer in found]


def test_the_verdict_on_8000_pairs_of_odd_answers_is_that_of_the_published_rules():
    answers = odd_answers()
    assert [normal_answer(a) for a in answers] == [published_form(a) for a in answers]
    # each against the answer without what the rules remove, and against the next one
    pairs = [(a, b) for a in answers for b in (re.sub(r"[^\w ]", "", a), a.upper())]
    pairs += itertools.pairwise(answers)
    verdicts = [published_form(a) == published_form(b) for a, b in pairs]
    assert [normal_answer(a) == normal_answer(b) for a, b in pairs] == verdicts
    assert 0.2 < np.mean(verdicts) < 0.8


@pytest.mark.parametrize(("same", "accuracy"), [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (10, 1.0)])
def test_the_accuracy_is_the_mean_over_nine_of_ten_people(same, accuracy):
    assert vqa_accuracy("Two", ["2"] * same + ["3"] * (10 - same)) == pytest.approx(accuracy)


def test_with_few_people_the_accuracy_is_their_share():
    assert vqa_accuracy("red", ["red", "blue"]) == 0.5
    with pytest.raises(DataError, match="at least one answer"):
        vqa_accuracy("red", [])
