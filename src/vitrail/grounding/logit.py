"""What the concepts hold of the logit of the word of interest: how likely the model is to say the word, read from the
states themselves, from the states as their concepts rebuild them, and from the mean state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from vitrail.activations import Activations
from vitrail.concepts import Concepts
from vitrail.learners import NamedSemiNMF
from vitrail.scores import Estimate, explained_variance

#: Samples whose logits are read, at most; a random choice of them.
MOST_SAMPLES = 500
#: The logits (n, vocabulary) of states (n, d).
LogitsOf = Callable[[np.ndarray], np.ndarray]
_BLOCK = 64  # states at a time: their logits over a whole vocabulary must fit in memory


@dataclass(frozen=True)
class WordLogit:
    """The logit of the word's token, read as words are: through the final norm and the unembedding, and through the
    lens where there is one.

    Args:
        states: its mean over samples, read from their states.
        concepts: the same, read from the states as all concepts rebuild them.
        mean: the same, read from the mean of the states.
        held: share of the variance of the logit over samples that the concepts hold, `1 − Σ(l − l̂)² / Σ(l − l̄)²`, where
            `l̂` is read from the rebuilt states; with its 95 % interval.
        named: `held` of the named concepts alone; None where no concept is named.
        samples: how many samples were read.
    """

    states: float
    concepts: float
    mean: float
    held: Estimate
    named: Estimate | None
    samples: int


def word_logit(logits: LogitsOf, activations: Activations, concepts: Concepts) -> WordLogit | None:
    """What `concepts` hold of the logit of their word; None where the states do not predict it, but read it, or where
    its tokens are not known, as of states that were imported.

    Args:
        logits: of states of the concepts' layer, such as `WordReader.logits`.
    """
    if activations.options.alignment != "predicts":
        return None
    numbers, V = np.flatnonzero(concepts.kept), concepts.V
    if len(numbers) > MOST_SAMPLES:
        chosen = np.sort(np.random.default_rng(0).choice(len(numbers), MOST_SAMPLES, replace=False))
        numbers, V = numbers[chosen], V[chosen]
    rows = [activations.rows[i] for i in numbers]
    if not all(row.token_ids for row in rows):
        return None
    tokens = np.array([row.token_ids[row.token] for row in rows])
    Z = activations.states(concepts.layer)
    mean, Z = Z[concepts.kept].mean(axis=0, dtype=np.float64), Z[numbers]
    learner = concepts.learner

    def read(states: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        return _of_tokens(logits, states, tokens)

    own, rebuilt = read(Z), read(np.asarray(learner.inverse_transform(V)))

    def held(logits: Float[np.ndarray, " n"]) -> Estimate:
        return explained_variance(own[:, None], logits[:, None], own.mean(keepdims=True))

    named = None
    if isinstance(learner, NamedSemiNMF):
        alone = np.where(np.arange(V.shape[1]) < learner.n_named, V, 0)
        named = held(read(np.asarray(learner.inverse_transform(alone))))
    at_mean = read(np.broadcast_to(mean, Z.shape)).mean()
    return WordLogit(float(own.mean()), float(rebuilt.mean()), float(at_mean), held(rebuilt), named, len(rows))


def _of_tokens(
    logits: LogitsOf, states: Float[np.ndarray, "n d"], tokens: Int[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """The logit of one token in each state, in float64."""
    found = []
    for start in range(0, len(states), _BLOCK):
        block = logits(np.array(states[start : start + _BLOCK]))
        found.append(block[np.arange(len(block)), tokens[start : start + _BLOCK]])
    return np.concatenate(found).astype(np.float64)
