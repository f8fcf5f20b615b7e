"""Variable projection: the readouts of all steps are solved for inside each step of training (Golub and Pereyra 1973).

For given hidden features and rates the best readouts of the mean solve a weighted least-squares problem, one for each
t (dpm/training/least_squares.py). So K is a function of the few parameters that the steps share, and that is what the
optimizer climbs. At the solution K does not change with the readouts, so its gradient is the one with the readouts held
fixed (the envelope theorem): nothing has to be differentiated through the solution.
"""

from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.gradient import disconnected_grad

from dpm.base import noise
from dpm.base.blas import one_blas_thread
from dpm.base.progress import Progress
from dpm.engines.inputs import Input
from dpm.graph import Tensor
from dpm.training.least_squares import LARGEST_STEP, SCORING_RIDGE, network_of, readout_views
from dpm.training.loop import Inputs, MainLoop

# The part of a step of Fisher scoring that the readouts of the variance make on one minibatch. They are an average over
# the last minibatches: solved for on each, they would follow its noise, and K of other data falls.
GAIN = 0.1
FIRST_STEPS = 20  # of a run, with whole steps of scoring
EXAMPLES, ROUNDS = 8000, 20  # for the readouts of a checkpoint: minibatches of this size, and their number
RIDGE = 1e-9  # fraction of the mean square of the features; float32 would round the matrices to singular ones


