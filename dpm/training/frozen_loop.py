"""Training on the whole objective as a sum of functions with frozen noise, as SFO and L-BFGS need it."""

import numpy as np

from dpm.base import noise
from dpm.base.errors import InputError
from dpm.training.loop import Loop


def default_number(n):
    """How many subfunctions n examples are cut into: sqrt(n) / 10, and 20 where that leaves each 100 examples."""
    return max(1, round(n**0.5 / 10), min(20, n // 100))


class SubfunctionLoop(Loop):
    """Trains a model on subfunctions f_i = n_i N / n times the mean cost of the i-th part of the data, n_i examples.

    No example is left out. Each subfunction has its own noise and times, a function of (seed, subfunction, refresh)
    alone: the same parameters give the same f and gradient to the bit. An epoch is N evaluations, a pass.

    theta: the flat start; optimizer: class of dpm.optimizers; number: N; refresh_noise: 0, or after how many passes all
    noise is drawn anew. The optimizer then begins anew from the parameters reached, as what it knows is of other
    functions. Where it ends by itself, so does training, or the noise is refreshed at once. All others: see Loop.
    """

    def __init__(self, compiled, theta, optimizer, X, variant, number, epochs, seed, refresh_noise=0, extensions=()):
        super().__init__(compiled, X, variant, -(-len(X) // number), epochs, seed, extensions)
        self.kind, self.refresh_noise = optimizer, refresh_noise
        # A random cut: files are often sorted.
        self.parts = np.array_split(noise.generator(seed, noise.ORDER, 0).permutation(len(X)), number)
        self.theta = theta

    @property
    def theta(self):
        """The parameters that the optimizer holds: the last accepted, not the last evaluated."""
        return self._start if self._optimizer is None else self._optimizer.vector()

    @theta.setter
    def theta(self, theta):
        self._start, self._optimizer = theta, None

    @property
    def epoch_length(self):
        """Subfunctions: an epoch is as many evaluations."""
        return len(self.parts)

    @property
    def skipped_steps(self):
        return self.state.skipped_steps + (self._optimizer.skipped_steps if self._optimizer else 0)

    def first_gradient(self):
        return self.subfunction(self.theta, 0)

    def optimizer_state(self):
        return self._optimizer.state() if self._optimizer else {}

    def load(self, theta, optimizer):
        self.theta = theta
        if not optimizer and self.state.step == self.state.refresh_step:
            return  # stopped where an optimizer was to begin
        try:
            self._begin().load_state(optimizer)
        except ValueError as error:
            raise InputError(f"checkpoint: the optimizer's {error}") from None

    def subfunction(self, theta, i):
        """(f_i, its gradient), flat, with the noise of the present refresh."""
        part, rng = self.parts[i], noise.generator(self.seed, noise.SUBFUNCTION, self.state.refresh, i)
        inputs = self.draw(rng, self.features[part], noise.stratified_times)
        largest = len(self.parts[0]) * self.compiled.model.n_t_per_minibatch
        cost, gradient = self.compiled.objective(largest)(theta, *inputs)
        share = len(part) * len(self.parts) / len(self.features)
        return share * float(cost), theta.dtype.type(share) * gradient

    def train_epoch(self):
        last = (self.epoch + 1) * self.epoch_length
        while self.state.step < last and self.going:
            before = self.state.step
            self._step()
            if self.state.step == before:
                continue
            passes = (self.state.step - self.state.refresh_step) / self.epoch_length
            if self.refresh_noise and passes >= self.refresh_noise:
                self._refresh()
            self.end_of_step()

    def _step(self):
        """One step of the optimizer: one evaluation of SFO, N of L-BFGS. A signal ends these and leaves no trace."""
        optimizer, state = self._optimizer or self._begin(), self.state
        evaluations = optimizer.sum.evaluations
        self._before = state.step, state.cost_sum, state.weight_sum
        try:
            optimizer.step()
        except _Stopped:
            state.step, state.cost_sum, state.weight_sum = self._before
            optimizer.sum.evaluations = evaluations
        except ValueError as error:
            if evaluations:
                raise
            raise InputError(f"training cannot begin: {error}; look at the data, and at --model-args") from None
        else:
            if state.step == self._before[0]:
                self._end()

    def _end(self):
        """The optimizer finds nothing lower."""
        if self.refresh_noise and self.state.step > self.state.refresh_step:
            self._refresh()
        else:
            self.ended_by_itself = f"{self.kind.__name__} finds no lower point"

    def _refresh(self):
        self.state.skipped_steps = self.skipped_steps
        self.theta = self.theta
        self.state.refresh += 1
        self.state.refresh_step = self.state.step

    def _begin(self):
        rng = noise.generator(self.seed, noise.OPTIMIZER, self.state.refresh)
        self._optimizer = self.kind(self._evaluate, self._start, range(len(self.parts)), rng=rng)
        return self._optimizer

    def _evaluate(self, theta, i):
        """The subfunction as the optimizers call it, counted."""
        if self.stopped and self.state.step > self._before[0]:
            raise _Stopped
        value, gradient = self.subfunction(theta, i)
        self.count(value, 1)
        self._notify("after_evaluation")
        return value, gradient


class _Stopped(Exception):
    """A signal came within a step of many evaluations."""
