"""Semi-NMF dictionary learning: the concepts of CoX-LMM (Parekh et al., NeurIPS 2024)."""

import logging
import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import kmeans_plusplus
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.extmath import randomized_svd

from vitrail.learners.arrays import Floats
from vitrail.learners.base import Learner, check_count
from vitrail.learners.codes import nonnegative_lasso, objective, sweep

logger = logging.getLogger(__name__)

_CODE_SWEEPS = 5  # per iteration; the products with Z cost more, so each is used a few times
_ATOM_SWEEPS = 3
_WORTH_REVIVING = 1.01  # a residual of norm r makes a code along itself when r > λ/2; with some margin
_NOISE = 1e-6  # of a sample's square: what float32 products may leave of a sample that is fully explained


class SemiNMF(Learner):
    """Concepts that add up with non-negative, sparse weights: `min_{U,V} ‖Z − V U‖²_F + λ‖V‖₁`, `V ≥ 0`, `‖u_k‖₂ ≤ 1`.

    `Z` is neither centred nor scaled. `penalty` is λ, in the units of `Z`: scikit-learn's `DictionaryLearning` halves
    the first term, its `alpha` is λ/2. The default is what the authors of CoX-LMM ran.

    Block coordinate descent on the codes and on each atom, which never raises the objective. The atoms of an optimum
    are combinations of rows of `Z`, so `n_init` seeded starts (k-means++) run in the span of the leading singular
    vectors, where they cost next to nothing, and the best goes on in the full space. An atom that no sample uses is
    revived, when that pays, as the direction in which a sample is explained worst. `transform` is the exact solution
    for fixed concepts (see `codes`); the problem as a whole is not convex, and another seed may find another optimum.

    A descent ends with an iteration that lowers the objective by less than `tol` of it. `max_iter` bounds the
    iterations in the subspace, and again those in the full space, where reaching it warns (`ConvergenceWarning`).

    Attributes: `components_` (K, d), the concepts `U`, of norm 1, or 0 where `Z` left nothing to explain;
    `objective_`, its value on `Z`; `objectives_` (n_iter_ + 1,), after each iteration of the winning start, with
    `objective_` last; `n_iter_`; `n_revived_`, how often an atom was revived in it; `n_dead_`, how many concepts no
    sample of `Z` uses in the end.
    """

    objective_: float
    objectives_: NDArray[np.float64]
    n_iter_: int
    n_revived_: int
    n_dead_: int

    def __init__(
        self,
        n_components: int = 20,
        *,
        penalty: float = 2.0,
        n_init: int = 5,
        max_iter: int = 1000,
        tol: float = 1e-6,
        random_state: int | None = 0,
    ) -> None:
        self.n_components = n_components
        self.penalty = penalty
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    def _fit(self, Z: Floats) -> None:
        check_count("n_init", self.n_init)
        check_count("max_iter", self.max_iter)
        for name, value in (("penalty", self.penalty), ("tol", self.tol)):
            if not 0 <= value < np.inf:
                raise ValueError(f"{name} must be a finite number ≥ 0, got {value!r}")
        rng = check_random_state(self.random_state)
        basis = _leading_rows(Z, max(64, 4 * self.n_components), rng)
        inside = (Z if basis is None else Z @ basis.T).astype(np.float64)
        outside = max(0.0, _squares(Z).sum() - _squares(inside).sum())
        starts = [self._descend(inside, *self._start(inside, rng), outside) for _ in range(self.n_init)]
        best = min(starts, key=lambda run: run.objectives[-1])
        U = best.U if basis is None else best.U @ basis.astype(np.float64)
        final = self._descend(Z, U, best.V, outside=0.0)
        if not final.converged:
            warnings.warn(
                f"SemiNMF still improves after max_iter={self.max_iter}: raise max_iter or tol={self.tol}",
                ConvergenceWarning,
                stacklevel=3,
            )

        self.components_ = final.U.astype(Z.dtype)
        V = nonnegative_lasso(Z, self.components_, self.penalty)
        self.objective_ = objective(Z, self.components_, V, self.penalty)
        self.objectives_ = np.array([*best.objectives, *final.objectives, self.objective_])
        self.n_iter_ = len(self.objectives_) - 1
        self.n_revived_ = best.n_revived + final.n_revived
        self.n_dead_ = int((~(V > 0).any(axis=0)).sum())
        ends = [round(run.objectives[-1], 3) for run in starts]
        logger.info("Semi-NMF: starts ended at %s, the best at %.3f on full data", ends, self.objective_)

    def _start(self, Z: NDArray[np.float64], rng: np.random.RandomState) -> tuple[Floats, Floats]:
        """Unit directions of K samples far from one another, and codes of zero."""
        U, _ = kmeans_plusplus(Z, self.n_components, random_state=rng)
        return _unit(U)[0], np.zeros((self.n_components, len(Z)))

    def _activate(self, Z: NDArray[np.float64]) -> NDArray[np.float64]:
        return nonnegative_lasso(Z, self.components_, self.penalty)

    def _reconstruct(self, V: Floats) -> Floats:
        return V @ self.components_

    def _descend(self, Z: Floats, U: Floats, V: Floats, outside: float) -> "_Run":
        """Block coordinate descent from `U` (K, d) and `V` (K, n), which it changes; `outside` adds to every objective.

        Products with `Z` are in its precision, all else is in float64.
        """
        half = self.penalty / 2
        squares = _squares(Z)
        objectives: list[float] = []
        n_revived = 0
        for _ in range(self.max_iter):
            B = (U.astype(Z.dtype) @ Z.T).astype(np.float64)
            G = U @ U.T
            sweep(G, B - half, V, _CODE_SWEEPS)
            VV = V @ V.T
            value = squares.sum() + outside - 2 * np.vdot(V, B) + np.vdot(VV, G) + self.penalty * V.sum()
            value = max(0.0, float(value))
            objectives.append(value)

            unexplained = squares - 2 * (V * B).sum(axis=0) + (V * (G @ V)).sum(axis=0)
            revived = _revive(Z, U, V, unexplained, np.maximum((_WORTH_REVIVING * half) ** 2, _NOISE * squares))
            n_revived += revived
            if not revived and len(objectives) > 1 and objectives[-2] - value <= self.tol * value:
                return _Run(U, V, objectives, n_revived, converged=True)

            VZ = (V.astype(Z.dtype) @ Z).astype(np.float64)
            _sweep_atoms(U, VV, VZ, _ATOM_SWEEPS)
            U, norms = _unit(U)
            V *= norms[:, None]
        return _Run(U, V, objectives, n_revived, converged=False)


