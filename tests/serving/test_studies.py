"""What is told of a study: pages, concepts, samples, the map, what samples have in common, names and sets."""

from __future__ import annotations

import csv
import importlib.util
import io
import sys
from pathlib import Path
from types import SimpleNamespace

import httpx2
import numpy as np
import pytest
from scipy import stats

from vitrail.artifacts import verify
from vitrail.errors import ArtifactError, UsageError
from vitrail.serving.studies import _csv, placed
from vitrail.studies import NOTES, open_study

HOSTILE = '<img src=x onerror=alert(1)> "quoted" & \u202ereversed'


@pytest.fixture(scope="module")
def study(shelf: Path):
    return open_study(shelf / "animals" / "dog")


def test_the_page_of_a_study_is_that_of_its_report(client, dog: str, study, tmp_path: Path) -> None:
    from vitrail.runs.report import report

    page = client.get(f"/api/studies/{dog}/page").json()["page"]
    whole = report(study, out=tmp_path / "report.html").read_text()
    assert page["title"].startswith("“dog” in toyland")
    for title in study.titles:
        assert title in page["main"]
    text = page["main"].partition('<section id="origin"')[2].partition("</section>")[0]
    assert text
    assert text in whole  # where no style stands, the same bytes
    assert ' style="' not in page["main"] + page["head"] + page["sections"]
    assert page["main"].count("data-style=") > 10


def test_examples_go_from_the_strongest_to_samples_without_the_concept(client, dog: str, study) -> None:
    for k in range(len(study)):
        found = client.get(f"/api/studies/{dog}/concepts/{k}").json()
        strengths = [s["strength"] for group in found["examples"][:-1] for s in group["samples"]]
        assert strengths == sorted(strengths, key=abs, reverse=True)
        rows = [s["row"] for group in found["examples"] for s in group["samples"]]
        assert len(rows) == len(set(rows))
        assert strengths[0] == pytest.approx(study.learned.strengths(study.learned.V)[:, k].max())
        if found["active"] < 1:
            assert found["examples"][-1]["place"] == "without it"
            assert all(s["strength"] == 0 for s in found["examples"][-1]["samples"])


def test_two_concepts_side_by_side(client, dog: str, study) -> None:
    found = client.get(f"/api/studies/{dog}/pair", params={"a": 0, "b": 2}).json()
    U, V = study.learned.U, study.learned.V
    assert found["cosine"] == pytest.approx(U[0] @ U[2] / np.linalg.norm(U[0]) / np.linalg.norm(U[2]), abs=1e-5)
    assert found["correlation"] == pytest.approx(np.corrcoef(V[:, 0], V[:, 2])[0, 1], abs=1e-5)
    assert found["both"] == pytest.approx(((V[:, 0] != 0) & (V[:, 2] != 0)).mean())
    assert client.get(f"/api/studies/{dog}/pair", params={"a": 1, "b": 1}).status_code == 400


@pytest.mark.parametrize(
    "path", ["concepts/99", "concepts/-1", "thumbs/9999", "thumbs/-1", "samples/9999", "map/factors/x"]
)
def test_what_is_not_there_is_404_and_says_so(client, dog: str, path: str) -> None:
    answer = client.get(f"/api/studies/{dog}/{path}")
    assert answer.status_code == 404
    assert answer.json()["error"].startswith("There is no")


@pytest.mark.parametrize("path", ["concepts/x", "thumbs/1.5", "samples?limit=100000", "samples?offset=-1", "pair?a=1"])
def test_what_is_no_number_or_out_of_range_is_422(client, dog: str, path: str) -> None:
    assert client.get(f"/api/studies/{dog}/{path}").status_code == 422


