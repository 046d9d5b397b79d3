"""Properties of samples, and how well they are told: values of known factors, or words of captions.

How well a property is told is the area under the ROC curve (AUROC): the probability that a sample that has it scores
higher than one that lacks it. Its standard error is that of DeLong, DeLong & Clarke-Pearson (1988), from how each
sample stands among those of the other class.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int, Real
from scipy.stats import norm, rankdata

from vitrail.scores.factors import Factors, Value, auroc
from vitrail.scores.intervals import Estimate

#: A property counts if at least this share of the samples has it, and at least this share lacks it.
COMMON = 0.04
#: The fewest samples that must have a property, and lack it, so that it can be judged.
FEWEST = 5
#: Rows that a probe learns from, at most: more would hardly change it.
_PROBE_ROWS = 4000
#: The penalties of a probe that are tried, as shares of the number of rows.
_PENALTIES = np.logspace(-4, 1, 11)


@dataclass(frozen=True)
class Properties:
    """Which samples have which properties. Column *j* is about `groups[j]` = `values[j]`.

    Args:
        groups: the factor of each column, or what else its values have in common.
        values: the value of each column.
        has: whether a sample has the property.
        known: whether it is known of the sample if it has the property.
    """

    groups: tuple[str, ...]
    values: tuple[Value, ...]
    has: Bool[np.ndarray, "n columns"]
    known: Bool[np.ndarray, "n columns"]

    @property
    def names(self) -> list[tuple[str, Value]]:
        """The group and the value of each column."""
        return list(zip(self.groups, self.values, strict=True))

    def of(self, columns: Int[np.ndarray, " some"]) -> Properties:
        """The columns with these numbers."""
        groups, values = tuple(self.groups[j] for j in columns), tuple(self.values[j] for j in columns)
        return Properties(groups, values, self.has[:, columns], self.known[:, columns])

    def at(self, rows: Int[np.ndarray, " some"]) -> Properties:
        """The samples with these numbers."""
        return replace(self, has=self.has[rows], known=self.known[rows])

    def enough(self, share: float = 0.0) -> Bool[np.ndarray, " columns"]:
        """Whether at least `FEWEST` samples, and at least `share` of them, have the property, and as many lack it."""
        have, known = (self.has & self.known).sum(0), self.known.sum(0)
        return np.minimum(have, known - have) >= np.maximum(FEWEST, share * known)


def factor_properties(
    factors_of_rows: Sequence[Factors], names: Sequence[tuple[str, Value]] | None = None
) -> Properties:
    """The values of factors as properties; it is known of a sample that has any value of the factor.

    Args:
        factors_of_rows: what is known of each sample.
        names: the columns, each a factor and its value; for None all that occur, in the order of the factors.
    """
    if names is None:
        pairs = {(f, v) for row in factors_of_rows for f, v in row.items() if v is not None and v == v}
        order = list(dict.fromkeys(f for row in factors_of_rows for f in row))
        names = sorted(pairs, key=lambda pair: (order.index(pair[0]), isinstance(pair[1], str), pair[1]))
    shape = (len(factors_of_rows), len(names))
    found = [[row.get(factor) for factor, _ in names] for row in factors_of_rows]
    has = np.array([[v == value for v, (_, value) in zip(row, names, strict=True)] for row in found], bool)
    known = np.array([[v is not None and v == v for v in row] for row in found], bool)
    return Properties(tuple(f for f, _ in names), tuple(v for _, v in names), has.reshape(shape), known.reshape(shape))


def word_properties(words_of_rows: Sequence[Collection[str]], words: Sequence[str], group: str) -> Properties:
    """Whether each of `words` is among the words of a sample, as properties of the group named `group`."""
    has = np.array([[word in said for word in words] for said in words_of_rows], bool)
    has = has.reshape(len(words_of_rows), len(words))
    return Properties((group,) * len(words), tuple(words), has, np.ones_like(has))


# ---- how well a property is told -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Separation:
    """How well scores tell properties: `auroc` of each, and how much each sample moves it (`influence`).

    The square root of the sum of the squared influences is the standard error. Means and differences of several AUROCs
    on the same samples have the means and differences of their influences, so their errors follow, too.
    """

    auroc: Float[np.ndarray, " columns"]
    influence: Float[np.ndarray, "n columns"]
    least: float = 0.0

    def mean(self, columns: Sequence[int] | None = None) -> Estimate:
        """The mean AUROC of the chosen columns (all for None) and its 95 % interval over the `n` samples; `std` is its
        standard error. NaN without columns."""
        chosen = list(range(len(self.auroc))) if columns is None else list(columns)
        n = len(self.influence)
        if not chosen:
            return Estimate(np.nan, np.nan, np.nan, np.nan, n)
        middle = float(self.auroc[chosen].mean())
        error = float(np.sqrt((self.influence[:, chosen].mean(1) ** 2).sum()))
        reach = float(norm.ppf(0.975)) * error
        return Estimate(middle, error, max(self.least, middle - reach), min(1.0, middle + reach), n)

    def __sub__(self, other: Separation) -> Separation:
        """The differences of two separations of the same properties of the same samples."""
        return Separation(self.auroc - other.auroc, self.influence - other.influence, least=-1.0)


def separation(scores: Real[np.ndarray, "n columns"], properties: Properties) -> Separation:
    """How well column *j* of `scores` tells property *j*, among the samples of which it is known; ties count half.

    Each property needs two samples that have it, and two that lack it.
    """
    n, columns = properties.has.shape
    found, influence = np.full(columns, np.nan), np.zeros((n, columns))
    for j in range(columns):
        rows = np.flatnonzero(properties.known[:, j])
        has, values = properties.has[rows, j], np.asarray(scores)[rows, j]
        beaten = rankdata(values)  # how many of the other class a sample beats: its rank less that in its own class
        for mine in (has, ~has):
            beaten[mine] -= rankdata(values[mine])
        m, k = int(has.sum()), int((~has).sum())
        stands = np.where(has, beaten / k, 1 - beaten / m)
        found[j] = stands[has].mean()
        for mine, size in ((has, m), (~has, k)):
            influence[rows[mine], j] = (stands[mine] - stands[mine].mean()) / np.sqrt(size * (size - 1))
    return Separation(found, influence)


def probe(
    X: Real[np.ndarray, "n d"], properties: Properties, X_new: Real[np.ndarray, "m d"], seed: int = 0
) -> Float[np.ndarray, "m columns"]:
    """The scores that linear probes of the rows of `X` give to the rows of `X_new`, one probe per property.

    Args:
        X: of at most 4,000 rows, drawn at random with `seed`, the probes learn; see `linear_probes`.
    """
    rng = np.random.default_rng(seed)
    scores = np.zeros((len(X_new), len(properties.groups)))
    alike: dict[bytes, list[int]] = {}
    for j, known in enumerate(properties.known.T):
        alike.setdefault(known.tobytes(), []).append(j)
    for columns in alike.values():  # those that are known of the same samples share their probes' decomposition
        rows = np.flatnonzero(properties.known[:, columns[0]])
        if len(rows) > _PROBE_ROWS:
            rows = np.sort(rng.choice(rows, _PROBE_ROWS, replace=False))
        W, offsets = linear_probes(X[rows], properties.has[rows][:, columns])
        scores[:, columns] = np.asarray(X_new, np.float64) @ W.T + offsets
    return scores


def linear_probes(
    X: Real[np.ndarray, "n d"], has: Bool[np.ndarray, "n columns"]
) -> tuple[Float[np.ndarray, "columns d"], Float[np.ndarray, " columns"]]:
    """Linear probes of properties: weights and offsets, so that `X Wᵀ + b` is near 1 for samples that have one, else 0.

    A probe is a ridge regression of the labels on standardised features (for two classes that is linear discriminant
    analysis with a shrunken covariance). Its penalty is the one of the smallest leave-one-out error among eleven, for
    each property by itself.
    """
    from sklearn.linear_model import RidgeCV
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(np.asarray(X, np.float64))
    ridge = RidgeCV(alphas=_PENALTIES * len(X), alpha_per_target=True)
    ridge.fit(scaler.transform(np.asarray(X, np.float64)), has.astype(float))
    W = ridge.coef_.reshape(has.shape[1], -1) / scaler.scale_
    return W, ridge.intercept_ - W @ scaler.mean_


def matches(
    V: Real[np.ndarray, "n k"], properties: Properties, signed: bool = False
) -> tuple[Float[np.ndarray, "k columns"], Float[np.ndarray, "k columns"]]:
    """How well the activations of each concept tell each property (AUROC), and with which sign: 1, or −1 where low
    activations tell it.

    Args:
        V: the activations.
        signed: whether activations are signed, so that a concept may tell a property from below, too.
    """
    found = np.empty((V.shape[1], len(properties.groups)))
    for j in range(found.shape[1]):
        rows = properties.known[:, j]
        found[:, j] = auroc(V[rows], properties.has[rows, j])
    sign = np.where(signed & (found < 0.5), -1.0, 1.0)
    return np.where(sign > 0, found, 1 - found), sign


def dealt(properties: Properties, seed: int) -> Properties:
    """The same properties, dealt to other samples at random."""
    return properties.at(np.random.default_rng(seed).permutation(len(properties.has)))
