"""DiffusionModel: network, schedule and reverse kernel of pictures, as released or with the network of the paper."""

import inspect

import numpy as np
import pytensor.tensor as pt
from pytensor import config

from dpm.base.arguments import check_whole_number
from dpm.base.errors import InputError
from dpm.graph import schedules
from dpm.graph.bricks import SCHEDULE, Constant
from dpm.graph.diffusion import Diffusion
from dpm.graph.kernels.gaussian import Gaussian, GaussianKernel
from dpm.graph.networks.images import NETWORKS
from dpm.regression import MLP_conv_dense

SMALLEST = {
    "spatial_width": 1,
    "n_colors": 1,
    "trajectory_length": 2,
    "n_temporal_basis": 2,
    "n_hidden_dense_lower": 0,
    "n_hidden_dense_lower_output": 1,
    "n_hidden_dense_upper": 1,
    "n_hidden_conv": 0,
    "n_layers_conv": 0,
    "n_layers_dense_lower": 0,
    "n_layers_dense_upper": 1,
    "n_t_per_minibatch": 1,
    "n_scales": 1,
}
LARGEST = {"step1_beta": 0.5, "uniform_noise": np.inf}
CHOICES = {
    "kl_terms": ("T-1", "T"),
    "dense_lower_depth": ("n_layers_dense_lower", "n_layers_conv"),
    "constants": ("float64", "float32"),
    "network": tuple(NETWORKS),
    "conv_biases": ("untied", "shared"),
}


