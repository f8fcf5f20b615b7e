"""Solutions of the exercises of chapter 1, A graph."""

from typing import Any, NamedTuple

import numpy as np
import pytensor
import pytensor.tensor as pt

import dpm

T, STEP = 8, 5
RATES = dpm.schedules.linear(T, 0.1, 0.4)


class Formula(NamedTuple):
    """The graph of log q(x_t | x_0), its inputs and the distribution q."""

    x_t: pt.TensorVariable
    x_0: pt.TensorVariable
    q: dpm.kernels.Gaussian
    log_q: pt.TensorVariable


def build(beta: pt.TensorVariable) -> Formula:
    """Return the graph of the chapter for the rates beta, (T,)."""
    kernel = dpm.GaussianKernel()
    x_t, x_0 = pt.scalars("x_t", "x_0")
    q = kernel.forward_marginal(x_0, dpm.schedules.cumulative_beta(beta)[STEP])
    return Formula(x_t, x_0, q, kernel.log_prob(q, x_t))


def exercise_1() -> float:
    """Return the largest difference between the score and -noise / sigma.

    The score is -(x_t - mu) / sigma^2. At x_t = mu + sigma noise the mean cancels, and with it x_0: what is left is
    -noise / sigma. A network that knows the score knows the noise.
    """
    beta = pt.vector("beta", shape=(T,))
    graph = build(beta)
    score: Any = pytensor.grad(graph.log_q, graph.x_t)
    compiled = pytensor.function([graph.x_t, graph.x_0, beta], [score, graph.q.mu, graph.q.sigma])
    differences = []
    for x_0, noise in np.random.default_rng(0).normal(size=(20, 2)):
        _, mu, sigma = compiled(0.0, x_0, RATES)
        value = compiled(mu + sigma * noise, x_0, RATES)[0]
        differences.append(abs(value + noise / sigma))
    assert max(differences) < 1e-12
    return float(max(differences))


def exercise_2() -> float:
    """Return the derivative of log q by x_0 where x_t is a function of x_0 and of fixed noise: it is 0.

    A draw moves with its mean, so (x_t - mu) / sigma is the noise whatever x_0 is, and log q depends on sigma and the
    noise only. This is the frozen noise of section 2.4.1: the dependence of x_t on what made it is part of the graph.
    """
    beta, noise = pt.vector("beta", shape=(T,)), pt.scalar("noise")
    graph = build(beta)
    kernel = dpm.GaussianKernel()
    log_q = kernel.log_prob(graph.q, kernel.sample(graph.q, noise))
    by_x_0: Any = pytensor.grad(log_q, graph.x_0)
    frozen = pytensor.function([graph.x_0, noise, beta], by_x_0, on_unused_input="ignore")
    with_x_t: Any = pytensor.grad(graph.log_q, graph.x_0)
    fixed = pytensor.function([graph.x_t, graph.x_0, beta], with_x_t)
    derivative = float(frozen(0.5, 1.3, RATES))
    assert abs(derivative) < 1e-12
    assert abs(fixed(1.2, 0.5, RATES)) > 0.1  # with x_t held fixed it is not 0
    return derivative


def exercise_3() -> tuple[int, int]:
    """Return the number of nodes with the rates as an input, and with constant rates: 6 (PyTensor 3.3: 9) and 1.

    What depends on constants only is computed once, at compile time (constant folding). The nodes of the schedule have
    become numbers inside the one node that is left.
    """
    beta = pt.vector("beta", shape=(T,))
    counts = []
    for rates, more in ((beta, [beta]), (pt.constant(RATES), [])):
        graph = build(rates)
        compiled = pytensor.function([graph.x_t, graph.x_0, *more], graph.log_q)
        counts.append(len(compiled.maker.fgraph.toposort()))
    assert counts[0] > counts[1] == 1
    return counts[0], counts[1]
