"""Compiled functions of a model: the bound, its gradient, and any other graph, of flat parameters."""

import math

import pytensor
import pytensor.tensor as pt

from dpm.engines import graph_cache
from dpm.engines.microbatches import accumulate_microbatches, map_microbatches
from dpm.engines.parameters import trained_layout
from dpm.graph.bricks import dropout_masks


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
        function = self.get("objective", size, "XtNUw", self._cost_and_gradient, kept=True, hot=True)
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

        function = self.get("dropout", size, "XtNUw", build, masks, hot=True)
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

    def get(self, name, batch_size, kinds, build, more_inputs=(), kept=False, hot=False):
        """A compiled function of (theta, *inputs, *more_inputs), build(*inputs) being its graph; kept by its name.

        kinds: a letter for each input: t and w are numbers by picture, (batch_size,), all others pictures.
        more_inputs: a list of symbolic inputs that build may fill. kept: whether the name and the model's arguments
        determine the graph, so that a later process may have it too (Engine.cached_function). hot: see Engine.function.
        """
        key = name, batch_size
        if key not in self._compiled:
            with self.engine:
                theta = pt.tensor("theta", dtype=self.engine.dtype, shape=(self.layout.size,))
                inputs = [self._input(kind, batch_size) for kind in kinds]

                def graph():
                    return build(*inputs), [*self.layout.givens(theta), *self._constants()]

                facts = graph_cache.model_facts(self.model) if kept else None
                if facts:
                    facts = [name, *facts, [*self.layout.parameters]]
                    self._compiled[key] = self.engine.cached_function(facts, [theta, *inputs, *more_inputs], graph, hot)
                else:
                    outputs, givens = graph()  # before the inputs are listed, some of which it may make
                    self._compiled[key] = self.engine.function([theta, *inputs, *more_inputs], outputs, givens, hot)
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
