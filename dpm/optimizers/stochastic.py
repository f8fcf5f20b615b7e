"""Rules that take one subfunction's gradient a step: RMSProp and Adam over a sum of functions."""

import logging

import numpy as np

from dpm.optimizers.adam import Adam
from dpm.optimizers.base import Optimizer, check_state, positive, rng_from_array, rng_to_array
from dpm.optimizers.nest import short

log = logging.getLogger(__name__)


class Stochastic(Optimizer):
    """Run a rule over the subfunctions, one a step, in a new random order each pass.

    f_df, theta, subfunction_references, args, rng, display: as in SFO.
    rule: Adam, RMSProp or any function of (size, dtype) that gives an object with step(theta, gradient, learning_rate),
    state() and load_state(). learning_rate: a number, or a function of the number of steps made.
    f or a gradient that is not finite raises ValueError at the first step; later the step is skipped, logged and
    counted in `skipped_steps`.
    """

    def __init__(
        self, f_df, theta, subfunction_references, args=(), *, rule=Adam, learning_rate=1e-3, rng=None, display=0
    ):
        super().__init__(f_df, theta, subfunction_references, args, rng, display)
        if not callable(rule):
            raise ValueError(f"rule={short(rule)} is not callable; accepted: Adam, RMSProp, a function (size, dtype)")
        self.rule = rule(self.sum.nest.size, self.sum.nest.dtype)
        self.learning_rate = learning_rate if callable(learning_rate) else positive("learning_rate", learning_rate)
        self.parameters = self.sum.start
        self.order = np.arange(len(self.sum))
        self.steps = self.not_finite = 0

    @property
    def skipped_steps(self):
        """Steps that were not finite."""
        return self.not_finite + self.rule.skipped_steps

    def vector(self):
        """The parameters reached, flat."""
        return self.parameters

    def step(self):
        """The rule's step with the gradient of the next subfunction."""
        place = self.steps % len(self.sum)
        if place == 0:
            self.order = self.rng.permutation(len(self.sum))
        index = int(self.order[place])
        value, gradient = self.sum(self.parameters.copy(), index)
        if not (np.isfinite(value) and np.isfinite(gradient).all()):
            reference = short(self.sum.references[index])
            if self.steps == 0:
                raise ValueError(
                    f"f or its gradient is not finite at theta, subfunction {reference}; accepted: finite numbers"
                )
            log.warning("f or its gradient is not finite, subfunction %s, step %d", reference, self.steps)
            self.not_finite += 1
        else:
            rate = self.learning_rate(self.steps) if callable(self.learning_rate) else self.learning_rate
            self.parameters = self.rule.step(self.parameters, gradient, rate)
        self.steps += 1

    def state(self):
        """What a checkpoint keeps: dict of arrays, copies; the rule's own under rule_."""
        counters = ("steps", "not_finite")
        state = {name: np.array(getattr(self, name)) for name in counters} | {"order": self.order.copy()}
        state |= {"parameters": self.parameters.copy(), "rng": rng_to_array(self.rng)}
        state["evaluations"] = np.array(self.sum.evaluations)
        return state | {f"rule_{name}": np.array(value) for name, value in self.rule.state().items()}

    def load_state(self, state):
        """Go on bit-exactly from `state`, as state() of a Stochastic with the same arguments gave it."""
        own = self.state()
        check_state(state, {k: (None if k == "rng" else a.shape, a.dtype.kind) for k, a in own.items()})
        self.rng.bit_generator.state = rng_from_array(state["rng"], self.rng)
        self.steps, self.not_finite = int(state["steps"]), int(state["not_finite"])
        self.sum.evaluations = int(state["evaluations"])
        self.order = np.array(state["order"])
        self.parameters = np.array(state["parameters"], self.parameters.dtype)
        self.rule.load_state({k.removeprefix("rule_"): v for k, v in state.items() if k.startswith("rule_")})
