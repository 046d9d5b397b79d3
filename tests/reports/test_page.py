"""Reports: every concept is there, numbers are those of the definitions, and no text becomes markup."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.reports.conftest import choice_among_twelve

from vitrail.activations import Activations, Counts, ExtractionOptions, Row, Store
from vitrail.artifacts import parent, plain, write_manifest
from vitrail.concepts import Concepts, describe_fit
from vitrail.errors import ArtifactError, UsageError
from vitrail.explanation import ActiveConcept, Explanation
from vitrail.grounding import (
    GroundedConcept,
    GroundedSample,
    GroundedWord,
    Grounding,
    most_activating,
    share_of_samples,
)
from vitrail.learners import make_learner
from vitrail.reports import content, draw_explanation, explanation_figure, study_page
from vitrail.reports.terms import SCORES
from vitrail.samples import thumbnail
from vitrail.studies import Study
from vitrail.visible import visible

HOSTILE = (
    "</style></script><script>alert(1)</script><img src=x onerror=alert(1)>"
    """" onload="alert(2)' javascript:x {{7*7}} $x$"""
)
ADJECTIVES = ("black", "white", "small", "big", "sleepy", "running", "snowy", "wet", "happy", "gray", "old", "red")


@dataclass
class Made:
    """A study made of chance, and what is known of it."""

    activations: Activations
    concepts: Concepts
    grounding: Grounding
    factors: dict = field(default_factory=dict)

    def explanation(self, row=0, **changes) -> Explanation:
        """What `explain` would say of a training sample."""
        V, r = self.concepts.V[row], self.activations.rows[row]
        percentiles = self.concepts.percentile(V)
        active = [
            ActiveConcept(
                int(k),
                float(V[k]),
                float(percentiles[k]),
                tuple(w.word for w in self.grounding[k].words),
                tuple(s.sample_id for s in self.grounding[k].samples),
                strength=float(V[k] / self.concepts.typical[k]),
            )
            for k in np.argsort(-np.abs(V), kind="stable")[:5]
            if V[k]
        ]
        alike = tuple(r.sample_id for r in self.activations.rows[:5])
        values = {"image": r.image, "caption": r.text.strip(), "word": r.form, "concepts": tuple(active)}
        values |= {"look_alikes": alike, "explained_variance": 0.66, "thumbnail": r.thumbnail}
        return Explanation(**values | changes)

    def page(self, out: Path, **options) -> Page:
        shown = {"factors": self.factors, "explanations": (self.explanation(3),)} | options
        study = Study(self.activations.folder.parent, self.activations, self.concepts, self.grounding, **shown)
        return Page.of(study_page(study, out=out).read_text(encoding="utf-8"))


def make_study(
    folder: Path, n=60, k=4, V=None, *, method="semi-nmf", word="dog", text=" a small dog sits .", words=ADJECTIVES
):
    """A study written to disk as the stages write it, made of chance."""
    rng = np.random.default_rng(0)
    U = rng.normal(size=(k, 8)).astype(np.float32)
    V = np.maximum(rng.normal(size=(n, k)), 0).astype(np.float32) if V is None else V.astype(np.float32)
    form = word if word in text else "dog"
    start = text.index(form)
    rows = [
        Row(
            sample_id=f"s{i}",
            image=f"{i}.jpg" if word == "dog" else f"{word}{i}.jpg",
            references=(f"reference {i}", text),
            request="Describe.",
            text=text,
            form=form,
            start=start,
            end=start + len(form),
            token_ids=(5, 6),
            token=1,
            position=9,
            thumbnail=thumbnail(Image.new("RGB", (16, 12), (i, 2 * i, 90))),
        )
        for i in range(n)
    ]
    return write_study(folder, rows, U, V, method=method, word=word, words=words)


