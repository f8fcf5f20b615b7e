"""The networks of the toy problems (Appendix D.1) and what reaches further: each gives p(x_{t-1} | x_t) of vectors.

A network is hidden features of x_t and a head that reads a distribution of the kernel out of them. x_t: (n, d); times
t: (n,); rates: beta_t, beta_bar_t, beta_bar_{t-1}, each (n, 1).
"""

import numpy as np
import pytensor.tensor as pt
from pytensor import config

from dpm.graph.bricks import BIAS, MLP, WEIGHT, Brick, Constant, IsotropicGaussian, Linear
from dpm.graph.kernels.binomial import Bernoulli
from dpm.graph.kernels.full_gaussian import FullGaussian
from dpm.graph.kernels.gaussian import Gaussian, posterior_weights
from dpm.util import logit

SMALLEST_SHARE = 1e-4  # of signal or noise, in the features of time: their logarithms stay finite


class Sigmoid(Brick):
    """The non-linearity of D.1.2."""

    def __init__(self, name="sigmoid"):
        super().__init__(name)

    def apply(self, x):
        return pt.sigmoid(x)


class Tanh(Brick):
    """A sigmoid with mean 0, scaled: learns faster from centered inputs."""

    def __init__(self, name="tanh"):
        super().__init__(name)

    def apply(self, x):
        return pt.tanh(x)


class NormalizedRBF(Brick):
    """Radial basis functions that sum to 1 (D.1.1): phi_k(x) = exp(-|x - c_k|^2 / 2 w_k^2) / sum over k; (n, units)."""

    def __init__(self, size, units, width=0.5):
        super().__init__("rbf")
        self.n_features = units
        self.centers = self.add_parameter("centers", (units, size), WEIGHT, IsotropicGaussian(1.0))
        self.log_width = self.add_parameter("log_width", (units,), BIAS, Constant(float(np.log(width))))

    def apply(self, x, rates):
        squares = ((x[:, None, :] - self.centers) ** 2).sum(axis=2)
        return pt.special.softmax(-0.5 * squares * pt.exp(-2 * self.log_width), axis=1)


class WithInputs(Brick):
    """The features of another brick and x_t itself, so that readouts need not learn a linear map: (n, units + d)."""

    def __init__(self, size, hidden):
        super().__init__("with inputs", [hidden])
        self.hidden, self.n_features = hidden, hidden.n_features + size

    def apply(self, x, rates):
        return pt.concatenate([self.hidden.apply(x, rates), x], axis=1)


class HiddenLayers(Brick):
    """An MLP over x_t (D.1.2), and with time=True over log signal and noise shares beside it: (n, units).

    spread: deviation of the first layer's weights and biases at the start, or None for orthogonal weights. These are
    about units^(-1/2), which leaves a network of few inputs nearly linear for long.
    """

    def __init__(self, size, units, layers, activation, time=False, center=0.0, spread=None):
        self.time, self.center, self.n_features = time, center, units
        wide = None if spread is None else IsotropicGaussian(spread)
        first = Linear("first", size + 3 * time, units, wide, wide)
        rest = [units] * layers
        self.mlp = MLP("hidden", [activation() for _ in range(layers - 1)], rest)
        self.first, self.activation = first, activation()
        super().__init__("hidden layers", [first, self.activation, self.mlp])

    def apply(self, x, rates):
        x = x - self.center
        if self.time:
            x = pt.concatenate([x, time_features(rates)], axis=1)
        return self.mlp.apply(self.activation.apply(self.first.apply(x)))


def time_features(rates):
    """alpha_bar_t, its logarithm and that of beta_bar_t, of about unit size: (n, 3)."""
    _, beta_bar, _ = rates
    signal, noise = (pt.log(pt.clip(share, SMALLEST_SHARE, 1)) / 4 for share in (1 - beta_bar, beta_bar))
    return pt.concatenate([1 - beta_bar, signal + 1, noise + 1], axis=1)


class Readout(Brick):
    """A linear layer from features, (n, units), to (n, outputs): one for all steps, or one for each of T steps.

    "The top, readout, layer for each function was learned independently for each time step" (D.1.1, D.1.2). It
    starts at 0, so that the network starts at what its head adds the readout to.
    """

    def __init__(self, name, units, outputs, trajectory_length=None):
        super().__init__(name)
        steps = () if trajectory_length is None else (trajectory_length,)
        self.W = self.add_parameter("W", (*steps, units, outputs), WEIGHT, Constant(0.0))
        self.b = self.add_parameter("b", (*steps, outputs), BIAS, Constant(0.0))
        self.each_step = trajectory_length is not None

    def apply(self, features, t):
        if not self.each_step:
            return pt.dot(features, self.W) + self.b
        step = t.astype("int64") - 1
        return pt.matmul(features[:, None, :], self.W[step])[:, 0, :] + self.b[step]


