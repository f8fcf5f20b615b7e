"""L-BFGS over the whole sum, by scipy."""

import logging

import numpy as np
from scipy.optimize import minimize

from dpm.optimizers.base import Optimizer, check_state, finite, positive
from dpm.optimizers.nest import real, short

log = logging.getLogger(__name__)


class LBFGS(Optimizer):
    """Minimize the sum with scipy's L-BFGS-B (Byrd, Lu, Nocedal, Zhu 1995), one evaluation of all subfunctions a pass.

    f_df, theta, subfunction_references, args, rng, display: as in SFO; nothing here is drawn by chance.
    max_history_terms: pairs of the history. bounds: None, or (lower, upper), each a number, a nest of theta's form or
    None for no bound; a start outside of them is moved to the nearest point inside. gtol: the run ends where the
    largest element of the projected gradient is below it.

    scipy keeps its memory to itself, so a run is continued by doing it again from the start with the values and
    gradients kept here: optimize(5) twice is optimize(10) to the bit, also across state() and load_state(). That
    keeps one gradient for each pass made.
    `theta` is the point of the least sum so far. `converged` tells that scipy has ended by itself.
    A sum that is not finite raises ValueError at the start; later the line search is told of a steep rise there, and
    `skipped_steps` counts it. float32 theta is handed to f_df in float32; scipy computes in float64.
    """

    def __init__(
        self,
        f_df,
        theta,
        subfunction_references,
        args=(),
        *,
        rng=None,
        display=0,
        max_history_terms=10,
        bounds=None,
        gtol=1e-9,
    ):
        super().__init__(f_df, theta, subfunction_references, args, rng, display)
        self.max_history_terms = positive("max_history_terms", max_history_terms, whole=True)
        self.gtol = positive("gtol", gtol)
        self.bounds = self._flat_bounds(bounds)
        self.start = self.sum.start
        if self.bounds is not None:
            self.start = np.clip(self.start, *self.bounds).astype(self.start.dtype)
        self.best, self.skipped_steps, self.converged = self.start, 0, False
        self.values: list[float] = []
        self.gradients: list[np.ndarray] = []

    def _flat_bounds(self, bounds):
        """(lower, upper) as vectors, or None."""
        if bounds is None:
            return None
        if not isinstance(bounds, tuple | list) or len(bounds) != 2:
            raise ValueError(f"bounds={short(bounds)} is not accepted; accepted: None, or (lower, upper)")
        flat = []
        for bound, infinite, name in zip(bounds, (-np.inf, np.inf), ("lower", "upper"), strict=True):
            if bound is None or np.isscalar(bound):
                number = real(infinite if bound is None else bound, f"{name} of bounds")
                flat.append(np.full(self.sum.nest.size, number, float))
            else:
                flat.append(self.sum.nest.flatten(bound, f"{name} of bounds").astype(float))
        if not (flat[0] <= flat[1]).all():
            raise ValueError(f"bounds={short(bounds)} cross; accepted: lower <= upper everywhere")
        return flat

    def vector(self):
        """The point of the least sum so far, flat."""
        return self.best

    def optimize(self, num_passes=None, num_steps=None):
        """Go on for so many passes, or the passes that hold num_steps; see Optimizer.optimize."""
        self._run(len(self.values) + -(-self.steps_of(num_passes, num_steps) // len(self.sum)))
        return self.theta

    def step(self):
        """One pass: the whole sum once."""
        self._run(len(self.values) + 1)

    def _run(self, budget):
        """Let scipy run until it has seen `budget` values; those that are known are not computed again."""
        seen = 0

        def value_and_gradient(x):
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

    def _evaluate(self, vector):
        """The sum at the vector, appended to what is known."""
        value, gradient = self.sum.whole(vector)
        gradient = gradient.astype(float)
        if not finite(value, gradient):
            if not self.values:
                raise ValueError(f"f or its gradient is not finite at theta={short(vector)}; accepted: finite numbers")
            log.warning("f or its gradient is not finite, pass %d", len(self.values) + 1)
            self.skipped_steps += 1
            # A high wall that leads back where the search came from: scipy's line search interpolates between.
            lowest = int(np.argmin(self.values))
            value = max(self.values) + 10 * (1 + abs(max(self.values)))
            gradient = -self.gradients[lowest]
        if not self.values or value < min(self.values):
            self.best = vector
        self.values.append(value)
        self.gradients.append(gradient)
        if self.display:
            log.info("%s, sum %.6g", self.report(), value)

    def state(self):
        """What a checkpoint keeps: dict of arrays, copies; see Optimizer.state."""
        gradients = np.array(self.gradients).reshape(len(self.values), self.sum.nest.size)
        state = {"values": np.array(self.values, float), "gradients": gradients, "best": self.best.copy()}
        state |= {"skipped_steps": np.array(self.skipped_steps), "evaluations": np.array(self.sum.evaluations)}
        return state | {"converged": np.array(self.converged), "start": self.start.copy()}

    def load_state(self, state):
        """Go on bit-exactly from `state`, as state() of an LBFGS with the same arguments gave it."""
        own = self.state()
        free = ("values", "gradients")
        check_state(state, {k: (None if k in free else a.shape, a.dtype.kind) for k, a in own.items()})
        values, gradients = np.array(state["values"], float), np.array(state["gradients"], float)
        if gradients.shape != (len(values), self.sum.nest.size):
            accepted = (len(values), self.sum.nest.size)
            raise ValueError(f"state['gradients'] has shape {gradients.shape}; accepted: {accepted}")
        self.values, self.gradients = values.tolist(), list(gradients)
        self.best, self.start = (np.array(state[k], self.start.dtype) for k in ("best", "start"))
        self.skipped_steps, self.sum.evaluations = int(state["skipped_steps"]), int(state["evaluations"])
        self.converged = bool(state["converged"])


class _BudgetSpent(Exception):
    """Ends scipy's run where the passes asked for are made."""
