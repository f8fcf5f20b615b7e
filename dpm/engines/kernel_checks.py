"""Checks of a diffusion kernel: each method against sums over all values of one element, or over a grid of them.

The sums know the kernel by its `log_prob` and `forward_step` only, and `log_prob` must sum to one. So the checks hold
for every kernel with the methods of `dpm.kernels.Kernel`, a user's too.
"""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytensor.tensor as pt
from numpy.typing import ArrayLike, NDArray
from pytensor import config
from pytensor.compile.mode import Mode
from scipy.special import logsumexp
from scipy.stats import norm

from dpm.base.errors import InputError
from dpm.graph.kernels import Kernel

TOLERANCE = 1e-6  # nats or probabilities; sums over the grid are exact to about 1e-12
POINTS = 201  # of the grid
FARTHEST = {"normal": 8.5, "uniform": 1 - 1e-12}  # noise at the upper end of the grid
DRAWS = 20_000
STEPS = (0.3, 0.2, 0.6)  # rates of consecutive steps
REQUIRED = ("check", "forward_marginal", "posterior", "sample", "kl", "entropy_marginal", "prior_entropy", "prior")
KNOWN = ("forward_step", "log_prob")  # which the sums use

INTERPRETER = Mode(linker="py", optimizer="None")

Array = NDArray[np.float64]
Case = tuple[str, ArrayLike, ArrayLike]  # what is compared, and the two numbers or arrays


def check_kernel(kernel: Kernel[Any], values: ArrayLike | None = None) -> dict[str, float]:
    """Check the methods of a diffusion kernel against sums over all values of one element.

    Of a kernel of continuous values the sums are over a grid, and all its densities must be smooth. Methods that are
    needed only for entropies, likelihoods or products with r(x) are checked where the kernel has them.

    Args:
        kernel: a kernel with the methods of `dpm.kernels.Kernel`.
        values: all values that an element can have, (k,); None for 0 and 1 of a binary kernel, else for a grid.

    Returns:
        The largest difference found by each check, by its name.

    Raises:
        InputError: a method is missing, has other arguments or disagrees; the line names the method and the equation.

    Example:
        >>> found = dpm.check_kernel(dpm.GaussianKernel())
        >>> list(found)[:3]
        ['check', 'densities', 'prior']
        >>> max(found.values()) < 1e-6
        True
    """
    _check_interface(kernel)
    with config.change_flags(floatX="float64"):
        table = Table(kernel, values)
        return {name: largest_difference(name, check(table)) for name, check in CHECKS.items() if table.has(name)}


def _check_interface(kernel: Any) -> None:
    for name in (*REQUIRED, *KNOWN):
        if not hasattr(kernel, name):
            raise InputError(f"kernel.{name}: missing; expected the methods of dpm.kernels.Kernel from check to prior")
    for name in ("noise", "binary"):
        if not hasattr(kernel, name):
            raise InputError(f"kernel.{name}: missing; expected the attributes noise and binary of dpm.kernels.Kernel")
    if kernel.noise not in FARTHEST:
        raise InputError(f"kernel.noise: got {kernel.noise!r}; expected {' or '.join(map(repr, FARTHEST))}")
    for name, method in vars(Kernel).items():
        if inspect.isfunction(method) and name[0] != "_" and hasattr(kernel, name):
            expected = [parameter for parameter in inspect.signature(method).parameters if parameter != "self"]
            given = list(inspect.signature(getattr(kernel, name)).parameters)
            if given[: len(expected)] != expected:
                raise InputError(f"kernel.{name}: got the arguments {given}; expected {expected}")


def largest_difference(name: str, cases: Iterator[Case]) -> float:
    """Return the largest difference of a check; raise InputError where it is above the tolerance."""
    largest = 0.0
    for what, got, expected in cases:
        difference = float(np.max(np.abs(np.asarray(got) - np.asarray(expected))))
        if not difference <= TOLERANCE:
            raise InputError(f"kernel: the check {name!r} differs by {difference:.2g}; expected {what}")
        largest = max(largest, difference)
    return largest