class Network(Brick):
    """Hidden features and readouts of `outputs` numbers an element; a subclass turns these into a distribution.

    size: d; trajectory_length: None for one readout for all steps.
    """

    outputs: tuple[str, ...]

    def __init__(self, size, hidden, trajectory_length=None):
        self.hidden, self.size = hidden, size
        self.readouts = {
            name: Readout(name, hidden.n_features, n, trajectory_length) for name, n in self.output_sizes().items()
        }
        super().__init__("network", [hidden, *self.readouts.values()])

    def output_sizes(self):
        """How many numbers each readout has, by its name."""
        return dict.fromkeys(self.outputs, self.size)

    def read(self, x_t, t, rates):
        """The readouts by name, each (n, d)."""
        features = self.hidden.apply(x_t, rates)
        return {name: readout.apply(features, t) for name, readout in self.readouts.items()}


class GaussianNetwork(Network):
    """f_mu and f_Sigma, read out as mu = start + slope z and Sigma = variance(z'); a subclass names the three.

    full: a full covariance; a readout "mix" then gives how an element depends on those before it.
    """

    outputs = ("mu", "sigma")

    def __init__(self, size, hidden, trajectory_length=None, full=False):
        self.full = full
        super().__init__(size, hidden, trajectory_length)

    def output_sizes(self):
        pairs = {"mix": self.size * (self.size - 1) // 2} if self.full else {}
        return super().output_sizes() | pairs

    def mean(self, kernel, x_t, rates):
        """start, (n, d), and slope, (n, 1), of mu = start + slope z."""
        raise NotImplementedError

    def variance(self, kernel, z, rates):
        """Sigma of the readout z, (n, d)."""
        raise NotImplementedError

    def reverse(self, kernel, x_t, t, rates):
        """p(x_{t-1} | x_t): a Gaussian, or a FullGaussian."""
        z = self.read(x_t, t, rates)
        start, slope = self.mean(kernel, x_t, rates)
        p = Gaussian(start + slope * z["mu"], pt.sqrt(self.variance(kernel, z["sigma"], rates)))
        return FullGaussian(*p, lower_triangle(z["mix"], self.size)) if self.full else p


def lower_triangle(values, size):
    """(n, size (size - 1) / 2) as matrices (n, size, size), row by row below the diagonal."""
    rows, columns = np.tril_indices(size, -1)
    place = np.zeros((len(rows), size, size), dtype=config.floatX)
    place[np.arange(len(rows)), rows, columns] = 1
    return pt.tensordot(values, place, axes=1)


class MeanVariance(GaussianNetwork):
    """f_mu and f_Sigma as perturbations of the forward kernel: Sigma = sigmoid(z' + logit(beta_t)), Eq. 65.

    mu = x_t sqrt(1 - beta_t) + sqrt(beta_t) z; with readouts of 0 it is the forward kernel, which makes K = L_null.
    """

    def mean(self, kernel, x_t, rates):
        return x_t * pt.sqrt(1 - rates[0]), pt.sqrt(rates[0])

    def variance(self, kernel, z, rates):
        return pt.sigmoid(z + logit(rates[0]))


class PosteriorVariance(GaussianNetwork):
    """The mean of x_0 predicted, and the variance of q(x_{t-1} | x_t, x_0) with what is not known of x_0 added.

    x_0 = sqrt(alpha_bar_t) x_t + sqrt(beta_bar_t) z, of variance beta_bar_t exp(z'); with readouts of 0 it is the exact
    reverse of unit Gaussian data, which makes K = L_null.
    """

    def mean(self, kernel, x_t, rates):
        start = kernel.posterior(pt.sqrt(1 - rates[1]) * x_t, x_t, *rates).mu
        return start, posterior_weights(*rates)[0] * pt.sqrt(rates[1])

    def variance(self, kernel, z, rates):
        q = kernel.posterior(pt.zeros_like(z), pt.zeros_like(z), *rates)
        return q.sigma**2 + posterior_weights(*rates)[0] ** 2 * rates[1] * pt.exp(z)


class Rates(Network):
    """f_b of Table C.1: the bit rates, as logits added to those of the reversed null kernel.

    The null kernel is what reverses the forward step where all bits are independent with the base rate; it makes
    K = L_null.
    """

    outputs = ("rates",)

    def reverse(self, kernel, x_t, t, rates):
        null = kernel.posterior(kernel.base_rate, x_t, *rates)
        return Bernoulli(null.logit + self.read(x_t, t, rates)["rates"])


class PlainRates(Network):
    """f_b as the paper's text has it: the readout through a sigmoid (D.1.2)."""

    outputs = ("rates",)

    def reverse(self, kernel, x_t, t, rates):
        return Bernoulli(self.read(x_t, t, rates)["rates"])


class BitsOfX0(Network):
    """The bits b of x_0 predicted, and p(x_{t-1} | x_t) = sum over x_0 of q(x_{t-1} | x_t, x_0) b(x_0)."""

    outputs = ("bits",)

    def reverse(self, kernel, x_t, t, rates):
        return kernel.mixture(self.read(x_t, t, rates)["bits"] + kernel.prior(x_t).logit, x_t, *rates)
