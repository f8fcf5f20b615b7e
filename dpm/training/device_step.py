"""One step of training as a graph: minibatch, times, cost, gradient, optimizer and averages, with nothing on the host.

The graph is that of MainLoop's step, in the same order: dpm.training.times.TimeWeights places the times,
dpm.optimizers.updates moves the parameters, dpm.training.recipe.Average averages them.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.replace import clone_replace

from dpm.engines.compiled import CompiledModel, cost_and_gradient, cost_gradient_and_terms
from dpm.engines.device_sums import sum_over_devices
from dpm.engines.loops import Draw, Pairs, Step
from dpm.graph import Tensor
from dpm.graph.bricks import dropout_masks
from dpm.optimizers import Adam, RMSProp, updates
from dpm.training.device_times import sum_terms, update_sizes, weigh_times
from dpm.training.recipe import Average
from dpm.training.times import TimeWeights

#: Names of carried values that are not the optimizer's own.
THETA, AVERAGE = "theta", "average"

#: Sequences that have a row for each example of the minibatch: the examples, or their positions in the data.
BY_ROW = ("X", "index")
#: Constant with the number of each row.
ROW = "number"


class Plan(NamedTuple):
    """What determines the graph of a step.

    Attributes:
        compiled: model and engine.
        rule: the optimizer.
        time_weights: draws and weighs the times; None for even times and the objective K.
        average: of the parameters, or None.
        batch_size: examples of a minibatch.
        data: shape and dtype of the training data on the device, or None where minibatches come from the host.
        has_table: the data are numbers of levels, whose values are in a table.
        dropout_rate: share of inputs set to 0.
        single_time: all examples of a minibatch have the same time.
    """

    compiled: CompiledModel
    rule: RMSProp | Adam
    time_weights: TimeWeights | None
    average: Average | None
    batch_size: int
    data: tuple[tuple[int, ...], str] | None
    has_table: bool
    dropout_rate: float
    single_time: bool

    @property
    def n_devices(self) -> int:
        """Number of devices that divide a minibatch."""
        return self.compiled.engine.peers.n_devices

    @property
    def examples(self) -> int:
        """Examples of a minibatch on one device."""
        return self.batch_size // self.n_devices

    @property
    def rows(self) -> int:
        """Rows of a step on one device: its examples, repeated n_t_per_minibatch times."""
        return self.examples * self.compiled.model.n_t_per_minibatch

    @property
    def numbers(self) -> np.ndarray:
        """Numbers of all rows, device by device, int32; example i in its k-th repetition has k batch_size + i."""
        repetitions = np.arange(self.compiled.model.n_t_per_minibatch, dtype=np.int32) * np.int32(self.batch_size)
        examples = np.arange(self.batch_size, dtype=np.int32).reshape(self.n_devices, 1, self.examples)
        return (repetitions[:, None] + examples).ravel()

    @property
    def n_microbatches(self) -> int:
        """Number of microbatches in which a device computes its rows; one with dropout, whose masks are inputs."""
        if self.dropout_rate:
            return 1
        most = self.compiled.microbatch_size(self.rows)
        return next(n for n in range(-(-self.rows // most), self.rows + 1) if self.rows % n == 0)

    @property
    def cropped(self) -> bool:
        """True where the step cuts the model's examples out of larger images on the device."""
        return self.data is not None and self.data[0][1:] != self.compiled.model.example_shape

    def facts(self) -> list[object] | None:
        """Return what determines the graph besides the model and the types of its inputs, or None if that is unknown.

        The masks of dropout are known only when the graph has been built.
        """
        if self.dropout_rate:
            return None
        rule = {k: v for k, v in vars(self.rule).items() if isinstance(v, float)}
        weights = self.time_weights and [self.time_weights.times, self.time_weights.objective]
        released = getattr(self.rule, "blocks", None) is not None
        decay, sizes = self.average and self.average.decay, [self.batch_size, self.n_microbatches]
        return [type(self.rule).__name__, rule, released, weights, decay, *sizes]


class Names(NamedTuple):
    """Names of the inputs of a step, in its order."""

    carried: list[str]
    constants: list[str]
    sequences: list[str]


def build_step(plan: Plan) -> tuple[Step, Names]:
    """Return the step of a plan, and the names of its inputs."""
    return _Builder(plan).step()


