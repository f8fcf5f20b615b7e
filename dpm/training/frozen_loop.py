"""Train on the whole objective as a sum of functions with frozen noise, as SFO and L-BFGS need it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Lock
from types import MappingProxyType
from typing import Any

import numpy as np

from dpm.base import noise
from dpm.base.errors import InputError
from dpm.engines.compiled import CompiledModel
from dpm.experiments.variants import Variant
from dpm.training.loop import Loop
from dpm.training.times import TermSizes, TimeWeights

MOST_AT_ONCE = 8  # subfunctions whose microbatches the workers of a cluster compute at the same time


def default_number(n: int) -> int:
    """Return the number of subfunctions for n examples: sqrt(n) / 10, or 20 if each then has 100 examples."""
    return max(1, round(n**0.5 / 10), min(20, n // 100))


class SubfunctionLoop(Loop):
    """Train on subfunctions f_i: n_i N / n times the mean cost of the i-th part of the data, which has n_i examples.

    No example is left out. Each subfunction has noise and times that depend on (seed, subfunction, refresh) only: the
    same parameters give the same f and gradient, bit for bit. An epoch is N evaluations, a pass.

    Args:
        theta: the initial flat parameters.
        optimizer: SFO or LBFGS of dpm.optimizers.
        number: N, the number of subfunctions.
        refresh_noise: 0, or the number of passes after which all noise is drawn again. The optimizer then restarts from
            the current parameters without its history, which belongs to other functions. If the optimizer converges,
            the noise is refreshed immediately, or training ends.
        time_weights: draws and weighs the times, by the sizes that the terms have when the noise is drawn; None for
            even times and the objective K.
        options: further arguments of the optimizer.
        compiled, X, variant, epochs, seed, extensions: see Loop.
    """

    def __init__(
        self,
        compiled: CompiledModel,
        theta: np.ndarray,
        optimizer: Callable[..., Any],
        X: Any,
        variant: Variant,
        number: int,
        epochs: int,
        seed: int,
        refresh_noise: int = 0,
        time_weights: TimeWeights | None = None,
        options: Mapping[str, Any] = MappingProxyType({}),
        extensions: Sequence[Any] = (),
    ) -> None:
        super().__init__(compiled, X, variant, -(-len(X) // number), epochs, seed, extensions)
        self.kind, self.options, self.refresh_noise = optimizer, options, refresh_noise
        self.time_weights, self._reading = time_weights, Lock()
        # Split at random, since files are often sorted.
        self.parts = np.array_split(noise.generator(seed, noise.ORDER, 0).permutation(len(X)), number)
        self.theta = theta

    @property
    def theta(self) -> np.ndarray:
        """The parameters of the optimizer: the last accepted ones, not the last evaluated."""
        return self._start if self._optimizer is None else self._optimizer.vector()

    @theta.setter
    def theta(self, theta: np.ndarray) -> None:
        self._start, self._optimizer = theta, None

    @property
    def epoch_length(self) -> int:
        """Number of evaluations per epoch: one of each subfunction."""
        return len(self.parts)

    @property
    def skipped_steps(self) -> int:
        return self.state.skipped_steps + (self._optimizer.skipped_steps if self._optimizer else 0)

    def first_gradient(self) -> tuple[Any, np.ndarray]:
        return self._value_and_gradient(self.theta, 0)

    def optimizer_state(self) -> dict[str, np.ndarray]:
        if self._optimizer is None:
            return {}
        return self._optimizer.state() | (self.time_weights.state() if self.time_weights else {})

    def load(self, theta: np.ndarray, optimizer: dict[str, np.ndarray]) -> None:
        self.theta = theta
        if not optimizer and self.state.step == self.state.refresh_step:
            return  # stopped before an optimizer began
        try:
            self._begin().load_state({name: array for name, array in optimizer.items() if "/" not in name})
            if self.time_weights:
                self.time_weights.load_state(optimizer)
        except ValueError as error:
            raise InputError(f"checkpoint: the optimizer's {error}") from None

    def subfunction(self, theta: np.ndarray, i: int) -> tuple[float, np.ndarray, float]:
        """Return f_i, its flat gradient, and f_i of the objective K, with the noise of the present refresh."""
        part, rng = self.parts[i], noise.generator(self.seed, noise.SUBFUNCTION, self.state.refresh, i)
        times = noise.stratified_positions if self.time_weights else noise.stratified_times
        with self._reading:
            X = self.features[part]
        inputs = self.draw(rng, X, times)
        share = len(part) * len(self.parts) / len(self.features)
        if self.time_weights is None:
            cost, gradient = self.compiled.objective(self.largest)(theta, *inputs)
            value = K_cost = float(cost)
        else:
            function = self.compiled.objective_with_terms(self.largest)
            weighted = self.time_weights.evaluate(function, theta, inputs)
            value, gradient, K_cost = weighted.value, weighted.gradient, weighted.K_cost
        return share * value, theta.dtype.type(share) * gradient, share * K_cost

    @property
    def largest(self) -> int:
        """Number of examples of the largest subfunction, with the repetitions at several times."""
        return len(self.parts[0]) * self.compiled.model.n_t_per_minibatch

    @property
    def at_once(self) -> int:
        """Number of subfunctions that a cluster computes at the same time, where all are active."""
        return min(int(self.options.get("n_ahead", len(self.parts))), MOST_AT_ONCE)

    def _measure_sizes(self) -> None:
        """Measure the sizes of the terms at evenly drawn times, on the first subfunction's examples."""
        assert self.time_weights is not None
        rng = noise.generator(self.seed, noise.SIZES, self.state.refresh)
        X, t, N, U, ones = self.draw(rng, self.features[self.parts[0]], noise.stratified_times)
        function = self.compiled.objective_with_terms(self.largest)
        *_, terms, _ = function(self._start, X, t, N, U, ones, ones)
        self.time_weights.sizes = TermSizes(self.compiled.model.trajectory_length)
        self.time_weights.sizes.update(t, terms)

    def train_epoch(self) -> None:
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

    def _step(self) -> None:
        """Make one step: one evaluation of SFO or several, N of L-BFGS. A signal undoes an unfinished one."""
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
            raise InputError(f"training cannot begin: {error}; check the data and --model-args") from None
        else:
            if state.step == self._before[0]:
                self._end()

    def _end(self) -> None:
        """Refresh the noise or end training, since the optimizer finds no lower point."""
        if self.refresh_noise and self.state.step > self.state.refresh_step:
            self._refresh()
        else:
            self.ended_by_itself = f"{self.kind.__name__} finds no lower point"

    def _refresh(self) -> None:
        self.state.skipped_steps = self.skipped_steps
        self.theta = self.theta
        self.state.refresh += 1
        self.state.refresh_step = self.state.step

    def _begin(self) -> Any:
        if self.time_weights:
            self._measure_sizes()
        rng = noise.generator(self.seed, noise.OPTIMIZER, self.state.refresh)
        self._optimizer = self.kind(
            self._value_and_gradient,
            self._start,
            range(len(self.parts)),
            rng=rng,
            f_dfs=self._evaluate,
            **self.options,
        )
        return self._optimizer

    def _value_and_gradient(self, theta: np.ndarray, i: int) -> tuple[float, np.ndarray]:
        value, gradient, _ = self.subfunction(theta, i)
        return value, gradient

    def _evaluate(self, theta: np.ndarray, numbers: Sequence[int]) -> Iterator[tuple[float, np.ndarray]]:
        """Evaluate subfunctions for the optimizer, at the same time on a cluster, and count the evaluations."""
        with ThreadPoolExecutor(MOST_AT_ONCE) as threads:
            run = threads.map if self.compiled.mapper.is_remote else map
            found = iter(run(partial(self.subfunction, theta), numbers))
            for _ in numbers:
                if self.stopped and self.state.step > self._before[0]:
                    raise _Stopped
                value, gradient, K_cost = next(found)
                # The log has K, whatever the objective is.
                self.count(K_cost, 1)
                self._notify("after_evaluation")
                yield value, gradient


class _Stopped(Exception):
    """A signal arrived during a step of many evaluations."""
