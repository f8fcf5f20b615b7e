"""The checks of a kernel: right kernels pass, and each check finds a kernel that is broken where it looks."""

from typing import NamedTuple

import numpy as np
import pytensor.tensor as pt
import pytest

import dpm
from dpm.base.errors import InputError
from dpm.engines.kernel_checks import CHECKS, METHODS, Table, check_kernel, largest_difference
from dpm.graph.kernels import Bernoulli, BinomialKernel, FullGaussianKernel, Gaussian, GaussianKernel, Kernel
from tests.helpers.wide import WideKernel


class Levels(NamedTuple):
    """Probabilities of the values 0..3, each (n, 1)."""

    p: list


class UniformKernel:
    """A kernel that is not in the package: one of four values stays, or is drawn again with equal probabilities."""

    noise, binary, k = "uniform", False, 4

    def check(self, X, name):
        if not np.isin(X, range(self.k)).all():
            raise InputError(f"{name}: not a level")

    def forward_step(self, x_previous, beta):
        return Levels([pt.eq(x_previous, i) * (1 - beta) + beta / self.k for i in range(self.k)])

    def forward_marginal(self, x_0, beta_bar):
        return self.forward_step(x_0, beta_bar)

    def posterior(self, x_0, x_t, beta, beta_bar, beta_bar_previous):
        before = self.forward_step(x_0, beta_bar_previous).p
        joint = [b * (pt.eq(x_t, i) * (1 - beta) + beta / self.k) for i, b in enumerate(before)]
        return Levels([j / sum(joint) for j in joint])

    def sample(self, p, noise):
        total, level = 0, 0
        for one in p.p[:-1]:
            total = total + one
            level = level + pt.ge(noise, total)
        return level

    def log_prob(self, p, x):
        return pt.log(sum(pt.eq(x, i) * one for i, one in enumerate(p.p)))

    def kl(self, q, p):
        return sum(a * (pt.log(a) - pt.log(b)) for a, b in zip(q.p, p.p, strict=True))

    def entropy_marginal(self, beta_bar, x_0=None):
        return -sum(a * pt.log(a) for a in self.forward_step(x_0, beta_bar).p)

    def prior(self, like):
        return Levels([pt.zeros_like(like) + 1 / self.k] * self.k)

    def prior_entropy(self):
        return float(np.log(self.k))


RIGHT = {
    "gaussian": GaussianKernel(),
    "N(300, 100^2)": WideKernel(300.0, 100.0),
    "fifth": BinomialKernel(0.2),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_kernels_pass_every_check(name):
    found = check_kernel(RIGHT[name])
    assert list(found) == list(CHECKS)
    assert max(found.values()) < 1e-6


@pytest.mark.thorough
@pytest.mark.parametrize("kernel", [FullGaussianKernel(), BinomialKernel(), WideKernel(0.0, 1e-3)])
def test_other_right_kernels_pass_too(kernel):
    assert max(check_kernel(kernel).values()) < 1e-6


def test_a_kernel_of_the_users_is_checked_as_far_as_it_goes():
    """Four values, without the methods for entropies of steps and products: the checks of training and sampling."""
    found = check_kernel(UniformKernel(), values=range(4))
    assert list(found) == ["check", "densities", "prior", "marginal", "posterior", "kl", "entropy_marginal", "sample"]
    assert max(found.values()) < 1e-12


def test_every_documented_method_has_a_check():
    """Four of them in the checks of the densities, the prior and the marginal."""
    methods = {name for name, method in vars(Kernel).items() if callable(method) and name[0] != "_"}
    assert methods == set(METHODS) | {"forward_step", "forward_marginal", "log_prob", "prior_entropy"}


def moved(p, by=0.01):
    """Return a distribution a little beside p."""
    return p._replace(mu=p.mu + by) if hasattr(p, "mu") else p._replace(logit=p.logit + by)


# The check that must fail: the method to break, and how its right result is changed.
BROKEN = {
    "check": ("check", lambda result: result),
    "densities": ("log_prob", lambda result: result + 1e-4),
    "prior": ("forward_step", moved),
    "marginal": ("forward_marginal", moved),
    "posterior": ("posterior", moved),
    "kl": ("kl", lambda result: result + 1e-4),
    "entropy_marginal": ("entropy_marginal", lambda result: result + 1e-4),
    "sample": ("sample", lambda result: result * 0.99 + 0.005),
    "entropy_step": ("entropy_step", lambda result: result - 1e-4),
    "entropy": ("entropy", lambda result: result * 1.001),
    "mean_log_prior": ("mean_log_prior", lambda result: result + 1e-4),
    "predict": ("predict", lambda result: result + 1e-4),
    "multiply": ("multiply", moved),
    "log_normalizer": ("log_normalizer", lambda result: result + 1e-4),
    "perturb": ("perturb", moved),
    "condition": ("condition", moved),
    "choose": ("choose", moved),
}


@pytest.mark.parametrize("base", [GaussianKernel, BinomialKernel])
@pytest.mark.parametrize("check", CHECKS)
def test_each_check_finds_a_kernel_that_is_broken_there(check, base):
    """A method whose result is off by a hundredth or less."""
    name, change = BROKEN[check]
    if check == "condition" and base is BinomialKernel:
        pytest.skip("a draw of bits does not depend on a small change of the logit")
    right = getattr(base, name) if check != "check" else lambda self, X, name: None
    kernel = type("Broken", (base,), {name: lambda self, *a, **k: change(right(self, *a, **k))})()
    with pytest.raises(InputError, match=rf"kernel: the check '{check}' differs by .*; expected "):
        largest_difference(check, CHECKS[check](Table(kernel, None)))


def test_a_wrong_prior_entropy_is_found():
    """The prior's check is of its density and of the number H_p(X_T)."""
    kernel = type("Broken", (GaussianKernel,), {"prior_entropy": lambda self: 1.42})()
    with pytest.raises(InputError, match="expected prior_entropy = H_p"):
        check_kernel(kernel)


def test_a_kernel_that_gives_nan_fails():
    kernel = type("Broken", (GaussianKernel,), {"kl": lambda self, q, p: q.mu * np.nan})()
    with pytest.raises(InputError, match="the check 'kl' differs by nan"):
        check_kernel(kernel)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kl": None}, "kernel.kl: got the arguments"),
        ({"noise": "cauchy"}, "kernel.noise: got 'cauchy'; expected 'normal' or 'uniform'"),
        ({"kl": lambda self, p, q: q.mu}, r"kernel.kl: got the arguments \['p', 'q'\]; expected \['q', 'p'\]"),
    ],
)
def test_an_incomplete_kernel_is_refused_with_the_name(change, message):
    if change == {"kl": None}:
        methods = {name: m for name, m in vars(GaussianKernel).items() if name != "kl" and name[:2] != "__"}
        kernel, message = type("Incomplete", (), methods)(), "kernel.kl: missing; expected the methods"
    else:
        kernel = type("Wrong", (GaussianKernel,), change)()
    with pytest.raises(InputError, match=message):
        check_kernel(kernel)


def test_the_public_name_is_this_function():
    assert dpm.check_kernel is check_kernel
    assert Bernoulli is dpm.kernels.Bernoulli
    assert Gaussian is dpm.kernels.Gaussian
