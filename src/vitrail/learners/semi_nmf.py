"""Semi-NMF dictionary learning: the concepts of CoX-LMM (Parekh et al., NeurIPS 2024)."""

import logging
import warnings
from functools import reduce
from operator import add
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from vitrail.learners.arrays import Array, Floats, namespace, to_host
from vitrail.learners.base import Learner, check_count
from vitrail.learners.codes import nonnegative_lasso, objective, settled_codes
from vitrail.learners.descent import Run, State, Sums, descend
from vitrail.learners.rows import ArrayRows, Map, Rows, here, sample
from vitrail.learners.starts import best_of_starts, squares_of, sums_with_codes
from vitrail.progress import Progress, silent

logger = logging.getLogger(__name__)

_SWEEPS = 3  # of codes in a pass that keeps them


class SemiNMF(Learner):
    """Concepts that add up with non-negative, sparse weights: `min_{U,V} ‖Z − V U‖²_F + λ‖V‖₁`, `V ≥ 0`, `‖u_k‖₂ ≤ 1`.

    `Z` is neither centred nor scaled. `penalty` is λ, in the units of `Z`: scikit-learn's `DictionaryLearning` halves
    the first term, its `alpha` is λ/2. The default is what the authors of CoX-LMM ran.

    An extrapolated descent on codes and atoms (see `descent`), whose kept steps never raise the objective. `n_init`
    seeded starts run in a subspace (see `starts`); the best goes on in the full space, by passes over all samples. Of
    more data than 2²⁵ numbers the starts see a random sample of rows. An atom that no sample uses is revived, when that
    pays, as the direction in which a sample is explained worst. `transform` is the exact solution for fixed concepts
    (see `codes`); the problem as a whole is not convex, and another seed may find another optimum.

    A descent ends when its iterations lower the objective by less than `tol` of it. `max_iter` bounds the iterations of
    a start, and again the passes in the full space, where reaching it warns (`ConvergenceWarning`).

    Attributes: `components_` (K, d), the concepts `U`, of norm 1, or 0 where `Z` left nothing to explain;
    `objective_`, its value on `Z`; `objectives_` (n_iter_ + 1,), after each kept iteration of the winning start (where
    it ran on a sample, of the passes alone), with `objective_` last; `n_iter_`; `n_revived_`, how often an atom was
    revived in it; `n_dead_`, how many concepts no sample of `Z` uses in the end.
    """

    title = "Semi-NMF"
    out_of_core = True

    objective_: float
    objectives_: NDArray[np.float64]
    n_iter_: int
    n_revived_: int
    n_dead_: int

    _on_device = True

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

    def fit_rows(self, rows: Rows, over: Map = here, *, progress: Progress = silent) -> "SemiNMF":
        """Learns from representations in pieces, which need not fit in memory together; `over` maps over them.

        The pieces must be finite float32 or float64. The concepts depend neither on who computes what, nor on when.
        """
        self._check(sum(rows.lengths))
        self.n_features_in_ = rows.n_features
        self._learn(rows, over, progress, keep_codes=False)
        return self

    def adopt(self, U: Floats, rows: Rows, over: Map = here) -> "SemiNMF":
        """Takes `U` (K, d) from elsewhere for its concepts; `objective_` and `n_dead_` are theirs on `rows`."""
        self.n_features_in_ = rows.n_features
        self.components_ = np.ascontiguousarray(U, dtype=rows.dtype)
        self._finish(Run(), rows, over, keep_codes=False)
        return self

    def _check(self, n_samples: int) -> None:
        super()._check(n_samples)
        check_count("n_init", self.n_init)
        check_count("max_iter", self.max_iter)
        for name, value in (("penalty", self.penalty), ("tol", self.tol)):
            if not 0 <= value < np.inf:
                raise ValueError(f"{name} must be a finite number ≥ 0, got {value!r}")

    def _fit(self, Z: Array, progress: Progress) -> Array:
        return self._learn(ArrayRows(Z), here, progress, keep_codes=True)

    def _learn(self, rows: Rows, over: Map, progress: Progress, keep_codes: bool) -> Array | None:
        """Sets the fitted attributes; the codes of all rows (n, K), where these are to be kept."""
        run, U = self._search(rows, over, progress)
        if not run.converged:
            warnings.warn(
                f"SemiNMF still improves after max_iter={self.max_iter}: its last iteration lowered the objective by "
                f"{run.rate:.1e} of it, with tol={self.tol:.1e} it would be done; raise one of them",
                ConvergenceWarning,
                stacklevel=5,
            )
        self.components_ = np.ascontiguousarray(to_host(U)[0], dtype=rows.dtype)
        return self._finish(run, rows, over, keep_codes)

    def _finish(self, run: Run, rows: Rows, over: Map, keep_codes: bool) -> Array | None:
        """Sets what is to say of `components_` and the run that found them, by exact codes."""
        U, penalty = self.components_, self.penalty
        ends = list(over(lambda _, Z: _end(Z, U, penalty, keep_codes), rows))
        self.objective_ = float(sum(end.objective for end in ends))
        self.objectives_ = np.array([*run.objectives, self.objective_])
        self.n_iter_ = len(self.objectives_) - 1
        self.n_revived_ = run.n_revived
        self.n_dead_ = int((~np.any([end.used for end in ends], axis=0)).sum())
        logger.info("Semi-NMF: %.6g after %d iterations", self.objective_, self.n_iter_)
        return namespace(ends[0].codes).concat([end.codes for end in ends]) if keep_codes else None

    def _search(self, rows: Rows, over: Map, progress: Progress) -> tuple[Run, Array]:
        """The descent from the starts to the end, and the atoms (K, d) that it ends at.

        Rows that fit in a sample are all there, and keep their codes from step to step; of more rows the descent in the
        full space begins anew, and finds the codes of every piece again in every pass.
        """
        penalty = self.penalty
        rng = check_random_state(self.random_state)
        part = sample(rows, rng, over)
        run, state = best_of_starts(
            part,
            self.n_components,
            penalty=penalty,
            n_init=self.n_init,
            max_iter=self.max_iter,
            tol=self.tol,
            rng=rng,
            tell=lambda done, total: progress("starts", done, total),
        )
        if len(part) == sum(rows.lengths):
            run.start_anew()
            squares = squares_of(part)
        else:
            run, state = Run(n_revived=run.n_revived), State(state.U, None)
            squares = sum(over(lambda _, Z: squares_of(Z), rows))

        def evaluate(state: State) -> tuple[Sums, State]:
            if state.V is not None:
                return sums_with_codes(part, state, penalty, _SWEEPS)
            (U,) = state.U
            return reduce(add, over(lambda _, Z: Sums.of(Z, settled_codes(Z, U, penalty), U), rows)).as_one(), state

        state = descend(
            [run],
            state,
            evaluate,
            penalty=penalty,
            squares=squares,
            precision=float(np.finfo(rows.dtype).eps),
            max_iter=self.max_iter,
            tol=self.tol,
            window=1,
            tell=lambda done: progress("passes", done, self.max_iter),
        )
        return run, state.U[0]

    def _activate(self, Z: Array) -> Array:
        return nonnegative_lasso(Z, self.components_, self.penalty)

    def _reconstruct(self, V: Floats) -> Floats:
        return V @ self.components_


class _End(NamedTuple):
    objective: float
    used: NDArray[np.bool_]
    codes: Array | None


def _end(Z: Array, U: Floats, penalty: float, keep_codes: bool) -> _End:
    """What one piece says of the final concepts, by its exact codes."""
    V = nonnegative_lasso(Z, U, penalty)
    used = to_host(namespace(V).any(V > 0, axis=0))[0]
    return _End(objective(Z, U, V, penalty), used, V if keep_codes else None)
