"""The script that measures the bundled models: what counts as right, and the cards that it writes."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from tools.toyland.evaluate import (
    Answers,
    Meaning,
    Mentions,
    ModelFigures,
    ScorerFigures,
    captions_right,
    card,
    meaning,
    scorer_card,
)

from vitrail import toyland
from vitrail.grounding import Grounding
from vitrail.toyland.world import Scene, scene


def a_dog_on_grass() -> Scene:
    dog = next(s for s in map(scene, range(1000)) if s.kind == "dog")
    return replace(dog, colour="brown", place="grass", companion="ball", action="running", mood="neutral", count=1)


def test_a_caption_is_right_when_it_names_the_values_of_the_scene_and_no_others() -> None:
    said = ["a brown dog on the grass", "a black dog and a cat on the lawn", "a dog with a ball", "a cat on the beach"]
    found = captions_right([a_dog_on_grass()] * 4, said)
    assert found["colour"] == Mentions(mentioned=0.5, right=0.5)
    assert found["place"] == Mentions(mentioned=0.75, right=pytest.approx(2 / 3))
    assert found["kind"] == Mentions(mentioned=1.0, right=0.5)
    assert found["companion"] == Mentions(mentioned=0.25, right=1.0)
    assert found["mood"] == Mentions(mentioned=0.0, right=0.0)


def test_a_concept_is_meaningful_when_a_word_is_true_of_three_of_its_images() -> None:
    class Named:
        def __init__(self, **parts: object) -> None:
            vars(self).update(parts)

    def concept(words: list[str], ids: list[str]) -> Named:
        return Named(words=[Named(word=w) for w in words], samples=[Named(sample_id=i) for i in ids])

    class Grounded:
        concepts = (
            concept(["dog", "grass", "red", "cat"], ["g", "g", "g", "s", "s"]),  # grass is true of three
            concept(["red", "car", "bus", "grass"], ["g"] * 5),  # true words come too late
            concept(["grass"], ["g", "g", "s", "s", "s"]),  # of two only
        )

        def __len__(self) -> int:
            return 3

    factors = {"g": a_dog_on_grass().factors(), "s": replace(a_dog_on_grass(), place="snow").factors()}
    grounded: Grounding = Grounded()  # type: ignore[assignment]
    found = meaning(grounded, factors, "dog", ["dog", "grass", "red", "blue", "green"])
    assert (found.n_concepts, found.meaningful) == (3, 1)
    assert found.by_chance > 1  # three of four words: nearly always grass is among them
    assert found.p > 0.5


def rows(text: str, section: str, columns: int) -> list[list[str]]:
    part = text.split(f"## {section}\n")[1].split("\n## ")[0]
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line[:1] == "|"]
    return [row for row in found[2:] if len(row) == columns]


def share(text: str) -> float:
    return float(text.rstrip("%")) / 100


def test_the_card_of_the_bundled_model_is_what_the_script_writes() -> None:
    text = (toyland.model_path() / "README.md").read_text(encoding="utf-8")
    training = re.search(r"tools.toyland.train` \((.*)\)\.", text)
    parameters = re.search(r"Parameters: ([\d,]+)\.", text)
    assert training
    assert parameters
    figures = ModelFigures(
        scenes=1000,
        parameters=int(parameters[1].replace(",", "")),
        training=training[1],
        captions={f: Mentions(share(a), share(b)) for f, a, b, _ in rows(text, "Captions", 4)},
        questions={k: Answers(int(n), share(a)) for k, n, a, _ in rows(text, "Questions", 4)},
        concepts={
            word: Meaning(int(of.split(" of ")[1]), int(of.split(" of ")[0]), float(chance), float(p))
            for word, of, chance, p in rows(text, "Concepts", 4)
        },
        examples=re.findall(r"^- (.*)$", text, re.MULTILINE),
    )
    assert len(figures.captions) == 9
    assert len(figures.concepts) == 6
    assert card(figures) == text


@pytest.mark.parametrize("name", ["clip", "text"])
def test_the_cards_of_the_bundled_scorers_are_what_the_script_writes(name: str) -> None:
    from tools.toyland.evaluate import SCORERS, count_numbers

    folder = toyland.model_path().parent / name
    text = (folder / "README.md").read_text(encoding="utf-8")
    found = dict(re.findall(r"^\| ([\w ]+) \| ([\d.]+%) \|$", text, re.MULTILINE))
    what, about, _ = SCORERS[name]
    figures = {key: share(value) for key, value in found.items()}
    assert scorer_card(ScorerFigures(what, about, count_numbers(folder), 1000, figures)) == text
    assert np.all(np.array(list(figures.values())) > 0.5)