class Table:
    """A kernel, all values of an element and the weight of each in a sum; densities as arrays over the values."""

    def __init__(self, kernel: Any, values: ArrayLike | None) -> None:
        self.kernel = kernel
        if values is None and kernel.binary:
            values = [0.0, 1.0]
        if values is not None:
            self.points, self.weight = np.asarray(values, dtype=np.float64), 1.0
            self.starts = self.points[[0, -1]]
        else:
            far = FARTHEST[kernel.noise]
            noise = {"normal": [-far, far, -0.8, 1.1], "uniform": [1 - far, far, 0.2, 0.85]}[kernel.noise]
            low, high, *starts = self.draw(kernel.prior(column(np.zeros(4))), noise)
            self.points = np.linspace(low, high, POINTS)
            self.weight, self.starts = float(self.points[1] - self.points[0]), np.asarray(starts)
        self.x = column(self.points)

    def has(self, check: str) -> bool:
        """Return True where the kernel has the method that a check is of."""
        return hasattr(self.kernel, METHODS.get(check, "log_prob"))

    def draw(self, p: Any, noise: ArrayLike) -> Array:
        """Return draws from p with this noise, (n,)."""
        N = column(np.asarray(noise, dtype=np.float64))
        return value(self.kernel.sample(p, N) + 0 * N)[:, 0]

    def log(self, p: Any) -> Array:
        """Return log p at the values, (k,)."""
        return value(self.kernel.log_prob(p, self.x) + 0 * self.x)[:, 0]

    def log_matrix(self, beta: float) -> Array:
        """Return log q(x_t | x_{t-1}) of one step, rows from x_{t-1}, (k, k)."""
        k = len(self.points)
        before, after = column(np.repeat(self.points, k)), column(np.tile(self.points, k))
        log_q = self.kernel.log_prob(self.kernel.forward_step(before, constant(beta)), after)
        return value(log_q + 0 * after).reshape(k, k)

    def same(self, x: float) -> Any:
        """Return x for each of the values, symbolic (k, 1)."""
        return column(np.full(len(self.points), x))

    def sum(self, array: Array) -> float:
        """Return the sum or integral over the values."""
        return float(array.sum() * self.weight)

    def mean(self, log_p: Array, array: Array) -> float:
        """Return the mean over p; where p is 0 the array does not count."""
        p = np.exp(log_p)
        return self.sum(np.where(p > 0, p * np.where(p > 0, array, 0), 0))

    def normalized(self, log_p: Array) -> Array:
        """Return log p with the sum 1."""
        normalized: Array = log_p - logsumexp(log_p) - np.log(self.weight)
        return normalized

    def in_units(self, x: Array) -> Array:
        """Return values of x in units of the kernel's own: 0 and 1 at the two values of x_0."""
        units: Array = (x - self.starts[0]) / (self.starts[1] - self.starts[0])
        return units

    def observation(self) -> tuple[float, float]:
        """Return an observation and its precision, in the middle of the values and about as wide as the prior."""
        return float(self.starts.mean()), 6.0 / float(self.starts[1] - self.starts[0]) ** 2

    def number(self, variable: Any) -> float:
        """Return the first element of a graph, or a number."""
        return float(np.ravel(value(variable))[0])

    def marginals(self) -> Iterator[tuple[float, float, Any]]:
        """Yield x_0, beta_bar and q(x_t | x_0)."""
        for x_0 in self.starts:
            for beta_bar in (0.3, 0.8):
                yield x_0, beta_bar, self.kernel.forward_marginal(self.same(x_0), constant(beta_bar))

    def posteriors(self) -> Iterator[tuple[float, float, tuple[float, float, float], Any]]:
        """Yield x_0, x_t, the rates beta_t, beta_bar_t, beta_bar_{t-1} and q(x_{t-1} | x_t, x_0)."""
        for x_0 in self.starts:
            for x_t in self.starts:
                rates = 0.4, 1 - 0.6 * 0.7, 0.3
                q = self.kernel.posterior(self.same(x_0), self.same(x_t), *map(constant, rates))
                yield x_0, x_t, rates, q


def constant(number: ArrayLike) -> Any:
    """Return a number or array as a float64 constant of a graph."""
    return pt.constant(np.asarray(number, dtype=np.float64))


def column(array: Array) -> Any:
    """Return an array, (n,), as n examples of one element, (n, 1)."""
    return constant(array[:, None])


def value(variable: Any) -> Array:
    """Return the value of a graph without inputs, by PyTensor's interpreter: nothing is rewritten or compiled."""
    array: Array = np.asarray(pt.as_tensor(variable).eval(mode=INTERPRETER), dtype=np.float64)
    return array


