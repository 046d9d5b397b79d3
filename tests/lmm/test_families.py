"""The table of families says what transformers' own models are."""

from __future__ import annotations

import pytest
from transformers import CONFIG_MAPPING

from vitrail.lmm.families import FAMILIES, Family, asked_plainly, family_of


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_is_a_model_type_of_transformers(name):
    assert name in CONFIG_MAPPING


def test_a_family_that_is_not_in_the_table_has_nothing_peculiar():
    assert family_of("llava") == Family()
    assert family_of("llava").plain is None


def test_families_without_a_chat_template_are_listed():
    listed = asked_plainly()
    assert {"git", "blip-2", "paligemma"} <= set(listed)
    assert not {"llava", "bart", "siglip"} & set(listed)


@pytest.mark.parametrize("prefix", ["roberta", "siglip"])
def test_every_model_type_of_a_kind_of_text_encoder_is_in_the_table(prefix):
    found = {n for n in CONFIG_MAPPING if n.startswith(prefix) and "vision" not in n}
    assert {n for n in found if n not in FAMILIES} == set()
