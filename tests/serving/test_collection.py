"""What lies below a folder, and how it is found again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from vitrail.errors import UsageError
from vitrail.serving.collection import Collection
from vitrail.studies import open_study


def test_a_study_is_found_with_its_word_model_layer_and_scores(shelf: Path, concepts) -> None:
    (found,) = Collection(shelf).list()
    entry = found.entry
    assert (entry.kind, entry.name, entry.word, entry.model) == ("study", "animals/dog", "dog", "toyland")
    assert entry.layer == str(concepts.layer)
    assert entry.samples == len(open_study(found.folder).activations)
    assert list(entry.titles) == open_study(found.folder).titles
    assert entry.scores["explained variance"] == concepts.scores["explained_variance"]
    assert entry.problem == ""


def test_an_id_is_of_the_place_in_the_folder_and_leads_there_after_a_restart(shelf: Path) -> None:
    one, other = (Collection(shelf).list()[0].entry.id for _ in range(2))
    assert one == other
    assert Collection(shelf).get(one, "study").folder == shelf.resolve() / "animals" / "dog"
    assert Collection(shelf / "animals").list()[0].entry.id != one  # another place in another folder


@pytest.mark.parametrize("name", ["", "..", "animals/dog", "../shelf", "dog", "dog-000000", "\x00", "x" * 100_000])
def test_what_is_no_id_is_nothing(shelf: Path, name: str) -> None:
    with pytest.raises(UsageError, match="There is no study") as error:
        Collection(shelf).get(name, "study")
    assert len(str(error.value)) < 400


def test_an_id_of_another_kind_is_nothing(shelf: Path) -> None:
    collection = Collection(shelf)
    with pytest.raises(UsageError, match="There is no steering"):
        collection.get(collection.list()[0].entry.id, "steering")


def test_a_damaged_study_is_listed_with_what_is_wrong_and_the_others_are_shown(own_shelf: Path) -> None:
    shutil.copytree(own_shelf / "animals" / "dog", own_shelf / "broken")
    path = own_shelf / "broken" / "concepts" / "manifest.json"
    path.write_text(path.read_text().replace('"semi-nmf"', '"other"'))
    good, bad = Collection(own_shelf).list()
    assert (good.entry.problem, bad.entry.name) == ("", "broken")
    assert "damaged" in bad.entry.problem


def test_a_study_that_was_changed_is_read_again(own_shelf: Path) -> None:
    from vitrail.studies import ConceptNote, write_notes

    collection = Collection(own_shelf)
    (found,) = collection.list()
    before = collection.opened(found, "study", open_study)
    assert collection.opened(found, "study", open_study) is before
    write_notes(before.notes.with_concept(2, ConceptNote("my name")), out=before.folder)
    (again,) = collection.list()
    assert again.entry.titles[2] == "my name"
    assert collection.opened(again, "study", open_study).titles[2] == "my name"


def test_links_that_lead_out_of_the_folder_are_not_followed(own_shelf: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    shutil.move(own_shelf / "animals" / "dog", outside)
    (own_shelf / "link").symlink_to(outside, target_is_directory=True)
    assert Collection(own_shelf).list() == []


def test_what_is_no_artifact_is_passed_over(own_shelf: Path) -> None:
    (own_shelf / "other").mkdir()
    (own_shelf / "other" / "manifest.json").write_text(json.dumps({"name": "an app"}))
    (own_shelf / "more").mkdir()
    (own_shelf / "more" / "manifest.json").write_bytes(b"\x00\xff")
    assert [f.entry.name for f in Collection(own_shelf).list()] == ["animals/dog"]