def write_study(folder, rows, U, V, *, method="semi-nmf", word="dog", words=ADJECTIVES, word_lists=None):
    n, k = V.shape
    model = {"name": f"models/toy-{word}", "revision": None, "adapter": None, "class": "Toy", "dtype": "float32"}
    model |= {"n_blocks": 8, "n_features": U.shape[1], "parts": {}, "fingerprint": "f"}
    parameters = {
        "model": model,
        "word": {"text": word, "forms": [], "match_case": False},
        "layers": [8],
        "alignment": "predicts",
        "prompt": "Describe.",
    }
    store = Store(folder / "activations", parameters, 1)
    Z = V @ U + np.float32(0.1)
    store.write(0, {8: torch.from_numpy(Z)}, rows, Counts(n + 9, n, 7, (("bad", f"no image: {word}"), ("worse", "x"))))
    activations = store.finish()
    learner = make_learner(method, k, form="paper")
    learner.components_ = U
    if method == "pca":
        learner.mean_ = Z.mean(0)
    asked = {"layer": 8, "method": method, "n_concepts": k, "penalty": None, "seed": 0}
    state = {"method": method, "params": {}, "fitted": {}}
    content = {"parameters": asked, "learner": state, "scores": describe_fit(Z, V, learner), "dropped": []}
    manifest = write_manifest(
        folder / "concepts", "concepts", content | {"parents": {"activations": parent(activations.folder)}}
    )
    concepts = Concepts(folder / "concepts", manifest, learner, V, np.ones(n, bool))
    word_lists = word_lists or [[words[(3 * c + i) % len(words)] for i in range(5)] for c in range(k)]
    grounded = tuple(
        GroundedConcept(
            c,
            tuple(GroundedWord(w, i, 5.0 - i) for i, w in enumerate(word_lists[c])),
            tuple(GroundedSample(rows[i].sample_id, i, float(V[i, c])) for i in most_activating(V[:, c], 5)),
            float(share_of_samples(V)[c]),
        )
        for c in range(k)
    )
    content = {"parameters": {"n_words": 5, "n_samples": 5, "own_word": False}}
    manifest = write_manifest(
        folder / "grounding", "grounding", content | {"parents": {"concepts": parent(concepts.folder)}}
    )
    factors = {row.sample_id: {"colour": "black" if v[0] > 0.5 else "white"} for row, v in zip(rows, V, strict=True)}
    return Made(activations, concepts, Grounding(folder / "grounding", manifest, grounded), factors)


class Page(HTMLParser):
    """A page taken apart: its elements with attributes, and its text."""

    VOID = frozenset({"meta", "img", "input", "br", "link", "hr"})

    @classmethod
    def of(cls, source: str) -> Page:
        page = cls()
        page.source, page.elements, page.texts, page.open, page.strays = source, [], [], [], []
        page.feed(source)
        page.close()
        return page

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if len({name for name, _ in attrs}) != len(attrs):
            self.strays.append((tag, attrs))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.strays.append(tag)

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("script", "style"):
            self.texts.append(data)

    def all(self, tag, **attributes):
        return [a for t, a in self.elements if t == tag and all(a.get(k) == v for k, v in attributes.items())]

    @property
    def text(self):
        return re.sub(r"\s+", " ", "".join(self.texts))


@pytest.fixture
def study(tmp_path):
    return make_study(tmp_path)


def test_every_concept_has_a_card_with_its_words_and_images(study, tmp_path):
    page = study.page(tmp_path / "report.html")
    cards = [a for a in page.all("article") if a["class"].startswith("card")]
    assert [a["id"] for a in cards] == [f"concept-{k}" for k in range(4)]
    for concept in study.grounding.concepts:
        assert all(word.word in page.text for word in concept.words)
        column = study.concepts.V[:, concept.index]
        assert f"{column.max() / np.sqrt(np.mean(column**2)):.1f} ×" in page.text
    assert page.strays == []
    assert page.open == []


def test_the_head_says_what_was_studied(study, tmp_path):
    page = study.page(tmp_path / "report.html")
    assert "When toy-dog says “dog”, these are the 4 concepts that its state after block 8 of 8" in page.text
    assert "60 of 69" in page.text


