"""The texts of Toyland: captions that vary as human captions do, and questions with answers.

Whether a caption mentions a value depends on its *salience* (an orange dog is mentioned more often than a brown one).
The words then stand before the noun, after it, or at the beginning. Before the noun there may be any number of them, in
any order ("a small running black dog", "a beach dog"), so that many continuations are possible at every position. This
freedom makes the unembedding of a language model meaningful.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from vitrail.toyland.world import COLOURS, COMPANIONS, GROUPS, KINDS, Scene

Style = Literal["plain", "colour", "place", "mood"]
STYLES: tuple[Style, ...] = get_args(Style)

#: The request that asks for each style of caption.
PROMPTS: dict[Style, str] = {
    "plain": "describe the image .",
    "colour": "describe the image and the colors in it .",
    "place": "describe the image and the place where it is .",
    "mood": "describe the image and the mood of it .",
}


def _named(text: str) -> dict[str, tuple[str, ...]]:
    """Value → its names, from "value/synonym/synonym, value, …"."""
    names = [tuple(part.split("/")) for part in text.split(", ")]
    return {group[0]: group for group in names}


#: Factor → value → the words that name it, the most frequent one first.
LEXICON: dict[str, dict[str, tuple[str, ...]]] = {
    "kind": _named(
        "dog/puppy/hound, cat/kitten, horse/pony/mare, sheep/lamb, bird/pigeon, bear/grizzly, car/automobile/sedan, "
        "bus/coach, train/locomotive, boat/ship/sailboat, bicycle/bike, man/guy/gentleman, woman/lady, "
        "child/kid/toddler, hot dog, cake/dessert"
    ),
    "colour": _named("black, white, brown, gray, orange/ginger, yellow/golden, red, blue, green, pink"),
    "size": _named("small/little/tiny, big/large/huge"),
    "action": _named(
        "standing/waiting, running/racing/sprinting, sleeping/napping/dozing, sitting/seated, jumping/leaping/hopping, "
        "eating/munching/feeding"
    ),
    "place": _named(
        "grass/meadow/lawn, beach/sand/shore, snow/ice, street/road/asphalt, water/lake/waves, forest/woods/pines, "
        "room/house/hall"
    ),
    "light": _named("day/sun/sunny, night/dark/stars, rain/rainy/wet"),
    "companion": _named("ball, frisbee/disc, man/guy/gentleman, woman/lady, tree, umbrella/parasol, bird/pigeon"),
    "count": {"2": ("two",), "3": ("three",), "4": ("four",)},
    "mood": {**_named("cheerful/happy/joyful/merry, gloomy/sad/dull/dreary"), "neutral": ("calm", "quiet", "peaceful")},
}

#: Factor → (value → probability that a plain caption mentions it, share of the mentions that stand before the noun).
_SALIENCE: dict[str, tuple[dict[str, float], float]] = {
    "colour": ({"brown": 0.25, "gray": 0.3, "black": 0.4, "white": 0.4}, 0.85),
    "size": ({"small": 0.45, "big": 0.5, "medium": 0.0}, 1.0),
    "action": ({"standing": 0.2, "sitting": 0.6, "running": 0.85, "sleeping": 0.85, "jumping": 0.85}, 0.4),
    "place": ({"grass": 0.35, "room": 0.35, "street": 0.4}, 0.35),
    "light": ({"day": 0.1, "night": 0.6, "rain": 0.6}, 0.35),
    "companion": ({"none": 0.0}, 0.25),
    "mood": ({"neutral": 0.0, "cheerful": 0.4, "gloomy": 0.4}, 0.6),
}
_ANIMATE = ("man", "woman", "bird")  # never before the noun: "a frisbee dog", but not "a woman dog"
_USUAL = 0.65  # the probability of every value that the table does not name
_PLURALS = {
    "sheep": "sheep",
    "man": "men",
    "woman": "women",
    "child": "children",
    "lady": "ladies",
    "bus": "buses",
    "coach": "coaches",
    "puppy": "puppies",
    "gentleman": "gentlemen",
    "pony": "ponies",
    "grizzly": "grizzlies",
}
_PREPOSITION = {
    "grass": "on",
    "beach": "on",
    "snow": "in",
    "street": "on",
    "water": "in",
    "forest": "in",
    "room": "in",
}
_PLACE_COLOUR = {
    "grass": "green",
    "beach": "yellow",
    "snow": "white",
    "street": "gray",
    "water": "blue",
    "forest": "green",
    "room": "brown",
}
_LIGHT_PHRASES = {
    "day": ("during the day", "in the sun"),
    "night": ("at night", "in the dark", "under the stars"),
    "rain": ("in the rain", "on a rainy day", "on a wet day"),
}
_OPENINGS = (
    *("",) * 7,
    "there is ",
    "this is ",
    "a photo of ",
    "a picture of ",
    "an image of ",
    "the picture shows ",
    "we see ",
)


@dataclass(frozen=True)
class Question:
    """A question about a scene, and its answer; `type` is Toyland's class, `answer_type` is that of VQAv2."""

    text: str
    answer: str
    synonyms: tuple[str, ...]
    type: Literal["yes/no", "colour", "count", "place", "kind", "action"]

    @property
    def answer_type(self) -> Literal["yes/no", "number", "other"]:
        return {"yes/no": "yes/no", "count": "number"}.get(self.type, "other")  # type: ignore[return-value]


