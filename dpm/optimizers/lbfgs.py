"""L-BFGS over the full sum, by scipy."""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from scipy.optimize import minimize

from dpm.optimizers.base import Array, Optimizer, check_positive, check_state, is_finite
from dpm.optimizers.nest import real_array, short_repr

log = logging.getLogger(__name__)


class LBFGS(Optimizer):
    """Minimize a sum with scipy's L-BFGS-B (Byrd, Lu, Nocedal, Zhu 1995), one evaluation of the full sum per pass.

    scipy does not expose its memory. A run is therefore continued by running scipy again from the start with the
    stored values and gradients: optimize(5) twice is bit-equal to optimize(10), also across state() and load_state().
    This stores one gradient per pass.

    theta is passed to f_df in its float type; scipy computes in float64.

    Attributes:
        theta: the point of the smallest sum so far.
        converged: True once scipy has stopped by itself.
        skipped_steps: number of sums that were not finite. For these the line search gets a steep rise instead.

    Args:
        f_df: function f_df(theta, reference, *args) that returns (f_i, gradient).
        theta: start, an array or number or a nest of them.
        subfunction_references: one object per subfunction.
        args: further arguments of f_df.
        rng: accepted as by the other optimizers; nothing is random here.
        display: 1 logs one line per pass.
        max_history_terms: number of pairs in the history.
        bounds: None, or (lower, upper), each a number, a nest of theta's structure, or None for no bound. A start
            outside of them is moved to the nearest point inside.
        gtol: stop where the largest element of the projected gradient is below it.
        f_dfs: function f_dfs(theta, references, *args) that yields what f_df returns for each reference, and may
            compute them at the same time; None calls f_df for one after the other.

    Raises:
        ValueError: if an argument is not usable, or if the sum is not finite at the start.
    """

    def __init__(
        self,
        f_df: Callable[..., tuple[Any, Any]],
        theta: Any,
        subfunction_references: Iterable[Any],
        args: Iterable[Any] = (),
        *,
        rng: np.random.Generator | None = None,
        display: int = 0,
        max_history_terms: int = 10,
        bounds: tuple[Any, Any] | None = None,
        gtol: float = 1e-9,
        f_dfs: Callable[..., Iterable[tuple[Any, Any]]] | None = None,
    ) -> None:
        super().__init__(f_df, theta, subfunction_references, args, rng, display, f_dfs)
        self.max_history_terms = check_positive("max_history_terms", max_history_terms, whole=True)
        self.gtol = check_positive("gtol", gtol)
        self.bounds = self._flatten_bounds(bounds)
        self.start = self.sum.start
        if self.bounds is not None:
            self.start = np.clip(self.start, *self.bounds).astype(self.start.dtype)
        self.best, self.skipped_steps, self.converged = self.start, 0, False
        self.values: list[float] = []
        self.gradients: list[Array] = []

    def _flatten_bounds(self, bounds: Any) -> list[Array] | None:
        """Return [lower, upper] as vectors (size,), or None."""
        if bounds is None:
            return None
        if not isinstance(bounds, tuple | list) or len(bounds) != 2:
            raise ValueError(f"bounds: got {short_repr(bounds)}; expected None or (lower, upper)")
        flat = []
        for bound, infinite, name in zip(bounds, (-np.inf, np.inf), ("lower", "upper"), strict=True):
            if bound is None or np.isscalar(bound):
                number = real_array(infinite if bound is None else bound, f"{name} of bounds")
                flat.append(np.full(self.sum.nest.size, number, float))
            else:
                flat.append(self.sum.nest.flatten(bound, f"{name} of bounds").astype(float))
        if not (flat[0] <= flat[1]).all():
            raise ValueError(f"bounds: got {short_repr(bounds)}, which cross; expected lower <= upper everywhere")
        return flat

    def vector(self) -> Array:
        """Return the point of the smallest sum so far as a vector (size,)."""
        return self.best

    def optimize(self, num_passes: float | None = None, num_steps: int | None = None) -> Any:
        """Run for a number of passes, or for the passes that contain num_steps; see Optimizer.optimize."""
        self._run(len(self.values) + -(-self._count_steps(num_passes, num_steps) // len(self.sum)))
        return self.theta

    def step(self) -> None:
        """Run for one pass, which evaluates the full sum once."""
        self._run(len(self.values) + 1)

    def _run(self, budget: int) -> None:
        """Let scipy run until it has seen `budget` values; stored ones are not computed again."""
        seen = 0

        def value_and_gradient(x: Array) -> tuple[float, Array]:
            nonlocal seen
            if seen == len(self.values):
                if seen >= budget:
                    raise _BudgetSpent
                self._evaluate(x.astype(self.start.dtype))
            seen += 1
            return self.values[seen - 1], self.gradients[seen - 1]

        bounds = None if self.bounds is None else list(zip(*self.bounds, strict=True))
        options = {"maxcor": self.max_history_terms, "maxfun": 10**9, "maxiter": 10**9, "ftol": 0.0, "gtol": self.gtol}
        try:
            start = self.start.astype(float)
            minimize(value_and_gradient, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
            self.converged = True
        except _BudgetSpent:
            pass

    def _evaluate(self, vector: Array) -> None:
        """Evaluate the sum at the vector and store value and gradient."""
        value, gradient = self.sum.evaluate_all(vector)
        gradient = gradient.astype(float)
        if not is_finite(value, gradient):
            if not self.values:
                raise ValueError(
                    f"f_df: got a value or gradient that is not finite at theta={short_repr(vector)}; "
                    "expected finite numbers"
                )
            log.warning("f or its gradient is not finite, pass %d", len(self.values) + 1)
            self.skipped_steps += 1
            # A steep rise that points back to the lowest point: scipy's line search interpolates between the two.
            lowest = int(np.argmin(self.values))
            value = max(self.values) + 10 * (1 + abs(max(self.values)))
            gradient = -self.gradients[lowest]
        if not self.values or value < min(self.values):
            self.best = vector
        self.values.append(value)
        self.gradients.append(gradient)
        if self.display:
            log.info("%s, sum %.6g", self.report(), value)

    def state(self) -> dict[str, Array]:
        """Return copies of all arrays that are needed to continue; see Optimizer.state."""
        gradients = np.array(self.gradients).reshape(len(self.values), self.sum.nest.size)
        state = {"values": np.array(self.values, float), "gradients": gradients, "best": self.best.copy()}
        state |= {"skipped_steps": np.array(self.skipped_steps), "evaluations": np.array(self.sum.evaluations)}
        return state | {"converged": np.array(self.converged), "start": self.start.copy()}

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Continue bit-exactly from the state of an LBFGS with the same arguments; see Optimizer.load_state."""
        own = self.state()
        free = ("values", "gradients")
        check_state(state, {k: (None if k in free else a.shape, a.dtype.kind) for k, a in own.items()})
        values, gradients = np.array(state["values"], float), np.array(state["gradients"], float)
        shape = (len(values), self.sum.nest.size)
        if gradients.shape != shape:
            raise ValueError(f"state['gradients']: got shape {gradients.shape}; expected {shape}")
        self.values, self.gradients = values.tolist(), list(gradients)
        self.best, self.start = (np.array(state[k], self.start.dtype) for k in ("best", "start"))
        self.skipped_steps, self.sum.evaluations = int(state["skipped_steps"]), int(state["evaluations"])
        self.converged = bool(state["converged"])


class _BudgetSpent(Exception):
    """End scipy's run after the number of passes asked for."""
