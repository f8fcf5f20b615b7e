"""Train a network with one readout per step: first the hidden layers, under readouts that are smooth in t."""

from typing import Any

import numpy as np

from dpm.base import noise
from dpm.engines.compiled import CompiledModel
from dpm.training import bernoulli_readouts
from dpm.training.loop import Inputs, MainLoop

KNOTS = 24


class ReadoutLoop(MainLoop):
    """Train hidden layers and smooth readouts together; in the last epoch, solve for the readout of each step.

    A readout of its own sees few examples in each minibatch: at T = 2000 and 4000 examples, two. As a function of
    few knots that is linear in between (SmoothReadout), all of them see all examples. The smooth readouts are readouts
    per step too, so that the model has its final form from the start on. The last epoch makes them independent: each
    of its steps solves for some of the times (`bernoulli_readouts.solve`), and the hidden layers stay.

    Args:
        compiled: the model, with one readout per step.
        smooth: the same model with smooth readouts (`bernoulli_readouts.smooth_model`).
        theta: the initial flat parameters of the smooth model.
        rule, X, **settings: as of MainLoop.

    Attributes:
        theta: the flat parameters of the smooth model, which the optimizer moves.
        averaged_theta: the flat parameters of the model.
    """

    def __init__(
        self, compiled: CompiledModel, theta: np.ndarray, rule: Any, X: Any, *, smooth: CompiledModel, **settings: Any
    ) -> None:
        super().__init__(compiled, theta, rule, X, **settings)
        self.smooth = smooth
        self._solved: np.ndarray | None = None  # from the first step of the last epoch on

    @property
    def averaged_theta(self) -> np.ndarray:
        if self._solved is not None:
            return self._solved
        return bernoulli_readouts.expand(self.compiled, self.smooth, super().averaged_theta)

    @property
    def solving_begins(self) -> int:
        """The first step of the last epoch."""
        return (self.epochs - 1) * self.epoch_length

    def inputs(self, X: np.ndarray, step: int) -> Inputs:
        """Return the inputs of a step; in the last epoch with even times, since only K is estimated at them."""
        if step < self.solving_begins:
            return super().inputs(X, step)
        return self.draw(noise.generator(self.seed, noise.TRAINING, step), X, noise.stratified_times)

    def run(self) -> bool:
        if self.state.step == 0:
            self.theta = bernoulli_readouts.start_as_null(self.smooth, self.theta, self.features, self.seed, self.quiet)
        return super().run()

    def train_batch(self, inputs: Inputs) -> None:
        """Make one step of the optimizer, or in the last epoch solve for its share of the readouts."""
        step = self.state.step - self.solving_begins
        if step < 0:
            self._solved = None
            super().train_batch(inputs)
            return
        theta, T = self.averaged_theta, self.compiled.model.trajectory_length
        cost = self.compiled.costs(self.batch_size)(theta, *inputs[:4]).mean()
        times = np.array_split(np.arange(2, T + 1), self.epoch_length)[step]
        self._solved = bernoulli_readouts.solve(self.compiled, theta, self.features, self.seed, times.tolist())
        self.count(cost, len(inputs[0]))

    def objective(self, inputs: Inputs) -> tuple[Any, np.ndarray]:
        """Return cost and flat gradient of the smooth model; the cost is that of K."""
        if self.time_weights is None:
            return self.smooth.objective(self.batch_size)(self.theta, *inputs)
        function = self.smooth.objective_with_terms(self.batch_size)
        weighted = self.time_weights.evaluate(function, self.theta, inputs, self.progress(self.state.step))
        self._terms = weighted.t, weighted.terms
        return weighted.K_cost, weighted.gradient

    def optimizer_state(self) -> dict[str, np.ndarray]:
        return super().optimizer_state() | {"smooth/theta": super().averaged_theta}

    def load(self, theta: np.ndarray, optimizer: dict[str, np.ndarray]) -> None:
        """Continue from parameters and optimizer_state(). Raises InputError for the state of another model."""
        super().load(np.array(optimizer.get("smooth/theta", self.theta), theta.dtype), optimizer)
        self._solved = theta if self.state.step > self.solving_begins else None