class DiffusionModel(Diffusion):
    """The Gaussian diffusion model of the released code, as a symbolic graph.

    Pictures are (n, n_colors, spatial_width, spatial_width), scaled to mean 0 and variance 1. Times are the
    paper's, t = 1..T with T = trajectory_length, one for each picture, shape (n,).

    The arguments are those of 2015 (meanings and defaults in docs/from-2015.md), four that name where the release
    differs from the paper, and one more:
    kl_terms: "T-1" weights a drawn time by the number of terms of Eq. 14, so that the expectation of the cost is
        exactly -(K - L_null); "T" is the release.
    dense_lower_depth: "n_layers_dense_lower", or "n_layers_conv" as in the release, which ignores the former.
    constants: "float64", or "float32" as in the release, which rounds sqrt(n_hidden_conv), sqrt(
        n_hidden_dense_lower_output) and log(2) to single precision even where all else is double.
    network: "reference-2015", or "paper-2015" as Appendix D.2 describes it: non-linearities, bumps, and how mean and
        variance are made of the readout (dpm/graph/networks/images.py).
    conv_biases: "untied", as released: one for each filter and place; or "shared", one for each filter, with which a
        model without a dense path (n_hidden_dense_lower=0) serves pictures of any size.
    Raises InputError for a value that is not accepted.
    """

    unit = "bits/pixel"

    spatial_width: int
    n_colors: int
    trajectory_length: int
    n_temporal_basis: int
    n_hidden_dense_lower: int
    n_hidden_dense_lower_output: int
    n_hidden_dense_upper: int
    n_hidden_conv: int
    n_layers_conv: int
    n_layers_dense_lower: int
    n_layers_dense_upper: int
    n_t_per_minibatch: int
    n_scales: int
    step1_beta: float
    uniform_noise: float
    kl_terms: str
    dense_lower_depth: str
    constants: str
    network: str
    conv_biases: str

    def __init__(
        self,
        spatial_width,
        n_colors,
        trajectory_length=1000,
        n_temporal_basis=10,
        n_hidden_dense_lower=500,
        n_hidden_dense_lower_output=2,
        n_hidden_dense_upper=20,
        n_hidden_conv=20,
        n_layers_conv=4,
        n_layers_dense_lower=4,
        n_layers_dense_upper=2,
        n_t_per_minibatch=1,
        n_scales=1,
        step1_beta=0.001,
        uniform_noise=0,
        kl_terms="T-1",
        dense_lower_depth="n_layers_dense_lower",
        constants="float64",
        network="reference-2015",
        conv_biases="untied",
    ):
        arguments = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        self.arguments = checked_arguments(arguments)
        for name, value in self.arguments.items():
            setattr(self, name, value)
        self.log_2 = float(np.dtype(self.constants).type(np.log(2)))
        self.form = NETWORKS[self.network]
        self.temporal_basis = self.generate_temporal_basis()
        self.mlp = MLP_conv_dense(
            n_layers_conv=self.n_layers_conv,
            n_layers_dense_lower=self.arguments[self.dense_lower_depth],
            n_layers_dense_upper=self.n_layers_dense_upper,
            n_hidden_conv=self.n_hidden_conv,
            n_hidden_dense_lower=self.n_hidden_dense_lower,
            n_hidden_dense_lower_output=self.n_hidden_dense_lower_output,
            n_hidden_dense_upper=self.n_hidden_dense_upper,
            spatial_width=self.spatial_width,
            n_colors=self.n_colors,
            n_scales=self.n_scales,
            n_output=self.n_colors * 2 * self.n_temporal_basis,
            constants=self.constants,
            form=self.form.layers,
            shared_bias=self.conv_biases == "shared",
        )
        example_shape = (self.n_colors, self.spatial_width, self.spatial_width)
        super().__init__("diffusionmodel", [self.mlp], GaussianKernel(), example_shape, self.n_colors)
        self.beta_perturb_coefficients = self.add_parameter(
            "beta_perturb_coefficients", (self.n_temporal_basis,), SCHEDULE, Constant(0.0)
        )
        n_terms = self.trajectory_length - (self.kl_terms == "T-1")
        self.set_schedule(self.generate_beta_arr(), self.trajectory_length, n_terms)

    # ------------------------------------------------------------------ the forward trajectory

    def generate_temporal_basis(self):
        """The bumps g_j(t) of Eq. 64: (n_temporal_basis, T)."""
        return self.form.bumps(self.trajectory_length, self.n_temporal_basis)

    def generate_beta_arr(self):
        """beta_1..beta_T: (T,)."""
        return schedules.generate_beta_arr(self.beta_perturb_coefficients, self.temporal_basis, self.step1_beta)

    # ------------------------------------------------------------------ the reverse trajectory

    def reverse(self, X_noisy, t):
        """p(x_{t-1} | x_t): get_mu_sigma, the 2015 name of it."""
        return self.get_mu_sigma(X_noisy, t)

    def get_mu_sigma(self, X_noisy, t):
        """p(x_{t-1} | x_t): f_mu and the root of f_Sigma of Table C.1, as a Gaussian.

        As released, the mean is the forward kernel's plus mu_coeff sqrt(beta_t) and the variance
        sigmoid(beta_coeff / sqrt(T) + logit(beta_t)); the paper's are Eq. 66 and 65 (dpm/graph/networks/images.py).
        """
        mu_coeff, beta_coeff = self.temporal_readout(self.mlp.apply(X_noisy), t)
        beta_forward = self.get_beta_forward(t)
        beta_reverse = self.form.variance(beta_coeff, beta_forward, self.trajectory_length)
        mu = self.form.mean(X_noisy, mu_coeff, beta_forward, beta_reverse)
        return Gaussian(mu, pt.sqrt(beta_reverse))

    def temporal_readout(self, Z, t):
        """Weighted sums of bumps (Eq. 63): mu_coeff and beta_coeff, each of the pictures' shape.

        Z: (n, width, width, n_colors * 2 * n_temporal_basis), the network's output.
        """
        width = self.spatial_width
        Z = Z.reshape((-1, width**2 * self.n_colors * 2, self.n_temporal_basis))
        basis = np.asarray(self.temporal_basis.T, dtype=config.floatX)
        g_t = pt.dot(self.get_t_weights(t), basis)
        z = pt.matmul(Z, g_t[:, :, None]).reshape((-1, 2))
        # Numba compiles a split and its gradient, a join, in a fraction of what slices put into zeros take.
        parts = pt.split(z, [1, 1], n_splits=2, axis=1)
        shape = -1, width, width, self.n_colors
        mu_coeff, beta_coeff = (part.reshape(shape).transpose(0, 3, 1, 2) for part in parts)
        return mu_coeff, beta_coeff

    def internal_state(self, X_noisy, t):
        """What the network computes on the way, by name: for pictures of its inside."""
        Z = self.mlp.apply(X_noisy)
        mu_coeff, beta_coeff = self.temporal_readout(Z, t)
        state = {"Z": Z.transpose(0, 3, 1, 2), "mu_coeff": mu_coeff, "beta_coeff": beta_coeff}
        if self.mlp.mlp_conv:
            state["conv"] = self.mlp.apply_conv(X_noisy).transpose(0, 3, 1, 2)
        if self.mlp.mlp_dense_lower:
            state["dense_lower"] = self.mlp.apply_dense_lower(X_noisy).transpose(0, 3, 1, 2)
        return state


def checked_arguments(arguments):
    """The arguments of DiffusionModel with whole numbers as int; raises InputError where one is not accepted."""
    checked = dict(arguments)
    for name, smallest in SMALLEST.items():
        checked[name] = check_whole_number(name, arguments[name], smallest)
    for name, largest in LARGEST.items():
        value = arguments[name]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < largest:
            raise InputError(f"{name}: {value!r} is not accepted; it is a number from 0 to below {largest}")
        checked[name] = float(value)
    for name, accepted in CHOICES.items():
        if arguments[name] not in accepted:
            raise InputError(f"{name}: {arguments[name]!r} is not accepted; take {' or '.join(accepted)}")
    return checked


def argument_names():
    """The names of the arguments of DiffusionModel."""
    return list(inspect.signature(DiffusionModel.__init__).parameters)[1:]