def test_the_word_is_marked_in_captions(study, tmp_path):
    page = study.page(tmp_path / "report.html")
    assert (
        page.source.count("a small <mark>dog</mark> sits .") == 4 * 5 + 1 + 5 + 6
    )  # on cards, explained, look-alikes, left


def test_the_page_asks_nothing_of_anybody(study, tmp_path):
    """But a reader who follows the name of a score gets to its definition."""
    page = study.page(tmp_path / "report.html")
    for tag, attributes in page.elements:
        if attributes.get("class") == "term":
            assert tag == "a"
            assert (attributes.pop("href") or "").startswith(f"{SCORES}#")
        for name in ("src", "href", "xlink:href", "action", "data", "poster", "srcset"):
            value = attributes.get(name) or ""
            assert value.startswith(("#", "data:image/jpeg;base64,")) or not value, (tag, name, value)
    assert not re.search(r"https?://|@import|url\((?!#)", page.source.replace(SCORES, ""))
    (policy,) = page.all("meta", **{"http-equiv": "Content-Security-Policy"})
    assert policy["content"].startswith("default-src 'none'; img-src data:; style-src 'sha256-")


def test_the_policy_of_a_page_names_its_style_and_its_script_by_hash_and_no_other(study, tmp_path):
    page = study.page(tmp_path / "report.html")
    (policy,) = page.all("meta", **{"http-equiv": "Content-Security-Policy"})
    for tag, allowed in (("style", "style-src"), ("script", "script-src")):
        (block,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page.source, re.DOTALL)
        named = base64.b64encode(hashlib.sha256(block.encode()).digest()).decode()
        assert f"{allowed} 'sha256-{named}';" in policy["content"]
    assert "unsafe" not in policy["content"]
    assert not any("style" in attributes for _, attributes in page.elements)  # the policy would not apply them
    assert ":not(#_){--w:" in page.source  # but as classes


def test_no_control_character_reaches_a_page(tmp_path):
    acting = "\x1b[2J\x9b31m\u202e\x00 dog"
    study = make_study(tmp_path, word=acting, text=f"{acting} sits", words=[f"{acting}{i}" for i in range(12)])
    page = study.page(tmp_path / "report.html")
    assert visible(page.source) == page.source
    assert r"\x1b[2J\x9b31m\u202e\x00 dog" in page.text


def test_hostile_text_stays_text(tmp_path):
    words = [f"{HOSTILE}{i}" for i in range(12)]
    study = make_study(tmp_path, word=HOSTILE, text=f" <u>{HOSTILE} sits <u>.", words=words)
    study.factors = {i: {HOSTILE: f["colour"] + HOSTILE} for i, f in study.factors.items()}
    page = study.page(tmp_path / "report.html")
    tame = make_study(tmp_path / "tame")
    expected = tame.page(tmp_path / "tame.html")
    assert page.strays == []
    assert page.open == []
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in expected.elements]
    assert [sorted(a) for _, a in page.elements] == [sorted(a) for _, a in expected.elements]
    assert len(page.all("script")) == len(page.all("style")) == 1
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert HOSTILE in page.text


def test_text_that_is_no_unicode_can_be_written(tmp_path):
    study = make_study(tmp_path)
    page = study.page(tmp_path / "report.html", explanations=[study.explanation(image="\udcff.jpg")])
    assert page.all("img", title=r"\udcff.jpg")


def test_ids_are_unique_and_references_inside_the_page_lead_somewhere(study, tmp_path):
    page = study.page(tmp_path / "report.html")
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    links = [a.get("href") or a.get("xlink:href") for _, a in page.elements if "href" in a or "xlink:href" in a]
    links += re.findall(r"url\((#[^)]*)\)", page.source)
    links = [link for link in links if not link.startswith(SCORES)]
    assert {link[1:] for link in links} <= set(ids)
    assert len(links) > 20