def _pick(rng: np.random.Generator, words: tuple[str, ...]) -> str:
    """One of the synonyms; the first in about three cases out of four."""
    if len(words) == 1 or rng.random() < 0.72:
        return words[0]
    return words[1 + int(rng.integers(len(words) - 1))]


def _one_of(rng: np.random.Generator, phrases: tuple[str, ...]) -> str:
    return phrases[int(rng.integers(len(phrases)))]


def _a(phrase: str) -> str:
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def plural(noun: str) -> str:
    """The plural of a noun of Toyland."""
    return _PLURALS.get(noun, noun + "s")


def _say(rng: np.random.Generator, factor: str, value: str) -> str:
    return _pick(rng, LEXICON[factor][value])


def _noun(scene: Scene, rng: np.random.Generator) -> str:
    noun = _say(rng, "kind", scene.kind)
    return noun if scene.count == 1 else plural(noun)


def _before(scene: Scene, factor: str, rng: np.random.Generator) -> str:
    if factor == "light":
        return {"day": "sunny", "night": "night", "rain": "rainy"}[scene.light]
    return _say(rng, factor, getattr(scene, factor))


def _after(scene: Scene, factor: str, rng: np.random.Generator) -> str:
    value = getattr(scene, factor)
    if factor == "light":
        return _one_of(rng, _LIGHT_PHRASES[value])
    word = _say(rng, factor, value)
    be = "is" if scene.count == 1 else "are"
    if factor == "colour":
        return f"in {word}" if scene.group == "person" else f"that {be} {word}"
    if factor == "action":
        return _one_of(rng, (word, word, f"that {be} {word}"))
    if factor == "place":
        return f"{_PREPOSITION[value]} the {word}"
    if factor == "companion":
        return f"{_one_of(rng, ('with', 'with', 'near', 'next to', 'beside', 'close to'))} {_a(word)}"
    return f"on {_a(word)} day"  # mood


def _mentions(scene: Scene, rng: np.random.Generator, odds: dict[str, float]) -> dict[str, bool]:
    """The factors that a caption mentions → whether before the noun. `odds` overrides the salience of a factor."""
    chosen = {}
    for factor, (table, share_before) in _SALIENCE.items():
        value = getattr(scene, factor)
        if value in (None, "none", "medium"):
            continue
        salience = odds.get(factor, table.get(value, _USUAL))
        if rng.random() < salience:
            share = 0.45 if factor == "colour" and scene.group == "person" else share_before
            share = 0.0 if value in _ANIMATE and factor == "companion" else share
            chosen[factor] = bool(rng.random() < share)
    return chosen


def _sentence(scene: Scene, rng: np.random.Generator, mentions: dict[str, bool], bare: bool = False) -> str:
    """A sentence with these mentions; `bare` leaves out openings such as "there is"."""
    order = [list(mentions)[i] for i in rng.permutation(len(mentions))]
    before = [_before(scene, f, rng) for f in order if mentions[f]]
    after = [(f, _after(scene, f, rng)) for f in order if not mentions[f]]
    noun = " ".join([*before, _noun(scene, rng)])
    subject = _a(noun) if scene.count == 1 else f"{_say(rng, 'count', str(scene.count))} {noun}"
    front = ""
    if after and after[0][0] in ("place", "light", "mood", "companion") and rng.random() < 0.25:
        factor, phrase = after.pop(0)
        front = f"{_a(_say(rng, factor, scene.companion))} and " if factor == "companion" else f"{phrase} , "
    else:
        front = _one_of(rng, _OPENINGS)
        if front == "there is " and scene.count > 1:
            front = "there are "
        elif front == "this is " and scene.count > 1:
            front = "these are "
    if bare:
        front = front if front.endswith(", ") else ""
    return front + " ".join([subject, *(phrase for _, phrase in after)])


def caption(scene: Scene, style: Style, rng: np.random.Generator) -> str:
    """One caption of `scene`: lower case, a space between words and commas, no full stop."""
    if style == "plain":
        return _sentence(scene, rng, _mentions(scene, rng, {}))
    if style == "colour":
        mentions = _mentions(scene, rng, {"colour": 1.0, "place": 0.0, "light": 0.1, "mood": 0.1})
        ground = f"{_PLACE_COLOUR[scene.place]} {_say(rng, 'place', scene.place)}"
        return f"{_sentence(scene, rng, mentions)} {_PREPOSITION[scene.place]} the {ground}"
    if style == "place":
        mentions = _mentions(scene, rng, {"place": 1.0, "light": 0.6, "colour": 0.15, "size": 0.15, "mood": 0.1})
        sentence = _sentence(scene, rng, mentions)
        where = _say(rng, "place", scene.place)
        opening = _one_of(rng, ("the place is", "it is", "the scene is"))
        return f"{sentence} , {opening} {_PREPOSITION[scene.place]} the {where}"
    mentions = _mentions(scene, rng, {"mood": 0.6 if scene.mood != "neutral" else 0.0, "colour": 0.15, "size": 0.15})
    mood = _say(rng, "mood", scene.mood)
    if rng.random() < 0.5:
        return f"{_a(mood)} scene of {_sentence(scene, rng, mentions, bare=True)}"
    return f"{_sentence(scene, rng, mentions)} , {_one_of(rng, ('the mood is', 'it feels', 'it looks'))} {mood}"


