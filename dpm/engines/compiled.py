"""Compiled functions of one minibatch: the bound and its gradient, as optimizers and evaluation want them."""

import math

import numpy as np
import pytensor
import pytensor.tensor as pt

from dpm.base.errors import InputError
from dpm.engines import graph_cache
from dpm.engines.engine import XLA_LEVEL, XLA_LEVEL_OF_GRADIENTS
from dpm.graph.bricks import SCHEDULE, dropout_masks

WEIGHTS = 4  # the place of the weights among the objective's arrays by picture


class Layout:
    """Where each parameter lies in one flat vector.

    parameters: dict of path to Parameter, in the order of the vector.
    """

    def __init__(self, parameters):
        self.parameters = dict(parameters)
        sizes = [int(np.prod(p.shape)) for p in self.parameters.values()]
        ends = np.cumsum(sizes, dtype=int)
        self.slices = {
            path: slice(int(end) - size, int(end)) for path, size, end in zip(self.parameters, sizes, ends, strict=True)
        }
        self.size = int(ends[-1]) if sizes else 0

    def flatten(self, values, dtype):
        """values: dict of path to array; returns the flat vector. Raises InputError for a wrong name or shape."""
        theta = np.empty(self.size, dtype=dtype)
        wrong = sorted(set(values) ^ set(self.parameters))
        if wrong:
            what = "missing" if wrong[0] in self.parameters else "not a parameter of this model"
            raise InputError(f"parameter {wrong[0]} is {what} ({len(wrong)} names differ)")
        for path, where in self.slices.items():
            shape = self.parameters[path].shape
            if np.shape(values[path]) != shape:
                raise InputError(f"parameter {path} has shape {np.shape(values[path])}; the model's is {shape}")
            theta[where] = np.ravel(values[path])
        return theta

    def split(self, theta):
        """Views of the flat vector: dict of path to array."""
        return {path: theta[where].reshape(self.parameters[path].shape) for path, where in self.slices.items()}

    def givens(self, theta):
        """Pairs that replace each parameter of a graph by its part of the symbolic vector theta."""
        return [(p.variable, theta[self.slices[path]].reshape(p.shape)) for path, p in self.parameters.items()]


def trained_layout(model):
    """The parameters that training changes: all but the coefficients of the released schedule."""
    return Layout({path: p for path, p in model.parameters().items() if p.role != SCHEDULE})


def split_microbatches(arrays, size):
    """Arrays by picture, `size` pictures at a time: yields (pictures, parts).

    The last parts are filled up with copies of the last picture, which do not count among the pictures.
    """
    n = len(arrays[0])
    for start in range(0, n, size):
        count = min(size, n - start)
        parts = [a[start : start + size] for a in arrays]
        if count < size:
            parts = [np.concatenate([p, np.repeat(p[-1:], size - count, axis=0)]) for p in parts]
        yield count, parts


def map_microbatches(engine, function, theta, arrays, size):
    """The outputs of function(theta, *arrays), each an array by picture, computed `size` pictures at a time."""
    held = engine.to_device(theta)

    def turn(part):
        count, arrays = part
        return [a[:count] for a in function(held, *arrays)]

    results = engine.map(turn, split_microbatches(arrays, size))
    return [np.concatenate(parts) for parts in zip(*results, strict=True)]


def accumulate_microbatches(engine, function, size):
    """The objective of any number of pictures, means with any weights, from that of `size` pictures, sums.

    function: (theta, X, t, N, U, weights, *more arrays by picture) -> cost, gradient.
    """

    def objective(theta, *arrays):
        total = float(arrays[WEIGHTS].sum())
        if total <= 0:
            raise ValueError(f"the weights of the pictures sum to {total}; at least one must be above 0")
        held = engine.to_device(theta)

        def turn(part):
            count, arrays = part
            arrays[WEIGHTS] = arrays[WEIGHTS] / arrays[WEIGHTS].dtype.type(total)
            arrays[WEIGHTS][count:] = 0
            return function(held, *arrays)

        results = engine.map(turn, split_microbatches(arrays, size))
        cost, gradient = next(results)
        cost_sum, writable = float(cost), False  # the first gradient is the engine's own, the sum of two is ours
        for cost, part in results:
            cost_sum += float(cost)
            gradient = np.add(gradient, part, out=gradient if writable else None)
            writable = True
        return theta.dtype.type(cost_sum), gradient

    return objective