def test_charts_take_their_colours_from_the_page(study, tmp_path):
    source = study.page(tmp_path / "report.html").source
    rules = re.findall(r"^\.s\d+:not.*", source, re.MULTILINE)  # classes that stand for style attributes
    charts = "".join([*re.findall(r"<svg.*?</svg>", source, re.DOTALL), *rules])
    assert set(re.findall(r"#[0-9a-f]{6}\b", charts)) == set()
    assert "var(--tone)" in charts
    assert "currentColor" in charts
    assert "<metadata" not in charts
    assert "<style" not in charts


def test_the_same_study_gives_the_same_bytes(study, tmp_path):
    study.page(tmp_path / "a.html")
    study.page(tmp_path / "b.html")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert not list(tmp_path.glob(".*.partial"))


def test_a_page_needs_neither_factors_nor_explanations(study, tmp_path):
    page = study.page(tmp_path / "report.html", factors=None, explanations=())
    assert "Against the truth" not in page.text
    assert "Single images" not in page.text
    assert not page.all("option", value="auroc")
    assert page.strays == []


def test_factors_of_other_samples_are_no_truth(study, tmp_path):
    page = study.page(tmp_path / "report.html", factors={"elsewhere": {"colour": "black"}})
    assert "Against the truth" not in page.text


def test_a_known_factor_is_told_on_the_card(study, tmp_path):
    page = study.page(tmp_path / "report.html")
    assert page.text.count("colour black · AUROC 1.00") == 1  # concept 0, by construction
    assert page.all("article", id="concept-0")[0]["data-auroc"] == "1.0"


def test_signed_activations_are_shown_and_matched_on_either_side(tmp_path):
    V = np.random.default_rng(1).normal(size=(60, 3))
    study = make_study(tmp_path, k=3, V=V, method="pca")
    study.factors = {f"s{i}": {"colour": "black" if v < 0 else "white"} for i, v in enumerate(V[:, 0])}
    negative = int(np.argmin(V.min(axis=1) + V.max(axis=1)))
    page = study.page(tmp_path / "report.html", explanations=[study.explanation(negative)])
    assert "white · AUROC 1.00" in page.text or "not colour black · AUROC 1.00" in page.text
    assert "the activations are signed" in page.text
    assert any("negative" in (attributes.get("class") or "").split() for _, attributes in page.elements)
    assert float(page.all("article", id="concept-1")[0]["data-mean"]) == pytest.approx(
        np.abs(V[:, 1]).mean() / np.sqrt(np.square(V[:, 1]).mean()), rel=1e-5
    )


def test_a_dead_concept_and_a_single_one_have_their_cards(tmp_path):
    V = np.abs(np.random.default_rng(1).normal(size=(20, 3)))
    V[:, 1] = 0
    dead = make_study(tmp_path / "dead", n=20, k=3, V=V).page(tmp_path / "dead.html")
    assert "No sample activates this concept." in dead.text
    assert len(dead.all("article")) == 3 + 1
    assert dead.all("article", id="concept-1")[0]["data-auroc"] == "0"  # it tells nothing, so no match is named
    single = make_study(tmp_path / "one", n=20, k=1).page(tmp_path / "one.html")
    assert "this is the concept that its state" in single.text
    assert single.strays == dead.strays == []


def test_the_page_works_as_it_is_and_the_script_brings_the_controls(study, tmp_path):
    page = study.page(tmp_path / "report.html")
    for control in ("tools", "theme"):
        (element,) = [a for _, a in page.elements if a.get("id") == control]
        assert "hidden" in element
    assert [a["value"] for a in page.all("option")] == ["index", "share", "mean", "auroc"]
    script = re.search(r"<script>(.*)</script>", page.source, re.DOTALL).group(1)
    named = set(re.findall(r'\$\("(\w+)"\)', script))
    assert named <= {a.get("id") for _, a in page.elements}
    assert named == {"tools", "theme", "filter", "sort", "count", "nothing"}


