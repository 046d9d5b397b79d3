"""For every family: derivatives from a middle layer to the last, and the words of the image's own tokens."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from families.test_maps import NO_TOKENS
from vitrail.errors import ModelError
from vitrail.lmm.tracing import Asked
from vitrail.maps import token_words

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")

STEP = 0.02


def test_derivatives_from_a_middle_layer_to_the_last_are_those_by_finite_differences(tiny, pictures):
    layer, last, draw = tiny.n_blocks - 1, tiny.n_blocks, torch.Generator().manual_seed(0)
    inputs = tiny.prepare(pictures[:1], [tiny.prompt])
    said = [tiny.generate(inputs, 3)[0].ids[:2]]
    asked = Asked(inputs, said, [inputs["input_ids"].shape[1] + len(said[0]) - 1], (layer,))
    onward = tiny.onward(asked)
    torch.testing.assert_close(
        onward.last.detach(), tiny.states(inputs, said, asked.positions, [last])[last], rtol=1e-3, atol=1e-4
    )
    direction = torch.randn(1, tiny.n_features, generator=draw)
    slopes = onward.back(direction)[layer]
    moves = torch.randn(slopes.shape, generator=draw)

    def moved(step: float) -> float:
        with tiny.edited([layer], lambda _layer, states, _pass: states + step * moves):
            return float((tiny.states(inputs, said, asked.positions, [last])[last] * direction).sum())

    expected = (moved(STEP) - moved(-STEP)) / (2 * STEP)
    assert float((slopes * moves).sum()) == pytest.approx(expected, rel=0.05, abs=0.02)


def test_the_image_s_tokens_have_a_place_and_words_or_the_family_is_refused(tiny, family):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (112, 168, 3), dtype=np.uint8))
    if family.name in NO_TOKENS - {"Molmo2"}:  # whose tiny connector makes one position of a view
        with pytest.raises(ModelError, match="no known place"):
            token_words(tiny, image)
        return
    found = token_words(tiny, image, n_words=2)
    assert found.tokens
    for token in found.tokens:
        left, top, right, bottom = token.box
        assert 0 <= left < right <= 1
        assert 0 <= top < bottom <= 1
        assert len(token.words) == 2