def test_samples_are_found_by_words_and_ordered_by_a_concept(client, dog: str, study) -> None:
    every = client.get(f"/api/studies/{dog}/samples", params={"concept": 3, "limit": 200}).json()
    assert every["total"] == len(study.activations)
    strengths = [abs(s["strength"]) for s in every["samples"]]
    assert strengths == sorted(strengths, reverse=True)
    word = study.activations.rows[0].references[0].split()[-1].strip(".")
    some = client.get(f"/api/studies/{dog}/samples", params={"text": word.upper()}).json()
    assert 0 < some["total"] <= every["total"]
    assert all(word in " ".join([s["before"], s["said"], s["after"], *s["references"]]) for s in some["samples"])
    assert client.get(f"/api/studies/{dog}/samples", params={"text": "no such words"}).json()["total"] == 0


def test_a_thumbnail_is_the_one_that_the_study_keeps(client, dog: str, study) -> None:
    answer = client.get(f"/api/studies/{dog}/thumbs/3")
    assert answer.content == study.activations.rows[3].thumbnail
    assert answer.headers["content-type"] == "image/jpeg"


# ---- the map ---------------------------------------------------------------------------------------------------------


def test_the_map_is_that_of_principal_components(client, dog: str, study) -> None:
    told = client.get(f"/api/studies/{dog}/map").json()
    xy = np.frombuffer(client.get(f"/api/studies/{dog}/map/xy").content, "<f4").reshape(-1, 2)
    Z = study.activations.states(study.learned.layer)[np.flatnonzero(study.learned.kept)].astype(float)
    _, values, axes = np.linalg.svd(Z - Z.mean(axis=0), full_matrices=False)
    expected = (Z - Z.mean(axis=0)) @ axes[:2].T
    assert told["n"] == len(xy) == len(told["rows"])
    assert np.abs(np.abs(xy) - np.abs(expected)).max() < 1e-2 * np.abs(expected).max()
    assert told["explained"] == pytest.approx((values[:2] ** 2).sum() / (values**2).sum(), abs=1e-3)


class StandIn:
    """In place of UMAP, which takes long to load: the first two of the numbers that it is given."""

    def __init__(self, **settings: object) -> None:
        assert settings == {"n_neighbors": 15, "random_state": 0}

    def fit_transform(self, states: np.ndarray) -> np.ndarray:
        assert states.shape[1] == min(50, len(states))
        return states[:, :2]


def test_umap_places_samples_where_it_is_installed_and_is_refused_where_not(
    client, dog: str, study, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=StandIn))
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *a: name if name == "umap" else found(name, *a))
    told = client.get(f"/api/studies/{dog}/map?layout=umap").json()
    assert told["layouts"] == ["pca", "umap"]
    assert told["explained"] is None
    xy = [client.get(f"/api/studies/{dog}/map/xy?layout={name}").content for name in ("umap", "pca")]
    umap, pca = (np.frombuffer(one, "<f4").reshape(-1, 2) for one in xy)
    assert np.abs(umap) == pytest.approx(np.abs(pca), abs=1e-2 * float(np.abs(pca).max()))
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *a: None if name == "umap" else found(name, *a))
    assert client.get(f"/api/studies/{dog}/map").json()["layouts"] == ["pca"]
    with pytest.raises(UsageError, match=r"vitrail\[umap\]"):
        placed(study, "umap")


def test_another_study_lies_on_the_same_plane(client, dog: str, study) -> None:
    """A study beside itself: each point stands twice, on the axes of one."""
    alone = np.frombuffer(client.get(f"/api/studies/{dog}/map/xy").content, "<f4").reshape(-1, 2)
    both = np.frombuffer(client.get(f"/api/studies/{dog}/map/xy?other={dog}").content, "<f4").reshape(-1, 2)
    assert len(both) == 2 * len(alone)
    assert both[: len(alone)] == pytest.approx(both[len(alone) :])
    assert np.abs(both[: len(alone)]) == pytest.approx(np.abs(alone), abs=1e-2 * float(np.abs(alone).max()))
    assert client.get(f"/api/studies/{dog}/map/xy?other=nothing").status_code == 404


