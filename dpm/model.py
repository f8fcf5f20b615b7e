"""DiffusionModel: network, schedule and kernel for images, as released or others of the paper's, or the user's own."""

from dataclasses import fields
from typing import Any

import numpy as np
import pytensor.tensor as pt
from numpy.typing import NDArray
from pytensor import config

from dpm.graph import Tensor, schedules
from dpm.graph.arguments import ModelArguments, takes
from dpm.graph.bricks import SCHEDULE, Brick, Constant
from dpm.graph.diffusion import Diffusion
from dpm.graph.kernels import Bernoulli, BinomialKernel, Gaussian
from dpm.graph.kernels.gaussian import from_unit_prior, to_unit_prior
from dpm.graph.naming import name_variable
from dpm.graph.networks.images import NETWORKS, ImageNetwork
from dpm.regression import MLP_conv_dense


class DiffusionModel(Diffusion):
    """The diffusion model of the released code, as a symbolic graph without values.

    Images are (n, n_colors, spatial_width, spatial_width), scaled to mean 0 and variance 1; with the binomial kernel
    bits, 0 or 1. Times are the paper's, t = 1..T with T = trajectory_length, one per image, (n,). The bound is in bits
    per pixel.

    Args:
        arguments: keywords with the names and defaults of 2015, and those that choose schedule, kernel and network and
            where the release differs from the paper: the fields of `dpm.graph.arguments.ModelArguments`.
            `spatial_width` and `n_colors` are required.

    Raises:
        InputError: a value is not accepted.

    Attributes:
        arguments: the arguments as a dict, the model's JSON in a checkpoint; None where one of them is an object of
            the user's. Each is an attribute too, model.n_colors, except that the next three are the objects.
        kernel: the kernel.
        schedule: the brick of the schedule; None for the released one.
        network: a `ReverseNetwork` of the user's; otherwise the name.
        mlp: the network of the package, from images to coefficients per pixel.
        temporal_basis: the bumps g_j(t) of Eq. 64, (n_temporal_basis, T).

    Example:
        >>> import dpm
        >>> model = dpm.DiffusionModel(spatial_width=28, n_colors=1, n_scales=2, schedule="free", beta_1=1e-5)
        >>> model.trajectory_length, model.n_scales
        (1000, 2)
        >>> [path for path in model.parameters() if "schedule" in path]
        ['/diffusionmodel/schedule.logits']
    """

    unit = "bits/pixel"

    spatial_width: int
    n_colors: int
    n_temporal_basis: int
    step1_beta: float
    beta_1: float | None
    schedule: schedules.Schedule | None
    network: Any
    mlp: MLP_conv_dense
    form: ImageNetwork

    @takes(ModelArguments)
    def __init__(self, arguments: ModelArguments) -> None:
        a, self.arguments = arguments, arguments.as_json()
        for field in fields(a):
            setattr(self, field.name, getattr(a, field.name))
        self.log_2 = float(np.dtype(a.constants).type(np.log(2)))
        kernel, self.schedule = a.build_kernel(), a.build_schedule()
        self.n_readouts = 1 if kernel.binary else 2
        own = not isinstance(a.network, str)
        self.form = NETWORKS["reference-2015" if own else a.network]
        self.temporal_basis = self.generate_temporal_basis()
        children: list[Brick] = [a.network if own else self._build_mlp(a)]
        if self.schedule is not None:
            children.append(self.schedule)
        example_shape = (a.n_colors, a.spatial_width, a.spatial_width)
        super().__init__("diffusionmodel", children, kernel, example_shape, a.n_colors)
        if self.schedule is None:
            self.beta_perturb_coefficients = self.add_parameter(
                "beta_perturb_coefficients", (a.n_temporal_basis,), SCHEDULE, Constant(0.0)
            )
        n_terms = a.trajectory_length - (a.kl_terms == "T-1")
        self.set_schedule(self.generate_beta_arr(), a.trajectory_length, n_terms)

    def _build_mlp(self, a: ModelArguments) -> MLP_conv_dense:
        """Set `mlp` and return it."""
        self.mlp = MLP_conv_dense(
            n_layers_conv=a.n_layers_conv,
            n_layers_dense_lower=getattr(a, a.dense_lower_depth),
            n_layers_dense_upper=a.n_layers_dense_upper,
            n_hidden_conv=a.n_hidden_conv,
            n_hidden_dense_lower=a.n_hidden_dense_lower,
            n_hidden_dense_lower_output=a.n_hidden_dense_lower_output,
            n_hidden_dense_upper=a.n_hidden_dense_upper,
            spatial_width=a.spatial_width,
            n_colors=a.n_colors,
            n_scales=a.n_scales,
            n_output=a.n_colors * self.n_readouts * a.n_temporal_basis,
            constants=a.constants,
            form=self.form.layers,
            shared_bias=a.conv_biases == "shared",
        )
        return self.mlp

    # ------------------------------------------------------------------ the forward trajectory

    def generate_temporal_basis(self) -> NDArray[np.float64]:
        """Return the bumps g_j(t) of Eq. 64, (n_temporal_basis, T)."""
        return self.form.bumps(self.trajectory_length, self.n_temporal_basis)

    def generate_beta_arr(self) -> Tensor:
        """Return beta_1..beta_T, (T,)."""
        if self.schedule is not None:
            return self.schedule.beta_arr()
        return schedules.generate_beta_arr(
            self.beta_perturb_coefficients, self.temporal_basis, self.step1_beta, self.beta_1
        )

    # ------------------------------------------------------------------ the reverse trajectory

    def reverse(self, X_noisy: Tensor, t: Tensor) -> Any:
        """Return p(x_{t-1} | x_t): `get_mu_sigma`, its name of 2015, or `get_rate` of bits, or that of your network."""
        if not isinstance(self.network, str):
            return self.network.reverse(self.kernel, X_noisy, t, self.get_rates(t))
        return self.get_rate(X_noisy, t) if self.kernel.binary else self.get_mu_sigma(X_noisy, t)

    def get_mu_sigma(self, X_noisy: Tensor, t: Tensor) -> Gaussian:
        """Return p(x_{t-1} | x_t): f_mu and the root of f_Sigma of Table C.1, as a Gaussian.

        As released, the mean is the forward kernel's plus mu_coeff sqrt(beta_t) and the variance is
        sigmoid(beta_coeff / sqrt(T) + logit(beta_t)); the paper's are Eq. 66 and 65 (dpm/graph/networks/images.py).
        They are for the unit Gaussian as prior; those of a kernel with another prior are moved and scaled.

        Args:
            X_noisy: x_t, (n, n_colors, spatial_width, spatial_width).
            t: its time, (n,).
        """
        X = self._standardize(X_noisy)
        mu_coeff, beta_coeff = self.temporal_readout(self.mlp.apply(X), t)
        beta_forward = self.get_beta_forward(t)
        beta_reverse = name_variable(
            self.form.variance(beta_coeff, beta_forward, self.trajectory_length), "beta_reverse"
        )
        mu = self.form.mean(X, mu_coeff, beta_forward, beta_reverse)
        return from_unit_prior(self.kernel, Gaussian(mu, pt.sqrt(beta_reverse)), X_noisy)

    def get_rate(self, X_noisy: Tensor, t: Tensor) -> Bernoulli:
        """Return p(x_{t-1} | x_t) of bits: f_b of Table C.1, the readout as logits added to those of the null kernel.

        The null kernel is the forward step reversed for bits of the base rate, which makes K = L_null, as in
        `networks.Rates`. The network sees the bits with mean 0 and variance 1 under the prior. The arguments are those
        of `get_mu_sigma`.
        """
        (rate_coeff,) = self.temporal_readout(self.mlp.apply(self._standardize(X_noisy)), t)
        assert isinstance(self.kernel, BinomialKernel)
        null = self.kernel.posterior(self.kernel.base_rate, X_noisy, *self.get_rates(t))
        return Bernoulli(null.logit + rate_coeff)

    @property
    def _readout_names(self) -> tuple[str, ...]:
        return ("rate_coeff",) if self.kernel.binary else ("mu_coeff", "beta_coeff")

    def _standardize(self, X_noisy: Tensor) -> Tensor:
        """Return what the network sees of x_t: mean 0 and variance 1 under the prior."""
        if not isinstance(self.kernel, BinomialKernel):
            return to_unit_prior(self.kernel, X_noisy)
        rate = self.kernel.base_rate
        return (X_noisy - rate) / (rate * (1 - rate)) ** 0.5

    def temporal_readout(self, Z: Tensor, t: Tensor) -> list[Tensor]:
        """Return weighted sums of bumps (Eq. 63), each of the images' shape: mu_coeff and beta_coeff, or rate_coeff.

        Args:
            Z: output of the network, (n, width, width, n_colors * n_readouts * n_temporal_basis); 2 readouts of a
                Gaussian, 1 of bits.
            t: times, (n,).
        """
        width, n_readouts = self.spatial_width, self.n_readouts
        Z = name_variable(Z, "Z").reshape((-1, width**2 * self.n_colors * n_readouts, self.n_temporal_basis))
        basis = pt.constant(np.asarray(self.temporal_basis.T, dtype=config.floatX), name="temporal basis")
        g_t = name_variable(pt.dot(self.get_t_weights(t), basis), "g_t")
        z = (Z @ g_t[:, :, None]).reshape((-1, n_readouts))
        # Numba compiles a split and its gradient, a join, in a fraction of the time of slices and their gradient.
        parts = [z] if n_readouts == 1 else pt.split(z, [1, 1], n_splits=2, axis=1)
        shape = -1, width, width, self.n_colors
        images = (part.reshape(shape).transpose(0, 3, 1, 2) for part in parts)
        return [name_variable(image, name) for image, name in zip(images, self._readout_names, strict=True)]

    def internal_state(self, X_noisy: Tensor, t: Tensor) -> dict[str, Tensor]:
        """Return intermediate results of the network by name, each (n, channels, width, width), for plots.

        Names: Z, mu_coeff and beta_coeff, or rate_coeff of bits, and conv and dense_lower where the network has these
        paths. The arguments are those of `get_mu_sigma`.
        """
        X_noisy = self._standardize(X_noisy)
        Z = self.mlp.apply(X_noisy)
        coefficients = dict(zip(self._readout_names, self.temporal_readout(Z, t), strict=True))
        state = {"Z": Z.transpose(0, 3, 1, 2)} | coefficients
        if self.mlp.mlp_conv:
            state["conv"] = self.mlp.apply_conv(X_noisy).transpose(0, 3, 1, 2)
        if self.mlp.mlp_dense_lower:
            state["dense_lower"] = self.mlp.apply_dense_lower(X_noisy).transpose(0, 3, 1, 2)
        return state


def argument_names() -> list[str]:
    """Return the names of the arguments of DiffusionModel, in order."""
    return [field.name for field in fields(ModelArguments)]