class ProjectionLoop(MainLoop):
    """Train what the steps share by gradients, and solve for the readouts of each minibatch.

    Each example of a minibatch is used at every t = 2..T, with new noise. Log, plots and checkpoints have readouts of
    ROUNDS large minibatches.

    Args:
        see MainLoop. The model is a VectorDiffusion whose GaussianNetwork has one readout per step and a diagonal
        covariance, and the recipe has even times and the objective K.
    """

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        assert not network_of(self.compiled.model).full
        assert self.time_weights is None
        self._solved: list[np.ndarray] = []
        self._final: tuple[int, np.ndarray] | None = None

    @property
    def averaged_theta(self) -> np.ndarray:
        """The parameters with the readouts of large minibatches, computed once for each step."""
        if self._final is None or self._final[0] != self.state.step:
            self._final = self.state.step, self.solve(super().averaged_theta)
        return self._final[1]

    @one_blas_thread()
    def solve(self, theta: np.ndarray) -> np.ndarray:
        """Return new parameters with the readouts of ROUNDS minibatches of EXAMPLES examples; the others stay.

        The readouts of the variance make the k-th step of scoring with a gain of 1 / k, which is the mean of the steps
        near the solution. Those of the mean are the mean of the later half of the rounds.
        """
        theta, n = theta.copy(), min(EXAMPLES, len(self.features))
        function = self.compiled.function(partial(solve_readouts, self.compiled.model), self._sizes(n))
        solutions = []
        for k in Progress(range(ROUNDS), desc="readouts of large minibatches", quiet=self.quiet):
            rng = noise.generator(self.seed, noise.REFIT, self.state.step, k)
            X = self.features[rng.choice(len(self.features), n, replace=False)]
            gain = self.compiled.engine.asarray([1 / (k + 1)])
            mu, sigma = function(theta, *self._draw(rng, X), gain)
            self._store(theta, mu, sigma)
            solutions.append(mu)
        self._store(theta, np.mean(solutions[ROUNDS // 2 :], axis=0), sigma)
        return theta

    def inputs(self, X: np.ndarray, step: int) -> Inputs:
        """Return [X, N]: examples (n, d), and the noise of x_t for t = 2, then t = 3, and so on, ((T - 1) n, d)."""
        return self._draw(noise.generator(self.seed, noise.TRAINING, step), X)

    @one_blas_thread()
    def objective(self, inputs: Inputs) -> tuple[Any, np.ndarray]:
        """Return cost and flat gradient, which is 0 for the readouts, and keep the readouts of this minibatch."""
        compiled = self.compiled
        function = compiled.function(partial(project, compiled.model), self._sizes(len(inputs[0])), hot=True)
        gain = compiled.engine.asarray([1.0 if self.state.step < FIRST_STEPS else GAIN])
        cost, mu, sigma, *gradients = function(self.theta, *inputs, gain)
        self._solved = [mu, sigma]
        flat = np.zeros_like(self.theta)
        places = compiled.layout.split(flat)
        for path, gradient in zip(shared_paths(compiled.model), gradients, strict=True):
            places[path][...] = gradient
        return cost, flat

    def train_batch(self, inputs: Inputs) -> None:
        """Make one step of the optimizer, and take the readouts solved for before it. inputs: those of this step."""
        super().train_batch(inputs)
        if all(np.isfinite(values).all() for values in self._solved):
            self._store(self.theta, *self._solved)

    def optimizer_state(self) -> dict[str, np.ndarray]:
        return super().optimizer_state() | {"projection/theta": self.theta}

    def load(self, theta: np.ndarray, optimizer: dict[str, np.ndarray]) -> None:
        super().load(theta, optimizer)
        # Training continues from the readouts of the last minibatches, not from those of the checkpoint.
        self.theta = np.array(optimizer["projection/theta"], theta.dtype)
        self._final = self.state.step, theta

    def _draw(self, rng: np.random.Generator, X: np.ndarray) -> Inputs:
        """Return X and noise for each t."""
        shape = ((self.compiled.model.trajectory_length - 1) * len(X), *X.shape[1:])
        return [self.compiled.engine.asarray(X), self.compiled.engine.asarray(rng.standard_normal(shape))]

    def _sizes(self, n: int) -> list[Input]:
        """Return the inputs of `project` and `solve_readouts` for n examples."""
        compiled = self.compiled
        N = compiled.examples("N", n * (compiled.model.trajectory_length - 1))
        return [compiled.examples("X", n), N, compiled.numbers("gain", 1)]

    def _store(self, theta: np.ndarray, mu: np.ndarray, sigma: np.ndarray) -> None:
        """Write the readouts of t = 2..T into theta."""
        views = readout_views(self.compiled, theta)
        for name, values in (("mu", mu), ("sigma", sigma)):
            W, b = views[name]
            W[1:], b[1:] = values[:, :-1], values[:, -1]


def shared_paths(model: Any) -> list[str]:
    """Return the paths of the parameters that are not readouts: what the optimizer trains."""
    readouts = {v for r in network_of(model).readouts.values() for v in (r.W, r.b)}
    return [path for path, p in model.parameters().items() if p.variable not in readouts]


def project(model: Any, X: Tensor, N: Tensor, gain: Tensor) -> list[Tensor]:
    """Return the cost with solved readouts, these readouts, and the gradient of each of `shared_paths`.

    The cost is -(K - L_null) (Eq. 14) in bits, the mean over the examples of the sum over t. Arguments and readouts are
    those of `solve_readouts`.
    """
    examples = _diffuse(model, X, N)
    mu, sigma = (disconnected_grad(readout) for readout in _solve_readouts(model, examples, gain))
    z = {"mu": examples.read(mu), "sigma": examples.read(sigma)}
    p = network_of(model).distribution(model.kernel, examples.x_t, z, examples.rates)
    cost = model.get_negL_bound(p, examples.q, examples.x_0).mean()
    parameters = model.parameters()
    shared = [parameters[path].variable for path in shared_paths(model)]
    gradients: Any = pytensor.grad(cost, shared, disconnected_inputs="ignore")
    return [cost, mu, sigma, *gradients]


def solve_readouts(model: Any, X: Tensor, N: Tensor, gain: Tensor) -> list[Tensor]:
    """Return the readouts of the mean that minimize KL for the present variances, and better ones of the variances.

    Args:
        model: a VectorDiffusion whose network is a GaussianNetwork of diagonal covariance.
        X: examples, (n, d).
        N: noise of x_2, x_3, ..., x_T, ((T - 1) n, d).
        gain: part of a step of Fisher scoring that the readouts of the variances make, (1,).

    Returns:
        The readouts of mean and variance for t = 2..T, each (T - 1, features + 1, d) with the bias last.
    """
    return _solve_readouts(model, _diffuse(model, X, N), gain)


class _Examples(NamedTuple):
    """Examples at every t: x_0, x_t and posterior, ((T - 1) n, d), rates, and features, (T - 1, n, k), 1 the last."""

    x_0: Tensor
    x_t: Tensor
    q: Any
    rates: tuple[Tensor, Tensor, Tensor]
    A: Tensor

    def read(self, weights: Tensor) -> Tensor:
        """Return the outputs, ((T - 1) n, d), of weights, (T - 1, k, d)."""
        return (self.A @ weights).reshape(self.x_t.type.shape)


def _diffuse(model: Any, X: Tensor, N: Tensor) -> _Examples:
    """Return the examples at every t."""
    T, (n, d) = model.trajectory_length, X.type.shape
    kernel, hidden = model.kernel, network_of(model).hidden
    beta, beta_bar = model.beta_arr, model.beta_bar_arr
    now, after, before = (_repeat(array, n) for array in (beta[1:T], beta_bar[2 : T + 1], beta_bar[1:T]))
    rates = now, after, before
    x_0 = (pt.zeros((T - 1, n, d), dtype=X.dtype) + X).reshape(((T - 1) * n, d))
    x_t = kernel.sample(kernel.forward_marginal(x_0, after), N)
    features = hidden.apply(x_t, rates)
    A = pt.concatenate([features, pt.ones(((T - 1) * n, 1), dtype=X.dtype)], axis=1)
    A = A.reshape((T - 1, n, hidden.n_features + 1))
    return _Examples(x_0, x_t, kernel.posterior(x_0, x_t, *rates), rates, A)


def _solve_readouts(model: Any, examples: _Examples, gain: Tensor) -> list[Tensor]:
    kernel, network, A, rates = model.kernel, network_of(model), examples.A, examples.rates
    readout = network.readouts["sigma"]
    sigma = pt.concatenate([readout.W[1:], readout.b[1:, None]], axis=1)
    z = examples.read(sigma)
    Sigma = network.variance(kernel, z, rates)
    log_slope: Any = pytensor.grad(pt.log(Sigma).sum(), z)
    start, slope = network.mean(kernel, examples.x_t, rates)
    target = (examples.q.mu - start) / slope
    weights = slope**2 / Sigma
    mu = _solve(A, weights, weights * target, RIDGE)
    squares = examples.q.sigma**2 + (slope * (target - examples.read(mu))) ** 2
    # A step of scoring for the sum of log Sigma + squares / Sigma, shortened as in least_squares.score.
    change = _solve(A, log_slope**2 + 1e-9, log_slope * (squares / Sigma - 1), SCORING_RIDGE)
    moved = abs(A @ change).max(axis=1, keepdims=True)
    return [mu, sigma + gain * change * pt.minimum(1, LARGEST_STEP / pt.maximum(moved, 1e-12))]


def _repeat(rates: Tensor, n: int) -> Tensor:
    """Return rates, (T - 1,), as a column with each of them n times, ((T - 1) n, 1)."""
    return (rates[:, None] + pt.zeros((1, n), dtype=rates.dtype)).reshape((-1, 1))


def _solve(A: Tensor, weights: Tensor, y: Tensor, ridge: float) -> Tensor:
    """Solve A_t^T diag(weights_ti) A_t w_ti = A_t^T y_ti for each t and each element i.

    Args:
        A: features of the examples of each t, (T - 1, n, k).
        weights, y: a column for each element, ((T - 1) n, d) or what broadcasts to it.
        ridge: a fraction of the mean of the diagonal, which is added to it.

    Returns:
        The solutions, (T - 1, k, d).
    """
    steps, n, k = A.type.shape
    transposed = A.transpose((0, 2, 1))
    columns = []
    for i in range(y.type.shape[1]):
        w = weights[:, i].reshape((steps, n, 1))
        gram = transposed @ (A * w)
        diagonal = pt.diagonal(gram, axis1=1, axis2=2).mean(axis=1)
        gram = gram + ridge * diagonal[:, None, None] * pt.eye(k, dtype=A.dtype)
        columns.append(
            pt.linalg.solve(gram, transposed @ y[:, i].reshape((steps, n, 1)), assume_a="pos", b_ndim=2)[:, :, 0]
        )
    return pt.stack(columns, axis=2)
