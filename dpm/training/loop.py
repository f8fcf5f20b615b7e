"""The loop over minibatches and the signals that end it; everything else is an extension."""

import itertools
import math
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import cached_property
from typing import Any

import numpy as np

from dpm.base import noise
from dpm.base.errors import InputError
from dpm.base.process import handle_signals, select_heeded
from dpm.datasets.streams import minibatches
from dpm.engines.compiled import CompiledModel
from dpm.experiments.variants import Variant
from dpm.graph.bricks import draw_masks
from dpm.training.recipe import Average, Recipe
from dpm.training.state import TrainingState
from dpm.training.times import TimeWeights

Inputs = list[np.ndarray]


class Loop:
    """Base class of training loops: epochs, signals and extensions.

    A subclass has the flat parameters `theta` and overrides the properties and methods that raise NotImplementedError.

    Args:
        compiled: model and engine.
        X: all scaled training examples: an array, PreparedImages or a FuelStream.
        variant: the released code's habits, or the corrected ones.
        batch_size: examples of one evaluation.
        epochs: how many to train.
        seed: of all random numbers.
        extensions: objects with any of before_training(loop), after_evaluation(loop), after_batch(loop),
            after_epoch(loop), after_training(loop), and close(loop), which is called however training ends.

    Attributes:
        ended_by_itself: why training ended before its last epoch, or "".
        quiet: show no progress.
        max_skipped: training ends after this many skipped steps in a row.
        hours: training ends after this many hours, if not None.
        unsaved: names of files that could not be written.
        saved_step: step of the newest checkpoint, or of the one that the run was resumed from.
        time_weights: draws and weighs the times; None for even times and the objective K.
    """

    ended_by_itself = ""
    quiet = False
    max_skipped = 100
    hours: float | None = None
    theta: np.ndarray
    time_weights: TimeWeights | None = None

    def __init__(
        self,
        compiled: CompiledModel,
        X: Any,
        variant: Variant,
        batch_size: int,
        epochs: int,
        seed: int,
        extensions: Sequence[Any] = (),
    ) -> None:
        self.compiled, self.features, self.variant = compiled, X, variant
        self.batch_size, self.epochs, self.seed = min(batch_size, len(X)), epochs, seed
        self.extensions = list(extensions)
        self.state = TrainingState()
        self.stopped = False
        self.unsaved: set[str] = set()
        self.saved_step = 0
        self._began = time.perf_counter()
        self._skipped_before = 0

    @property
    def epoch_length(self) -> int:
        """Number of steps per epoch."""
        raise NotImplementedError

    @property
    def learning_rate(self) -> float | None:
        """The learning rate of the next step, or None for an optimizer without one."""
        return None

    @property
    def averaged_theta(self) -> np.ndarray:
        """The parameters to evaluate, plot and store: the averaged ones with --ema, or theta."""
        return self.theta

    @property
    def skipped_steps(self) -> int:
        """Number of steps that were skipped since cost or gradient was not finite."""
        raise NotImplementedError

    @property
    def epoch(self) -> int:
        """Number of completed epochs."""
        return self.state.step // self.epoch_length

    @property
    def diverged(self) -> bool:
        """True if the number of consecutive skipped steps has reached max_skipped."""
        return self.state.skipped_in_a_row >= self.max_skipped

    @property
    def out_of_time(self) -> bool:
        """True if the hours are used up."""
        return self.hours is not None and self.state.seconds >= 3600 * self.hours

    @property
    def has_ended(self) -> bool:
        """True if its epochs or hours are over or it ended by itself; a run that is only stopped has not ended."""
        return self.epoch >= self.epochs or self.out_of_time or bool(self.ended_by_itself)

    @property
    def going(self) -> bool:
        """True if there is a next step."""
        return not (self.stopped or self.diverged or self.has_ended)

    def train_epoch(self) -> None:
        """Train until the epoch, or the pass over the data, ends or the loop is stopped."""
        raise NotImplementedError

    def first_gradient(self) -> tuple[Any, np.ndarray]:
        """Return cost and flat gradient of the first minibatch of the data."""
        raise NotImplementedError

    def compile(self) -> None:
        """Compile what a step needs; engines compile part of a function at its first call."""
        self.first_gradient()

    def optimizer_state(self) -> dict[str, np.ndarray]:
        """Return what a checkpoint keeps of the optimizer, by name."""
        raise NotImplementedError

    def load(self, theta: np.ndarray, optimizer: dict[str, np.ndarray]) -> None:
        """Continue from parameters and optimizer_state(). Raises InputError for the state of another model."""
        raise NotImplementedError

    def run(self) -> bool:
        """Train until the epochs are done or a signal stops the loop after a minibatch; return True if it finished."""
        if not getattr(self.features, "checked", False):
            self.compiled.model.kernel.check(self.features, "training data")
        self._began = time.perf_counter() - self.state.seconds
        with self._signals(), ExitStack() as stack:
            stack.callback(self._notify, "close")
            self._notify("before_training")
            self._skipped_before = self.skipped_steps
            while self.going:
                self.train_epoch()
            self._notify("after_training")
        return not self.stopped

    def request_stop(self) -> None:
        """End the loop after the minibatch."""
        self.stopped = True

    def count(self, cost: Any, n: int) -> None:
        """Count one more step; add a finite cost of n examples to the epoch's mean."""
        if np.isfinite(cost):
            self.state.cost_sum += float(cost) * n
            self.state.weight_sum += n
        self.state.step += 1

    def note_skipped(self) -> None:
        """Note whether the step was skipped."""
        skipped, self._skipped_before = self.skipped_steps - self._skipped_before, self.skipped_steps
        self.state.skipped_in_a_row = self.state.skipped_in_a_row + 1 if skipped else 0

    def end_of_step(self) -> None:
        """Note the time, and notify the extensions that a step, or an epoch, has ended."""
        self.note_skipped()
        self.notify_step()

    def notify_step(self) -> None:
        """Note the time, and notify the extensions that one or more steps have been made."""
        self.state.seconds = time.perf_counter() - self._began
        self._notify("after_batch")
        if self.state.step % self.epoch_length == 0:
            self._notify("after_epoch")
            self.state.cost_sum = self.state.weight_sum = 0.0

    def draw(self, rng: np.random.Generator, X: np.ndarray, times: Callable) -> Inputs:
        """Return [X, t, N, U, weights] for the objective, the examples repeated n_t_per_minibatch times.

        Images larger than the model's are first cropped at random.

        Args:
            rng: source of all draws.
            X: scaled examples.
            times: function (rng, n, T) that draws the times.
        """
        engine, model = self.compiled.engine, self.compiled.model
        n_t = model.n_t_per_minibatch
        if X.shape[1:] != model.example_shape:
            X = noise.draw_crops(rng, X, model.example_shape[-1])
        T, kind = model.trajectory_length, model.kernel.noise
        draws = [noise.minibatch_noise(rng, X.shape, T, kind, times) for _ in range(n_t)]
        t, N, U = (np.concatenate(parts) for parts in zip(*draws, strict=True))
        X = np.concatenate([X] * n_t)
        return [engine.asarray(a) for a in (X, t, N, U, np.ones(len(X)))]

    def _notify(self, event: str) -> None:
        for extension in self.extensions:
            handler = getattr(extension, event, None)
            if handler:
                handler(self)

    def _signals(self) -> AbstractContextManager[None]:
        """Let SIGINT, SIGTERM and SIGHUP end the loop after the minibatch; a second SIGINT ends the program at once."""
        interrupted = False

        def stop(number: int, frame: object) -> None:
            nonlocal interrupted
            if interrupted and number == signal.SIGINT:
                raise KeyboardInterrupt
            interrupted = True
            self.request_stop()

        return handle_signals(stop, signal.SIGINT, signal.SIGTERM, *select_heeded(signal.SIGHUP))


