"""Samples that both activations have, and activations that cannot be compared."""

from __future__ import annotations

import pytest

from vitrail.activations import Activations
from vitrail.comparison.pairs import check_comparable, pair_samples
from vitrail.errors import ArtifactError, DataError, UsageError


def changed(activations: Activations, model: dict | None = None, **parameters) -> Activations:
    p = activations.parameters
    p = p | parameters | {"model": p["model"] | (model or {})}
    return Activations(activations.folder, activations.manifest | {"parameters": p})


class OfSamples(Activations):
    """Activations whose rows belong to the samples `ids`."""

    ids: list[str]

    def sample_ids(self) -> list[str]:
        return self.ids

    def __len__(self) -> int:
        return len(self.ids)


def of_samples(activations: Activations, ids: list[str]) -> Activations:
    found = OfSamples(activations.folder, activations.manifest)
    found.__dict__["ids"] = ids
    return found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"word": {"text": "cat", "forms": [], "match_case": False}},
            "the word is 'dog' in one and 'cat' in the other",
        ),
        ({"alignment": "reads"}, "the alignment is 'predicts' in one and 'reads' in the other"),
        ({"prompt": "what ?"}, "the prompt is .* in one and 'what \\?' in the other"),
        ({"require": "both"}, "the requirement is 'truth' in one and 'both' in the other"),
    ],
)
def test_states_that_mean_other_things_are_refused(activations, change, message):
    with pytest.raises(UsageError, match=message):
        check_comparable(activations, changed(activations, **change))


def test_models_of_another_width_or_depth_are_refused(activations):
    with pytest.raises(ArtifactError, match="the width of the states is 256 in one and 512 in the other"):
        check_comparable(activations, changed(activations, {"n_features": 512}))
    with pytest.raises(ArtifactError, match="the number of blocks is 8 in one and 4 in the other"):
        check_comparable(activations, changed(activations, {"n_blocks": 4}))


def test_no_common_samples_is_an_error_that_names_an_id_of_each(activations):
    elsewhere = of_samples(activations, [f"x{i}" for i in range(len(activations))])
    with pytest.raises(DataError, match=r"no sample in common: .*'x0'"):
        pair_samples(activations, elsewhere)


def test_samples_of_one_model_alone_are_counted_and_left_out(activations):
    ids = activations.sample_ids()
    found = pair_samples(activations, of_samples(activations, [ids[5], ids[2], "new"]))
    assert found.ids == (ids[2], ids[5])
    assert (found.a.tolist(), found.b.tolist()) == ([2, 5], [1, 0])
    assert (found.only_a, found.only_b) == (len(ids) - 2, 1)