class _Run(NamedTuple):
    U: Floats
    V: Floats
    objectives: list[float]
    n_revived: int
    converged: bool


def _sweep_atoms(U: Floats, VV: Floats, VZ: Floats, sweeps: int) -> None:
    """Lowers `‖Z − V U‖²` over `‖u_k‖ ≤ 1` in place, exactly in one used atom at a time, from `VᵀV` and `VᵀZ`."""
    for _ in range(sweeps):
        for k in np.flatnonzero(np.diag(VV) > 0):
            atom = U[k] + (VZ[k] - VV[k] @ U) / VV[k, k]
            U[k] = atom / max(1.0, float(np.linalg.norm(atom)))


def _revive(Z: Floats, U: Floats, V: Floats, unexplained: Floats, least: Floats) -> int:
    """Turns unused atoms towards the samples that are explained worst, in place; how many found one above `least`.

    The codes of an unused atom are zero, so this leaves the objective as it is.
    """
    unused = np.flatnonzero(~V.any(axis=1))
    if len(unused) == 0:
        return 0
    worst = np.argsort(-unexplained, kind="stable")[: len(unused)]
    worst = worst[unexplained[worst] > least[worst]]
    unused = unused[: len(worst)]
    U[unused] = _unit(Z[worst] - V[:, worst].T @ U)[0]
    return len(unused)


def _unit(U: Floats) -> tuple[Floats, Floats]:
    """Rows of norm 1, and the norms; rows of zero stay, with 1 for their norm.

    Under a penalty a used atom has norm 1 at any optimum: a longer one with smaller codes fits as well and costs less.
    """
    norms = np.linalg.norm(U, axis=1)
    norms = np.where(norms > 0, norms, 1.0)
    return U / norms[:, None], norms


def _leading_rows(Z: Floats, rank: int, rng: np.random.RandomState) -> Floats | None:
    """The `rank` leading right singular vectors (rank, d) of `Z`, or None where they would save nothing."""
    if Z.shape[1] <= rank:
        return None
    return randomized_svd(Z, min(rank, len(Z)), n_iter=2, random_state=rng)[2].astype(Z.dtype, copy=False)


def _squares(Z: Floats) -> NDArray[np.float64]:
    return np.einsum("ij,ij->i", Z, Z, dtype=np.float64)
