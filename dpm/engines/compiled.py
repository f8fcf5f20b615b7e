"""Compiled functions of a model: cost, gradient and any other graph, of parameters in one flat vector."""

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt

from dpm.base.pieces import HERE, Mapper, Report
from dpm.engines import builders, graph_cache
from dpm.engines.builders import Builder
from dpm.engines.engine import Engine, Givens
from dpm.engines.inputs import Input, StepInputs
from dpm.engines.loops import CompiledLoop, Draw, Pairs, Step
from dpm.engines.microbatches import (
    Function,
    Objective,
    ObjectiveWithTerms,
    add_up,
    average,
    map_microbatches,
    split_microbatches,
    sum_microbatch,
    sum_microbatches,
)
from dpm.engines.parameters import Layout, trained_layout
from dpm.graph import Tensor
from dpm.graph.bricks import dropout_masks
from dpm.graph.diffusion import Diffusion


class CompiledModel:
    """Compiled functions of a model whose parameters come as one flat vector.

    Functions are compiled when they are first asked for, for one batch size each, and kept.

    Args:
        model: the diffusion whose graphs are compiled.
        engine: compiles and computes.
        layout: parameters in the vector; by default those that training changes. A parameter outside the layout is a
            constant, its initial value (the released schedule).

    Attributes:
        mapper: computes the independent pieces of samples and estimates, and the microbatches of an objective without
            dropout; by default in this process.

    Raises:
        InputError: the model was built in another float type than the engine's.
    """

    def __init__(self, model: Diffusion, engine: Engine, layout: Layout | None = None) -> None:
        model.check_float_type(engine.dtype)
        self.model, self.engine = model, engine
        self.layout = layout or trained_layout(model)
        self.mapper: Mapper = HERE
        self._functions: dict[Hashable, Function] = {}
        self._with_dropout: dict[tuple[int, bool], tuple[Function, list[tuple[int, ...]]]] = {}
        self._loops: dict[Hashable, CompiledLoop] = {}

    # ------------------------------------------------------------------ any graph

    def function(
        self, build: Builder, inputs: Sequence[Input], *, cache: bool = False, hot: bool = False
    ) -> Callable[..., list[np.ndarray]]:
        """Return the compiled function (theta, *inputs) -> list of arrays, one for each output of a graph.

        A second call with an equal `build` and equal inputs returns the same function. Methods of one object are equal,
        and so are `functools.partial`s of one function with equal arguments; two lambdas never are.

            kl = compiled.function(model.kl_single_t, compiled.forward_inputs(n))
            (nats,) = kl(theta, X, t, N, U)

        Args:
            build: makes the graph: takes the symbolic inputs and returns one output or a sequence of outputs. A method
                of the model, or a function that `partial` has bound to the model.
            inputs: name and shape of each input, in the engine's float type; see `examples` and `numbers`.
            cache: store the graph for later processes (Engine.cached_function). It has an effect for functions and
                models of this package, which a name and arguments identify.
            hot: as in Engine.function.
        """
        key = builders.identity(build), tuple(inputs), hot
        if key not in self._functions:
            self._functions[key] = self._compile(build, inputs, cache, hot)
        return self._functions[key]

    def loop(self, build: Builder, inputs: StepInputs, capacity: int) -> CompiledLoop:
        """Return the compiled loop over a step that stays on the device (Engine.loop).

        A second call with an equal `build`, as in `function`, and equal inputs returns the same loop. Its graph is
        stored for later processes where a name and arguments identify it.

        Args:
            build: takes the symbolic inputs and returns the new values of the carried ones, then what is recorded.
            inputs: inputs by their kind; theta is passed before the other constants.
            capacity: largest number of steps of a call.
        """
        key = builders.identity(build), inputs, capacity
        if key not in self._loops:
            self._loops[key] = self._compile_loop(build, inputs, capacity)
        return self._loops[key]

    def examples(self, name: str, n: int) -> Input:
        """Return the input for n examples: (n, *example_shape)."""
        return Input(name, (n, *self.model.example_shape))

    def numbers(self, name: str, n: int) -> Input:
        """Return the input for one number per example, such as its time: (n,)."""
        return Input(name, (n,))

    def forward_inputs(self, n: int) -> list[Input]:
        """Return the inputs X, t, N, U of n examples: x_0, times, the kernel's noise and uniform noise."""
        return [self.examples("X", n), self.numbers("t", n), self.examples("N", n), self.examples("U", n)]

    def reverse_inputs(self, n: int) -> list[Input]:
        """Return the inputs X, t of n examples: x_t and its time."""
        return [self.examples("X", n), self.numbers("t", n)]

    # ------------------------------------------------------------------ functions that several modules use

    def objective(self, batch_size: int) -> Objective:
        """Return (theta, X, t, N, U, weights) -> cost, gradient: Diffusion.cost with weights scaled to sum to 1.

        The function takes any number of examples, in microbatches. The gradient is flat, and must not be written to:
        with a single microbatch it is the engine's array.

        Args:
            batch_size: number of examples that it is fast for.
        """
        return average(self._sums(batch_size, terms=False))

    def objective_with_terms(self, batch_size: int) -> ObjectiveWithTerms:
        """Return (theta, X, t, N, U, weights, shares) -> cost, gradient, terms (n,), gains (n,).

        A cost of Diffusion.cost_single_t is a term, T - 1 times that of Eq. 14 at t, minus the gain in entropy, which
        does not depend on t. The cost returned is the sum of the terms with the weights, minus the sum of the gains
        with the shares, both as they are given. An example of weight 0 does not count.

        Args:
            batch_size: as in `objective`.
        """
        return self._sums(batch_size, terms=True)

    @contextmanager
    def mapped_by(self, mapper: Mapper) -> Iterator[None]:
        """Compute pieces with a mapper within a `with` block."""
        self.mapper = mapper
        try:
            yield
        finally:
            self.mapper = HERE

    def _sums(self, batch_size: int, terms: bool) -> ObjectiveWithTerms:
        """Return the sums over the microbatches, which the workers of a cluster compute if the mapper has some."""
        size = self.microbatch_size(batch_size)
        if not self.mapper.is_remote:
            return sum_microbatches(self.engine, self.sums_function(size, terms), size)

        def compute_sums(theta: np.ndarray, *arrays: np.ndarray) -> tuple[Any, ...]:
            pieces = ((theta, *microbatch) for microbatch in split_microbatches(arrays, size))
            return add_up(theta, self.mapper.map(sum_pieces, (self, size, terms), pieces))

        return compute_sums

    def sums_function(self, size: int, terms: bool) -> Function:
        """Return the function of a microbatch, as `sum_microbatches` takes it; terms: return them and the gains too."""
        build = partial(
            cost_gradient_and_terms if terms else cost_and_gradient, self.model, tuple(self.layout.parameters)
        )
        return self.function(build, self._objective_inputs(size, terms), cache=True, hot=True)

    def objective_with_dropout(
        self, batch_size: int, terms: bool = False
    ) -> tuple[Objective | ObjectiveWithTerms, list[tuple[int, ...]]]:
        """Return `objective` with dropout masks as further inputs, and the shape of each mask for one example.

        Args:
            batch_size: as in `objective`.
            terms: return `objective_with_terms` with masks instead.
        """
        size = self.microbatch_size(batch_size)
        build = cost_gradient_and_terms if terms else cost_and_gradient
        if (size, terms) not in self._with_dropout:
            with self.engine:
                theta, variables = self._symbols(self._objective_inputs(size, terms))
                with dropout_masks() as masks:
                    outputs = build(self.model, tuple(self.layout.parameters), *variables)
                function = self.engine.function([theta, *variables, *masks], outputs, self.givens(theta), hot=True)
            self._with_dropout[size, terms] = function, [mask.type.shape[1:] for mask in masks]
        function, shapes = self._with_dropout[size, terms]
        sums = sum_microbatches(self.engine, function, size)
        return sums if terms else average(sums), shapes

    def costs(self, batch_size: int) -> Callable[..., np.ndarray]:
        """Return (theta, X, t, N, U) -> cost of each of n examples, (n,): Diffusion.cost_single_t.

        The function takes any number of examples; batch_size is the number that it is fast for.
        """
        size = self.microbatch_size(batch_size)
        function = self.function(self.model.cost_single_t, self.forward_inputs(size), cache=True)
        return lambda theta, *arrays: map_microbatches(self.engine, function, theta, arrays, size)[0]

    def reverse(self, batch_size: int) -> Callable[..., list[np.ndarray]]:
        """Return (theta, x_t, t) -> parameters of p(x_{t-1} | x_t) for batch_size examples: Diffusion.reverse.

        The parameters are those of the kernel: mu and sigma of a Gaussian, logits of bits.
        """
        return self.function(self.model.reverse, self.reverse_inputs(batch_size))

    def beta(self, theta: np.ndarray) -> np.ndarray:
        """Return beta_1..beta_T, shape (T,), for the parameters theta."""
        (beta,) = self.function(partial(_beta, self.model), [])(theta)
        return beta

    def start(self, rng: np.random.Generator) -> np.ndarray:
        """Draw initial values of the parameters, one flat vector."""
        values = self.model.initialize(rng)
        return self.layout.flatten({path: values[path] for path in self.layout.slices}, self.engine.dtype)

    def microbatch_size(self, batch_size: int) -> int:
        """Return the number of examples of a minibatch to compute at once (Engine.count_microbatches)."""
        return math.ceil(batch_size / self.count_microbatches(batch_size))

    def count_microbatches(self, batch_size: int) -> int:
        """Return the number of microbatches of a minibatch (Engine.count_microbatches)."""
        return self.engine.count_microbatches(batch_size, self.model.n_pixels, self.layout.size)

    # ------------------------------------------------------------------ compiling

    def _compile(self, build: Builder, inputs: Sequence[Input], cache: bool, hot: bool) -> Function:
        with self.engine:
            theta, variables = self._symbols(inputs)

            def graph() -> tuple[list[Tensor], Givens]:
                return builders.build_outputs(build, variables), self.givens(theta)

            facts = self._facts(build) if cache else None
            if facts:
                return self.engine.cached_function(facts, [theta, *variables], graph, hot)
            return self.engine.function([theta, *variables], *graph(), hot)

    def _compile_loop(self, build: Builder, inputs: StepInputs, capacity: int) -> CompiledLoop:
        with self.engine:
            theta, variables = self._symbols(inputs.in_order)
        carried, constants, sequences, drawn = inputs.split(variables)

        def graph() -> tuple[Sequence[Tensor], Sequence[Tensor], Pairs]:
            with self.engine:
                outputs = builders.build_outputs(build, variables)
                return outputs[: len(carried)], outputs[len(carried) :], list(self.givens(theta))

        draws = [Draw(variable, kind) for variable, (_, kind) in zip(drawn, inputs.drawn, strict=True)]
        step = Step(carried, [theta, *constants], sequences, draws, graph, inputs.rows, inputs.by_row)
        return self.engine.loop(step, capacity, self._facts(build))

    def _facts(self, build: Builder) -> list[object] | None:
        """Return what determines a graph besides the types of its inputs, or None where nothing does."""
        builder, model = builders.facts(build, self.model), graph_cache.model_facts(self.model)
        return [*builder, *model, [*self.layout.parameters]] if builder and model else None

    def _symbols(self, inputs: Sequence[Input]) -> tuple[Tensor, list[Tensor]]:
        dtype = self.engine.dtype
        theta = pt.tensor("theta", dtype=dtype, shape=(self.layout.size,))
        return theta, [pt.tensor(name, dtype=dtype, shape=shape) for name, shape in inputs]

    def givens(self, theta: Tensor) -> Givens:
        """Return pairs that replace the parameters of the model by their parts of theta, and others by constants."""
        constants = [
            (p.variable, pt.constant(self.engine.asarray(p.initialization.generate(np.random.default_rng(0), p.shape))))
            for path, p in self.model.parameters().items()
            if path not in self.layout.parameters
        ]
        return [*self.layout.givens(theta), *constants]

    def _objective_inputs(self, n: int, terms: bool = False) -> list[Input]:
        names = ("weights", "shares") if terms else ("weights",)
        return [*self.forward_inputs(n), *(self.numbers(name, n) for name in names)]


