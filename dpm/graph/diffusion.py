"""Diffusion: a schedule, a kernel and a reverse kernel become the bound K (Eq. 14)."""

import numpy as np
import pytensor.tensor as pt

from dpm.graph import schedules
from dpm.graph.bricks import Brick


class Diffusion(Brick):
    """A chain of T steps into noise and the learned chain back, for examples of any shape and either kernel.

    A subclass names its reverse kernel p(x_{t-1} | x_t) in `reverse`. Examples are (n, *example_shape), times the
    paper's t = 1..T, one for each example, (n,).

    kernel: one of dpm.graph.kernels; beta_arr: symbolic beta_1..beta_T, (T,); example_shape: shape of one example;
    n_channels: how many elements the bound is stated for: the colors of a pixel, or a whole vector.
    uniform_noise: width of the noise that makes quantized data continuous; n_terms: how many terms of Eq. 14 a drawn
    time stands for; log_2: nats in a bit. arguments: all that determines a model with these parameters, as JSON can
    hold it, or None.
    """

    unit = "bits/example"
    n_t_per_minibatch: int = 1
    arguments: dict | None = None
    uniform_noise: float = 0.0
    log_2: float = float(np.log(2))

    def __init__(self, name, children, kernel, example_shape, n_channels):
        super().__init__(name, children)
        self.kernel = kernel
        self.example_shape = tuple(example_shape)
        self.n_channels = n_channels

    def set_schedule(self, beta_arr, trajectory_length, n_terms=None):
        """Take beta_1..beta_T; n_terms is T - 1, the terms of the sum over t = 2..T, unless given."""
        self.trajectory_length = trajectory_length
        self.n_terms = trajectory_length - 1 if n_terms is None else n_terms
        self.beta_arr = beta_arr
        self.beta_bar_arr = schedules.cumulative_beta(beta_arr)

    @property
    def n_pixels(self):
        """How many pixels an example has; 1 for vectors."""
        return int(np.prod(self.example_shape)) // self.n_channels

    def reverse(self, X_noisy, t):
        """p(x_{t-1} | x_t) as a distribution of the kernel, the learned part (a factor of Eq. 5)."""
        raise NotImplementedError

    # ------------------------------------------------------------------ the forward trajectory

    def get_t_weights(self, t):
        """Weights that pick time t out of arrays over 1..T: (n, T)."""
        return schedules.get_t_weights(t, self.trajectory_length)

    def get_rates(self, t):
        """beta_t, beta_bar_t and beta_bar_{t-1} of each example, to broadcast over its elements."""
        t_weights = self.get_t_weights(t)
        arrays = (self.beta_arr, self.beta_bar_arr[1:], self.beta_bar_arr[:-1])
        return tuple(self.by_example(pt.dot(t_weights, array)) for array in arrays)

    def get_beta_forward(self, t):
        """beta_t of each example, to broadcast over its elements."""
        return self.by_example(pt.dot(self.get_t_weights(t), self.beta_arr))

    def get_beta_full_trajectory(self):
        """beta_bar_T, the share of noise at the end of the trajectory; a scalar."""
        return self.beta_bar_arr[self.trajectory_length]

    def generate_forward_diffusion_sample(self, X_noiseless, t, N, U):
        """x_t and the posterior q(x_{t-1} | x_t, x_0) from frozen noise.

        X_noiseless: examples x_0; N: noise of the kernel's kind and U: uniform [0, 1) noise of the same shape. U makes
        quantized gray levels continuous: x_0 + (U - 1/2) uniform_noise is what is diffused.
        Returns (x_t, a distribution of the kernel).
        """
        X_uniformnoise = X_noiseless + (U - 0.5) * self.uniform_noise if self.uniform_noise else X_noiseless
        beta, beta_bar, beta_bar_previous = self.get_rates(t)
        X_noisy = self.kernel.sample(self.kernel.forward_marginal(X_uniformnoise, beta_bar), N)
        return X_noisy, self.kernel.posterior(X_uniformnoise, X_noisy, beta, beta_bar, beta_bar_previous)

    # ------------------------------------------------------------------ the bound

    def get_negL_bound(self, p, q, X_noiseless):
        """-(K - L_null) (Eq. 14 and 50) of each example estimated from one time each, bits a pixel: (n,).

        p: the model's p(x_{t-1} | x_t), q: the posterior q(x_{t-1} | x_t, x_0) (Eq. 14), X_noiseless: x_0. The KL
        divergence is weighted by the number of terms in the sum over t = 2..T, so its expectation over t is the sum.
        L_null is the log likelihood of pi(x), -H_p(X_T), and cancels the prior's entropy in K.
        """
        nats = self._mean(self.kernel.kl(q, p), X_noiseless) * self.n_terms - self.entropy_gain(X_noiseless)
        return nats / self.log_2 * self.n_channels

    def entropy_gain(self, X_noiseless):
        """H_q(X_T | X_0) - H_q(X_1 | X_0) of each example (Eq. 14, 48 and 49), nats for each element: (n,)."""
        last, first = self._marginal_entropies(X_noiseless)
        return self._mean(last - first, X_noiseless)

    def _marginal_entropies(self, X_noiseless):
        """H_q(X_T | X_0) and H_q(X_1 | X_0), nats for each element."""
        # Not [-1]: PyTensor 3.0 to 3.3 compile that index of a joined constant to a wrong value.
        times = (self.trajectory_length, 1)
        return [self.kernel.entropy_marginal(self.beta_bar_arr[t], X_noiseless) for t in times]

    def kl_single_t(self, X_noiseless, t, N, U):
        """The term of Eq. 14 for each example and its time, from one draw of x_t: nats an example, (n,)."""
        X_noisy, q = self.generate_forward_diffusion_sample(X_noiseless, t, N, U)
        return self._sum(self.kernel.kl(q, self.reverse(X_noisy, t)), X_noiseless)

    def entropies(self, X_noiseless):
        """H_q(X_T | X_0), H_q(X_1 | X_0) and H_p(X_T) of Eq. 14, nats an example: three of (n,)."""
        nats = (*self._marginal_entropies(X_noiseless), self.kernel.prior_entropy())
        return [self._sum(n, X_noiseless) for n in nats]

    def edge_correction(self, X_noiseless):
        """What K of Eq. 12 has above that of Eq. 14 for each example, nats an example: (n,).

        Eq. 14 puts -H_p(X_T) in the place of the means of log pi at t = 0, 1 and T (Eq. 42, 43). For data with the
        prior's mean and variance the mean of this is 0; uniform noise is left out, as it adds less than 1e-6.
        """
        T, pi = self.trajectory_length, self.kernel.mean_log_prior
        # Not [-1], as in _marginal_entropies.
        rates = [self.beta_bar_arr[t] for t in (T, 0, 1)]
        last, start, first = (pi(rate, X_noiseless) for rate in rates)
        return self._sum(last + start - first + self.kernel.prior_entropy(), X_noiseless)

    def log_ratio(self, X_previous, t, N):
        """x_t ~ q(x_t | x_{t-1}) and log p(x_{t-1} | x_t) - log q(x_t | x_{t-1}), a factor of Eq. 9: (n, ...), (n,).

        At t = 1 p is the forward kernel (Eq. 43), whose factor is pi(x_0) / pi(x_1).
        """
        q = self.kernel.forward_step(X_previous, self.get_beta_forward(t))
        X = self.kernel.sample(q, N)
        learned = self.kernel.log_prob(self.reverse(X, t), X_previous) - self.kernel.log_prob(q, X)
        pi = self.kernel.prior(X)
        edge = self.kernel.log_prob(pi, X_previous) - self.kernel.log_prob(pi, X)
        return [X, pt.switch(pt.gt(t, 1), *(self._sum(nats, X) for nats in (learned, edge)))]

    def cost_single_t(self, X_noiseless, t, N, U):
        """-(K - L_null) of each example at its time, bits a pixel: (n,). Shapes as in the methods called."""
        X_noisy, q = self.generate_forward_diffusion_sample(X_noiseless, t, N, U)
        return self.get_negL_bound(self.reverse(X_noisy, t), q, X_noiseless)

    def cost(self, X_noiseless, t, N, U, weights):
        """The weighted sum over examples of cost_single_t: what training makes small (Eq. 15), bits a pixel, a scalar.

        weights: (n,); those of a minibatch sum to 1, so that a part of it has its part of the mean. An example of
        weight 0 does not count, which fills up the last, partial batch.
        """
        return (weights * self.cost_single_t(X_noiseless, t, N, U)).sum()

    # ------------------------------------------------------------------ the entropy of the reverse steps

    def entropy_bounds(self, X_noiseless, t, N):
        """Both bounds of H_q(X_{t-1} | X_t) (Eq. 23, 29, 34, 35), nats a pixel, from each example: lower, upper, (n,).

        They hold for the mean over data that have the prior's mean and variance. N: noise that makes x_{t-1}, on
        which H_q(X_t | X_{t-1}) depends for some kernels.
        """
        beta, _, beta_bar_previous = self.get_rates(t)
        X_previous = self.kernel.sample(self.kernel.forward_marginal(X_noiseless, beta_bar_previous), N)
        upper = self._mean(self.kernel.entropy_step(beta, X_previous), X_noiseless) * self.n_channels
        return [upper - self.bounds_apart(X_noiseless, t) / self.n_pixels, upper]

    def bounds_apart(self, X_noiseless, t):
        """How far the bounds of Eq. 23 are apart, H_q(X_t | X_0) - H_q(X_{t-1} | X_0), nats an example: (n,).

        It is KL_t of the best reverse kernel where x_{t-1} has the upper bound as its entropy given x_t, as data of
        the prior itself.
        """
        _, *rates = self.get_rates(t)
        now, before = (self.kernel.entropy_marginal(rate, X_noiseless) for rate in rates)
        return self._sum(now - before, X_noiseless)

    def reverse_entropy(self, X_noisy, t):
        """Entropy of p(x_{t-1} | x_t) at each x_t, nats a pixel: (n,). Its mean over x_t ~ q is H_p(X_{t-1} | X_t).

        For the best p of either kernel, a Gaussian or independent bits, that mean lies within Eq. 23 too, where the
        bounds hold. X_noisy: x_t.
        """
        return self._mean(self.kernel.entropy(self.reverse(X_noisy, t)), X_noisy) * self.n_channels

    def _mean(self, values, like):
        """The mean over the elements of each example, (n,), of values that broadcast to `like`."""
        return (values + pt.zeros_like(like)).mean(axis=tuple(range(1, like.ndim)))

    def _sum(self, values, like):
        """The sum over the elements of each example, (n,), of values that broadcast to `like`."""
        return (values + pt.zeros_like(like)).sum(axis=tuple(range(1, like.ndim)))

    def by_example(self, values):
        """(n,) to broadcast over the elements of examples."""
        return values.reshape((-1, *(1 for _ in self.example_shape)))
