"""Every public result shows itself in a notebook; what others wrote never becomes markup."""

from __future__ import annotations

import inspect
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

import vitrail
from benchmarks import artifacts
from vitrail.explanation import ActiveConcept, Explanation
from vitrail.grounding import GroundedWord
from vitrail.maps import ImageMaps, ImageToken, TargetMap, open_maps
from vitrail.monitoring.alarms import Explained, Moved
from vitrail.monitoring.alarms import Picture as Shot
from vitrail.monitoring.streams import Stream
from vitrail.notebook import Bar, Picture, View, bars, html_of
from vitrail.samples.images import thumbnail
from vitrail.toyland import adapter_path

#: What a text of others might hold.
HOSTILE = "<script>alert('x')</script>"
JPEG = thumbnail(Image.new("RGB", (8, 8), "red"))


@pytest.fixture(scope="module")
def made(tmp_path_factory, lmm, samples, dog_study):
    """The folder with an artifact of every kind."""
    out = tmp_path_factory.mktemp("made")
    artifacts.make(out, lmm, samples, dog_study)
    return out


def alarm() -> vitrail.Alarm:
    moved = Moved(Stream("concept", HOSTILE, 1), 0.1, 0.5, 0.1, 0.5, 0.9, 40.0)
    shots = (Shot(HOSTILE, 1.0, JPEG),)
    return vitrail.Alarm(0, "dog", 8, 1.0, 90, 50, 0.5, 0.05, (moved,), Explained((), 0.9), shots, shots)


def image_maps() -> vitrail.ImageMaps:
    import numpy as np

    shares = np.linspace(-1, 1, 16, dtype=np.float32).reshape(4, 4)
    maps = (TargetMap(0, (HOSTILE,), 1.0, shares), TargetMap(None, ("dog",), 5.0, shares))
    return ImageMaps("a.png", HOSTILE, "dog", "gradients", "what raises it?", maps, JPEG)


def image_words() -> vitrail.ImageWords:
    tokens = (ImageToken((0.0, 0.0, 1.0, 1.0), (GroundedWord(HOSTILE, 1, 2.0),)),)
    return vitrail.ImageWords(HOSTILE, 5, "unembedding", tokens, JPEG)


def explanation() -> vitrail.Explanation:
    concept = ActiveConcept(1, 0.4, 93.0, (HOSTILE,), ("1",), (HOSTILE,), 1.2)
    return Explanation("a.png", HOSTILE, "dog", (concept,), (), 0.4, JPEG, 0.8)


#: A public result → how one is made, of fixtures by their names, and how many pictures it shows at least.
#: A new one is a line.
RESULTS = {
    "Sample": (lambda samples: samples[0], 1),
    "Example": (lambda samples: vitrail.Example(samples[0], HOSTILE), 1),
    "LMM": (lambda lmm: lmm, 0),
    "Diagnosis": (lambda lmm: vitrail.doctor(lmm), 0),
    "Texts": (lambda made: vitrail.open_texts(made / "texts"), 0),
    "Activations": (lambda activations: activations, 6),
    "Moments": (lambda lmm, dogs, tmp_path: vitrail.reduce(lmm, dogs[:3], ["dog"], ["mean"], out=tmp_path / "m"), 0),
    "WordStore": (lambda made: vitrail.open_words(made / "many"), 0),
    "Concepts": (lambda concepts: concepts, 0),
    "Grounding": (lambda grounding: grounding, 0),
    "Explanation": (lambda: explanation(), 1),
    "Lens": (lambda made: vitrail.open_lens(made / "lens"), 0),
    "ImageWords": (lambda: image_words(), 1),
    "ImageMaps": (lambda: image_maps(), 3),
    "StudyMaps": (lambda made: open_maps(made / "maps"), 0),
    "Study": (lambda dog_study: dog_study, 6),
    "Atlas": (lambda: vitrail.Atlas(Path("here"), (atlas_entry(),)), 0),
    "Plan": (lambda: vitrail.Plan(9, "samples", 1.0, 10, None, 0.1, 20, None, 4, HOSTILE), 0),
    "SharedDictionary": (lambda made: shared(made / "shared"), 0),
    "Evaluation": (lambda evaluation: evaluation, 0),
    "MethodComparison": (lambda side_by_side: side_by_side, 0),
    "FineTune": (lambda: vitrail.open_finetune(adapter_path("place")), 0),
    "Steering": (lambda made: vitrail.open_steering(made / "vectors"), 0),
    "Alarm": (lambda: alarm(), 2),
    "Follow": (lambda lmm, dogs, dog_study, tmp_path: vitrail.Follow(dog_study, lmm, dogs, out=tmp_path / "f"), 0),
    "Observation": (lambda dog_study: artifacts.observations(dog_study, 1, 1)[0], 0),
    "Reference": (lambda made: vitrail.open_reference(made / "reference"), 0),
    "Watch": (lambda made, tmp_path: vitrail.Watch(made / "reference", out=tmp_path / "w"), 0),
}
#: Public classes that are no results: what is given, and what runs.
#: Those with a test of their own.
OWN = {"Comparison"}
GIVEN = {"Word", "Captioner", "Endpoint", "Add", "Scorers", "EvaluationData", "ChangeRules", "Monitor"}


