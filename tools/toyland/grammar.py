"""Whether a text is a sentence of Toyland: the grammar of its captions, read instead of written."""

from __future__ import annotations

import re

from vitrail.toyland.language import LEXICON, plural


def _words(factor: str) -> str:
    """A pattern of all words that name a value of a factor."""
    named = {word for value in LEXICON[factor].values() for word in value}
    named |= {plural(word) for word in named} if factor == "kind" else set()
    return "(?:" + "|".join(sorted(named, key=len, reverse=True)) + ")"


_BEFORE = {factor: _words(factor) for factor in ("colour", "size", "action", "place", "companion", "mood")}
_BEFORE["light"] = "(?:sunny|night|rainy)"
_LIGHT = "(?:during the day|in the sun|at night|in the dark|under the stars|in the rain|on a (?:rainy|wet) day)"
_AFTER = {
    "colour": f"(?:that (?:is|are)|in) {_BEFORE['colour']}",
    "action": f"(?:that (?:is|are) )?{_BEFORE['action']}",
    "place": f"(?:on|in) the {_BEFORE['place']}",
    "companion": f"(?:with|near|next to|beside|close to) an? {_BEFORE['companion']}",
    "mood": f"on an? {_BEFORE['mood']} day",
    "light": _LIGHT,
}
_OPENINGS = "(?:there (?:is|are)|this is|these are|an? (?:photo|picture|image) of|the picture shows|we see)"
_FRONTS = {
    "": f"(?:{_OPENINGS} )?",
    "place": f"{_AFTER['place']} , ",
    "mood": f"{_AFTER['mood']} , ",
    "light": f"{_LIGHT} , ",
    "companion": f"an? {_BEFORE['companion']} and ",
}


def is_sentence(text: str) -> bool:
    """Whether a text is a plain caption of Toyland's grammar: every factor at most once, each at a place of its own."""

    def rest(left: str, used: frozenset[str], parts: dict[str, str], noun: bool) -> bool:
        if not noun and (m := re.match(f"{_words('kind')}(?: |$)", left)) and rest(left[m.end() :], used, _AFTER, True):
            return True
        if not left:
            return noun
        steps = ((f, re.match(f"{p}(?: |$)", left)) for f, p in parts.items() if f not in used)
        return any(m is not None and rest(left[m.end() :], used | {f}, parts, noun) for f, m in steps)

    for factor, front in _FRONTS.items():
        m = re.match(f"{front}(?:an?|two|three|four) ", text)
        if m and rest(text[m.end() :], frozenset({factor}), _BEFORE, False):
            return True
    return False