# ---------------------------------------------------------------------- the checks


def _check(table: Table) -> Iterator[Case]:
    for data, accepted in ((table.points[:, None], True), (np.full((2, 1), np.nan), False)):
        try:
            table.kernel.check(data, "X")
            got = True
        except InputError:
            got = False
        yield "check to accept values of the kernel and to refuse NaN", float(got), float(accepted)


def _densities(table: Table) -> Iterator[Case]:
    for *_, q in (*table.marginals(), *table.posteriors()):
        yield "log_prob to sum to 1 over all values", table.sum(np.exp(table.log(q))), 1.0


def _prior(table: Table) -> Iterator[Case]:
    log_pi = table.log(table.kernel.prior(table.x))
    pi = np.exp(log_pi)
    after = table.weight * pi @ np.exp(table.log_matrix(0.4))
    yield "every forward_step to leave the prior as it is (Eq. 1)", after, pi
    yield "prior_entropy = H_p(X_T), the prior's (Eq. 14)", table.kernel.prior_entropy(), -table.mean(log_pi, log_pi)


def _marginal(table: Table) -> Iterator[Case]:
    for x_0 in table.starts:
        law = np.exp(table.log(table.kernel.forward_step(table.same(x_0), constant(STEPS[0]))))
        for beta in STEPS[1:]:
            law = table.weight * law @ np.exp(table.log_matrix(beta))
        beta_bar = 1 - np.prod(1 - np.array(STEPS))
        marginal = table.kernel.forward_marginal(table.same(x_0), constant(beta_bar))
        yield "forward_marginal to be the steps one after the other (Eq. 3)", np.exp(table.log(marginal)), law


def _posterior(table: Table) -> Iterator[Case]:
    for x_0, x_t, (beta, _, before), q in table.posteriors():
        step = table.kernel.log_prob(table.kernel.forward_step(table.x, constant(beta)), table.same(x_t))
        first = table.log(table.kernel.forward_marginal(table.same(x_0), constant(before)))
        expected = table.normalized(value(step + 0 * table.x)[:, 0] + first)
        yield "posterior by Bayes' rule (Eq. 47)", np.exp(table.log(q)), np.exp(expected)


def _kl(table: Table) -> Iterator[Case]:
    distributions = [q for *_, q in (*table.marginals(), *table.posteriors())]
    for q, p in zip(distributions, [*distributions[1:], distributions[0]], strict=True):
        log_q, log_p = table.log(q), table.log(p)
        kl = table.number(table.kernel.kl(q, p))
        yield "kl = D_KL(q || p), the mean of log(q / p) (Eq. 14)", kl, table.mean(log_q, log_q - log_p)
        yield "kl of a distribution and itself to be 0", table.number(table.kernel.kl(q, q)), 0.0


def _entropy_marginal(table: Table) -> Iterator[Case]:
    for x_0, beta_bar, q in table.marginals():
        entropy, log_q = table.kernel.entropy_marginal(constant(beta_bar), table.same(x_0)), table.log(q)
        yield "entropy_marginal = H_q(X_t | X_0 = x_0) (Eq. 14)", table.number(entropy), -table.mean(log_q, log_q)


def _entropy_step(table: Table) -> Iterator[Case]:
    for x in table.starts:
        log_q = table.log(table.kernel.forward_step(table.same(x), constant(0.4)))
        entropy = table.kernel.entropy_step(constant(0.4), table.same(x))
        yield "entropy_step = H_q(X_t | X_{t-1} = x) (Eq. 23)", table.number(entropy), -table.mean(log_q, log_q)


def _entropy(table: Table) -> Iterator[Case]:
    for *_, q in (*table.marginals(), *table.posteriors()):
        log_q = table.log(q)
        yield "entropy = that of the distribution", table.number(table.kernel.entropy(q)), -table.mean(log_q, log_q)


def _mean_log_prior(table: Table) -> Iterator[Case]:
    log_pi = table.log(table.kernel.prior(table.x))
    for x_0, beta_bar, q in table.marginals():
        mean = table.number(table.kernel.mean_log_prior(constant(beta_bar), table.same(x_0)))
        yield "mean_log_prior = the mean of log pi(x_t) (Eq. 42)", mean, table.mean(table.log(q), log_pi)


