"""The loop over minibatches, and the signals that end it; everything else hangs on it as an extension."""

import itertools
import math
import signal
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from dpm.base import noise
from dpm.base.errors import InputError
from dpm.datasets.streams import minibatches
from dpm.graph.bricks import draw_masks
from dpm.optimizers import decay_learning_rate

LEARNING_RATE_FLOOR = 1e-4


@dataclass
class TrainingState:
    """Where a run stands: what a checkpoint must keep besides the parameters and the optimizer.

    step: minibatches done; cost_sum and weight_sum: over the epoch that is under way; seconds: of training, from its
    start to the end of the last step, evaluation and pictures in between included; rows: the log, one dict an epoch.
    Where noise is frozen, refresh: how often it has been drawn anew; refresh_step: at what step; skipped_steps: of the
    optimizers until then. skipped_in_a_row: the steps before this one.
    """

    step: int = 0
    refresh: int = 0
    refresh_step: int = 0
    skipped_steps: int = 0
    skipped_in_a_row: int = 0
    cost_sum: float = 0.0
    weight_sum: float = 0.0
    seconds: float = 0.0
    rows: list = field(default_factory=list)

    @property
    def epoch_cost(self):
        """The mean cost of the epoch so far, bits a pixel."""
        return self.cost_sum / self.weight_sum if self.weight_sum else float("nan")


class Loop:
    """What every training shares: epochs, signals, and the extensions that hang on it.

    compiled: a CompiledModel; X: all scaled training examples, an array, PreparedImages or a FuelStream; face: a Variant;
    batch_size: examples in one evaluation; epochs, seed: as the flags. extensions: objects with any of
    before_training(loop), after_evaluation(loop), after_batch(loop), after_epoch(loop), after_training(loop).
    A subclass has the flat parameters `theta`, epoch_length, learning_rate (None where it has none), skipped_steps,
    and the methods named below. ended_by_itself: why training ended before its last epoch, if it did.
    max_skipped: after so many skipped steps in a row training ends; hours: of training, after which it ends, or None.
    unsaved: what could not be written.
    """

    ended_by_itself = ""
    max_skipped = 100
    hours: float | None = None

    def __init__(self, compiled, X, variant, batch_size, epochs, seed, extensions=()):
        self.compiled, self.features, self.variant = compiled, X, variant
        self.batch_size, self.epochs, self.seed = min(batch_size, len(X)), epochs, seed
        self.extensions = list(extensions)
        self.state = TrainingState()
        self.stopped = False
        self.unsaved: set[str] = set()
        self._began = time.perf_counter()

    @property
    def epoch_length(self):
        """Steps an epoch has."""
        raise NotImplementedError

    @property
    def learning_rate(self):
        """The rate of the next step, or None where there is no such thing."""
        return None

    @property
    def skipped_steps(self):
        """Steps that were not made since cost or gradient was not finite."""
        raise NotImplementedError

    @property
    def epoch(self):
        """Epochs completed."""
        return self.state.step // self.epoch_length

    @property
    def diverged(self):
        """Whether so many steps in a row were skipped that further ones make no sense."""
        return self.state.skipped_in_a_row >= self.max_skipped

    @property
    def out_of_time(self):
        """Whether the hours are used up."""
        return self.hours is not None and self.state.seconds >= 3600 * self.hours

    @property
    def going(self):
        """Whether there is a next step."""
        ended = self.stopped or self.ended_by_itself or self.diverged or self.out_of_time
        return not ended and self.epoch < self.epochs

    def train_epoch(self):
        """Go on until the epoch, or the pass over the data, ends or the loop is stopped."""
        raise NotImplementedError

    def first_gradient(self):
        """Cost and flat gradient of the first minibatch of the data."""
        raise NotImplementedError

    def optimizer_state(self):
        """What a checkpoint keeps of the optimizer: dict of name to array."""
        raise NotImplementedError

    def load(self, theta, optimizer):
        """Go on from parameters and optimizer_state(). Raises InputError where that is of another model."""
        raise NotImplementedError

    def run(self):
        """Train until the epochs are done or a signal stops the loop after a minibatch; True if it finished."""
        if not getattr(self.features, "checked", False):
            self.compiled.model.kernel.check(self.features, "training data")
        self._began = time.perf_counter() - self.state.seconds
        with self._signals():
            self._notify("before_training")
            self._skipped_before = self.skipped_steps
            while self.going:
                self.train_epoch()
            self._notify("after_training")
        return not self.stopped

    def count(self, cost, n):
        """One more step done: a finite cost of n examples goes into the epoch's mean."""
        if np.isfinite(cost):
            self.state.cost_sum += float(cost) * n
            self.state.weight_sum += n
        self.state.step += 1

    def end_of_step(self):
        """Note the time, and tell the extensions what has ended."""
        self.state.seconds = time.perf_counter() - self._began
        skipped, self._skipped_before = self.skipped_steps - self._skipped_before, self.skipped_steps
        self.state.skipped_in_a_row = self.state.skipped_in_a_row + 1 if skipped else 0
        self._notify("after_batch")
        if self.state.step % self.epoch_length == 0:
            self._notify("after_epoch")
            self.state.cost_sum = self.state.weight_sum = 0.0

    def draw(self, rng, X, times):
        """(X, t, N, U, weights) for the objective: the examples n_t_per_minibatch times over.

        Of pictures larger than the model's a piece of each is drawn first.
        times: a function (rng, n, T) that draws the times.
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

    def _notify(self, event):
        for extension in self.extensions:
            handler = getattr(extension, event, None)
            if handler:
                handler(self)

    @contextmanager
    def _signals(self):
        """SIGINT, SIGTERM and SIGHUP end the loop after the minibatch; a second SIGINT ends the program at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(number, frame):
            if self.stopped and number == signal.SIGINT:
                raise KeyboardInterrupt
            self.stopped = True

        heard = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as nohup sets it, to go on when the terminal closes
            heard.append(signal.SIGHUP)
        old = {number: signal.signal(number, stop) for number in heard}
        try:
            yield
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)