class MainLoop(Loop):
    """Train on shuffled minibatches with noise that depends on (seed, step).

    Args:
        theta: the initial flat parameters.
        rule: an optimizer with step(theta, gradient, rate).
        batch_size, lr, dropout_rate: as in Settings.
        recipe: how it trains; by default as released.
        compiled, X, variant, epochs, seed, extensions: see Loop.
    """

    def __init__(
        self,
        compiled: CompiledModel,
        theta: np.ndarray,
        rule: Any,
        X: Any,
        variant: Variant,
        batch_size: int,
        lr: float,
        epochs: int,
        seed: int,
        dropout_rate: float = 0.0,
        recipe: Recipe | None = None,
        extensions: Sequence[Any] = (),
    ) -> None:
        super().__init__(compiled, X, variant, batch_size, epochs, seed, extensions)
        self.theta, self.rule, self.lr = theta, rule, lr
        self.stream = minibatches(X, batch_size)
        self.dropout_rate, self.recipe = dropout_rate, recipe or Recipe()
        self.time_weights = self.recipe.time_weights(compiled.model.trajectory_length) if compiled else None
        self.average = Average(self.recipe.ema, theta) if self.recipe.ema else None

    @property
    def epoch_length(self) -> int:
        """Number of minibatches per epoch: one pass over the data, with --crop over all pieces, or 500 as released."""
        return self.variant.epoch_batches or self.stream.num_batches * self.pieces

    @cached_property
    def pieces(self) -> int:
        """Number of disjoint crops of the model's size in an image; a step draws one crop of each image.

        Raises InputError if the images are smaller than the model's.
        """
        side, sides = self.compiled.model.example_shape[-1], self.features[:1].shape[2:]
        if min(sides, default=side) < side:
            raise InputError(f"training data: images of {sides} are smaller than the model's, {side} x {side}")
        return math.prod(length // side for length in sides)

    def progress(self, step: int) -> float:
        """Return the part of the learning rate's schedule that is done at a step, by steps or hours, from 0 to 1."""
        state = self.state
        ways: list[tuple[float, float, float]]
        ways = [(step, state.schedule_step, self.epochs * self.epoch_length)]
        if self.hours is not None:
            ways.append((state.seconds, state.schedule_seconds, 3600 * self.hours))
        # A schedule that begins at the end of the run has no steps, and is done.
        return min(1.0, max((now - begin) / (end - begin) if end > begin else 1.0 for now, begin, end in ways))

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        return self.learning_rate_at(self.state.step)

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate of a step."""
        progress = self.progress(step) if self.recipe.lr_ends else 0.0
        return self.recipe.learning_rate(self.lr, step - self.state.schedule_step, progress, self.variant)

    @property
    def averaged_theta(self) -> np.ndarray:
        return self.average.theta if self.average and self.average.steps else self.theta

    @property
    def skipped_steps(self) -> int:
        """Number of steps that the optimizer skipped."""
        return self.rule.skipped_steps

    def train_epoch(self) -> None:
        number, done = divmod(self.state.step, self.stream.num_batches)
        batches = self.stream.get_epoch_iterator(noise.generator(self.seed, noise.ORDER, number), start=done)
        numbered = zip(batches, itertools.count(self.state.step), strict=False)
        for inputs in self.compiled.engine.prefetch(lambda batch: self.inputs(*batch), numbered):
            self.train_batch(inputs)
            self.end_of_step()
            if not self.going:
                return

    def train_batch(self, inputs: Inputs) -> None:
        """Make one step of the optimizer. inputs: those of this step."""
        cost, gradient = self.objective(inputs)
        self.theta = self.rule.step(self.theta, gradient, self.learning_rate)
        if self.time_weights:
            self.time_weights.sizes.update(*self._terms)
        if self.average:
            self.average.update(self.theta)
        self.count(cost, len(inputs[0]) // self.compiled.model.n_t_per_minibatch)

    def first_gradient(self) -> tuple[Any, np.ndarray]:
        return self.objective(self.inputs(self.features[: self.batch_size], self.state.step))

    def optimizer_state(self) -> dict[str, np.ndarray]:
        state = self.rule.state()
        if self.time_weights:
            state |= self.time_weights.state()
        if self.average:
            state |= {"average/theta": self.theta, "average/steps": np.array(self.average.steps)}
        return state

    def load(self, theta: np.ndarray, optimizer: dict[str, np.ndarray]) -> None:
        expected = self.optimizer_state()
        if {k: v.shape for k, v in optimizer.items()} != {k: v.shape for k, v in expected.items()}:
            raise InputError("checkpoint: the optimizer's state is not of this model")
        self.theta = theta
        self.rule.load_state(optimizer)
        if self.time_weights:
            self.time_weights.load_state(optimizer)
        if self.average:
            # A checkpoint's parameters are the averaged ones.
            self.average = Average(self.recipe.ema, theta, int(optimizer["average/steps"]))
            self.theta = np.array(optimizer["average/theta"], theta.dtype)

    def objective(self, inputs: Inputs) -> tuple[Any, np.ndarray]:
        """Return cost and flat gradient for the inputs of this step.

        The cost is that of K whatever the objective of training is.
        """
        size = self.batch_size * self.compiled.model.n_t_per_minibatch
        masks: Inputs = []
        function: Any = None
        if self.dropout_rate:
            function, shapes = self.compiled.objective_with_dropout(size, terms=self.time_weights is not None)
            rng = noise.generator(self.seed, noise.DROPOUT, self.state.step)
            shapes = [(len(inputs[0]), *shape) for shape in shapes]
            masks = [self.compiled.engine.asarray(m) for m in draw_masks(rng, shapes, self.dropout_rate)]
        if self.time_weights is None:
            return (function or self.compiled.objective(size))(self.theta, *inputs, *masks)
        function = function or self.compiled.objective_with_terms(size)
        weighted = self.time_weights.evaluate(function, self.theta, [*inputs, *masks], self.progress(self.state.step))
        self._terms = weighted.t, weighted.terms
        return weighted.K_cost, weighted.gradient

    def inputs(self, X: np.ndarray, step: int) -> Inputs:
        """Return [X, t, N, U, weights] for the objective on scaled examples X, with the noise of a step.

        Where the times depend on the sizes of the terms, t are positions in [0, 1): the sizes are not known yet.
        """
        return self.draw(noise.generator(self.seed, noise.TRAINING, step), X, self.draw_times)

    @property
    def draw_times(self) -> noise.Times:
        """Draws the times of a minibatch, or positions where the times depend on the sizes of the terms."""
        if self.time_weights:
            return noise.stratified_positions
        return noise.single_time if self.variant.single_time else noise.stratified_times
