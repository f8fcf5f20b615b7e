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
from scipy.cluster.vq import kmeans2

from dpm.base import noise
from dpm.engines.compiled import CompiledModel, Input
from dpm.graph import Tensor
from dpm.graph.networks.vectors import NormalizedRBF
from dpm.training.least_squares import RIDGE, SCORING_RIDGE, network_of, readout_views
from dpm.training.loop import Inputs, MainLoop

# The part of a step of Fisher scoring that the readouts of the variance make on one minibatch. They are an average over
# the last minibatches: solved for on each, they would follow its noise, and K of other data falls.
GAIN = 0.1
FIRST_STEPS = 20  # of a run, with whole steps of scoring
LARGEST_CHANGE = 3.0  # of a readout of the variance in one step of scoring; the features are at most 1
PART = 500  # examples per call: their features at all t stay in the processor's cache
EXAMPLES, ROUNDS = 40_000, 3  # for the readouts of a checkpoint: number of examples, and of Newton steps
CENTERED = 10_000  # examples on which the centers start
WIDTH = 1 / 3  # initial width of a radial function, in distances to the nearest other center


class ProjectionLoop(MainLoop):
    """Train what the steps share by gradients, and solve for the readouts of each minibatch.

    Each example of a minibatch is used at every t = 2..T, with new noise. Log, plots and checkpoints have readouts of
    EXAMPLES examples.

    Args:
        see MainLoop. The model is a VectorDiffusion whose GaussianNetwork has one readout per step and a diagonal
        covariance, and the recipe has even times and the objective K.
    """

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        assert not network_of(self.compiled.model).full
        assert self.time_weights is None
        self._solved: np.ndarray | None = None
        self._final: tuple[int, np.ndarray] | None = None

    @property
    def averaged_theta(self) -> np.ndarray:
        """The parameters with the readouts of many examples, computed once for each step."""
        if self._final is None or self._final[0] != self.state.step:
            self._final = self.state.step, self.solve(super().averaged_theta)
        return self._final[1]

    def solve(self, theta: np.ndarray) -> np.ndarray:
        """Return new parameters with the readouts of EXAMPLES examples after ROUNDS steps; the others stay."""
        for k in range(ROUNDS):
            rng = noise.generator(self.seed, noise.REFIT, self.state.step, k)
            X = self.features[rng.choice(len(self.features), min(EXAMPLES, len(self.features)), replace=False)]
            theta = self._newton_step(theta, self._draw(rng, X), 1.0)
        return theta

    def inputs(self, X: np.ndarray, step: int) -> Inputs:
        """Return [X, N]: examples (n, d), and the noise of x_t for each t = 2..T and each of them, (T - 1, d, n)."""
        return self._draw(noise.generator(self.seed, noise.TRAINING, step), X)

    def objective(self, inputs: Inputs) -> tuple[Any, np.ndarray]:
        """Return cost and flat gradient, which is 0 for the readouts, and keep the readouts of this minibatch."""
        gain = 1.0 if self.state.step < FIRST_STEPS else GAIN
        self._solved = self._newton_step(self.theta, inputs, gain)
        cost, *gradients = self._sum(project, self._solved, inputs)
        flat = np.zeros_like(self.theta)
        places = self.compiled.layout.split(flat)
        for path, gradient in zip(shared_paths(self.compiled.model), gradients, strict=True):
            places[path][...] = gradient
        return cost, flat

    def train_batch(self, inputs: Inputs) -> None:
        """Make one step of the optimizer, and take the readouts solved for before it. inputs: those of this step."""
        super().train_batch(inputs)
        if self._solved is not None and np.isfinite(self._solved).all():
            new = readout_views(self.compiled, self._solved)
            for name, old in readout_views(self.compiled, self.theta).items():
                for values, solved in zip(old, new[name], strict=True):
                    values[...] = solved

    def optimizer_state(self) -> dict[str, np.ndarray]:
        return super().optimizer_state() | {"projection/theta": self.theta}

    def load(self, theta: np.ndarray, optimizer: dict[str, np.ndarray]) -> None:
        super().load(theta, optimizer)
        # Training continues from the readouts of the last minibatches, not from those of the checkpoint.
        self.theta = np.array(optimizer["projection/theta"], theta.dtype)
        self._final = self.state.step, theta

    def _draw(self, rng: np.random.Generator, X: np.ndarray) -> Inputs:
        """Return X and noise for each t."""
        shape = (self.compiled.model.trajectory_length - 1, *X.T.shape)
        return [self.compiled.engine.asarray(X), self.compiled.engine.asarray(rng.standard_normal(shape))]

    def _newton_step(self, theta: np.ndarray, inputs: Inputs, gain: float) -> np.ndarray:
        """Return theta with the solved readouts of the mean, and those of the variance after a part of a step."""
        theta = theta.copy()
        views = readout_views(self.compiled, theta)
        gram, residual = self._sum(normal_equations, theta, inputs)
        for name, i, ridge in (("mu", 0, RIDGE), ("sigma", 1, SCORING_RIDGE)):
            change = solve_ridge(gram[:, i], residual[:, i], ridge)
            if name == "sigma":
                largest = np.maximum(np.abs(change).max(axis=-1, keepdims=True), 1e-12)
                change *= gain * np.minimum(1, LARGEST_CHANGE / largest)
            W, b = views[name]
            W[1:] += change[..., :-1].swapaxes(1, 2)
            b[1:] += change[..., -1]
        return theta

    def _sum(self, build: Any, theta: np.ndarray, inputs: Inputs) -> list[np.ndarray]:
        """Return the outputs of a graph of (model, X, N), which are means over examples, for all of the inputs."""
        compiled, n = self.compiled, len(inputs[0])
        total: list[np.ndarray] = []
        theta = compiled.engine.to_device(theta)
        for places in np.array_split(np.arange(n), -(-n // PART)):
            X, N = inputs[0][places], inputs[1][..., places]
            sizes = [compiled.examples("X", len(X)), Input("N", N.shape)]
            outputs = compiled.function(partial(build, compiled.model), sizes, hot=True)(theta, X, N)
            parts = [np.asarray(output) * (len(X) / n) for output in outputs]
            total = [a + b for a, b in zip(total, parts, strict=True)] if total else parts
        return total


def shared_paths(model: Any) -> list[str]:
    """Return the paths of the parameters that are not readouts: what the optimizer trains."""
    readouts = {v for r in network_of(model).readouts.values() for v in (r.W, r.b)}
    return [path for path, p in model.parameters().items() if p.variable not in readouts]


def shared_places(compiled: CompiledModel) -> np.ndarray:
    """Return the places in the flat parameters of those that are not readouts."""
    paths = shared_paths(compiled.model)
    return np.concatenate([np.arange(compiled.layout.size)[compiled.layout.slices[path]] for path in paths])


def start_centers(compiled: CompiledModel, theta: np.ndarray, X: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return parameters whose radial functions start on the data: centers by k-means, widths by their distances.

    A model without radial functions stays as it is.

    Args:
        compiled: of a VectorDiffusion.
        theta: flat parameters.
        X: examples, (n, d).
        rng: chooses examples and the start of k-means.
    """
    hidden = network_of(compiled.model).hidden
    radial = getattr(hidden, "hidden", hidden)
    if not isinstance(radial, NormalizedRBF) or radial.n_features < 2:
        return theta
    theta = theta.copy()
    paths = {p.variable: path for path, p in compiled.layout.parameters.items()}
    views = compiled.layout.split(theta)
    chosen = X[rng.choice(len(X), min(CENTERED, len(X)), replace=False)]
    centers, _ = kmeans2(chosen, radial.n_features, minit="++", rng=rng)
    distances = np.linalg.norm(centers[:, None] - centers, axis=2) + np.diag(np.full(len(centers), np.inf))
    views[paths[radial.centers]][...] = centers
    views[paths[radial.log_width]][...] = np.log(WIDTH * distances.min(axis=1).mean())
    return theta


def solve_ridge(gram: np.ndarray, y: np.ndarray, ridge: float) -> np.ndarray:
    """Solve (gram + ridge times the mean of its diagonal) w = y for a stack of matrices.

    Args:
        gram: (..., k, k).
        y: (..., k).
        ridge: a fraction of the mean of the diagonal.
    """
    k = gram.shape[-1]
    diagonal = np.trace(gram, axis1=-2, axis2=-1)[..., None, None] / k
    return np.linalg.solve(gram + ridge * diagonal * np.eye(k), y[..., None])[..., 0]


def project(model: Any, X: Tensor, N: Tensor) -> list[Tensor]:
    """Return the cost at given readouts, and its gradient with respect to each of `shared_paths`.

    The cost is -(K - L_null) (Eq. 14) in bits, the mean over the examples of the sum over t.

    Args:
        model: a VectorDiffusion whose network is a GaussianNetwork of diagonal covariance.
        X: examples, (n, d).
        N: noise of x_t for each t = 2..T and each example, (T - 1, d, n).
    """
    examples = _diffuse(model, X, N)
    p = network_of(model).distribution(model.kernel, examples.x_t, examples.z, examples.rates)
    nats = model.kernel.kl(examples.q, p).mean(axis=2).sum()
    cost = (nats - X.type.shape[1] * model.entropy_gain(X).mean()) / model.log_2
    parameters = model.parameters()
    shared = [parameters[path].variable for path in shared_paths(model)]
    gradients: Any = pytensor.grad(cost, shared, disconnected_inputs="ignore")
    return [cost, *gradients]


def normal_equations(model: Any, X: Tensor, N: Tensor) -> list[Tensor]:
    """Return the matrices and right sides of the readouts' Newton steps, means over the examples.

    The mean's problem is weighted least squares, whose step is its solution. The variance's is Fisher scoring of
    log Sigma + squares / Sigma, with the squares around the present mean.

    Args:
        model, X, N: as of `project`.

    Returns:
        A diag(weights) A^T, (T - 1, 2, d, k, k), of mean and variance for each t = 2..T and each element, with k
        features, the last of which is 1; and A times weighted residuals, (T - 1, 2, d, k).
    """
    examples, network, kernel = _diffuse(model, X, N), network_of(model), model.kernel
    z, rates, q, A = examples.z, examples.rates, examples.q, examples.A
    Sigma = network.variance(kernel, z["sigma"], rates)
    log_slope: Any = pytensor.grad(pt.log(Sigma).sum(), z["sigma"])
    start, slope = network.mean(kernel, examples.x_t, rates)
    away = q.mu - start - slope * z["mu"]
    score = log_slope * ((q.sigma**2 + away**2) / Sigma - 1)
    weights = pt.concatenate([slope**2 / Sigma, log_slope**2 + 1e-9], axis=1)
    residuals = pt.concatenate([slope * away / Sigma, score], axis=1)
    (n, d), (steps, k, _) = X.type.shape, A.type.shape
    transposed = A.transpose((0, 2, 1)) / n
    gram = (weights[:, :, None] * A[:, None]).reshape((steps, 2 * d * k, n)) @ transposed
    return [gram.reshape((steps, 2, d, k, k)), (residuals @ transposed).reshape((steps, 2, d, k))]


class _Examples(NamedTuple):
    """Examples at every t = 2..T.

    Attributes:
        x_t: (T - 1, d, n).
        q: posterior q(x_{t-1} | x_t, x_0).
        rates: beta_t, beta_bar_t, beta_bar_{t-1}, each (T - 1, 1, 1).
        A: features, (T - 1, k, n), the last of which is 1.
        z: values of the readouts by name, each (T - 1, d, n).
    """

    x_t: Tensor
    q: Any
    rates: tuple[Tensor, Tensor, Tensor]
    A: Tensor
    z: dict[str, Tensor]


def _diffuse(model: Any, X: Tensor, N: Tensor) -> _Examples:
    """Return the examples at every t. The last axis is the examples: the fastest layout of few features."""
    T, (n, d) = model.trajectory_length, X.type.shape
    kernel, network = model.kernel, network_of(model)
    beta, beta_bar = model.beta_arr, model.beta_bar_arr
    now, after, before = (a[:, None, None] for a in (beta[1:T], beta_bar[2 : T + 1], beta_bar[1:T]))
    rates = now, after, before
    x_t = kernel.sample(kernel.forward_marginal(X.T, after), N)
    A = pt.concatenate([network.hidden.columns(x_t, rates), pt.ones((T - 1, 1, n), dtype=X.dtype)], axis=1)
    readouts = [network.readouts[name] for name in ("mu", "sigma")]
    weights = pt.concatenate([pt.concatenate([r.W[1:], r.b[1:, None]], axis=1) for r in readouts], axis=2)
    both = weights.transpose((0, 2, 1)) @ A
    return _Examples(x_t, kernel.posterior(X.T, x_t, *rates), rates, A, {"mu": both[:, :d], "sigma": both[:, d:]})