def _sample(table: Table) -> Iterator[Case]:
    """Compare the mean and the mean square of draws at evenly spaced quantiles of the noise."""
    quantiles = (np.arange(DRAWS) + 0.5) / DRAWS
    noise = norm.ppf(quantiles) if table.kernel.noise == "normal" else quantiles
    for x_0, beta_bar, q in table.marginals():
        many = table.kernel.forward_marginal(column(np.full(DRAWS, x_0)), constant(beta_bar))
        draws, log_q = table.in_units(table.draw(many, noise)), table.log(q)
        for power in (1, 2):
            expected = table.mean(log_q, table.in_units(table.points) ** power)
            # The tails between the quantiles are lost: a difference of the order of 1 / DRAWS is none.
            excess = max(0.0, abs(float(np.mean(draws**power)) - expected) - 20 / DRAWS)
            yield "draws of sample to have the mean and variance of log_prob", excess, 0.0


def _predict(table: Table) -> Iterator[Case]:
    for x_0, x_t, rates, q in table.posteriors():
        predicted = table.kernel.predict(q, table.same(x_t), *map(constant, rates))
        difference = (table.number(predicted) - x_0) / float(table.starts[1] - table.starts[0])
        yield "predict of posterior to be x_0", difference, 0.0


def _multiply(table: Table) -> Iterator[Case]:
    observed, precision = table.observation()
    for *_, q in table.marginals():
        log_r = -0.5 * precision * (table.points - observed) ** 2
        product = table.kernel.multiply(q, constant(observed), constant(precision))
        expected = table.normalized(table.log(q) + log_r)
        yield "multiply = p(x) r(x), normalized (Eq. 21)", np.exp(table.log(product)), np.exp(expected)


def _log_normalizer(table: Table) -> Iterator[Case]:
    observed, precision = table.observation()
    for *_, q in table.marginals():
        log_Z = table.number(table.kernel.log_normalizer(q, constant(observed), constant(precision)))
        log_r = -0.5 * precision * (table.points - observed) ** 2
        expected = np.log(table.mean(table.log(q), np.exp(log_r)))
        yield "log_normalizer = log of the sum of p(x) r(x) (Eq. 52)", log_Z, expected


def _perturb(table: Table) -> Iterator[Case]:
    """Compare the mean under p r with r = exp(a x), a so small that first order is enough."""
    a = 1e-3 / float(table.starts[1] - table.starts[0])
    for *_, q in table.marginals():
        log_q = table.log(q)
        perturbed = table.log(table.kernel.perturb(q, lambda x: a * x.sum(axis=1)))
        exact = table.normalized(log_q + a * table.points)
        got, expected = (table.mean(log_p, table.in_units(table.points)) for log_p in (perturbed, exact))
        yield "perturb = p(x) r(x) to first order (Eq. 21)", got, expected


def _condition(table: Table) -> Iterator[Case]:
    x, noise = table.starts[0], 0.3
    for *_, q in table.marginals():
        for known in (1.0, 0.0):
            held = table.kernel.condition(q, table.same(known), table.same(x))
            draws = table.draw(held, np.full(len(table.points), noise))
            expected = x if known else table.draw(q, np.full(len(table.points), noise))
            yield "condition to hold what is known, and nothing else (2.5.3)", draws, expected


def _choose(table: Table) -> Iterator[Case]:
    (*_, p), (*_, q) = list(table.marginals())[:2]
    for condition, chosen in ((1.0, p), (0.0, q)):
        got = table.log(table.kernel.choose(table.same(condition), p, q))
        yield "choose = p where the condition holds, else q", np.exp(got), np.exp(table.log(chosen))


CHECKS: dict[str, Callable[[Table], Iterator[Case]]] = {
    "check": _check,
    "densities": _densities,
    "prior": _prior,
    "marginal": _marginal,
    "posterior": _posterior,
    "kl": _kl,
    "entropy_marginal": _entropy_marginal,
    "sample": _sample,
    "entropy_step": _entropy_step,
    "entropy": _entropy,
    "mean_log_prior": _mean_log_prior,
    "predict": _predict,
    "multiply": _multiply,
    "log_normalizer": _log_normalizer,
    "perturb": _perturb,
    "condition": _condition,
    "choose": _choose,
}
METHODS = {name: name for name in CHECKS if name not in ("densities", "marginal")}