def atlas_entry():
    from vitrail.reports.atlas import AtlasEntry

    return AtlasEntry("dog", 9, 2, 0.5, 0.9, 0.5, (HOSTILE,))


def shared(folder):
    from vitrail.concepts import open_shared
    from vitrail.runs.share import SharedDictionary

    found = open_shared(folder)
    word = GroundingOfNothing(len(found))
    return SharedDictionary(found, dict.fromkeys(found.words, word), folder / "shared.html")


class GroundingOfNothing:
    """A grounding without words."""

    def __init__(self, n: int) -> None:
        from vitrail.grounding import GroundedConcept

        self.concepts = tuple(GroundedConcept(k, (), (), 0.0) for k in range(n))

    def __getitem__(self, k: int):
        return self.concepts[k]


def public_classes() -> set[str]:
    found = {name for name in vitrail.__all__ if inspect.isclass(getattr(vitrail, name))}
    return {n for n in found if not n.endswith(("Options", "Error"))}


def test_every_public_class_is_a_result_or_given():
    assert public_classes() == RESULTS.keys() | OWN | GIVEN


class Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_shows_itself(name, request):
    make, pictures = RESULTS[name]
    found = make(*(request.getfixturevalue(argument) for argument in inspect.signature(make).parameters))
    assert isinstance(found, getattr(vitrail, name)) or name == "Study"
    check_shown(found, pictures)
    if hasattr(found, "close"):
        found.close()


def check_shown(found: object, pictures: int) -> None:
    html = found._repr_html_()  # type: ignore[attr-defined]
    tags = Tags(html)
    assert tags.open == []
    assert tags.seen.count("b") == 1
    assert tags.seen.count("img") >= pictures
    assert "script" not in tags.seen
    assert "http" not in html  # it asks nothing of anybody


@pytest.mark.parametrize("before_and_after", ["kmeans"], indirect=True, scope="session")
def test_a_comparison_shows_itself(comparison):
    check_shown(comparison, 0)
    assert all(c.change in comparison._repr_html_() for c in comparison.concepts)


def test_texts_are_no_markup_and_numbers_are_short():
    view = View(HOSTILE, HOSTILE, (HOSTILE,), ((HOSTILE, 0.123456, float("nan"), None),), notes=(HOSTILE,))
    html = html_of(view)
    assert "<script" not in html
    assert html.count("&lt;script&gt;") == 5
    assert "<td>0.123</td><td>–</td><td>–</td>" in html


def test_a_picture_is_inside_the_page_and_its_text_cannot_leave_the_attribute():
    html = html_of(View("a", pictures=(Picture(b"jpeg", '"><script>'),)))
    assert 'src="data:image/jpeg;base64,anBlZw=="' in html
    assert "script" not in Tags(html).seen


def test_bars_are_relative_to_the_largest_and_stay_within_their_place():
    assert bars([1.0, -2.0, float("nan")]) == [Bar(0.5, "1.00"), Bar(1.0, "-2.00"), Bar(0.0, "–")]
    assert bars([]) == []


def test_long_tables_are_cut_and_say_so():
    html = html_of(View("a", rows=tuple((k,) for k in range(100))))
    assert html.count("<tr>") == 40
    assert "… and 60 more" in html