class CompiledModel:
    """Compiles functions of a model whose parameters come as one flat vector.

    model: a DiffusionModel; engine: an Engine; layout: the parameters in the vector. A parameter outside the
    layout keeps its constant start (the released schedule).
    Functions are compiled when first asked for, for one batch size each, and kept.
    """

    def __init__(self, model, engine, layout=None):
        self.model, self.engine = model, engine
        self.layout = layout or trained_layout(model)
        self._compiled = {}
        self._mask_shapes = []

    def objective(self, batch_size):
        """(theta, X, t, N, U, weights) -> cost, gradient: DiffusionModel.cost with weights made to sum to 1.

        The gradient is flat, and not to be written to: with a single turn it is the engine's own array.

        Compiled for minibatches of batch_size pictures, taken some at a time; others have a partial last turn.
        """
        size = self.microbatch_size(batch_size)
        level = XLA_LEVEL_OF_GRADIENTS
        function = self.get("objective", size, "XtNUw", self._cost_and_gradient, kept=True, level=level)
        return accumulate_microbatches(self.engine, function, size)

    def objective_with_dropout(self, batch_size):
        """As objective, with masks behind the inputs: (function, the shapes of their parts for one picture)."""
        size = self.microbatch_size(batch_size)
        masks = []

        def build(*inputs):
            with dropout_masks() as found:
                outputs = self._cost_and_gradient(*inputs)
            masks.extend(found)
            return outputs

        function = self.get("dropout", size, "XtNUw", build, masks, level=XLA_LEVEL_OF_GRADIENTS)
        self._mask_shapes = self._mask_shapes or [mask.type.shape[1:] for mask in masks]
        return accumulate_microbatches(self.engine, function, size), self._mask_shapes

    def _cost_and_gradient(self, X, t, N, U, weights):
        cost = self.model.cost(X, t, N, U, weights)
        wrt = [p.variable for p in self.layout.parameters.values()]
        gradients: list = pytensor.grad(cost, wrt, disconnected_inputs="ignore")  # type: ignore[assignment]
        return [cost, pt.concatenate([g.ravel() for g in gradients])]

    def costs(self, batch_size):
        """(theta, X, t, N, U) -> cost of each picture, (n,); see DiffusionModel.cost_single_t.

        Compiled as objective is; n is any number of pictures.
        """
        size = self.microbatch_size(batch_size)
        function = self.get("costs", size, "XtNU", lambda *inputs: [self.model.cost_single_t(*inputs)], kept=True)
        return lambda theta, *arrays: map_microbatches(self.engine, function, theta, arrays, size)[0]

    def mu_sigma(self, batch_size):
        """(theta, X_noisy, t) -> mu, sigma; see DiffusionModel.get_mu_sigma."""
        return self.get("mu_sigma", batch_size, "Xt", lambda X, t: list(self.model.get_mu_sigma(X, t)))

    def start(self, rng):
        """The parameters as their initializations draw them, one flat vector."""
        values = self.model.initialize(rng)
        return self.layout.flatten({path: values[path] for path in self.layout.slices}, self.engine.dtype)

    def beta(self, theta):
        """beta_1..beta_T as numbers, (T,), for the parameters theta."""
        return self.get("beta_arr", 0, "", lambda: self.model.beta_arr)(theta)

    def get(self, name, batch_size, kinds, build, more_inputs=(), kept=False, level=XLA_LEVEL):
        """A compiled function of (theta, *inputs, *more_inputs), build(*inputs) being its graph; kept by its name.

        kinds: a letter for each input: t and w are numbers by picture, (batch_size,), all others pictures.
        more_inputs: a list of symbolic inputs that build may fill. kept: whether the name and the model's arguments
        determine the graph, so that a later process may have it too (Engine.cached_function). level: see Engine.function.
        """
        key = name, batch_size
        if key not in self._compiled:
            with self.engine:
                theta = pt.tensor("theta", dtype=self.engine.dtype, shape=(self.layout.size,))
                inputs = [self._input(kind, batch_size) for kind in kinds]

                def graph():
                    return build(*inputs), [*self.layout.givens(theta), *self._constants()]

                facts = graph_cache.facts(self.model) if kept else None
                if facts:
                    facts = [name, *facts, [*self.layout.parameters]]
                    self._compiled[key] = self.engine.cached_function(
                        facts, [theta, *inputs, *more_inputs], graph, level
                    )
                else:
                    outputs, givens = graph()  # before the inputs are listed, some of which it may make
                    self._compiled[key] = self.engine.function([theta, *inputs, *more_inputs], outputs, givens, level)
        return self._compiled[key]

    def microbatch_size(self, batch_size):
        """How many of a minibatch's pictures to compute at once; see Engine.turns."""
        return math.ceil(batch_size / self.engine.count_microbatches(batch_size, self.model.n_pixels, self.layout.size))

    def _input(self, kind, batch_size):
        by_picture = kind in "tw"
        shape = (batch_size,) if by_picture else (batch_size, *self.model.example_shape)
        return pt.tensor(kind, dtype=self.engine.dtype, shape=shape)

    def _constants(self):
        return [
            (p.variable, pt.constant(self.engine.asarray(p.initialization.generate(None, p.shape))))
            for path, p in self.model.parameters().items()
            if path not in self.layout.parameters
        ]
