"""Main loop whose parameters, optimizer and data stay on the device, with many steps in one call."""

import itertools
import time
from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from dpm.base import noise
from dpm.base.errors import InputError
from dpm.datasets.levels import compress_levels
from dpm.datasets.streams import Share, ShuffledStream
from dpm.engines import graph_cache
from dpm.engines.device_arrays import place
from dpm.engines.loops import CompiledLoop, Keys, Step
from dpm.engines.microbatches import pad_rows
from dpm.graph.bricks import draw_masks
from dpm.training.device_step import AVERAGE, BY_ROW, THETA, Names, Plan, build_step
from dpm.training.loop import MainLoop

SECONDS_PER_CALL = 0.05  # long enough that Python costs nothing, short enough for a signal and the progress bar
LARGEST_CALL = 64  # steps
BYTES_PER_CALL = 8 << 20  # of what is sent for a call
SHARE_OF_MEMORY = 0.5  # of the device, for the training data


class Group(NamedTuple):
    """Consecutive steps that are made in one call.

    Attributes:
        first: number of the first step.
        shares: of each step the examples that this process sends, or, where the data are on the device, the positions
            of all of them.
    """

    first: int
    shares: list[Share]


class Call(NamedTuple):
    """Call whose results have not been fetched: its group, its outputs on the device, and when it began."""

    group: Group
    outputs: list[Any]
    began: float


class Program(NamedTuple):
    """Compiled steps.

    Attributes:
        run: the compiled loop.
        plan, step, names: what it computes, and its inputs.
        constants: numbers of the rows, and the training data on the device.
        keys: of the draws, with the positions and counts of no step.
        capacity: largest number of steps of a call.
    """

    run: CompiledLoop
    plan: Plan
    step: Step
    names: Names
    constants: list[Any]
    keys: Keys
    capacity: int