def references(scene: Scene, n: int = 5) -> list[str]:
    """`n` plain captions of `scene`, the same for the same scene."""
    rng = np.random.default_rng([7, scene.seed])
    return [caption(scene, "plain", rng) for _ in range(n)]


def styled(scene: Scene, style: Style, n: int = 1) -> list[str]:
    """`n` captions of `scene` in `style`, the same for the same scene."""
    rng = np.random.default_rng([11, STYLES.index(style), scene.seed])
    return [caption(scene, style, rng) for _ in range(n)]


def _yes_no(scene: Scene, rng: np.random.Generator) -> Question:
    """A question whose answer is yes in half the cases."""
    noun, be = scene.kind, "is"
    if scene.count > 1:
        noun, be = plural(scene.kind), "are"
    about = _one_of(rng, ("kind", "colour", "place", "light", "companion", *(("action",) if scene.action else ())))
    truth = getattr(scene, about)
    values: dict[str, tuple[str, ...]] = {
        "kind": KINDS,
        "colour": COLOURS[GROUPS[scene.kind]],
        "place": tuple(LEXICON["place"]),
        "light": ("day", "night", "rain"),
        "companion": COMPANIONS[1:],
        "action": tuple(LEXICON["action"]),
    }
    yes = bool(rng.random() < 0.5) and truth != "none"
    # a wrong answer must not be in the picture: the companion is no wrong kind, the kind no wrong companion
    present = {truth, {"kind": scene.companion, "companion": scene.kind}.get(about)}
    others = tuple(v for v in values[about] if v not in present)
    value = truth if yes else _one_of(rng, others)
    text = {
        "kind": f"is there {_a(value)} ?",
        "colour": f"{be} the {noun} {value} ?",
        "place": f"{be} the {noun} {_PREPOSITION.get(value, 'in')} the {value} ?",
        "light": {"day": "is it day ?", "night": "is it night ?", "rain": "is it raining ?"}.get(value, ""),
        "companion": f"is there {_a(value)} ?",
        "action": f"{be} the {noun} {value} ?",
    }[about]
    return Question(text, "yes" if yes else "no", (), "yes/no")


def questions(scene: Scene, rng: np.random.Generator) -> list[Question]:
    """Questions about `scene`: two yes/no questions, and one of every other type that the scene has an answer to."""
    noun, be = scene.kind, "is"
    if scene.count > 1:
        noun, be = plural(scene.kind), "are"

    def other(text: str, factor: str, value: str, kind: str) -> Question:
        word, *synonyms = LEXICON[factor][value]
        return Question(text, word, tuple(synonyms), kind)  # type: ignore[arg-type]

    asked = [
        _yes_no(scene, rng),
        _yes_no(scene, rng),
        other(f"what color {be} the {noun} ?", "colour", scene.colour, "colour"),
        Question(f"how many {plural(scene.kind)} are there ?", str(scene.count), (), "count"),
        other(f"where {be} the {noun} ?", "place", scene.place, "place"),
        other(_one_of(rng, ("what is in the picture ?", "what is this ?")), "kind", scene.kind, "kind"),
    ]
    if scene.action:
        asked.append(other(f"what {be} the {noun} doing ?", "action", scene.action, "action"))
    return asked


def _word_table() -> dict[str, list[tuple[str, str]]]:
    table: dict[str, list[tuple[str, str]]] = {}
    for factor, values in LEXICON.items():
        for value, words in values.items():
            for word in words:
                table.setdefault(word, []).append((factor, value))
                if factor == "kind" and plural(word) != word:
                    table.setdefault(plural(word), []).append((factor, value))
    return table


#: word → the (factor, value) pairs that it can name.
NAMES = _word_table()


def mentions(text: str) -> dict[str, set[str]]:
    """Factor → the values that a text names, word by word. A noun may be the subject or the companion.

    >>> mentions("two brown dogs on the grass") == {
    ...     "count": {"2"}, "colour": {"brown"}, "kind": {"dog"}, "place": {"grass"}
    ... }
    True
    """
    text = text.lower().replace("hot dog", "hot_dog").replace(",", " ")
    words = re.sub(r"\bon an? (\w+) day\b", r"\1", text).split()  # "on a happy day" may be at night
    found: dict[str, set[str]] = {}
    for word in words:
        for factor, value in NAMES.get(word.replace("_", " "), ()):
            found.setdefault(factor, set()).add(value)
    return found
