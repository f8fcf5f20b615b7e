"""Stochastic gradient rules, RMSProp and Adam, over a sum of functions."""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from dpm.optimizers.adam import Adam
from dpm.optimizers.base import Array, Optimizer, check_positive, check_state, rng_from_array, rng_to_array
from dpm.optimizers.nest import short_repr

log = logging.getLogger(__name__)


class Stochastic(Optimizer):
    """Minimize a sum with a stochastic gradient rule, one subfunction per step, in a new random order each pass.

    Attributes:
        rule: the rule, with its moments.
        steps: number of steps made, skipped ones included.

    Args:
        f_df: function f_df(theta, reference, *args) that returns (f_i, gradient).
        theta: start, an array or number or a nest of them.
        subfunction_references: one object per subfunction.
        args: further arguments of f_df.
        rule: Adam, RMSProp or another function of (size, dtype) that returns an object with
            step(theta, gradient, learning_rate), state(), load_state() and skipped_steps.
        learning_rate: a number, or a function of the number of steps made.
        rng: source of the order; None makes a new one.
        display: 1 logs one line per pass.

    Raises:
        ValueError: if an argument is not usable, or if f or its gradient is not finite at the first step. Later such a
            step is skipped, logged and counted in `skipped_steps`.
    """

    def __init__(
        self,
        f_df: Callable[..., tuple[Any, Any]],
        theta: Any,
        subfunction_references: Iterable[Any],
        args: Iterable[Any] = (),
        *,
        rule: Callable[..., Any] = Adam,
        learning_rate: float | Callable[[int], float] = 1e-3,
        rng: np.random.Generator | None = None,
        display: int = 0,
    ) -> None:
        super().__init__(f_df, theta, subfunction_references, args, rng, display)
        if not callable(rule):
            raise ValueError(f"rule: got {short_repr(rule)}; expected Adam, RMSProp or a function of (size, dtype)")
        self.rule = rule(self.sum.nest.size, self.sum.nest.dtype)
        self.learning_rate = (
            learning_rate if callable(learning_rate) else check_positive("learning_rate", learning_rate)
        )
        self.parameters = self.sum.start
        self.order = np.arange(len(self.sum))
        self.steps = self.not_finite = 0

    @property
    def skipped_steps(self) -> int:
        """Return the number of steps that were not finite."""
        return self.not_finite + self.rule.skipped_steps

    def vector(self) -> Array:
        """Return the current parameters as a vector (size,)."""
        return self.parameters

    def step(self) -> None:
        """Make one step of the rule with the gradient of the next subfunction."""
        place = self.steps % len(self.sum)
        if place == 0:
            self.order = self.rng.permutation(len(self.sum))
        index = int(self.order[place])
        value, gradient = self.sum(self.parameters.copy(), index)
        if not (np.isfinite(value) and np.isfinite(gradient).all()):
            reference = short_repr(self.sum.references[index])
            if self.steps == 0:
                raise ValueError(
                    f"f_df: got a value or gradient that is not finite at theta, subfunction {reference}; "
                    "expected finite numbers"
                )
            log.warning("f or its gradient is not finite, subfunction %s, step %d", reference, self.steps)
            self.not_finite += 1
        else:
            rate = self.learning_rate(self.steps) if callable(self.learning_rate) else self.learning_rate
            self.parameters = self.rule.step(self.parameters, gradient, rate)
        self.steps += 1

    def state(self) -> dict[str, Array]:
        """Return copies of all arrays that are needed to continue; names that start with rule_ are the rule's."""
        counters = ("steps", "not_finite")
        state = {name: np.array(getattr(self, name)) for name in counters} | {"order": self.order.copy()}
        state |= {"parameters": self.parameters.copy(), "rng": rng_to_array(self.rng)}
        state["evaluations"] = np.array(self.sum.evaluations)
        return state | {f"rule_{name}": np.array(value) for name, value in self.rule.state().items()}

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Continue bit-exactly from the state of a Stochastic with the same arguments; see Optimizer.load_state."""
        own = self.state()
        check_state(state, {k: (None if k == "rng" else a.shape, a.dtype.kind) for k, a in own.items()})
        self.rng.bit_generator.state = rng_from_array(state["rng"], self.rng)
        self.steps, self.not_finite = int(state["steps"]), int(state["not_finite"])
        self.sum.evaluations = int(state["evaluations"])
        self.order = np.array(state["order"])
        self.parameters = np.array(state["parameters"], self.parameters.dtype)
        self.rule.load_state({k.removeprefix("rule_"): v for k, v in state.items() if k.startswith("rule_")})
