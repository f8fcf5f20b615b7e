"""Diffusion: a schedule, a kernel and a reverse kernel become the bound K (Eq. 14), a symbolic graph."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt
from numpy.typing import ArrayLike
from pytensor import config
from pytensor.tensor.sharedvar import TensorSharedVariable

from dpm.base import noise
from dpm.base.errors import InputError
from dpm.graph import Tensor, schedules
from dpm.graph.bricks import Brick
from dpm.graph.dispatch import import_when_compiling
from dpm.graph.kernels import Kernel
from dpm.graph.naming import name_fields, name_variable

import_when_compiling("jax", "symbolic_batch")  # for `Diffusion.inputs()` without a number of examples


class Diffusion(Brick):
    """A chain of T steps into noise and the learned chain back, for examples of any shape and any kernel.

    A subclass defines its reverse kernel p(x_{t-1} | x_t) in `reverse` and calls `set_schedule`. Examples are
    (n, *example_shape); times are the paper's, t = 1..T, one per example, (n,). All methods take and return symbolic
    variables. Noise is an argument; nothing is drawn.

    Args:
        name: name in the paths of the parameters.
        children: bricks with parameters, in the order of the parameters.
        kernel: kernel of the forward and reverse chain, see dpm.graph.kernels.Kernel.
        example_shape: shape of one example.
        n_channels: number of elements of a pixel: the colors of an image, or the size of a vector. The bound is per
            pixel.

    Attributes:
        unit: unit of the bound, "bits/pixel" or "bits/example".
        uniform_noise: width of the uniform noise that makes quantized data continuous, in the units of the data.
        n_terms: number of terms of Eq. 14 that a drawn time represents, T - 1 by default.
        log_2: nats per bit.
        n_t_per_minibatch: number of times drawn for each example of a minibatch in training.
        arguments: arguments that determine the model, as JSON can hold them; None where that is not known.
        trajectory_length: T.
        beta_arr: beta_1..beta_T, (T,).
        beta_bar_arr: beta_bar_0..beta_bar_T, (T + 1,), the shares of noise 1 - prod_{s <= t} (1 - beta_s).

    Example:
        A model whose reverse steps are the forward ones, which is exact for white noise:

        >>> class Null(dpm.Diffusion):
        ...     def __init__(self, beta):
        ...         schedule = dpm.schedules.FixedSchedule(beta)
        ...         super().__init__("null", [schedule], dpm.GaussianKernel(), (3,), 3)
        ...         self.set_schedule(schedule.beta_arr(), len(beta))
        ...     def reverse(self, X_noisy, t):
        ...         return self.kernel.forward_step(X_noisy, self.get_beta_forward(t))
        >>> Null(dpm.schedules.linear(10, 0.1, 0.5)).trajectory_length
        10
    """

    unit = "bits/example"
    n_t_per_minibatch: int = 1
    arguments: dict[str, Any] | None = None
    uniform_noise: float = 0.0
    log_2: float = float(np.log(2))
    trajectory_length: int
    n_terms: int
    beta_arr: Tensor
    beta_bar_arr: Tensor

    def __init__(
        self, name: str, children: Sequence[Brick], kernel: Kernel[Any], example_shape: Sequence[int], n_channels: int
    ) -> None:
        super().__init__(name, children)
        self.kernel = kernel
        self.example_shape = tuple(example_shape)
        self.n_channels = n_channels

    def set_schedule(self, beta_arr: Tensor, trajectory_length: int, n_terms: int | None = None) -> None:
        """Set the rates of the chain.

        Args:
            beta_arr: beta_1..beta_T, (T,).
            trajectory_length: T.
            n_terms: number of terms of Eq. 14 that a drawn time represents; T - 1, those of the sum over t = 2..T, by
                default.
        """
        self.trajectory_length = trajectory_length
        self.n_terms = trajectory_length - 1 if n_terms is None else n_terms
        self.beta_arr = name_variable(beta_arr, "beta")
        self.beta_bar_arr = name_variable(schedules.cumulative_beta(beta_arr), "beta_bar")

    @property
    def dtype(self) -> str:
        """The float type of the graphs: pytensor.config.floatX at the construction of the model."""
        return str(self.beta_arr.dtype)

    @property
    def n_pixels(self) -> int:
        """Number of pixels of an example; 1 for vectors."""
        return int(np.prod(self.example_shape)) // self.n_channels

    def reverse(self, X_noisy: Tensor, t: Tensor) -> Any:
        """Return p(x_{t-1} | x_t), the learned part (a factor of Eq. 5), as a distribution of the kernel.

        Args:
            X_noisy: x_t, (n, *example_shape).
            t: its time, (n,).
        """
        raise NotImplementedError

    def check_float_type(self, dtype: str) -> None:
        """Raise InputError where the model, or a parameter in it, was built in another float type."""
        parameters = ((path, str(p.variable.dtype)) for path, p in self.parameters().items())
        for name, found in (("model", self.dtype), *parameters):
            if found != dtype:
                raise InputError(
                    f"{name}: got {found}, the floatX when it was built; expected {dtype}, the engine's float type; "
                    "build the model and all its parts within `with engine:`"
                )

    # ------------------------------------------------------------------ symbolic inputs and parameters

    def inputs(self, n: int | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return symbolic inputs of `cost_single_t`, of type pytensor.config.floatX: (x0, t, noise, u).

        x0: examples x_0, and noise: the kernel's noise, and u: uniform [0, 1) noise, each (n, *example_shape);
        t: times, (n,). A cost does without u where `uniform_noise` is 0.

        Args:
            n: number of examples; None for any number. A fixed number makes faster functions.

        Raises:
            InputError: the model was built with another floatX.

        Example:
            >>> import dpm, pytensor
            >>> model = dpm.DiffusionModel(spatial_width=8, n_colors=1, trajectory_length=10)
            >>> x0, t, noise, u = model.inputs()
            >>> gain = -model.cost_single_t(x0, t, noise, u)
            >>> theta = model.shared(seed=0)
            >>> gradients = pytensor.grad(gain.mean(), list(theta.values()))
            >>> len(gradients) == len(theta)
            True
        """
        dtype = self.beta_arr.dtype
        if dtype != config.floatX:
            raise InputError(
                f"floatX: got {config.floatX}; expected {dtype}, with which the model was built; set "
                f'pytensor.config.floatX = "{dtype}"'
            )
        x0, kernel_noise, u = (
            pt.tensor(name, dtype=dtype, shape=(n, *self.example_shape)) for name in ("x0", "noise", "u")
        )
        return x0, pt.tensor("t", dtype=dtype, shape=(n,)), kernel_noise, u

    def shared(self, seed: int = 0, values: Mapping[str, ArrayLike] | None = None) -> dict[str, TensorSharedVariable]:
        """Set the values of all parameters and return the trained ones, shared variables by Blocks path.

        They are the variables in every graph of the model, also in one built before this call. The frozen coefficients
        of the released schedule (role SCHEDULE) are not among them.

        Args:
            seed: seed of the initial values; those of a training run of that seed.
            values: values by path to take instead, such as the parameters of a checkpoint.

        Raises:
            InputError: a parameter is missing in `values`, is unknown, or has another shape than the model's.
        """
        parameters = self.parameters()
        trained = {path: parameter.variable for path, parameter in parameters.items() if parameter.is_trained}
        if values is None:
            values = self.initialize(noise.generator(seed, noise.START, 1))
        for path in [*values, *trained]:
            if path not in parameters or path not in values:
                problem = "is missing" if path in parameters else "is not a parameter of this model"
                raise InputError(f"values: {path} {problem}; expected {', '.join(trained)}")
        for path, value in values.items():
            variable, shape = parameters[path].variable, parameters[path].shape
            if np.shape(value) != shape:
                raise InputError(f"values: got shape {np.shape(value)} for {path}; expected {shape}")
            variable.set_value(np.array(value, dtype=variable.dtype), borrow=True)
        return trained

    # ------------------------------------------------------------------ the forward trajectory

    def get_t_weights(self, t: Tensor) -> Tensor:
        """Return weights that select time t from arrays over 1..T, (n, T)."""
        return name_variable(schedules.get_t_weights(t, self.trajectory_length), "t weights")

    def get_rates(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return beta_t, beta_bar_t and beta_bar_{t-1} of each example, each (n, 1, ..., 1)."""
        t_weights = self.get_t_weights(t)
        arrays = (self.beta_arr, self.beta_bar_arr[1:], self.beta_bar_arr[:-1])
        rates = (self.by_example(pt.dot(t_weights, array)) for array in arrays)
        beta, beta_bar, beta_bar_previous = map(name_variable, rates, ("beta_t", "beta_bar_t", "beta_bar_{t-1}"))
        return beta, beta_bar, beta_bar_previous

    def get_beta_forward(self, t: Tensor) -> Tensor:
        """Return beta_t of each example, (n, 1, ..., 1)."""
        return name_variable(self.by_example(pt.dot(self.get_t_weights(t), self.beta_arr)), "beta_t")

    def get_beta_full_trajectory(self) -> Tensor:
        """Return beta_bar_T, the share of noise at the end of the trajectory, a scalar."""
        return self.beta_bar_arr[self.trajectory_length]

    def generate_forward_diffusion_sample(
        self, X_noiseless: Tensor, t: Tensor, N: Tensor, U: Tensor | None = None
    ) -> tuple[Tensor, Any]:
        """Return x_t and the posterior q(x_{t-1} | x_t, x_0), a distribution of the kernel, from frozen noise.

        Args:
            X_noiseless: examples x_0, (n, *example_shape).
            t: times, (n,).
            N: noise of the kernel's kind, like x_0.
            U: uniform [0, 1) noise, like x_0. It makes quantized gray levels continuous: the diffused value is
                x_0 + (U - 1/2) uniform_noise. It may be left out where `uniform_noise` is 0.

        Raises:
            InputError: U is left out, but `uniform_noise` is not 0.
        """
        if U is None and self.uniform_noise:
            raise InputError(
                f"U: got None; expected uniform [0, 1) noise like x_0, as uniform_noise is {self.uniform_noise:g}; "
                "give the fourth of model.inputs()"
            )
        X_uniformnoise = X_noiseless
        if U is not None:
            X_uniformnoise = name_variable(X_noiseless + (U - 0.5) * self.uniform_noise, "X_uniformnoise")
        beta, beta_bar, beta_bar_previous = self.get_rates(t)
        marginal = name_fields(self.kernel.forward_marginal(X_uniformnoise, beta_bar), "q marginal")
        X_noisy = name_variable(self.kernel.sample(marginal, N), "X_noisy")
        posterior = self.kernel.posterior(X_uniformnoise, X_noisy, beta, beta_bar, beta_bar_previous)
        return X_noisy, name_fields(posterior, "q posterior")

    # ------------------------------------------------------------------ the bound

    def get_negL_bound(self, p: Any, q: Any, X_noiseless: Tensor) -> Tensor:
        """Return -(K - L_null) (Eq. 14 and 50) of each example, estimated at one time each, in bits per pixel, (n,).

        The KL divergence is weighted by the number of terms in the sum over t = 2..T, so its expectation over t is the
        sum. L_null is the log likelihood of pi(x), -H_p(X_T), and cancels the prior's entropy in K.

        Args:
            p: the model's p(x_{t-1} | x_t).
            q: the posterior q(x_{t-1} | x_t, x_0) (Eq. 14).
            X_noiseless: x_0.
        """
        KL = self._mean(self.kernel.kl(q, p), X_noiseless, "KL_t")
        nats = KL * self.n_terms - self.entropy_gain(X_noiseless)
        return nats / self.log_2 * self.n_channels

    def entropy_gain(self, X_noiseless: Tensor) -> Tensor:
        """Return H_q(X_T | X_0) - H_q(X_1 | X_0) of each example (Eq. 14, 48 and 49), in nats per element, (n,)."""
        last, first = self._marginal_entropies(X_noiseless)
        return self._mean(last - first, X_noiseless, "H_q(X_T|X_0) - H_q(X_1|X_0)")

    def _marginal_entropies(self, X_noiseless: Tensor) -> tuple[Tensor, Tensor]:
        """Return H_q(X_T | X_0) and H_q(X_1 | X_0), in nats per element."""
        # Not [-1]: PyTensor 3.0 to 3.3 compile that index of a joined constant to a wrong value.
        last, first = (self.beta_bar_arr[t] for t in (self.trajectory_length, 1))
        last, first = (self.kernel.entropy_marginal(rate, X_noiseless) for rate in (last, first))
        return name_variable(last, "H_q(X_T|X_0)"), name_variable(first, "H_q(X_1|X_0)")

    def kl_single_t(self, X_noiseless: Tensor, t: Tensor, N: Tensor, U: Tensor | None = None) -> Tensor:
        """Return the term of Eq. 14 of each example at its time, from one draw of x_t, in nats per example, (n,).

        The arguments are those of `generate_forward_diffusion_sample`.
        """
        X_noisy, q = self.generate_forward_diffusion_sample(X_noiseless, t, N, U)
        return self._sum(self.kernel.kl(q, self._reverse(X_noisy, t)), X_noiseless, "KL_t")

    def entropies(self, X_noiseless: Tensor) -> list[Tensor]:
        """Return H_q(X_T | X_0), H_q(X_1 | X_0) and H_p(X_T) of Eq. 14, each in nats per example, (n,)."""
        nats = (*self._marginal_entropies(X_noiseless), self.kernel.prior_entropy())
        return [self._sum(n, X_noiseless) for n in nats]

    def edge_correction(self, X_noiseless: Tensor) -> Tensor:
        """Return K of Eq. 12 minus K of Eq. 14 for each example, in nats per example, (n,).

        Eq. 14 replaces the means of log pi at t = 0, 1 and T by -H_p(X_T) (Eq. 42, 43). For data with the prior's mean
        and variance the mean of this is 0. Uniform noise is neglected: it adds less than 1e-6.
        """
        T, pi = self.trajectory_length, self.kernel.mean_log_prior
        # Not [-1], as in _marginal_entropies.
        rates = [self.beta_bar_arr[t] for t in (T, 0, 1)]
        last, start, first = (pi(rate, X_noiseless) for rate in rates)
        return self._sum(last + start - first + self.kernel.prior_entropy(), X_noiseless)

    def log_ratio(self, X_previous: Tensor, t: Tensor, N: Tensor) -> list[Tensor]:
        """Return x_t ~ q(x_t | x_{t-1}) and log p(x_{t-1} | x_t) - log q(x_t | x_{t-1}), a factor of Eq. 9.

        At t = 1 p is the forward kernel (Eq. 43), whose factor is pi(x_0) / pi(x_1).

        Args:
            X_previous: x_{t-1}, (n, *example_shape).
            t: times, (n,).
            N: noise of the kernel's kind, like x_{t-1}.

        Returns:
            x_t, (n, *example_shape), and the log ratio in nats, (n,).
        """
        q = name_fields(self.kernel.forward_step(X_previous, self.get_beta_forward(t)), "q")
        X = name_variable(self.kernel.sample(q, N), "X_noisy")
        learned = self.kernel.log_prob(self._reverse(X, t), X_previous) - self.kernel.log_prob(q, X)
        pi = self.kernel.prior(X)
        first = self.kernel.log_prob(pi, X_previous) - self.kernel.log_prob(pi, X)
        return [X, pt.switch(pt.gt(t, 1), *(self._sum(nats, X) for nats in (learned, first)))]

    def cost_single_t(self, X_noiseless: Tensor, t: Tensor, N: Tensor, U: Tensor | None = None) -> Tensor:
        """Return -(K - L_null) of each example, estimated at one time each, in bits per pixel, (n,).

        K is the lower bound of the log likelihood (Eq. 14) and L_null the log likelihood of the prior pi(x). So the
        negative of this, K - L_null, is the gain of the model over the prior; its mean over examples, times t = 2..T
        and noise is the bound's. The unit is `self.unit`. The arguments are those of `inputs`, and of
        `generate_forward_diffusion_sample`.
        """
        X_noisy, q = self.generate_forward_diffusion_sample(X_noiseless, t, N, U)
        return self.get_negL_bound(self._reverse(X_noisy, t), q, X_noiseless)

    def cost(self, X_noiseless: Tensor, t: Tensor, N: Tensor, U: Tensor | None, weights: Tensor) -> Tensor:
        """Return the weighted sum over examples of cost_single_t, which training minimizes (Eq. 15), a scalar.

        Args:
            X_noiseless: examples x_0; t, N and U as in `cost_single_t`.
            t: times, (n,).
            N: noise of the kernel's kind, like x_0.
            U: uniform [0, 1) noise, like x_0; or None where `uniform_noise` is 0.
            weights: weight of each example, (n,). The weights of a minibatch sum to 1, so that a microbatch has its
                share of the mean. Examples of weight 0 pad the last, partial batch.
        """
        return (weights * self.cost_single_t(X_noiseless, t, N, U)).sum()

    # ------------------------------------------------------------------ the entropy of the reverse steps

    def entropy_bounds(self, X_noiseless: Tensor, t: Tensor, N: Tensor) -> list[Tensor]:
        """Return the lower and upper bound of H_q(X_{t-1} | X_t) (Eq. 23, 29, 34, 35), in nats per pixel, each (n,).

        They hold for the mean over data that have the prior's mean and variance.

        Args:
            X_noiseless: examples x_0, (n, *example_shape).
            t: times, (n,).
            N: noise that makes x_{t-1}, on which H_q(X_t | X_{t-1}) depends for some kernels, like x_0.
        """
        beta, _, beta_bar_previous = self.get_rates(t)
        X_previous = self.kernel.sample(self.kernel.forward_marginal(X_noiseless, beta_bar_previous), N)
        upper = self._mean(self.kernel.entropy_step(beta, X_previous), X_noiseless) * self.n_channels
        return [upper - self.bounds_apart(X_noiseless, t) / self.n_pixels, upper]

    def bounds_apart(self, X_noiseless: Tensor, t: Tensor) -> Tensor:
        """Return the gap of the bounds of Eq. 23, H_q(X_t | X_0) - H_q(X_{t-1} | X_0), in nats per example, (n,).

        It is KL_t of the best reverse kernel where x_{t-1} has the upper bound as its entropy given x_t, as data
        distributed as the prior have.
        """
        _, *rates = self.get_rates(t)
        now, before = (self.kernel.entropy_marginal(rate, X_noiseless) for rate in rates)
        return self._sum(now - before, X_noiseless)

    def reverse_entropy(self, X_noisy: Tensor, t: Tensor) -> Tensor:
        """Return the entropy of p(x_{t-1} | x_t) at each x_t, in nats per pixel, (n,).

        Its mean over x_t ~ q is H_p(X_{t-1} | X_t). For the best p of either kernel, a Gaussian or independent bits,
        that mean is within Eq. 23 too, where the bounds hold.
        """
        return self._mean(self.kernel.entropy(self._reverse(X_noisy, t)), X_noisy) * self.n_channels

    def _reverse(self, X_noisy: Tensor, t: Tensor) -> Any:
        """Return `reverse` with its variables named."""
        return name_fields(self.reverse(X_noisy, t), "p")

    def _mean(self, values: Any, like: Tensor, name: str | None = None) -> Tensor:
        """Return the mean over the elements of each example, (n,), of values that broadcast to `like`."""
        mean: Tensor = (values + pt.zeros_like(like)).mean(axis=tuple(range(1, like.ndim)))
        mean.name = name  # PyTensor's own name of it is "mean"
        return mean

    def _sum(self, values: Any, like: Tensor, name: str | None = None) -> Tensor:
        """Return the sum over the elements of each example, (n,), of values that broadcast to `like`."""
        total: Tensor = (values + pt.zeros_like(like)).sum(axis=tuple(range(1, like.ndim)))
        total.name = name
        return total

    def by_example(self, values: Tensor) -> Tensor:
        """Return values, (n,), as (n, 1, ..., 1), to broadcast over the elements of examples."""
        return values.reshape((-1, *(1 for _ in self.example_shape)))