def test_a_photo_that_is_not_there_leaves_a_place(study, tmp_path):
    page = study.page(tmp_path / "report.html", explanations=[study.explanation(thumbnail=b"", look_alikes=("gone",))])
    assert "no picture" in page.text
    assert "Look-alikes" not in page.text


def test_the_page_names_what_made_it(study, tmp_path):
    page = study.page(tmp_path / "report.html")
    for folder in ("activations", "concepts", "grounding"):
        assert parent(tmp_path / folder)["manifest_sha256"] in page.text
    assert "vitrail.learn(activations, layer=8, method='semi-nmf', n_concepts=4" in page.text
    assert torch.__version__ in page.text


def test_parts_of_different_studies_make_no_page(study, tmp_path):
    other = make_study(tmp_path / "other", n=61)
    with pytest.raises(ArtifactError, match="was not made from"):
        study_page(Study(tmp_path, study.activations, other.concepts, other.grounding), out=tmp_path / "report.html")
    with pytest.raises(ArtifactError, match="was not made from"):
        study_page(Study(tmp_path, study.activations, study.concepts, other.grounding), out=tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_an_explanation_is_drawn_by_suffix(study, tmp_path, suffix):
    explanation = study.explanation(caption=f"{HOSTILE} 犬 $\\frac$ dog", thumbnail=study.activations.rows[0].thumbnail)
    paths = [draw_explanation(explanation, tmp_path / f"{n}.{suffix}") for n in range(2)]
    first, second = (path.read_bytes() for path in paths)
    assert first == second
    assert first.startswith({"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[suffix])


def test_a_drawing_has_a_bar_for_every_concept(study):
    explanation = study.explanation(3)
    axes = explanation_figure(explanation).axes[1]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([c.strength for c in explanation.concepts])
    assert not explanation_figure(study.explanation(concepts=())).axes[1].patches


def test_other_suffixes_are_refused(study, tmp_path):
    with pytest.raises(UsageError, match=r"one of \.png, \.svg"):
        draw_explanation(study.explanation(), tmp_path / "out.gif")


def test_pictures_are_those_of_the_samples(study, tmp_path):
    page = study.page(tmp_path / "report.html")
    shown = [base64.b64decode(a["src"].partition(",")[2]) for a in page.all("img")]
    best = [study.activations.rows[s.row].thumbnail for c in study.grounding.concepts for s in c.samples]
    assert shown[: len(best)] == best


def test_samples_that_the_concepts_leave_most_of_are_shown_largest_first(study):
    found = content.unexplained(study.activations, study.concepts, 4)
    concepts = study.concepts
    Z = study.activations.states(concepts.layer)[concepts.kept].astype(np.float64)
    left = ((Z - concepts.learner.inverse_transform(concepts.V)) ** 2).sum(axis=1)
    whole = ((Z - Z.mean(axis=0)) ** 2).sum(axis=1)
    most = np.argsort(-left)[:4]
    assert [share for _, share in found] == pytest.approx((left / whole)[most])
    assert content.unexplained(study.activations, study.concepts, 0) == []


def test_the_choice_of_the_number_of_concepts_is_shown_with_its_reason_and_its_alternatives(study, tmp_path):
    choice = choice_among_twelve()
    study.concepts.manifest["choice"] = plain(choice)
    page = study.page(tmp_path / "report.html")
    assert choice.reason in " ".join(page.text.split())
    assert page.text.count("(taken)") == 1
    assert all(tried.name in page.text for tried in choice.tried)
    assert sum("by number of concepts" in svg.get("aria-label", "") for svg in page.all("svg")) == 4


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "the state that predicts the word"),
        ({"alignment": "reads"}, "the state that reads the word"),
        ({"read_at": "answer"}, "the mean of the states that predict the answer"),
        ({"read_at": "question:-1"}, "the mean of the states at question:-1"),
    ],
)
def test_a_page_says_which_states_were_read(options, says):
    assert content.states_in_words(ExtractionOptions(**options)) == says