def test_columns_of_the_map_are_the_strengths_of_a_concept(client, dog: str, study) -> None:
    column = np.frombuffer(client.get(f"/api/studies/{dog}/map/concepts/2").content, "<f4")
    assert column == pytest.approx(study.learned.strengths(study.learned.V)[:, 2])


def test_what_samples_have_in_common_is_the_concept_by_which_they_were_chosen(client, dog: str, study) -> None:
    k = int(np.count_nonzero(study.learned.V, axis=0).argmin())
    rows = np.flatnonzero(study.learned.kept)
    has = study.learned.V[:, k] != 0
    found = client.post(f"/api/studies/{dog}/common", json={"rows": rows[has].tolist()}).json()
    assert (found["n"], found["others"]) == (has.sum(), (~has).sum())
    best = found["concepts"][0]
    assert best["auroc"] == 1.0
    assert k in [c["index"] for c in found["concepts"] if c["auroc"] == 1.0]
    assert all(w["q"] < 0.05 and w["inside"] > w["outside"] for w in found["words"])


def test_a_word_in_common_has_the_p_value_of_fishers_test() -> None:
    from vitrail.serving.studies import _more_often

    has = [{"red"}] * 9 + [set()] * 1 + [{"red"}] * 2 + [set()] * 18
    inside = np.arange(30) < 10
    (found,) = _more_often(["red"], has, inside, 5)
    expected = stats.fisher_exact([[9, 1], [2, 18]], alternative="greater").pvalue
    assert (found.inside, found.outside) == (0.9, 0.1)
    assert found.q == pytest.approx(expected)


@pytest.mark.parametrize("rows", [[], [99_999], list(range(1000))])
def test_all_samples_or_none_have_nothing_to_be_told_from(client, dog: str, rows: list[int]) -> None:
    answer = client.post(f"/api/studies/{dog}/common", json={"rows": rows})
    assert answer.status_code == 400
    assert "some of the samples" in answer.json()["error"]


# ---- names, notes, sets ----------------------------------------------------------------------------------------------


def test_a_viewer_without_edit_writes_nothing(client, dog: str, shelf: Path) -> None:
    for path, body in (("concepts/1/note", {"name": "x"}), ("sets", {"name": "x", "rows": [1]})):
        answer = client.post(f"/api/studies/{dog}/{path}", json=body)
        assert answer.status_code == 403
        assert "--edit" in answer.json()["error"]
    assert not list(shelf.rglob(NOTES))


@pytest.fixture
def editor(serve_folder, own_shelf: Path):
    """A client of a viewer that writes, and the place of its study."""
    with httpx2.Client(base_url=serve_folder(own_shelf, edit=True), timeout=60) as one:
        (entry,) = one.get("/api/library").json()["entries"]
        yield one, f"/api/studies/{entry['id']}"


def test_a_name_and_a_note_are_kept_beside_the_study_and_shown_everywhere(editor, own_shelf: Path) -> None:
    client, place = editor
    home = own_shelf / "animals" / "dog"
    assert client.post(
        f"{place}/concepts/2/note", json={"name": f" {HOSTILE} ", "text": "a note\nof two lines"}
    ).is_success
    study = open_study(home)
    assert study.titles[2] == HOSTILE
    assert study.notes.concepts[2].text == "a note\nof two lines"
    assert [one for one in verify(own_shelf) if one.condition != "whole"] == []
    found = client.get(f"{place}/concepts/2").json()
    assert (found["title"], found["note"]) == (HOSTILE, "a note\nof two lines")
    page = client.get(f"{place}/page").json()["page"]["main"]
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "\u202e" not in page
    from vitrail.runs.report import report

    assert "a note\nof two lines" in report(study).read_text()  # a report of the study has them, too
    assert client.post(f"{place}/concepts/2/note", json={}).is_success
    assert open_study(home).titles[2] == found["own_title"]


def test_notes_of_other_concepts_are_not_shown(editor, own_shelf: Path) -> None:
    from vitrail.studies import read_notes

    client, place = editor
    client.post(f"{place}/concepts/2/note", json={"name": "mine"})
    assert read_notes(own_shelf / "animals" / "dog", "another grounding").concepts == {}


