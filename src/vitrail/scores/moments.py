"""Sums over rows that add up, so that states need not be kept: their mean, their covariance, their Gram matrix.

In float64, and merged as Chan, Golub & LeVeque (1983) do it: differences from means are summed, never squares of what
is mostly mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float

from vitrail.errors import UsageError

Array = np.ndarray


class Reducer(Protocol):
    """What is known of `n` rows (n, d) without keeping them."""

    @property
    def n(self) -> int:
        """How many rows there were."""
        ...

    @classmethod
    def of(cls, Z: Float[Array, "n d"]) -> Any:
        """What is known of the rows `Z`."""
        ...

    def merged(self, other: Any) -> Any:
        """What is known of the rows of both; the order does not matter, up to rounding."""
        ...

    @property
    def value(self) -> Array:
        """What was asked for."""
        ...

    def arrays(self) -> dict[str, Array]:
        """All that `from_arrays` needs to make the same again."""
        ...

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Any:
        """The inverse of `arrays`."""
        ...


@dataclass(frozen=True, eq=False)
class Mean:
    """The mean of `n` rows: `value` (d,)."""

    n: int
    mean: Float[Array, " d"]

    @classmethod
    def of(cls, Z: Float[Array, "n d"]) -> Mean:
        return cls(len(Z), Z.sum(axis=0, dtype=np.float64) / max(len(Z), 1))

    def merged(self, other: Mean) -> Mean:
        n = self.n + other.n
        return Mean(n, self.mean + (other.mean - self.mean) * (other.n / max(n, 1)))

    @property
    def value(self) -> Float[Array, " d"]:
        return self.mean

    def arrays(self) -> dict[str, Array]:
        return {"n": np.array(self.n), "mean": self.mean}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Mean:
        return cls(arrays["n"].item(), arrays["mean"])


@dataclass(frozen=True, eq=False)
class Covariance:
    """The covariance of `n` rows, of which `scatter` is the sum of (z − mean)(z − mean)ᵀ: `value` (d, d) divides it by
    n − 1, as numpy does."""

    n: int
    mean: Float[Array, " d"]
    scatter: Float[Array, "d d"]

    @classmethod
    def of(cls, Z: Float[Array, "n d"]) -> Covariance:
        mean = Mean.of(Z)
        D = Z - mean.mean
        return cls(mean.n, mean.mean, D.T @ D)

    def merged(self, other: Covariance) -> Covariance:
        mean = Mean(self.n, self.mean).merged(Mean(other.n, other.mean))
        shift = other.mean - self.mean
        between = np.outer(shift, shift) * (self.n * other.n / max(mean.n, 1))
        return Covariance(mean.n, mean.mean, self.scatter + other.scatter + between)

    @property
    def value(self) -> Float[Array, "d d"]:
        if self.n < 2:
            raise UsageError(f"A covariance needs two rows or more; there are {self.n}.")
        return self.scatter / (self.n - 1)

    def arrays(self) -> dict[str, Array]:
        return {"n": np.array(self.n), "mean": self.mean, "scatter": self.scatter}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Covariance:
        return cls(arrays["n"].item(), arrays["mean"], arrays["scatter"])


@dataclass(frozen=True, eq=False)
class Gram:
    """`ZᵀZ` of `n` rows, not centred: `value` (d, d)."""

    n: int
    gram: Float[Array, "d d"]

    @classmethod
    def of(cls, Z: Float[Array, "n d"]) -> Gram:
        D = Z.astype(np.float64)
        return cls(len(Z), D.T @ D)

    def merged(self, other: Gram) -> Gram:
        return Gram(self.n + other.n, self.gram + other.gram)

    @property
    def value(self) -> Float[Array, "d d"]:
        return self.gram

    def arrays(self) -> dict[str, Array]:
        return {"n": np.array(self.n), "gram": self.gram}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Gram:
        return cls(arrays["n"].item(), arrays["gram"])


#: What may be accumulated, by name. A reducer of one's own is a class and a line here.
REDUCERS: dict[str, type[Reducer]] = {"mean": Mean, "covariance": Covariance, "gram": Gram}


def check_reducers(names: Sequence[str]) -> None:
    """Raises `UsageError` unless these are names of `REDUCERS`, each once."""
    if not names or not set(names) <= REDUCERS.keys() or len(set(names)) != len(names):
        raise UsageError(f"What is accumulated is some of {', '.join(REDUCERS)}, each once; got {', '.join(names)!r}.")
