"""Semi-NMF dictionary learning: the concepts of CoX-LMM (Parekh et al., NeurIPS 2024)."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Callable, Mapping
from functools import partial, reduce
from operator import add
from typing import Any, NamedTuple, get_args

import numpy as np
from jaxtyping import Float, Num
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from vitrail.learners.arrays import Array, Floats, namespace, squares_of, to_host
from vitrail.learners.base import Learner, check_count
from vitrail.learners.codes import code_derivatives, nonnegative_lasso, objective, settled_codes
from vitrail.learners.descent import Problem, Run, State, Stopping, Sums, descend
from vitrail.learners.form import Form
from vitrail.learners.rows import ArrayRows, ChangedRows, Map, Rows, here, mean_and_spread, minus, sample
from vitrail.learners.starts import best_of_starts, sums_with_codes
from vitrail.progress import Progress, silent

logger = logging.getLogger(__name__)

_SWEEPS = 3  # over the codes, in a pass that keeps them
_WINDOW = 3  # passes over which the decrease is averaged to decide whether learning has converged
#: λ by default. That of the paper is the one of its authors' code.
PENALTIES: dict[Form, float] = {"centred": 0.1, "paper": 2.0}
#: Starts by default: without the mean, more of them end in optima of their own, so more are needed to find the best.
STARTS: dict[Form, int] = {"centred": 10, "paper": 5}


class SemiNMF(Learner):
    """Semi-NMF: sparse weights ≥ 0 add up directions, `V ≥ 0`, `‖u_k‖₂ ≤ 1`, in one of two forms:

        centred   min_{U,V} ‖Z − 1 μᵀ − V U‖²_F + λ σ ‖V‖₁,   μ = 1/n Σ z,   σ = √(1/n Σ ‖z − μ‖²)
        paper     min_{U,V} ‖Z − V U‖²_F + λ‖V‖₁                             (CoX-LMM, section 3.3)

    In the centred form the mean `μ` is a row of its own, and λ a share of the spread `σ`: a code is zero unless the
    sample reaches further than `λ σ / 2` along the concept, beside the other concepts. So λ means the same on every
    model, and `c Z` has the concepts of `Z` and `c` times its activations.

    Learning is an extrapolated descent on codes and atoms (see `descent`); it keeps no step that raises the objective.
    Seeded starts run in a subspace (see `starts`), and the best one continues in the full space, by passes over all
    samples. If `Z` has more than 2²⁵ numbers, the starts see a random sample of its rows. An atom that no sample uses
    is revived as the direction of the worst residual, if that lowers the objective.

    The problem is not convex: another seed may find another optimum. `transform`, for fixed concepts, solves a convex
    problem exactly (see `codes`).

    Args:
        n_components: the number of concepts, K.
        penalty: λ; None for the default of the form. In the paper's it is in the units of `Z`: scikit-learn's
            `DictionaryLearning` halves the first term, so its `alpha` is λ/2.
        form: "centred" or "paper".
        n_init: how many starts there are; None for 10, or 5 in the paper's form.
        max_iter: iterations of a start, at most, and passes in the full space, at most. If the passes reach it, there
            is a `ConvergenceWarning`.
        tol: a descent ends when an iteration lowers the objective by less than this part of it.
        random_state: the seed.

    Attributes:
        components_: the concepts `U` (K, d), of norm 1, or 0 where nothing was left to explain.
        penalty_: λ.
        mean_: the mean `μ` (d,); zeros in the paper's form.
        spread_: what λ is multiplied by: the spread `σ`; 1 in the paper's form.
        objective_: the objective on `Z`.
        objectives_: the objective after each kept iteration of the winning start and of the passes (after those of the
            passes alone, if the start ran on a sample of rows), and `objective_` last; (n_iter_ + 1,).
        n_iter_: the number of these iterations.
        n_revived_: how often an atom was revived in them.
        n_dead_: how many concepts no sample of `Z` uses in the end.
    """

    title = "Semi-NMF"
    out_of_core = True

    penalty_: float
    mean_: Float[np.ndarray, " d"]
    spread_: float
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
        penalty: float | None = None,
        form: Form = "centred",
        n_init: int | None = None,
        max_iter: int = 1000,
        tol: float = 1e-6,
        random_state: int | None = 0,
    ) -> None:
        self.n_components = n_components
        self.penalty = penalty
        self.form = form
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    @classmethod
    def upgraded(cls, params: Mapping[str, Any], fitted: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        if "form" in params:
            return dict(params), dict(fitted)
        U = np.asarray(fitted["components_"])
        since = {"penalty_": params["penalty"], "mean_": np.zeros(U.shape[1:], U.dtype), "spread_": 1.0}
        return {**params, "form": "paper"}, {**fitted, **since}

    def moved(self, mean: Float[np.ndarray, " d"]) -> SemiNMF:
        """The same concepts for representations of which `mean` was taken off before these were fitted."""
        own = copy.copy(self)
        own.mean_ = self.mean_ + mean
        return own

    @property
    def intercept(self) -> Float[np.ndarray, " d"] | None:
        return self.mean_ if self.form == "centred" else None

    def fit_rows(self, rows: Rows, over: Map = here, *, progress: Progress = silent) -> SemiNMF:
        """Learns from representations in pieces, which need not fit in memory together, and returns the learner itself.

        Args:
            rows: the pieces, finite float32 or float64.
            over: applies a function to every piece, here or on other machines; the concepts do not depend on where.
            progress: is told of the starts and the passes.

        Raises:
            ValueError: a parameter is out of range, or there are more concepts than different samples.
        """
        self._check_rows(rows)
        self.n_features_in_ = rows.n_features
        self._learn(rows, over, progress, keep_codes=False)
        return self

    def adopt(self, U: Float[np.ndarray, "k d"], rows: Rows, over: Map = here) -> SemiNMF:
        """Sets the concepts to `U`, and the other attributes to those of `U` on `rows`; returns the learner itself."""
        self.n_features_in_ = rows.n_features
        self.components_ = np.ascontiguousarray(U, dtype=rows.dtype)
        self._finish(Run(), self._centred(rows, over), over, keep_codes=False)
        return self

    def _check(self, n_samples: int) -> None:
        super()._check(n_samples)
        check_count("n_init", 1 if self.n_init is None else self.n_init)
        check_count("max_iter", self.max_iter)
        if self.form not in get_args(Form):
            raise ValueError(f"form must be one of {', '.join(map(repr, get_args(Form)))}, got {self.form!r}")
        for name, value in (("penalty", self.penalty or 0.0), ("tol", self.tol)):
            if not 0 <= value < np.inf:
                raise ValueError(f"{name} must be a finite number ≥ 0, got {value!r}")

    def _fit(self, Z: Float[Array, "n d"], progress: Progress) -> Float[Array, "n k"]:
        return self._learn(ArrayRows(Z), here, progress, keep_codes=True)

    def _learn(self, rows: Rows, over: Map, progress: Progress, keep_codes: bool) -> Array | None:
        """Sets the fitted attributes; returns the codes of all rows (n, K) if they are kept."""
        rows = self._centred(rows, over)
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

    def _centred(self, rows: Rows, over: Map) -> Rows:
        """Sets `penalty_`, `mean_` and `spread_`; returns the rows without their mean, or as they are in the paper's
        form."""
        self.penalty_ = PENALTIES[self.form] if self.penalty is None else self.penalty
        if self.form == "paper":
            self.mean_, self.spread_ = np.zeros(rows.n_features, rows.dtype), 1.0
            return rows
        mean, self.spread_ = mean_and_spread(rows, over)
        self.mean_ = mean.astype(rows.dtype)
        return ChangedRows(rows, partial(minus, mean=self.mean_))

    @property
    def _weight(self) -> float:
        """What the sum of the activations is multiplied by in the objective: `λ σ`, or `λ` in the paper's form."""
        return self.penalty_ * self.spread_

    def _finish(self, run: Run, rows: Rows, over: Map, keep_codes: bool) -> Array | None:
        """Sets all attributes but `components_`, from exact codes and the run; returns the codes if they are kept."""
        U, penalty = self.components_, self._weight
        ends = list(over(lambda _, Z: _end(Z, U, penalty, keep_codes), rows))
        self.objective_ = float(sum(end.objective for end in ends))
        self.objectives_ = np.array([*run.objectives, self.objective_])
        self.n_iter_ = len(self.objectives_) - 1
        self.n_revived_ = run.n_revived
        self.n_dead_ = int((~np.any([end.used for end in ends], axis=0)).sum())
        logger.info("Semi-NMF: %.6g after %d iterations", self.objective_, self.n_iter_)
        return namespace(ends[0].codes).concat([end.codes for end in ends]) if keep_codes else None

    def _search(self, rows: Rows, over: Map, progress: Progress) -> tuple[Run, Array]:
        """The descent from the starts to the end, and its atoms (K, d) at the end.

        Rows that fit in a sample keep their codes from step to step. With more rows the descent in the full space
        begins again, and every pass computes the codes of every piece again.
        """
        penalty = self._weight
        rng = check_random_state(self.random_state)
        part = sample(rows, rng, over)
        run, state = best_of_starts(
            part,
            self.n_components,
            penalty=penalty,
            n_init=STARTS[self.form] if self.n_init is None else self.n_init,
            max_iter=self.max_iter,
            tol=self.tol,
            rng=rng,
            tell=lambda done, total: progress("starts", done, total),
        )
        eps = float(np.finfo(rows.dtype).eps)
        exact = Problem(penalty, squares_of(part), eps).noise <= self.tol * run.objective
        ready: Callable[[Array], Array] = (lambda Z: Z) if exact else _in_float64
        if len(part) == sum(rows.lengths):
            part, state = ready(part), State(state.U, ready(state.V))
            run.start_anew()
            squares = squares_of(part)
        else:
            run, state = Run(n_revived=run.n_revived), State(state.U, None)
            squares = sum(over(lambda _, Z: squares_of(ready(Z)), rows))

        def sums_of(Z: Array, U: Array) -> Sums:
            Z = ready(Z)
            return Sums.of(Z, settled_codes(Z, U, penalty), U)

        def evaluate(state: State) -> tuple[Sums, State]:
            if state.V is not None:
                return sums_with_codes(part, state, penalty, _SWEEPS)
            (U,) = state.U
            return reduce(add, over(lambda _, Z: sums_of(Z, U), rows)).as_one(), state

        state = descend(
            [run],
            state,
            evaluate,
            Problem(penalty, squares, eps if exact else float(np.finfo(np.float64).eps)),
            Stopping(self.max_iter, self.tol, _WINDOW),
            tell=lambda done: progress("passes", done, self.max_iter),
        )
        return run, state.U[0]

    def _activate(self, Z: Float[Array, "n d"]) -> Float[Array, "n k"]:
        Z = Z if self.form == "paper" else minus(Z, self.mean_)
        return nonnegative_lasso(Z, self.components_, self._weight)

    def _derivatives(self, Z: Float[np.ndarray, "n d"], V: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k d"]:
        return code_derivatives(self.components_, V)

    def _reconstruct(self, V: Num[np.ndarray, "n k"]) -> Float[np.ndarray, "n d"]:
        rebuilt = V @ self.components_
        return rebuilt if self.form == "paper" else rebuilt + self.mean_


class _End(NamedTuple):
    """What one piece contributes to the end of learning."""

    objective: float
    used: NDArray[np.bool_]
    codes: Array | None


def _in_float64(Z: Array) -> Array:
    xp = namespace(Z)
    return xp.astype(Z, xp.float64, copy=False)


def _end(Z: Float[Array, "n d"], U: Floats, penalty: float, keep_codes: bool) -> _End:
    """The objective of the final concepts on one piece, which of them it uses, and its exact codes."""
    V = nonnegative_lasso(Z, U, penalty)
    used = to_host(namespace(V).any(V > 0, axis=0))[0]
    return _End(objective(Z, U, V, penalty), used, V if keep_codes else None)