class DeviceLoop(MainLoop):
    """MainLoop with the update in the graph: the same steps as on the host, several of them in one call.

    The parameters, the optimizer's state and the average are carried from step to step on the device; so are the
    training data, where they fit. Only the numbers of the examples, the learning rates and, with noise from the host,
    the noise are sent, and the costs fetched; everything else when somebody asks for it, such as a checkpoint.

    The steps are those of MainLoop with the same noise, equal within rounding. Their bits do not depend on how many are
    made in a call. `after_batch` is called once for each call.

    Attributes:
        steps_per_call: largest number of steps of a call; None for as many as take SECONDS_PER_CALL.
    """

    steps_per_call: int | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._carried: list[Any] | None = None
        self._stale = False  # the device is ahead of the host
        self._seconds_per_step = float("inf")
        self._stop_requested = False
        super().__init__(*arguments, **options)
        self.compiled.engine.check_loops()
        self.peers = self.compiled.engine.peers
        if self.batch_size % self.peers.n_devices:
            lower = self.batch_size // self.peers.n_devices * self.peers.n_devices
            raise InputError(
                f"--batch-size: minibatches of {self.batch_size} examples cannot be divided among "
                f"{self.peers.n_devices} devices; take {lower or self.peers.n_devices}, or another multiple"
            )

    # ------------------------------------------------------------------ state

    @property
    def theta(self) -> np.ndarray:
        """The parameters, fetched from the device."""
        self._fetch()
        return self._theta

    @theta.setter
    def theta(self, value: np.ndarray) -> None:
        self._fetch()
        self._theta, self._carried = value, None

    @property
    def averaged_theta(self) -> np.ndarray:
        self._fetch()
        return super().averaged_theta

    def optimizer_state(self) -> dict[str, np.ndarray]:
        self._fetch()
        return super().optimizer_state()

    def load(self, theta: np.ndarray, optimizer: dict[str, np.ndarray]) -> None:
        self._stale = False
        super().load(theta, optimizer)

    def _send(self) -> list[Any]:
        """Return the carried values on the device; they are sent from the host where they are not there yet."""
        if self._carried is None:
            state: dict[str, Any] = {**self.optimizer_state(), THETA: self.theta}
            if self.average:
                state |= {AVERAGE: self.averaged_theta}
            step, names = self._program.step, self._program.names
            arrays = [np.array(state[n], v.dtype) for n, v in zip(names.carried, step.carried, strict=True)]
            self._carried = [self.compiled.engine.place(array) for array in arrays]
        return self._carried

    def _fetch(self) -> None:
        """Bring the state of the host to that of the device."""
        if not self._stale:
            return
        self._stale = False
        values = dict(zip(self._program.names.carried, self.compiled.engine.to_host(self._carried), strict=True))
        theta = np.array(values.pop(THETA))  # on a CPU it is the device's own memory
        optimizer = {name: np.array(value) for name, value in values.items() if name != AVERAGE}
        optimizer["skipped_steps"] = np.array(self.rule.skipped_steps)
        if "times/not_finite" in optimizer:
            optimizer["times/not_finite"] = optimizer["times/not_finite"].astype(np.int64)
        if self.average:
            optimizer[f"{AVERAGE}/theta"] = theta
        carried = self._carried
        super().load(np.array(values.get(AVERAGE, theta)), optimizer)
        self._carried = carried  # the host has the same values now

    # ------------------------------------------------------------------ the program

    @cached_property
    def _program(self) -> Program:
        """The compiled steps, with the data on the device."""
        engine, model = self.compiled.engine, self.compiled.model
        levels, table = self._device_data()
        data = None if levels is None else (levels.shape, str(levels.dtype))
        plan = Plan(
            self.compiled,
            self.rule,
            self.time_weights,
            self.average,
            self.batch_size,
            data,
            table is not None,
            self.dropout_rate,
            self.variant.single_time,
        )
        step, names = build_step(plan)
        size = sum(int(np.prod(v.type.shape)) * np.dtype(v.dtype).itemsize for v in step.sequences)
        capacity = max(1, min(LARGEST_CALL, BYTES_PER_CALL // size))
        facts, of_model = plan.facts(), graph_cache.model_facts(model)
        known = None if facts is None or of_model is None else [__name__, *facts, *of_model]
        run = engine.loop(step, capacity, known)
        numbers = place(engine, plan.numbers, 0)
        constants = [numbers, *(engine.place(a) for a in (levels, table) if a is not None)]
        key = engine.place(noise.device_key(self.seed, noise.TRAINING))
        examples = numbers if step.drawn else engine.place(np.empty(0, np.int32))
        return Program(run, plan, step, names, constants, Keys(key, None, examples, None), capacity)

    def _device_data(self) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Return the training data as the device keeps them, and the table of their levels; None where there is none.

        Data that are read from a file, or do not fit, stay on the host, which sends the minibatches.
        """
        if not isinstance(self.stream, ShuffledStream):
            return None, None
        levels, table = compress_levels(self.compiled.engine.asarray(self.features))
        memory = self.compiled.engine.memory
        if memory is not None and levels.nbytes > SHARE_OF_MEMORY * memory:
            return None, None
        return levels, table

    def compile(self) -> None:
        """Compile the steps, and make a call of none."""
        self._dispatch(Group(self.state.step, []))

    # ------------------------------------------------------------------ steps

    def train_epoch(self) -> None:
        self._agree()
        if not self.going:
            return
        pending: Call | None = None
        for group in self._groups():
            sequences = self._sequences(group)  # the device computes the steps before meanwhile
            if pending:
                self._finish(pending)
                self._agree()
                if not self.going:
                    return
            pending = self._dispatch(group, sequences)
        if pending:
            self._finish(pending)
            self._agree()

    def _groups(self) -> Iterator[Group]:
        """Yield the rest of the present pass over the data, in groups that end where an epoch ends."""
        step = self.state.step
        number, done = divmod(step, self.stream.num_batches)
        shares = self._shares(noise.generator(self.seed, noise.ORDER, number), done)
        while share := list(
            itertools.islice(shares, min(self._call_size(), self.epoch_length - step % self.epoch_length))
        ):
            yield Group(step, share)
            step += len(share)

    def _shares(self, rng: np.random.Generator, start: int) -> Iterator[Share]:
        """Yield what this process sends for each step of a pass over the data, without the first `start`."""
        if self._program.plan.data is not None:
            return (Share(len(index), np.asarray(index)) for index in self.stream.get_index_iterator(rng, start=start))
        return iter(self.stream.get_share_iterator(rng, start, self._own_rows))

    @cached_property
    def _own_rows(self) -> slice:
        """The rows of a minibatch on the devices of this process."""
        return self.peers.own_rows(self.batch_size)

    def _call_size(self) -> int:
        most = self._program.capacity
        return min(self.steps_per_call or max(1, int(min(most, SECONDS_PER_CALL / self._seconds_per_step))), most)

    def _dispatch(self, group: Group, sequences: list[np.ndarray] | None = None) -> Call:
        """Begin the steps of a group; return before they are done."""
        program, engine = self._program, self.compiled.engine
        carried, n = self._send(), len(group.shares)
        counts, positions = np.zeros((2, program.capacity), np.int32)
        counts[:n] = [share.n for share in group.shares]
        positions[:n] = group.first + np.arange(n)
        keys = program.keys._replace(positions=engine.place(positions), counts=engine.place(counts))
        named = zip(program.names.sequences, sequences or self._sequences(group), strict=True)
        sent = [engine.place(array, 1 if name in BY_ROW else None) for name, array in named]
        began = time.perf_counter()
        self._carried, outputs = program.run(carried, program.constants, sent, keys, 0, n)
        self._stale = self._stale or n > 0
        return Call(group, outputs, began)

    def _finish(self, call: Call) -> None:
        """Wait for the steps of a call, count them, and notify the extensions."""
        costs, skipped = self.compiled.engine.to_host(call.outputs)
        self._seconds_per_step = (time.perf_counter() - call.began) / len(call.group.shares)
        for share, cost, skip in zip(call.group.shares, costs, skipped, strict=False):
            self.count(cost, share.n)
            self.rule.skipped_steps += int(skip)
            self.note_skipped()
        self.notify_step()

    def request_stop(self) -> None:
        """End the loop after a call; where there are other processes, all end after the same one."""
        self._stop_requested = True

    def _agree(self) -> None:
        """Take over from all processes whether to stop, and from the first one the times, which decide what follows."""
        mine = [self._stop_requested, self.state.seconds, self._seconds_per_step]
        found = self.peers.gather(np.array(mine, np.float64))
        self.stopped = self.stopped or bool(found[:, 0].any())
        self.state.seconds, self._seconds_per_step = found[0, 1:].tolist()

    # ------------------------------------------------------------------ what is sent for each step

    def _sequences(self, group: Group) -> list[np.ndarray]:
        """Return the inputs with another value at each step, (capacity, ...) each, with the rows of this process."""
        program, own = self._program, self._own_rows
        arrays = []
        for name, v in zip(program.names.sequences, program.step.sequences, strict=True):
            rows = (own.stop - own.start,) if name in BY_ROW else v.type.shape[:1]
            arrays.append(np.zeros((program.capacity, *rows, *v.type.shape[1:]), v.dtype))
        for i, share in enumerate(group.shares):
            values = self._values(group.first + i, share)
            for name, array in zip(program.names.sequences, arrays, strict=True):
                if name in BY_ROW:
                    array[i, : len(values[name])] = values[name]
                else:
                    array[i] = values[name]
        return arrays

    def _values(self, step: int, share: Share) -> dict[str, Any]:
        """Return the values of the sequences at a step."""
        plan, n = self._program.plan, share.n
        values: dict[str, Any] = {"rate": self.learning_rate_at(step), "count": n}
        if self.time_weights:
            values["exponent"] = self.time_weights.exponent(self.progress(step))
        rng = noise.generator(self.seed, noise.TRAINING, step)
        side = self.compiled.model.example_shape[-1]
        if plan.data is not None:
            values["index"] = share.examples[self._own_rows]
        elif share.examples.shape[1:] == self.compiled.model.example_shape:
            values["X"] = share.examples
        else:
            rows, columns = noise.draw_corners(rng, n, share.examples.shape[2:], side)
            values["X"] = noise.cut_crops(share.examples, rows[self._own_rows], columns[self._own_rows], side)
        if self.compiled.engine.noise == "device":
            return values
        if plan.cropped and plan.data:
            corners = noise.draw_corners(rng, n, plan.data[0][2:], side)
            values |= {k: self._rows(v[None]) for k, v in zip(("row", "column"), corners, strict=True)}
        return values | self._host_noise(rng, step, n)

    def _host_noise(self, rng: np.random.Generator, step: int, n: int) -> dict[str, np.ndarray]:
        """Return the noise that MainLoop draws for a step, its minibatches of n examples filled up."""
        model = self.compiled.model
        shape, T, n_t = (n, *model.example_shape), model.trajectory_length, model.n_t_per_minibatch
        draws = [noise.minibatch_noise(rng, shape, T, model.kernel.noise, self.draw_times) for _ in range(n_t)]
        t, N, U = (self._rows(np.stack(parts)) for parts in zip(*draws, strict=True))
        found = {"positions" if self.time_weights else "t": t, "N": N, "U": U}
        names = [name for name in self._program.names.sequences if name.startswith("mask_")]
        if names:
            shapes = [v.type.shape[1:] for v in self._program.step.sequences if str(v.name).startswith("mask_")]
            dropout = noise.generator(self.seed, noise.DROPOUT, step)
            masks = draw_masks(dropout, [(n_t * n, *shape) for shape in shapes], self.dropout_rate)
            parts = (mask.reshape(n_t, n, *mask.shape[1:]) for mask in masks)
            found |= {name: self._rows(part) for name, part in zip(names, parts, strict=True)}
        return found

    def _rows(self, groups: np.ndarray) -> np.ndarray:
        """Return values (groups, n, ...) as rows of the step, each group filled up to the batch size."""
        n_t, size = self.compiled.model.n_t_per_minibatch, self._program.plan.batch_size
        filled = [pad_rows(group, size) for group in np.broadcast_to(groups, (n_t, *groups.shape[1:]))]
        return np.concatenate(filled)
