"""Networks of the toy problems (Appendix D.1) and extensions of them: each gives p(x_{t-1} | x_t) of vectors.

A network consists of hidden features of x_t and readouts, from which it makes a distribution of the kernel.
x_t: (n, d); times t: (n,); rates: beta_t, beta_bar_t, beta_bar_{t-1}, each (n, 1).
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import pytensor.tensor as pt
from pytensor import config

from dpm.graph import Tensor
from dpm.graph.bricks import BIAS, MLP, WEIGHT, Activation, Brick, Constant, Copies, IsotropicGaussian, Linear
from dpm.graph.kernels import Bernoulli, BinomialKernel, FullGaussian, Gaussian, GaussianKernel
from dpm.graph.kernels.gaussian import posterior_weights
from dpm.graph.networks.base import ReverseNetwork
from dpm.util import logit

COPY_GAIN = 4.0  # a sigmoid unit then maps 0 and 1 to values 0.65 apart
SMALLEST_SHARE = 1e-4  # of signal or noise, in the features of time: their logarithms stay finite

StepRates: TypeAlias = tuple[Tensor, Tensor, Tensor]  # beta_t, beta_bar_t, beta_bar_{t-1}


class Sigmoid(Activation):
    """The non-linearity of D.1.2."""

    def apply(self, x: Tensor) -> Tensor:
        """Return 1 / (1 + exp(-x))."""
        return pt.sigmoid(x)


class CenteredSigmoid(Activation):
    """The non-linearity of D.1.2 minus 1/2: the biases of the next layer make both networks the same functions.

    With biases of 0, the units of the next layer are then centered on their inputs.
    """

    def apply(self, x: Tensor) -> Tensor:
        """Return 1 / (1 + exp(-x)) - 1/2."""
        return pt.sigmoid(x) - 0.5


class Tanh(Activation):
    """The hyperbolic tangent, a scaled sigmoid with mean 0: learns faster from centered inputs."""

    def apply(self, x: Tensor) -> Tensor:
        """Return tanh(x)."""
        return pt.tanh(x)


class Features(Brick):
    """Hidden features of x_t.

    Attributes:
        n_features: number of features.
    """

    n_features: int

    def apply(self, x: Tensor, rates: StepRates) -> Tensor:
        """Return the features, (n, n_features), of x_t, (n, d)."""
        raise NotImplementedError


class NormalizedRBF(Features):
    """Radial basis functions that sum to 1 (D.1.1): phi_k(x) = exp(-|x - c_k|^2 / 2 w_k^2) / sum over k.

    Args:
        size: d, size of x_t.
        units: number of functions.
        width: initial width w_k.
    """

    def __init__(self, size: int, units: int, width: float = 0.5) -> None:
        super().__init__("rbf")
        self.n_features = units
        self.centers = self.add_parameter("centers", (units, size), WEIGHT, IsotropicGaussian(1.0))
        self.log_width = self.add_parameter("log_width", (units,), BIAS, Constant(float(np.log(width))))

    def apply(self, x: Tensor, rates: StepRates) -> Tensor:
        """Return the functions of x_t, (n, units)."""
        squares = ((x[:, None, :] - self.centers) ** 2).sum(axis=2)
        return pt.special.softmax(-0.5 * squares * pt.exp(-2 * self.log_width), axis=1)


class WithInputs(Features):
    """The features of another brick followed by x_t itself, so that readouts need not learn a linear map.

    Args:
        size: d, size of x_t.
        hidden: brick of the other features.
    """

    def __init__(self, size: int, hidden: Features) -> None:
        super().__init__("with inputs", [hidden])
        self.hidden, self.n_features = hidden, hidden.n_features + size

    def apply(self, x: Tensor, rates: StepRates) -> Tensor:
        """Return the features and x_t, (n, units + d)."""
        return pt.concatenate([self.hidden.apply(x, rates), x], axis=1)


class HiddenLayers(Features):
    """An MLP over x_t (D.1.2).

    Args:
        size: d, size of x_t.
        units: units of each layer.
        layers: number of layers.
        activation: class of the activation of each layer.
        time: True to add three features of time to x_t, see `time_features`.
        center: number subtracted from x_t.
        spread: deviation of the initial weights and biases of the first layer; None for orthogonal weights, which are
            of the size units^(-1/2): with few inputs the network then stays nearly linear for long.
        copies: True to begin with copies of x_t as the first units of each layer, and mixtures as the others.
    """

    def __init__(
        self,
        size: int,
        units: int,
        layers: int,
        activation: Callable[[], Activation],
        time: bool = False,
        center: float = 0.0,
        spread: float | None = None,
        copies: bool = False,
    ) -> None:
        self.time, self.center, self.n_features = time, center, units
        wide = None if spread is None else IsotropicGaussian(spread)
        weights = Copies(size, COPY_GAIN) if copies else None
        first = Linear("first", size + 3 * time, units, weights or wide, wide)
        rest = [units] * layers
        self.mlp = MLP("hidden", [activation() for _ in range(layers - 1)], rest, weights)
        self.first, self.activation = first, activation()
        super().__init__("hidden layers", [first, self.activation, self.mlp])

    def apply(self, x: Tensor, rates: StepRates) -> Tensor:
        """Return the output of the last layer, (n, units)."""
        x = x - self.center
        if self.time:
            x = pt.concatenate([x, time_features(rates)], axis=1)
        return self.mlp.apply(self.activation.apply(self.first.apply(x)))


def time_features(rates: StepRates) -> Tensor:
    """Return alpha_bar_t, its logarithm and that of beta_bar_t, scaled to about unit size, (n, 3)."""
    _, beta_bar, _ = rates
    signal, noise = (pt.log(pt.clip(share, SMALLEST_SHARE, 1)) / 4 for share in (1 - beta_bar, beta_bar))
    return pt.concatenate([1 - beta_bar, signal + 1, noise + 1], axis=1)


class Readout(Brick):
    """A linear layer from features to outputs, one for all steps or one per step, with initial values 0.

    "The top, readout, layer for each function was learned independently for each time step" (D.1.1, D.1.2). With
    values of 0 a network starts from the distribution to which it adds the readout.

    Args:
        name: name of the brick.
        units: number of features.
        outputs: number of outputs.
        trajectory_length: T for one layer per step; None for one layer for all steps.
    """

    def __init__(self, name: str, units: int, outputs: int, trajectory_length: int | None = None) -> None:
        super().__init__(name)
        steps = () if trajectory_length is None else (trajectory_length,)
        self.W = self.add_parameter("W", (*steps, units, outputs), WEIGHT, Constant(0.0))
        self.b = self.add_parameter("b", (*steps, outputs), BIAS, Constant(0.0))
        self.each_step = trajectory_length is not None

    def apply(self, features: Tensor, t: Tensor) -> Tensor:
        """Return the outputs, (n, outputs), of features, (n, units), at times t, (n,)."""
        if not self.each_step:
            return pt.dot(features, self.W) + self.b
        step = t.astype("int64") - 1
        return (features[:, None, :] @ self.W[step])[:, 0, :] + self.b[step]


class SmoothReadout(Readout):
    """A readout per step with few parameters: linear between the readouts at some times, see `interpolation`.

    Args:
        name, units, outputs, trajectory_length: as of Readout.
        knots: number of these times.
    """

    def __init__(self, name: str, units: int, outputs: int, trajectory_length: int, knots: int) -> None:
        super().__init__(name, units, outputs, knots)
        self.sizes = units, knots, outputs
        self.interpolation = interpolation(trajectory_length, knots)

    def apply(self, features: Tensor, t: Tensor) -> Tensor:
        """Return the outputs, (n, outputs), of features, (n, units), at times t, (n,)."""
        units, knots, outputs = self.sizes
        shares = pt.constant(self.interpolation.astype(config.floatX))[t.astype("int64") - 1]
        at_knots = pt.dot(features, self.W.transpose(1, 0, 2).reshape((units, knots * outputs)))
        return (shares[:, :, None] * (at_knots.reshape((-1, knots, outputs)) + self.b)).sum(axis=1)


def interpolation(trajectory_length: int, knots: int) -> np.ndarray:
    """Return the share of each knot in the readout of each step t = 1..T, shape (T, knots); each row sums to 1.

    The knots are even in log(t / (T + 1 - t)), from t = 2 to T: with beta_t = 1 / (T - t + 1) the logits of all rates
    are about linear in it at both ends. The row of t = 1, which has no readout, is that of t = 2.
    """
    t = np.arange(1, trajectory_length + 1).clip(2)
    place = np.log(t / (trajectory_length + 1 - t))
    at = np.linspace(place[0], place[-1], knots)
    return np.column_stack([np.interp(place, at, row) for row in np.eye(knots)])


class Network(ReverseNetwork):
    """Hidden features and readouts of them; a subclass makes a distribution from the readouts in `reverse`.

    Args:
        size: d, size of x_t.
        hidden: brick of the features.
        trajectory_length: T for one readout per step; None for one readout for all steps.
        knots: number of knots of smooth readouts, one per step; None for independent ones.

    Attributes:
        outputs: names of the readouts.
    """

    outputs: tuple[str, ...]

    def __init__(
        self, size: int, hidden: Features, trajectory_length: int | None = None, knots: int | None = None
    ) -> None:
        self.hidden, self.size = hidden, size
        more = (trajectory_length,) if knots is None else (trajectory_length, knots)
        kind: Callable[..., Readout] = Readout if knots is None else SmoothReadout
        self.readouts = {name: kind(name, hidden.n_features, n, *more) for name, n in self.output_sizes().items()}
        super().__init__("network", [hidden, *self.readouts.values()])

    def output_sizes(self) -> dict[str, int]:
        """Return the number of outputs of each readout, by name."""
        return dict.fromkeys(self.outputs, self.size)

    def read(self, x_t: Tensor, t: Tensor, rates: StepRates) -> dict[str, Tensor]:
        """Return the readouts by name, each (n, d) unless output_sizes says otherwise."""
        features = self.hidden.apply(x_t, rates)
        return {name: readout.apply(features, t) for name, readout in self.readouts.items()}


class GaussianNetwork(Network):
    """f_mu and f_Sigma of a Gaussian kernel: mu = start + slope z and Sigma = variance(z'), with readouts z and z'.

    Args:
        size: d, size of x_t.
        hidden: brick of the features.
        trajectory_length: T for one readout per step; None for one readout for all steps.
        full: True for a full covariance; a readout "mix" then gives how an element depends on those before it.
    """

    outputs = ("mu", "sigma")

    def __init__(self, size: int, hidden: Features, trajectory_length: int | None = None, full: bool = False) -> None:
        self.full = full
        super().__init__(size, hidden, trajectory_length)

    def output_sizes(self) -> dict[str, int]:
        """Return the number of outputs of each readout, by name."""
        pairs = {"mix": self.size * (self.size - 1) // 2} if self.full else {}
        return super().output_sizes() | pairs

    def mean(self, kernel: GaussianKernel, x_t: Tensor, rates: StepRates) -> tuple[Tensor, Tensor]:
        """Return start, (n, d), and slope, (n, 1), of mu = start + slope z."""
        raise NotImplementedError

    def variance(self, kernel: GaussianKernel, z: Tensor, rates: StepRates) -> Tensor:
        """Return Sigma, (n, d), of the readout z, (n, d)."""
        raise NotImplementedError

    def reverse(  # type: ignore[override]
        self, kernel: GaussianKernel, x_t: Tensor, t: Tensor, rates: StepRates
    ) -> Gaussian | FullGaussian:
        """Return p(x_{t-1} | x_t), a Gaussian, or a FullGaussian."""
        return self.distribution(kernel, x_t, self.read(x_t, t, rates), rates)

    def distribution(
        self, kernel: GaussianKernel, x_t: Tensor, z: dict[str, Tensor], rates: StepRates
    ) -> Gaussian | FullGaussian:
        """Return p(x_{t-1} | x_t) with the values z of the readouts, by name."""
        start, slope = self.mean(kernel, x_t, rates)
        p = Gaussian(start + slope * z["mu"], pt.sqrt(self.variance(kernel, z["sigma"], rates)))
        return FullGaussian(*p, lower_triangle(z["mix"], self.size)) if self.full else p


def lower_triangle(values: Tensor, size: int) -> Tensor:
    """Return values, (n, size (size - 1) / 2), as matrices (n, size, size), row by row below the diagonal."""
    rows, columns = np.tril_indices(size, -1)
    place = np.zeros((len(rows), size, size), dtype=config.floatX)
    place[np.arange(len(rows)), rows, columns] = 1
    return pt.tensordot(values, place, axes=1)


class MeanVariance(GaussianNetwork):
    """f_mu and f_Sigma as perturbations of the forward kernel: Sigma = sigmoid(z' + logit(beta_t)), Eq. 65.

    mu = x_t sqrt(1 - beta_t) + sqrt(beta_t) z; with readouts of 0 it is the forward kernel, which makes K = L_null.
    """

    def mean(self, kernel: GaussianKernel, x_t: Tensor, rates: StepRates) -> tuple[Tensor, Tensor]:
        """Return x_t sqrt(1 - beta_t) and sqrt(beta_t)."""
        return x_t * pt.sqrt(1 - rates[0]), pt.sqrt(rates[0])

    def variance(self, kernel: GaussianKernel, z: Tensor, rates: StepRates) -> Tensor:
        """Return sigmoid(z + logit(beta_t)), Eq. 65."""
        return pt.sigmoid(z + logit(rates[0]))


class PosteriorVariance(GaussianNetwork):
    """A prediction of the mean of x_0, and the variance of q(x_{t-1} | x_t, x_0) plus that of the prediction.

    x_0 = sqrt(alpha_bar_t) x_t + sqrt(beta_bar_t) z, of variance beta_bar_t exp(z'); with readouts of 0 it is the exact
    reverse of unit Gaussian data, which makes K = L_null.
    """

    def mean(self, kernel: GaussianKernel, x_t: Tensor, rates: StepRates) -> tuple[Tensor, Tensor]:
        """Return the posterior's mean for x_0 = sqrt(alpha_bar_t) x_t, and its derivative in z."""
        start = kernel.posterior(pt.sqrt(1 - rates[1]) * x_t, x_t, *rates).mu
        return start, posterior_weights(*rates)[0] * pt.sqrt(rates[1])

    def variance(self, kernel: GaussianKernel, z: Tensor, rates: StepRates) -> Tensor:
        """Return the posterior's variance plus that of the prediction of x_0."""
        q = kernel.posterior(pt.zeros_like(z), pt.zeros_like(z), *rates)
        return q.sigma**2 + posterior_weights(*rates)[0] ** 2 * rates[1] * pt.exp(z)


class Rates(Network):
    """f_b of Table C.1: the bit rates, as logits added to those of the reversed null kernel.

    The null kernel is the forward step reversed for independent bits of the base rate; it makes K = L_null.
    """

    outputs = ("rates",)

    def offset(self, kernel: BinomialKernel, x_t: Tensor, rates: StepRates) -> Tensor:
        """Return the logits to which the readout is added, (n, d)."""
        return kernel.posterior(kernel.base_rate, x_t, *rates).logit

    def reverse(  # type: ignore[override]
        self, kernel: BinomialKernel, x_t: Tensor, t: Tensor, rates: StepRates
    ) -> Bernoulli:
        """Return p(x_{t-1} | x_t)."""
        return Bernoulli(self.offset(kernel, x_t, rates) + self.read(x_t, t, rates)["rates"])


class PlainRates(Rates):
    """f_b as in the paper's text: the readout through a sigmoid (D.1.2)."""

    def offset(self, kernel: BinomialKernel, x_t: Tensor, rates: StepRates) -> Tensor:
        """Return 0."""
        return pt.zeros_like(x_t)


class BitsOfX0(Network):
    """A prediction b of the bits of x_0: p(x_{t-1} | x_t) = sum over x_0 of q(x_{t-1} | x_t, x_0) b(x_0)."""

    outputs = ("bits",)

    def reverse(  # type: ignore[override]
        self, kernel: BinomialKernel, x_t: Tensor, t: Tensor, rates: StepRates
    ) -> Bernoulli:
        """Return p(x_{t-1} | x_t)."""
        return kernel.mixture(self.read(x_t, t, rates)["bits"] + kernel.prior(x_t).logit, x_t, *rates)
