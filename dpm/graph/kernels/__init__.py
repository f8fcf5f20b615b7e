"""Diffusion kernels: Gaussian and binomial (Table C.1), Gaussian of full covariance, and the interface of a new one."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from numpy.typing import NDArray

from dpm.graph import Tensor
from dpm.graph.kernels.binomial import Bernoulli, BinomialKernel
from dpm.graph.kernels.full_gaussian import FullGaussian, FullGaussianKernel
from dpm.graph.kernels.gaussian import Gaussian, GaussianKernel

__all__ = [
    "Bernoulli",
    "BinomialKernel",
    "FullGaussian",
    "FullGaussianKernel",
    "Gaussian",
    "GaussianKernel",
    "Kernel",
]

P = TypeVar("P")  # a distribution of the kernel: a NamedTuple of tensors


class Kernel(Protocol[P]):
    """Interface of a diffusion kernel: the distributions of the forward chain, and operations on them.

    A kernel with a prior pi(x) that its steps leave unchanged can be diffused, trained, sampled and multiplied with
    r(x) like those of Table C.1. It needs no base class. A distribution P is a NamedTuple of tensors, such as
    `Gaussian(mu, sigma)`.

    Shapes: x, x_0 and x_t are (n, *example_shape). The rates beta = beta_t, beta_bar = beta_bar_t and
    beta_bar_previous = beta_bar_{t-1} broadcast to it: (n, 1, ..., 1), or a scalar. The fields of a P and all results
    broadcast to it too. Entropies, divergences and log densities are in nats per element: the bound sums them over the
    elements of an example.

    Training uses the attributes and the methods from `check` to `prior_entropy`; sampling also `prior`; products with
    r(x) (Eq. 21) and in-painting, the entropy bounds (Eq. 23) and importance sampling (Eq. 9) use the others. A kernel
    without the latter can still be trained. `dpm.check_kernel` tests the methods against sums over all values.

    Attributes:
        noise: noise from which `sample` draws: "normal", or "uniform" on [0, 1) (`dpm.base.noise.DRAWS`).
        binary: True where x takes only the values 0 and 1.
    """

    noise: str
    binary: bool

    # ------------------------------------------------------------------ training

    def check(self, X: NDArray[Any], name: str) -> None:
        """Raise InputError where the data X, called `name` in the message, are not in the support of the kernel."""

    def forward_marginal(self, x_0: Tensor, beta_bar: Tensor) -> P:
        """Return q(x_t | x_0), the distribution after t forward steps."""

    def posterior(self, x_0: Tensor, x_t: Tensor, beta: Tensor, beta_bar: Tensor, beta_bar_previous: Tensor) -> P:
        """Return q(x_{t-1} | x_t, x_0) by Bayes' rule (Eq. 47)."""

    def sample(self, p: P, noise: Tensor) -> Tensor:
        """Return a draw from p as a function of noise, like x: the symbolic graph draws nothing."""

    def kl(self, q: P, p: P) -> Tensor:
        """Return D_KL(q || p) (Eq. 14), nats per element."""

    def entropy_marginal(self, beta_bar: Tensor, x_0: Tensor | None = None) -> Tensor:
        """Return the entropy of q(x_t | x_0) (Eq. 14), nats per element."""

    def prior_entropy(self) -> float:
        """Return H_p(X_T), the entropy of the prior pi (Eq. 14), nats per element; a number."""

    # ------------------------------------------------------------------ sampling

    def prior(self, like: Tensor) -> P:
        """Return pi(x_T) (Eq. 4), in the shape and type of `like`."""

    # ------------------------------------------------------------------ entropies and likelihood

    def forward_step(self, x_previous: Tensor, beta: Tensor) -> P:
        """Return q(x_t | x_{t-1}) (Eq. 2)."""

    def log_prob(self, p: P, x: Tensor) -> Tensor:
        """Return log p(x), nats per element."""

    def mean_log_prior(self, beta_bar: Tensor, x_0: Tensor) -> Tensor:
        """Return the mean of log pi(x_t) over q(x_t | x_0) (before Eq. 42), nats per element."""

    def entropy_step(self, beta: Tensor, x_previous: Tensor | None = None) -> Tensor:
        """Return the entropy of q(x_t | x_{t-1}) (Eq. 23), nats per element."""

    def entropy(self, p: P) -> Tensor:
        """Return the entropy of p, nats per element."""

    def predict(self, p: P, x_t: Tensor, beta: Tensor, beta_bar: Tensor, beta_bar_previous: Tensor) -> Tensor:
        """Return E[x_0 | x_t] that p(x_{t-1} | x_t) implies: the x_0 whose posterior is p."""

    # ------------------------------------------------------------------ products with r(x)

    def multiply(self, p: P, observed: Tensor, precision: Tensor) -> P:
        """Return p(x) r(x) normalized, r(x) = exp(-precision (x - observed)^2 / 2) (Eq. 21); precision 0 returns p."""

    def log_normalizer(self, p: P, observed: Tensor, precision: Tensor) -> Tensor:
        """Return the log of the integral of p(x) r(x), with the r of `multiply` (Eq. 52), nats per element."""

    def perturb(self, p: P, log_r: Callable[[Tensor], Tensor], exponent: Tensor | None = None) -> P:
        """Return p(x) r(x)^exponent to first order in log r (Eq. 21, Table C.1).

        log_r: a function of symbolic x, (n, *example_shape), that returns nats, (n,); exponent: (n,), None for 1.
        """

    def condition(self, p: P, known: Tensor, x: Tensor) -> P:
        """Return p(x) times a delta at x where `known` is 1 (section 2.5.3); elsewhere p."""

    def choose(self, condition: Tensor, p: P, q: P) -> P:
        """Return p where the condition holds and q elsewhere."""
