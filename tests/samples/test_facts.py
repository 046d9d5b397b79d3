"""What is known of samples beside their captions: factors, and the words for them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vitrail import toyland
from vitrail.samples.facts import data_folder, known_facts
from vitrail.toyland.language import LEXICON


def test_a_toyland_knows_its_factors_and_the_words_for_them(world: Path) -> None:
    for source in (world, world / "dataset_coco.json"):
        found = known_facts(source)
        assert len(found.factors) == 400
        assert found.factors["0"]["kind"] in LEXICON["kind"]
        assert found.lexicon is LEXICON


def test_other_data_may_have_factors_but_no_words_for_them(tmp_path: Path) -> None:
    assert (known_facts(tmp_path).factors, known_facts(tmp_path).lexicon) == (None, None)
    pq.write_table(pa.table({"sample_id": [7], "colour": ["red"]}), tmp_path / "factors.parquet")
    found = known_facts(tmp_path / "data.jsonl")
    assert (found.factors, found.lexicon) == ({"7": {"colour": "red"}}, None)


def test_the_name_toyland_stands_for_the_world_in_the_cache(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(toyland, "dataset_path", lambda **_: tmp_path)
    assert data_folder("toyland") == tmp_path
