"""JSON of ours that somebody edited and sealed again: it is as it should be, or the error names the file. Every name in
it is taken away once, and has a value of another type once; whoever reads it then never ends in an error of Python's.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from benchmarks.artifacts import EDITS, READERS, edited, make, places, write_again
from tests.artifacts.test_older import OLD

from vitrail.artifacts import file_hash, verify, write_sealed
from vitrail.artifacts.showing import show
from vitrail.errors import VitrailError
from vitrail.explanation import Explanation, save_explanations


@pytest.fixture(scope="module")
def made(lmm, samples, dog_study, tmp_path_factory) -> Path:
    """A folder with an artifact of every kind."""
    out = tmp_path_factory.mktemp("made")
    for artifact in (dog_study.activations, dog_study.learned, dog_study.grounding):
        shutil.copytree(artifact.folder, out / "study" / artifact.folder.name)
    said = Explanation("a.png", "a dog", "dog", (), ("1",), 0.5, b"")
    save_explanations([said], dog_study.grounding, out / "study" / "explanations")
    write_sealed(out / "study" / "factors.json", {"factors": {"1": {"colour": "black"}}})
    for name, place in (("finetune", "adapter"), ("comparison", "comparison"), ("evaluation", "study/evaluation")):
        shutil.copytree(OLD / place, out / name)
    make(out, lmm, samples, dog_study)
    return out


@pytest.mark.parametrize("name", READERS)
def test_what_was_edited_and_sealed_is_refused_by_name_or_read(made, name):
    folder, read = made / name, READERS[name]
    assert read(folder)
    readers = [read, verify, *([show] if list(folder.rglob("manifest.json")) else [])]
    whole = {p: p.read_bytes() for p in folder.rglob("*.json")}
    hashes = {p: file_hash(p) for p in whole}
    wrong, refused = [], 0
    for file, data in whole.items():
        for path in places(json.loads(data)):
            for how in EDITS:
                write_again(file, edited(json.loads(data), path, how), hashes)
                for reader in readers if how == EDITS[0] else [read]:
                    try:
                        reader(folder)
                    except VitrailError as error:
                        refused += 1
                        if file.name not in str(error) and str(folder) not in str(error):
                            wrong.append((file.relative_to(folder), path, how, str(error)))
                    except Exception as error:
                        wrong.append((file.relative_to(folder), path, how, repr(error)))
                for changed, before in whole.items():
                    changed.write_bytes(before)
    assert wrong == []
    assert refused or name in ("observed", "lines")  # no JSON, or none but digests


#: Artifact → a name in its manifest that it must have, and what the error says of it.
MUST = {
    "study/activations": ("counts", "`counts`"),
    "study/concepts": ("scores", "`scores`"),
    "moments": ("counts", "`counts`"),
    "texts": ("n_shards", "`n_shards`"),
    "vectors": ("medians", "`medians`"),
    "reference": ("titles", "`titles`"),
}


@pytest.mark.parametrize(("name", "key", "says"), [(n, *row) for n, row in MUST.items()])
def test_the_error_says_what_is_missing_and_which_command_makes_it_again(made, name, key, says, tmp_path):
    folder = shutil.copytree(made / name, tmp_path / "a")
    file = folder / "manifest.json"
    write_again(file, edited(json.loads(file.read_text()), (key,), "missing"), {file: file_hash(file)})
    with pytest.raises(VitrailError, match=rf"manifest\.json is damaged.*missing.*{says}.*run `vitrail .*` again"):
        show(folder)
