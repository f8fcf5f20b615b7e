"""DiffusionModel: network, schedule and reverse kernel for images, as released or with the network of the paper."""

from dataclasses import asdict, fields

import numpy as np
import pytensor.tensor as pt
from numpy.typing import NDArray
from pytensor import config

from dpm.graph import Tensor, schedules
from dpm.graph.arguments import ModelArguments, takes
from dpm.graph.bricks import SCHEDULE, Constant
from dpm.graph.diffusion import Diffusion
from dpm.graph.kernels import Gaussian, GaussianKernel
from dpm.graph.networks.images import NETWORKS
from dpm.regression import MLP_conv_dense


class DiffusionModel(Diffusion):
    """The Gaussian diffusion model of the released code, as a symbolic graph without values.

    Images are (n, n_colors, spatial_width, spatial_width), scaled to mean 0 and variance 1. Times are the paper's,
    t = 1..T with T = trajectory_length, one per image, (n,). The bound is in bits per pixel.

    Args:
        arguments: keywords with the names and defaults of 2015, and four that choose where the release differs from
            the paper: the fields of `dpm.graph.arguments.ModelArguments`. `spatial_width` and `n_colors` are required.

    Raises:
        InputError: a value is not accepted.

    Attributes:
        arguments: the arguments as a dict, the model's JSON in a checkpoint. Each is an attribute too: model.n_colors.
        mlp: the network, from images to coefficients per pixel.
        temporal_basis: the bumps g_j(t) of Eq. 64, (n_temporal_basis, T).

    Example:
        >>> import dpm
        >>> model = dpm.DiffusionModel(spatial_width=28, n_colors=1, n_scales=2)
        >>> model.trajectory_length, model.n_scales
        (1000, 2)
    """

    unit = "bits/pixel"

    spatial_width: int
    n_colors: int
    n_temporal_basis: int
    step1_beta: float

    @takes(ModelArguments)
    def __init__(self, arguments: ModelArguments) -> None:
        a, self.arguments = arguments, asdict(arguments)
        for name, value in self.arguments.items():
            setattr(self, name, value)
        self.log_2 = float(np.dtype(a.constants).type(np.log(2)))
        self.form = NETWORKS[a.network]
        self.temporal_basis = self.generate_temporal_basis()
        self.mlp = MLP_conv_dense(
            n_layers_conv=a.n_layers_conv,
            n_layers_dense_lower=self.arguments[a.dense_lower_depth],
            n_layers_dense_upper=a.n_layers_dense_upper,
            n_hidden_conv=a.n_hidden_conv,
            n_hidden_dense_lower=a.n_hidden_dense_lower,
            n_hidden_dense_lower_output=a.n_hidden_dense_lower_output,
            n_hidden_dense_upper=a.n_hidden_dense_upper,
            spatial_width=a.spatial_width,
            n_colors=a.n_colors,
            n_scales=a.n_scales,
            n_output=a.n_colors * 2 * a.n_temporal_basis,
            constants=a.constants,
            form=self.form.layers,
            shared_bias=a.conv_biases == "shared",
        )
        example_shape = (a.n_colors, a.spatial_width, a.spatial_width)
        super().__init__("diffusionmodel", [self.mlp], GaussianKernel(), example_shape, a.n_colors)
        self.beta_perturb_coefficients = self.add_parameter(
            "beta_perturb_coefficients", (a.n_temporal_basis,), SCHEDULE, Constant(0.0)
        )
        n_terms = a.trajectory_length - (a.kl_terms == "T-1")
        self.set_schedule(self.generate_beta_arr(), a.trajectory_length, n_terms)

    # ------------------------------------------------------------------ the forward trajectory

    def generate_temporal_basis(self) -> NDArray[np.float64]:
        """Return the bumps g_j(t) of Eq. 64, (n_temporal_basis, T)."""
        return self.form.bumps(self.trajectory_length, self.n_temporal_basis)

    def generate_beta_arr(self) -> Tensor:
        """Return beta_1..beta_T, (T,)."""
        return schedules.generate_beta_arr(self.beta_perturb_coefficients, self.temporal_basis, self.step1_beta)

    # ------------------------------------------------------------------ the reverse trajectory

    def reverse(self, X_noisy: Tensor, t: Tensor) -> Gaussian:
        """Return p(x_{t-1} | x_t), as `get_mu_sigma`, its name of 2015."""
        return self.get_mu_sigma(X_noisy, t)

    def get_mu_sigma(self, X_noisy: Tensor, t: Tensor) -> Gaussian:
        """Return p(x_{t-1} | x_t): f_mu and the root of f_Sigma of Table C.1, as a Gaussian.

        As released, the mean is the forward kernel's plus mu_coeff sqrt(beta_t) and the variance is
        sigmoid(beta_coeff / sqrt(T) + logit(beta_t)); the paper's are Eq. 66 and 65 (dpm/graph/networks/images.py).

        Args:
            X_noisy: x_t, (n, n_colors, spatial_width, spatial_width).
            t: its time, (n,).
        """
        mu_coeff, beta_coeff = self.temporal_readout(self.mlp.apply(X_noisy), t)
        beta_forward = self.get_beta_forward(t)
        beta_reverse = self.form.variance(beta_coeff, beta_forward, self.trajectory_length)
        mu = self.form.mean(X_noisy, mu_coeff, beta_forward, beta_reverse)
        return Gaussian(mu, pt.sqrt(beta_reverse))

    def temporal_readout(self, Z: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return weighted sums of bumps (Eq. 63): mu_coeff and beta_coeff, each of the images' shape.

        Args:
            Z: output of the network, (n, width, width, n_colors * 2 * n_temporal_basis).
            t: times, (n,).
        """
        width = self.spatial_width
        Z = Z.reshape((-1, width**2 * self.n_colors * 2, self.n_temporal_basis))
        basis = np.asarray(self.temporal_basis.T, dtype=config.floatX)
        g_t = pt.dot(self.get_t_weights(t), basis)
        z = (Z @ g_t[:, :, None]).reshape((-1, 2))
        # Numba compiles a split and its gradient, a join, in a fraction of the time of slices and their gradient.
        parts = pt.split(z, [1, 1], n_splits=2, axis=1)
        shape = -1, width, width, self.n_colors
        mu_coeff, beta_coeff = (part.reshape(shape).transpose(0, 3, 1, 2) for part in parts)
        return mu_coeff, beta_coeff

    def internal_state(self, X_noisy: Tensor, t: Tensor) -> dict[str, Tensor]:
        """Return intermediate results of the network by name, each (n, channels, width, width), for plots.

        Names: Z, mu_coeff, beta_coeff, and conv and dense_lower where the network has these paths. The arguments are
        those of `get_mu_sigma`.
        """
        Z = self.mlp.apply(X_noisy)
        mu_coeff, beta_coeff = self.temporal_readout(Z, t)
        state = {"Z": Z.transpose(0, 3, 1, 2), "mu_coeff": mu_coeff, "beta_coeff": beta_coeff}
        if self.mlp.mlp_conv:
            state["conv"] = self.mlp.apply_conv(X_noisy).transpose(0, 3, 1, 2)
        if self.mlp.mlp_dense_lower:
            state["dense_lower"] = self.mlp.apply_dense_lower(X_noisy).transpose(0, 3, 1, 2)
        return state


def argument_names() -> list[str]:
    """Return the names of the arguments of DiffusionModel, in order."""
    return [field.name for field in fields(ModelArguments)]