class MainLoop(Loop):
    """Trains a model on shuffled minibatches with frozen noise of (seed, step).

    theta: the flat start; rule: an optimizer with step(theta, gradient, rate); batch_size, lr, dropout_rate: as the
    flags; all others: see Loop. decay: the rate as a function of (lr, step, steps in all), or None for that of 2015.
    """

    def __init__(
        self,
        compiled,
        theta,
        rule,
        X,
        variant,
        batch_size,
        lr,
        epochs,
        seed,
        dropout_rate=0.0,
        decay=None,
        extensions=(),
    ):
        super().__init__(compiled, X, variant, batch_size, epochs, seed, extensions)
        self.theta, self.rule, self.lr = theta, rule, lr
        self.stream = minibatches(X, batch_size)
        self.dropout_rate, self.decay = dropout_rate, decay

    @property
    def epoch_length(self):
        """Minibatches an epoch has: one pass over the data, with --crop over all their pieces, or 500 as released."""
        return self.variant.epoch_batches or self.stream.num_batches * self.pieces

    @cached_property
    def pieces(self):
        """How many pieces of the model's size lie side by side in a picture; one is drawn at a time.

        Raises InputError for smaller pictures.
        """
        side, sides = self.compiled.model.example_shape[-1], self.features[:1].shape[2:]
        if min(sides, default=side) < side:
            raise InputError(f"training data: pictures of {sides} are smaller than the model's, {side} x {side}")
        return math.prod(length // side for length in sides)

    @property
    def learning_rate(self):
        """The rate of the next step."""
        if self.decay:
            return self.decay(self.lr, self.state.step, self.epochs * self.epoch_length)
        floor = LEARNING_RATE_FLOOR
        if not self.variant.learning_rate_floor_raises:
            floor = min(floor, self.lr)
        return decay_learning_rate(self.lr, self.state.step, floor)

    @property
    def skipped_steps(self):
        return self.rule.skipped_steps

    def train_epoch(self):
        number, done = divmod(self.state.step, self.stream.num_batches)
        batches = self.stream.get_epoch_iterator(noise.generator(self.seed, noise.ORDER, number), start=done)
        numbered = zip(batches, itertools.count(self.state.step), strict=False)
        for inputs in self.compiled.engine.prefetch(lambda batch: self.inputs(*batch), numbered):
            self.train_batch(inputs)
            self.end_of_step()
            if not self.going:
                return

    def train_batch(self, inputs):
        """One step of the optimizer; inputs: those of this step."""
        cost, gradient = self.objective(inputs)
        self.theta = self.rule.step(self.theta, gradient, self.learning_rate)
        self.count(cost, len(inputs[0]) // self.compiled.model.n_t_per_minibatch)

    def first_gradient(self):
        return self.objective(self.inputs(self.features[: self.batch_size], self.state.step))

    def optimizer_state(self):
        return self.rule.state()

    def load(self, theta, optimizer):
        expected = self.rule.state()
        if {k: v.shape for k, v in optimizer.items()} != {k: v.shape for k, v in expected.items()}:
            raise InputError("checkpoint: the optimizer's state is not of this model")
        self.theta = theta
        self.rule.load_state(optimizer)

    def objective(self, inputs):
        """Cost and flat gradient of the inputs of this step."""
        size = self.batch_size * self.compiled.model.n_t_per_minibatch
        if not self.dropout_rate:
            return self.compiled.objective(size)(self.theta, *inputs)
        function, shapes = self.compiled.objective_with_dropout(size)
        rng = noise.generator(self.seed, noise.DROPOUT, self.state.step)
        shapes = [(len(inputs[0]), *shape) for shape in shapes]
        masks = [self.compiled.engine.asarray(m) for m in draw_masks(rng, shapes, self.dropout_rate)]
        return function(self.theta, *inputs, *masks)

    def inputs(self, X, step):
        """(X, t, N, U, weights) for the objective on the scaled pictures X, with the noise of a step."""
        times = noise.single_time if self.variant.single_time else noise.stratified_times
        return self.draw(noise.generator(self.seed, noise.TRAINING, step), X, times)