def sum_pieces(
    compiled: CompiledModel, size: int, terms: bool, pieces: Iterable[tuple[np.ndarray, int, Any]], report: Report
) -> Iterator[list[np.ndarray]]:
    """Yield the sums over microbatches, each (theta, number of real examples, arrays by example)."""
    function = compiled.sums_function(size, terms)
    for theta, n, parts in pieces:
        yield sum_microbatch(function, compiled.engine.to_device(theta), n, parts)
        report(n)


def cost_and_gradient(model: Diffusion, paths: Sequence[str], *inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Return Diffusion.cost and its gradient by the parameters at these paths, one flat vector."""
    cost = model.cost(*inputs)
    return cost, _flat_gradient(cost, model, paths)


def cost_gradient_and_terms(model: Diffusion, paths: Sequence[str], *inputs: Tensor) -> list[Tensor]:
    """Return the outputs of `CompiledModel.objective_with_terms`."""
    *examples, weights, shares = inputs
    gains = model.entropy_gain(examples[0]) / model.log_2 * model.n_channels
    terms = model.cost_single_t(*examples) + gains
    cost: Tensor = (weights * terms).sum() - pt.switch(weights > 0, shares * gains, 0).sum()
    return [cost, _flat_gradient(cost, model, paths), terms, gains]


def _flat_gradient(cost: Tensor, model: Diffusion, paths: Sequence[str]) -> Tensor:
    """Return the gradient of a cost by the parameters at these paths, one flat vector."""
    parameters = model.parameters()
    wrt = [parameters[path].variable for path in paths]
    gradients: Any = pytensor.grad(cost, wrt, disconnected_inputs="ignore")
    flat: Tensor = pt.concatenate([gradient.ravel() for gradient in gradients])
    return flat


def _beta(model: Diffusion) -> Tensor:
    beta: Tensor = model.beta_arr
    return beta