class _Builder:
    """Inputs of a step by name, and its graph."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.model, self.dtype = plan, plan.compiled.model, plan.compiled.engine.dtype
        size = plan.compiled.layout.size
        self.theta = pytensor.shared(np.zeros(size, self.dtype), name=THETA, shape=(size,))
        self.carried: dict[str, Tensor] = {THETA: self._input(THETA, (size,))}
        self.draws: dict[str, Draw] = {}
        self.masks: list[Tensor] = []

    def _input(self, name: str, shape: Sequence[int] = (), dtype: str | None = None) -> Tensor:
        return pt.tensor(name, dtype=dtype or self.dtype, shape=tuple(shape))

    def step(self) -> tuple[Step, Names]:
        plan = self.plan
        with plan.compiled.engine:
            self._declare_carried()
            constants = self._constants()
            sequences = self._sequences()
            drawn = self._drawn()
            graph = self._graph(constants | sequences | drawn) if plan.dropout_rate else None
            if plan.dropout_rate:
                masks = {str(mask.name): mask for mask in self.masks}
                drawn |= masks
                self.draws |= {name: Draw(mask, "mask", plan.dropout_rate) for name, mask in masks.items()}
        if plan.compiled.engine.noise == "host":
            sequences |= drawn
        on_device = [] if plan.compiled.engine.noise == "host" else list(self.draws.values())

        def build() -> tuple[Sequence[Tensor], Sequence[Tensor], Pairs]:
            with plan.compiled.engine:
                return graph or self._graph(constants | sequences | drawn)

        carried, fixed, varying = (list(group.values()) for group in (self.carried, constants, sequences))
        names = Names(*(list(group) for group in (self.carried, constants, sequences)))
        of_rows = frozenset((*BY_ROW, ROW))
        return Step(carried, fixed, varying, on_device, build, plan.batch_size, of_rows, divided=True), names

    # ------------------------------------------------------------------ inputs

    def _declare_carried(self) -> None:
        plan = self.plan
        for name, array in plan.rule.state().items():
            if name != "skipped_steps":
                self.carried[name] = self._input(name, array.shape)
        if plan.time_weights:
            for name, array in plan.time_weights.state().items():
                self.carried[name] = self._input(name, array.shape)
        if plan.average:
            self.carried[AVERAGE] = self._input(AVERAGE, self.theta.type.shape)
            self.carried[f"{AVERAGE}/steps"] = self._input(f"{AVERAGE}/steps", (), "int32")

    def _constants(self) -> dict[str, Tensor]:
        found = {ROW: self._input(ROW, (self.plan.rows,), "int32")}
        if self.plan.data is None:
            return found
        found |= {"data": self._input("data", *self.plan.data)}
        return found | ({"table": self._input("table", (256,))} if self.plan.has_table else {})

    def _sequences(self) -> dict[str, Tensor]:
        plan = self.plan
        n = plan.examples
        if plan.data is None:
            found = {"X": self._input("X", (n, *self.model.example_shape))}
        else:
            found = {"index": self._input("index", (n,), "int32")}
        found |= {"rate": self._input("rate"), "count": self._input("count", (), "int32")}
        return found | ({"exponent": self._input("exponent")} if plan.time_weights else {})

    def _drawn(self) -> dict[str, Tensor]:
        """Return the random inputs of a step but for dropout masks, and note how they are drawn on the device."""
        plan, rows = self.plan, self.plan.rows
        shape = (rows, *self.model.example_shape)
        T = self.model.trajectory_length
        if plan.time_weights:
            self.draws["positions"] = Draw(self._input("positions", (rows,)), "positions")
        else:
            kind = "single_time" if plan.single_time else "times"
            self.draws["t"] = Draw(self._input("t", (rows,)), kind, T)
        self.draws["N"] = Draw(self._input("N", shape), self.model.kernel.noise)
        self.draws["U"] = Draw(self._input("U", shape), "uniform")
        if plan.cropped and plan.data:
            for name, length in zip(("row", "column"), plan.data[0][2:], strict=True):
                places = length - self.model.example_shape[-1] + 1
                variable = self._input(name, (rows,), "int32")
                self.draws[name] = Draw(variable, "corners", places)
        return {name: draw.variable for name, draw in self.draws.items()}

    # ------------------------------------------------------------------ graph

    def _graph(self, given: dict[str, Tensor]) -> tuple[Sequence[Tensor], Sequence[Tensor], Pairs]:
        """Return the new values of the carried inputs, the outputs K cost and skipped, and the givens."""
        plan, model = self.plan, self.model
        X = pt.concatenate([self._examples(given)] * model.n_t_per_minibatch)
        valid = pt.cast(given[ROW] % np.int32(plan.batch_size) < given["count"], self.dtype)
        share = valid / pt.cast(given["count"] * np.int32(model.n_t_per_minibatch), self.dtype)
        paths = tuple(plan.compiled.layout.parameters)
        new: dict[str, Tensor] = {}
        masks: AbstractContextManager[list[Tensor]] = dropout_masks() if plan.dropout_rate else nullcontext([])
        with masks as self.masks:
            if plan.time_weights is None:
                inputs = X, given["t"], given["N"], given["U"], share
                cost, gradient = self._sum(self._accumulate(partial(cost_and_gradient, model, paths), 0, *inputs))
            else:
                placed = weigh_times(plan.time_weights, self.carried, given["positions"], given["exponent"])
                weighted = X, placed.t, given["N"], given["U"], share * placed.weights, share
                build = partial(cost_gradient_and_terms, model, paths)
                _, gradient, terms, gains = self._accumulate(build, 2, *weighted)
                cost = (share * (placed.corrections * terms - gains)).sum()
                sums = sum_terms(plan.time_weights, placed.t, terms, valid)
                cost, gradient, *sums = self._sum([cost, gradient, *sums])
                new |= update_sizes(self.carried, *sums)
        moved, skipped = self._move(gradient, given["rate"])
        new |= moved
        if plan.average:
            new |= self._average(plan.average, moved[THETA])
        return [new[name] for name in self.carried], [cost, skipped], list(plan.compiled.givens(self.carried[THETA]))

    def _sum(self, values: list[Tensor]) -> list[Tensor]:
        """Return the sums of values over all devices."""
        return values if self.plan.n_devices == 1 else sum_over_devices(values)

    def _accumulate(self, build: Callable[..., Sequence[Tensor]], n_more: int, *arrays: Tensor) -> list[Tensor]:
        """Return what `build` returns for arrays by example, computed in the microbatches of the plan.

        Args:
            build: function of the arrays that returns a cost, its gradient, and outputs by example.
            n_more: number of outputs by example.
            *arrays: inputs by example.
        """
        n = self.plan.n_microbatches
        if n == 1:
            return list(build(*arrays))

        def step(*inputs: Tensor) -> list[Tensor]:
            *parts, cost, gradient = inputs
            more_cost, more_gradient, *by_example = build(*parts)
            return [cost + more_cost, gradient + more_gradient, *by_example]

        parts = [array.reshape((n, self.plan.rows // n, *array.type.shape[1:])) for array in arrays]
        zero = [pt.zeros((), self.dtype), pt.zeros((self.plan.compiled.layout.size,), self.dtype)]
        found: Any = pytensor.scan(step, parts, [*zero, *[None] * n_more], return_updates=False)
        cost, gradient, *by_example = found
        return [cost[n - 1], gradient[n - 1], *(array.reshape((self.plan.rows,)) for array in by_example)]

    def _examples(self, given: dict[str, Tensor]) -> Tensor:
        """Return the minibatch in model units, (batch_size, ...)."""
        if "X" in given:
            return given["X"]
        data, index = given["data"], given["index"]
        if self.plan.cropped:
            channels, side = data.type.shape[1], np.arange(self.model.example_shape[-1], dtype=np.int32)
            row, column = (given[name][: self.plan.examples] for name in ("row", "column"))
            rows, columns = row[:, None, None, None] + side[:, None], column[:, None, None, None] + side
            X = data[index[:, None, None, None], np.arange(channels)[:, None, None], rows, columns]
        else:
            X = data[index]
        X = given["table"][pt.cast(X, "int32")] if self.plan.has_table else X
        return pt.specify_shape(X, (self.plan.examples, *self.model.example_shape))

    def _move(self, gradient: Tensor, rate: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Return the optimizer's new values by name, and 1 for a skipped step."""
        rule = self.plan.rule
        count = pytensor.shared(np.zeros((), self.dtype), name="skipped")
        if isinstance(rule, Adam):
            found = updates.adam([self.theta], [gradient], rate, rule.b1, rule.b2, rule.epsilon, count, rule.clip_norm)
        else:
            arguments = rule.decay_rate, rule.max_scaling, count, rule.blocks
            found = updates.rmsprop([self.theta], [gradient], rate, *arguments)
        names = {variable: _state_name(variable) for variable in found}
        now: Any = {variable: self.carried[name] for variable, name in names.items() if name in self.carried}
        values: Any = clone_replace(list(found.values()), now | {count: pt.zeros((), self.dtype)})
        new: dict[str, Tensor] = dict(zip(names.values(), values, strict=True))
        return new, new.pop("skipped")

    def _average(self, average: Average, theta: Tensor) -> dict[str, Tensor]:
        """Return the average after the step, as Average.update."""
        name = f"{AVERAGE}/steps"
        steps = self.carried[name] + np.int32(1)
        k = pt.cast(steps, self.dtype)
        decay = pt.minimum(np.asarray(average.decay, self.dtype), (1 + k) / (10 + k))
        before = pt.switch(pt.eq(steps, 1), theta, self.carried[AVERAGE])
        return {AVERAGE: before + (1 - decay) * (theta - before), name: steps}


def _state_name(variable: SharedVariable) -> str:
    """Return the name in the optimizer's state of a variable of dpm.optimizers.updates."""
    return {"step": "steps"}.get(str(variable.name), str(variable.name).removeprefix(f"{THETA}."))
