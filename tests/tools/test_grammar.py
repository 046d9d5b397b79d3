"""The grammar of Toyland, read."""

from __future__ import annotations

from tools.toyland.grammar import is_sentence


def test_the_grammar_knows_every_caption_that_people_gave(samples):
    said = [r for s in samples for r in s.references]
    assert len(said) > 1000
    assert all(map(is_sentence, said))
    assert not any(
        map(is_sentence, ["a red red dog", "a dog dog", "dog", "a dog on", "big big big", "a dog a dog", ""])
    )