def test_notes_that_somebody_changed_are_not_overwritten(editor, own_shelf: Path) -> None:
    client, place = editor
    client.post(f"{place}/concepts/2/note", json={"name": "mine"})
    path = own_shelf / "animals" / "dog" / NOTES
    path.write_text(path.read_text().replace("mine", "theirs"))
    answer = client.post(f"{place}/concepts/3/note", json={"name": "x"})
    assert answer.status_code == 409
    assert "theirs" in path.read_text()
    with pytest.raises(ArtifactError, match=r"notes\.json"):
        _ = open_study(own_shelf / "animals" / "dog").titles


@pytest.mark.parametrize("body", [{"name": "x" * 200}, {"text": "x" * 5000}, {"name": 7}])
def test_a_name_or_a_note_that_cannot_be_is_refused(editor, body: dict) -> None:
    client, place = editor
    assert client.post(f"{place}/concepts/2/note", json=body).status_code in (400, 422)


def test_a_set_is_kept_and_is_a_list_of_ids_for_other_commands(editor, own_shelf: Path) -> None:
    from vitrail.samples.vocabulary import read_lines

    client, place = editor
    study = open_study(own_shelf / "animals" / "dog")
    assert client.post(f"{place}/sets", json={"name": "mine", "rows": [4, 1, 4]}).is_success
    ids = tuple(study.activations.rows[i].sample_id for i in (4, 1))
    assert open_study(study.folder).notes.sets == {"mine": ids}
    assert client.get(f"{place}/samples", params={"set": "mine"}).json()["total"] == 2
    assert sorted(client.get(f"{place}/map").json()["sets"]["mine"]) == [1, 4]
    listed = own_shelf / "ids.txt"
    listed.write_bytes(client.post(f"{place}/ids.txt", json={"rows": [4, 1]}).content)
    assert tuple(filter(None, read_lines(listed))) == ids
    assert client.post(f"{place}/sets", json={"name": "", "rows": [1]}).status_code == 400
    assert client.post(f"{place}/sets", json={"name": "mine", "rows": []}).is_success
    assert open_study(study.folder).notes.sets == {}


# ---- tables ----------------------------------------------------------------------------------------------------------


def test_tables_of_concepts_and_samples(client, dog: str, study) -> None:
    concepts = list(csv.reader(io.StringIO(client.get(f"/api/studies/{dog}/concepts.csv").content.decode("utf-8-sig"))))
    assert [line[1] for line in concepts[1:]] == study.titles
    samples = list(csv.reader(io.StringIO(client.get(f"/api/studies/{dog}/samples.csv").content.decode("utf-8-sig"))))
    assert len(samples) == 1 + len(study.activations)
    assert float(samples[1][2]) == pytest.approx(study.learned.strengths(study.learned.V)[0, 0], abs=1e-3)


def test_a_cell_is_no_formula() -> None:
    text = _csv(["a"], [["=cmd()"], ["+1"], ["-2.5"], ["@x"], ["plain"]]).decode("utf-8-sig")
    assert text.split() == ["a", "'=cmd()", "+1", "-2.5", "'@x", "plain"]


def test_the_endpoints_describe_themselves(client) -> None:
    described = client.get("/api/openapi.json").json()
    assert described["openapi"].startswith("3.1")
    operations = [one for path in described["paths"].values() for one in path.values()]
    assert len(operations) > 15
    assert all(one["summary"] for one in operations)
    names = {one["operationId"] for one in operations}
    assert len(names) == len(operations)
    asked = described["paths"]["/api/ask"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert asked == {"$ref": "#/components/schemas/AskBody"}
    assert described["components"]["schemas"]["AskBody"]["required"] == ["image", "study"]
    by_name = {p["name"]: p for p in described["paths"]["/api/studies/{study}/samples"]["get"]["parameters"]}
    assert by_name["limit"]["schema"]["maximum"] == 200
