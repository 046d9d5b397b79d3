"""Scores of generated texts: CIDEr-D, BLEU and METEOR of captions, VQAv2's accuracy of answers, and diversity.

BLEU comes from sacreBLEU, METEOR from NLTK. CIDEr-D is written here, because the one library that computes it without
Java needs an audio model and pins packages that can no longer be installed. It gives the published code's figures to
1e-9.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np
from jaxtyping import Float

from vitrail.errors import DataError, UsageError

_ORDERS = 4
_SIGMA = 6.0
Grams = Counter[tuple[str, ...]]


def tokens(text: str) -> list[str]:
    """The words and numbers of a text in lower case, without punctuation: the units that captions are compared by."""
    return re.findall(r"[^\W_]+(?:'[^\W_]+)*", text.lower())


def cider_d(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> Float[np.ndarray, " n"]:
    """CIDEr-D of each candidate against its references (Vedantam et al. 2015), 0 to 10; the mean is the corpus score.

    It compares word n-grams up to length 4; an n-gram weighs more the fewer images have it in a reference. Document
    frequencies are those of `references`, so only scores over the same images can be compared.

    Raises:
        DataError: fewer than two images, or one without a reference.
    """
    if len(candidates) != len(references):
        raise ValueError(f"{len(candidates)} candidates, but references for {len(references)}")
    if len(references) < 2 or not all(references):
        raise DataError("CIDEr needs two images or more, each with a reference; give more samples.")
    counted = [[_grams(tokens(r)) for r in refs] for refs in references]
    frequency = Counter(gram for refs in counted for gram in set().union(*refs))
    log_n = math.log(len(references))

    def vectors(grams: Grams) -> tuple[list[dict[tuple[str, ...], float]], list[float], int]:
        parts: list[dict[tuple[str, ...], float]] = [{} for _ in range(_ORDERS)]
        for gram, n in grams.items():
            parts[len(gram) - 1][gram] = n * (log_n - math.log(max(1.0, frequency[gram])))
        norms = [math.sqrt(sum(v * v for v in part.values())) for part in parts]
        return parts, norms, sum(n for gram, n in grams.items() if len(gram) == 2)  # as published: length in bigrams

    scores = []
    for text, refs in zip(candidates, counted, strict=True):
        said, said_norms, said_length = vectors(_grams(tokens(text)))
        total = 0.0
        for grams in refs:
            there, norms, length = vectors(grams)
            penalty = math.exp(-((said_length - length) ** 2) / (2 * _SIGMA**2))
            for k in range(_ORDERS):
                dot = sum(min(v, there[k][g]) * there[k][g] for g, v in said[k].items() if g in there[k])
                scale = said_norms[k] * norms[k]
                total += penalty * (dot / scale if scale else dot)
        scores.append(10.0 * total / (_ORDERS * len(refs)))
    return np.array(scores)


def _grams(words: Sequence[str]) -> Grams:
    return Counter(tuple(words[i : i + k]) for k in range(1, _ORDERS + 1) for i in range(len(words) - k + 1))


def bleu(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """BLEU-4 of the corpus, 0 to 100, computed by sacreBLEU on the words of `tokens`."""
    from sacrebleu.metrics import BLEU

    most = max(map(len, references))
    streams = [[" ".join(tokens(refs[i])) if i < len(refs) else None for refs in references] for i in range(most)]
    scorer = BLEU(tokenize="none", force=True)
    return float(scorer.corpus_score([" ".join(tokens(c)) for c in candidates], streams).score)  # type: ignore[arg-type]


def has_meteor() -> bool:
    """Whether METEOR can be computed here: NLTK is an extra (`pip install 'vitrail[meteor]'`)."""
    return find_spec("nltk") is not None


def meteor(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> Float[np.ndarray, " n"]:
    """METEOR of each candidate with its best reference, 0 to 1, computed by NLTK: α = .9, β = 3, γ = .5.

    Words match if they are equal or have the same Porter stem (Banerjee & Lavie 2005, with the parameters of Lavie &
    Agarwal 2007). Synonyms do not match: WordNet would have to be downloaded. The Java program behind COCO's tables,
    METEOR 1.5, also has synonyms, paraphrases and other weights, so its figures cannot be compared with these.

    Raises:
        DataError: a candidate has no reference.
        UsageError: NLTK is not installed.
    """
    try:
        from nltk.translate.meteor_score import meteor_score
    except ImportError as error:
        raise UsageError("METEOR needs NLTK: pip install 'vitrail[meteor]'.") from error
    if len(candidates) != len(references):
        raise ValueError(f"{len(candidates)} candidates, but references for {len(references)}")
    if not all(references):
        raise DataError("METEOR needs a reference for each candidate.")
    pairs = zip(candidates, references, strict=True)
    scores = [meteor_score([tokens(r) for r in refs], tokens(said), wordnet=_NoSynonyms()) for said, refs in pairs]
    return np.array(scores, dtype=float)


class _NoSynonyms:
    """What NLTK asks for synonyms; it has none."""

    def synsets(self, word: str) -> list[str]:
        return []


def distinct(texts: Sequence[str], n: int = 2) -> float:
    """Distinct-n (Li et al. 2016): the share of different word n-grams among all, 0 to 1; low when texts repeat."""
    grams = [tuple(t[i : i + n]) for t in map(tokens, texts) for i in range(len(t) - n + 1)]
    return len(set(grams)) / len(grams) if grams else 0.0


_REPEATED = re.compile(r"\b([^\W_]+(?: [^\W_]+){0,3}) \1\b")


def repeats(text: str) -> bool:
    """Whether a text says a phrase of one to four words twice in a row: what a text does that runs in a circle.

    >>> repeats("a big big dog"), repeats("a dog on a dog on the grass"), repeats("a dog and a dog")
    (True, True, False)
    """
    return _REPEATED.search(" ".join(tokens(text))) is not None


_DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
_NUMBERS = {"none": "0", **{word: str(n) for n, word in enumerate(_DIGITS)}}
_ARTICLES = {"a", "an", "the"}
_MARKS = ';/[]"{}()=+\\_-><@`,?!'
_THOUSANDS = re.compile(r"\d,\d")
_STOP = re.compile(r"\.(?!\d)")
_CONTRACTED = """
ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've he's
how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've needn't not've o'clock
oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd
someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've there're there's
they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's what've when's
where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've wouldn't wouldn't've
y'all y'all'll y'all'd've you'd you'd've you'll you're you've
"""
#: A contraction that lacks one apostrophe → with all of them. The published list has "somebody'd" the wrong way round.
_CONTRACTIONS = {w[:i] + w[i + 1 :]: w for w in _CONTRACTED.split() for i, c in enumerate(w) if c == "'"} | {
    "somebody'd": "somebodyd"
}


def normal_answer(text: str) -> str:
    """An answer as VQAv2's official evaluation compares it (visualqa.org/evaluation, and its published code).

    Lower case; no full stops but decimal points; other marks than apostrophes and colons go, or become a space where
    they stand between letters; no articles; "none" and number words to "ten" as digits; apostrophes in contractions.

    >>> normal_answer("The two dogs."), normal_answer("U.S.A."), normal_answer("dont"), normal_answer("3.5")
    ('2 dogs', 'usa', "don't", '3.5')
    """
    text = text.replace("\n", " ").replace("\t", " ").strip()
    thousands, found = _THOUSANDS.search(text), text
    for mark in _MARKS:  # a mark beside a space goes everywhere; all marks do where a comma stands between digits
        beside = f"{mark} " in text or f" {mark}" in text
        found = found.replace(mark, "" if beside or thousands else " ")
    words = [_NUMBERS.get(w, w) for w in _STOP.sub("", found).lower().split()]
    return " ".join(_CONTRACTIONS.get(w, w) for w in words if w not in _ARTICLES)


def vqa_accuracy(answer: str, truth: Sequence[str]) -> float:
    """VQAv2's accuracy of one answer, 0 to 1 (Goyal et al. 2017).

    Each of the (ten) people is left out in turn; the accuracy is the mean of min(1, matches among the others / 3). With
    fewer than four people it is the share of them who gave this answer. Answers are compared as `normal_answer` writes
    them, also where all people say the same; the official code then compares them as they are.

    Raises:
        DataError: `truth`, the answers that people gave, is empty.
    """
    said, people = normal_answer(answer), [normal_answer(t) for t in truth]
    if not people:
        raise DataError("VQA accuracy needs at least one answer that a person gave; got none.")
    if len(people) < 4:
        return sum(p == said for p in people) / len(people)
    same = sum(p == said for p in people)
    return float(np.mean([min(1.0, (same - (p == said)) / 3) for p in people]))
