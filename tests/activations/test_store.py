"""A store loses nothing, keeps nothing twice, and shows nothing that was damaged."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.resealing import reseal
from tests.stored_states import MODEL

from vitrail.activations import Activations, Counts, Row, Store, open_activations
from vitrail.activations import store as module
from vitrail.activations.rows import ShardRows
from vitrail.artifacts import file_hash
from vitrail.errors import ArtifactError, UsageError

PARAMETERS = {
    "model": {**MODEL, "n_blocks": 3},
    "word": {"text": "dog", "forms": []},
    "layers": [2, "final"],
    "alignment": "reads",
}
LENGTHS = (3, 0, 2)


def row(i: int, number: int = 0) -> Row:
    """A row with every field, none like that of another row."""
    return Row(
        sample_id=f"{number}-{i}",
        image=f"{i}.jpg",
        references=(f"a dog, {i}", "un chien"),
        request="describe",
        text=f"a dog {i}",
        form="dog",
        start=2,
        end=5,
        token_ids=(i, 7, 9),
        token=1,
        position=70 + i,
        thumbnail=bytes([i]) * 3,
    )


def states(n: int, number: int = 0, dtype: torch.dtype = torch.float32) -> dict:
    values = torch.randn(2, n, 4, generator=torch.Generator().manual_seed(number)).to(dtype)
    return {2: values[0], "final": values[1]}


def write(store: Store, number: int, dtype: torch.dtype = torch.float32) -> None:
    n = LENGTHS[number]
    rows = [row(i, number) for i in range(n)]
    store.write(number, states(n, number, dtype), rows, Counts(n + 2, n, 1, ((f"{number}-x", "no such file"),)))


def made(folder: Path, dtype: torch.dtype = torch.float32) -> Activations:
    store = Store(folder, PARAMETERS, len(LENGTHS))
    for number in store.missing():
        write(store, number, dtype)
    return store.finish()


@pytest.fixture
def folder(tmp_path):
    return made(tmp_path / "a").folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# ---- what is written is what is read ---------------------------------------------------------------------------------


def test_rows_and_states_come_back_in_order_each_with_its_own(tmp_path):
    opened = made(tmp_path / "a")
    assert opened.rows == tuple(row(i, number) for number, n in enumerate(LENGTHS) for i in range(n))
    for layer in (2, "final"):
        expected = np.concatenate([states(n, number)[layer].numpy() for number, n in enumerate(LENGTHS)])
        np.testing.assert_array_equal(opened.states(layer), expected)
    assert len(opened) == 5
    assert opened.layers == [2, "final"]


def test_every_shard_has_a_table_and_tensors_of_the_same_name_and_length(folder):
    for number, n in enumerate(LENGTHS):
        tensors = load_file(folder / f"part-{number:05d}.safetensors")
        assert set(tensors) == {"layer.2", "layer.final"}
        assert {len(t) for t in tensors.values()} == {n}
        assert pq.read_metadata(folder / f"part-{number:05d}.parquet").num_rows == n


def test_counts_add_up_over_shards(folder):
    unreadable = tuple((f"{number}-x", "no such file") for number in range(3))
    assert open_activations(folder).counts == Counts(11, 5, 3, unreadable)


def test_states_keep_the_models_dtype_on_disk_and_come_back_as_float32(tmp_path):
    opened = made(tmp_path / "a", torch.bfloat16)
    on_disk = load_file(opened.folder / "part-00000.safetensors")["layer.2"]
    assert on_disk.dtype == torch.bfloat16
    found = opened.states(2)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[:3], states(3, 0, torch.bfloat16)[2].float().numpy())


def test_a_slice_of_a_larger_tensor_is_written_alone(tmp_path):
    wide = torch.arange(24.0).reshape(3, 8)
    store = Store(tmp_path, PARAMETERS, 1)
    store.write(0, {2: wide[:, ::2], "final": wide[:, 4:]}, [row(i) for i in range(3)], Counts(3, 3))
    np.testing.assert_array_equal(store.finish().states(2), wide[:, ::2].numpy())


def test_the_manifest_says_what_made_the_folder_and_the_hash_of_every_file(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["parameters"] == PARAMETERS
    assert {"vitrail", "torch", "transformers", "python"} <= set(manifest["versions"])
    assert manifest["files"] == {p.name: file_hash(p) for p in folder.iterdir() if p.name != "manifest.json"}


def test_a_layer_that_was_not_extracted_is_refused(folder):
    with pytest.raises(UsageError, match=r"Layer 3 was not extracted; .* has \[2, 'final'\]"):
        open_activations(folder).states(3)


@pytest.mark.parametrize("same", [-2, np.int64(2), np.int16(-2)])
def test_a_layer_has_the_same_states_whatever_it_is_called(folder, same):
    found = open_activations(folder)  # of a model with three blocks
    np.testing.assert_array_equal(found.states(same), found.states(2))
    assert found.width(same) == found.width(2)
    rows = ShardRows(found, same)
    np.testing.assert_array_equal(np.concatenate([rows[i] for i in range(len(rows.lengths))]), found.states(2))


def test_states_that_disagree_with_rows_are_never_written(tmp_path):
    store = Store(tmp_path / "a", PARAMETERS, 1)
    before = contents(tmp_path / "a")
    with pytest.raises(AssertionError, match="2 rows, but states of"):
        store.write(0, states(3), [row(0), row(1)], Counts(3, 3))
    with pytest.raises(AssertionError, match="3 rows, but states of"):
        store.write(0, {2: states(3)[2], "final": states(2)["final"]}, [row(i) for i in range(3)], Counts(3, 3))
    assert contents(tmp_path / "a") == before


# ---- stopping and going on -------------------------------------------------------------------------------------------


def test_a_store_goes_on_at_the_shards_missing_and_gives_the_same_bytes(tmp_path, folder):
    store = Store(tmp_path / "b", PARAMETERS, 3)
    write(store, 1)
    again = Store(tmp_path / "b", PARAMETERS, 3)
    assert again.missing() == [0, 2]
    assert contents(made(tmp_path / "b").folder) == contents(folder)


# what befalls shard 1 of 3, between two runs
DAMAGE = {
    "a flipped byte of its states": lambda f: flip(f / "part-00001.safetensors"),
    "a flipped byte of its table": lambda f: flip(f / "part-00001.parquet"),
    "a flipped byte of its record": lambda f: flip(f / "part-00001.json"),
    "states cut short": lambda f: cut(f / "part-00001.safetensors"),
    "a table cut short": lambda f: cut(f / "part-00001.parquet"),
    "a record cut short": lambda f: cut(f / "part-00001.json"),
    "no states": lambda f: (f / "part-00001.safetensors").unlink(),
    "no table": lambda f: (f / "part-00001.parquet").unlink(),
    "no record": lambda f: (f / "part-00001.json").unlink(),
    "the files of another shard": lambda f: [
        shutil.copy(f / f"part-00002.{end}", f / f"part-00001.{end}") for end in ("safetensors", "parquet", "json")
    ],
    "the states of another shard": lambda f: shutil.copy(f / "part-00002.safetensors", f / "part-00001.safetensors"),
    "the table of another shard": lambda f: shutil.copy(f / "part-00002.parquet", f / "part-00001.parquet"),
}


def flip(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


@pytest.mark.parametrize("finished", [False, True])
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_shard_is_made_again_and_no_other(tmp_path, folder, damage, finished):
    whole = contents(folder)
    if not finished:
        store = Store(tmp_path / "b", PARAMETERS, 3)
        for number in range(3):
            write(store, number)
        folder = store.folder
    damage(folder)
    assert Store(folder, PARAMETERS, 3).missing() == [1]
    with pytest.raises(ArtifactError):
        open_activations(folder)
    assert contents(made(folder).folder) == whole


def test_a_file_that_is_damaged_before_the_run_finishes_is_not_given_a_new_hash(tmp_path):
    store = Store(tmp_path / "b", PARAMETERS, 3)
    for number in range(3):
        write(store, number)
    flip(store.folder / "part-00000.safetensors")
    store.finish()
    with pytest.raises(ArtifactError, match=r"part-00000\.safetensors is damaged"):
        open_activations(store.folder)


OTHERS = {
    "other images": (("0-0", "image X", "text"), "the image of 1, '0-0' among them"),
    "other texts": (("0-0", "image 0", "other text"), "the text of 1, '0-0' among them"),
    "other samples": (("0-9", "image 0", "text"), "they are not the same ones, or in another order"),
}


def sources(number: int) -> list[tuple[str, str, str]]:
    return [(f"{number}-{i}", f"image {i}", "text") for i in range(2)]


@pytest.mark.parametrize(("other", "says"), OTHERS.values(), ids=OTHERS)
def test_a_shard_made_from_other_samples_is_made_again_until_the_run_has_finished(tmp_path, caplog, other, says):
    def now(number: int) -> list[tuple[str, str, str]]:
        return [other, *sources(0)[1:]] if number == 0 else sources(number)

    store = Store(tmp_path, PARAMETERS, 3, sources)
    write(store, 0)
    write(store, 1)
    assert Store(tmp_path, PARAMETERS, 3, sources).missing() == [2]
    assert Store(tmp_path, PARAMETERS, 3, now).missing() == [0, 2]
    assert says in caplog.text
    write(store, 2)
    store.finish()
    with pytest.raises(ArtifactError, match=f"was made from other samples: {says}"):
        Store(tmp_path, PARAMETERS, 3, now).missing()


def test_a_run_of_other_versions_does_not_go_on(tmp_path):
    write(Store(tmp_path, PARAMETERS, 3), 0)
    versions = json.loads((tmp_path / "manifest.json").read_text())["versions"]
    edited(tmp_path, versions=versions | {"transformers": "4.0"})
    with pytest.raises(ArtifactError, match=r"begun with other versions: transformers 4\.0 there, .* here"):
        Store(tmp_path, PARAMETERS, 3)


def test_shards_of_a_longer_run_that_was_stopped_are_taken_away(tmp_path, folder):
    store = Store(tmp_path / "b", PARAMETERS, 3)
    for number in range(3):
        write(store, number)
    shorter = Store(tmp_path / "b", PARAMETERS, 2)
    assert shorter.missing() == []
    shorter.finish()
    assert not list((tmp_path / "b").glob("part-00002.*"))


def test_a_shard_whose_table_is_missing_is_made_again(tmp_path, folder):
    store = Store(tmp_path / "b", PARAMETERS, 3)
    write(store, 0)
    whole = contents(folder)
    # as a run leaves it that was killed between the two files of shard 1
    (tmp_path / "b" / "part-00001.safetensors").write_bytes(b"half of a shard")
    (tmp_path / "b" / ".part-00001.parquet.partial").write_bytes(b"half of a table")
    assert Store(tmp_path / "b", PARAMETERS, 3).missing() == [1, 2]
    assert contents(made(tmp_path / "b").folder) == whole


def test_a_finished_store_is_opened_again_untouched(folder):
    before = {p: p.stat().st_mtime_ns for p in folder.iterdir()}
    store = Store(folder, PARAMETERS, 3)
    assert store.complete
    assert store.missing() == []
    assert len(store.finish()) == 5
    assert {p: p.stat().st_mtime_ns for p in folder.iterdir()} == before


def test_an_unfinished_folder_is_not_opened(tmp_path):
    write(Store(tmp_path / "a", PARAMETERS, 3), 0)
    with pytest.raises(ArtifactError, match="did not finish"):
        open_activations(tmp_path / "a")


def test_what_was_found_useless_can_be_discarded_without_touching_anything_else(tmp_path):
    store = Store(tmp_path / "a", PARAMETERS, 3)
    write(store, 0)
    (tmp_path / "a" / "notes.txt").write_text("mine")
    store.discard()
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["notes.txt"]


def test_a_folder_that_was_killed_before_its_manifest_is_begun_again(tmp_path):
    (tmp_path / ".manifest.json.partial").write_text("{")
    assert len(made(tmp_path)) == 5


# ---- other runs, other folders ---------------------------------------------------------------------------------------


def test_the_folder_of_another_run_is_refused_and_what_differs_named(folder):
    other = PARAMETERS | {"word": {"text": "cat", "forms": []}, "layers": [3]}
    before = contents(folder)
    with pytest.raises(ArtifactError) as caught:
        Store(folder, other, 3)
    assert str(caught.value) == (
        f'{folder} belongs to another run: layers is [2, "final"] there and [3] here; '
        'word.text is "dog" there and "cat" here. '
        "Name another folder, or remove this one."
    )
    assert contents(folder) == before


def test_a_folder_with_something_else_in_it_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ArtifactError, match="is not empty and holds no activations"):
        Store(tmp_path, PARAMETERS, 1)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "a").write_text("a file")
    with pytest.raises(ArtifactError, match="is a file"):
        Store(tmp_path / "a", PARAMETERS, 1)
    with pytest.raises(ArtifactError, match="Could not write"):
        Store(tmp_path / "a" / "b", PARAMETERS, 1)


def edited(folder: Path, **changes: object) -> Path:
    reseal(folder, **changes)
    return folder


def test_a_newer_schema_is_refused_and_both_numbers_named(folder):
    with pytest.raises(ArtifactError, match=r"has schema 99; this version of Vitrail reads up to 2\."):
        open_activations(edited(folder, schema=99))


def test_another_kind_of_artifact_is_refused(folder):
    with pytest.raises(ArtifactError, match="holds concepts, but activations was expected"):
        open_activations(edited(folder, kind="concepts"))


def test_no_folder_and_a_folder_without_a_manifest_are_refused(tmp_path):
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(ArtifactError, match=r"holds no activations: there is no manifest\.json in it"):
            open_activations(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"kind": "activations"}', "\ufeff\x00"])
def test_a_damaged_manifest_is_refused(folder, text):
    (folder / "manifest.json").write_text(text)
    with pytest.raises(ArtifactError, match=r"manifest\.json is damaged"):
        open_activations(folder)


# ---- damage ----------------------------------------------------------------------------------------------------------

FILES = ("part-00000.safetensors", "part-00002.safetensors", "part-00000.parquet", "part-00001.parquet")


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_refused(folder, name):
    (folder / name).write_bytes((folder / name).read_bytes()[:-7])
    with pytest.raises(ArtifactError, match=rf"{name} is damaged: .* extract again"):
        open_activations(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_is_seen(folder, name):
    whole = bytearray((folder / name).read_bytes())
    whole[len(whole) // 2] ^= 1
    (folder / name).write_bytes(whole)
    with pytest.raises(ArtifactError, match=rf"{name} is damaged"):
        open_activations(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(ArtifactError, match=rf"{name} is missing\. Remove .* and extract again"):
        open_activations(folder)


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"\0" * 99)])
def test_damage_after_opening_is_an_error_of_ours(folder, damage):
    opened = open_activations(folder)
    for name in FILES:
        damage(folder / name)
    with pytest.raises(ArtifactError, match=r"part-00000\.safetensors is damaged or missing"):
        opened.states(2)
    with pytest.raises(ArtifactError, match=r"part-00000\.parquet is damaged or missing"):
        _ = opened.rows


def test_states_of_a_shard_that_disagree_with_its_table_are_refused(folder):
    opened = open_activations(folder)
    path = folder / "part-00002.safetensors"
    save_file({name: tensor[:1].clone() for name, tensor in load_file(path).items()}, path)
    with pytest.raises(ArtifactError, match="has 1 states, but its table has 2 rows"):
        opened.states(2)


# ---- a full disk -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["save_file", "pq.write_table"])
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "The disk is full: .* run the same command again"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "The disk is full"),
        (OSError(errno.EACCES, "Permission denied"), r"Could not write .*: Permission denied\."),
    ],
)
def test_a_full_disk_leaves_no_partial_file_and_the_run_can_go_on(
    tmp_path, folder, monkeypatch, target, error, message
):
    store = Store(tmp_path / "b", PARAMETERS, 3)
    write(store, 0)

    def fill(_value, path, *_options):
        Path(path).write_bytes(b"as much as there was room for")
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(
            *(("vitrail.activations.store.save_file",) if target == "save_file" else (pq, "write_table")), fill
        )
        with pytest.raises(ArtifactError, match=message):
            write(store, 1)
    assert not [p.name for p in store.folder.iterdir() if p.name.endswith(".partial")]
    assert store.missing() == [1, 2]
    assert contents(made(tmp_path / "b").folder) == contents(folder)


def test_an_error_that_is_nobodys_disk_comes_out_as_it_is(tmp_path, monkeypatch):
    def fail(_value, _path):
        raise ZeroDivisionError

    monkeypatch.setattr(module, "save_file", fail)
    with pytest.raises(ZeroDivisionError):
        write(Store(tmp_path / "a", PARAMETERS, 3), 0)
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["manifest.json"]


def test_activations_show_themselves(folder, tmp_path):
    moved = shutil.copytree(folder, tmp_path / "moved")
    shown = open_activations(moved)._repr_html_()
    assert "<b>Activations</b> of “dog” in m: 5 of 11 samples, layers [2, &#39;final&#39;]" in shown
