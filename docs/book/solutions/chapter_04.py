"""Solutions of chapter 4: the bound, by enumeration of three bits."""

import itertools
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from scipy.special import logsumexp

import dpm
from dpm.graph import Tensor

BIT = np.log(2)  # nats per bit
STATES = np.array(list(itertools.product([0.0, 1.0], repeat=3)))


class Votes(dpm.networks.ReverseNetwork):
    """Guess x_0 from the votes of the bits of x_t: of all bits together, or of each bit for itself."""

    def __init__(self, together: bool) -> None:
        super().__init__("votes")
        self.together = together

    def reverse(self, kernel: Any, x_t: Tensor, t: Tensor, rates: tuple[Tensor, Tensor, Tensor]) -> Any:
        """Return p(x_{t-1} | x_t)."""
        signal = 1 - rates[1]
        votes = 2 * x_t - 1
        if self.together:
            votes = votes.sum(axis=1, keepdims=True) + pt.zeros_like(x_t)
        return kernel.mixture(votes * (pt.log1p(signal) - pt.log1p(-signal)), x_t, *rates)


def build(T: int, together: bool = True, base_rate: float = 0.5) -> dpm.VectorDiffusion:
    """Return the model of the chapter."""
    schedule = dpm.schedules.FixedSchedule(dpm.schedules.erase_equally(T))
    return dpm.VectorDiffusion(3, dpm.BinomialKernel(base_rate), schedule, Votes(together))


def log_paths(model: dpm.VectorDiffusion) -> tuple[np.ndarray, np.ndarray]:
    """Return log q(x_1 ... x_T | x_0) and log p(x_0 ... x_T), each with one axis of 8 for x_0 ... x_T."""
    kernel, T, t, x = model.kernel, model.trajectory_length, pt.scalar("t"), pt.constant(STATES)
    time = pt.full((8,), t)
    q = kernel.forward_step(x, model.get_beta_forward(time))
    p = kernel.choose(pt.eq(t, 1), q, model.reverse(x, pt.maximum(time, 2)))

    def table(d: Any) -> Tensor:
        return kernel.log_prob(d._replace(logit=d.logit[:, None, :]), x[None, :, :]).sum(axis=2)

    log_pi = kernel.log_prob(kernel.prior(x), x).sum(axis=1)
    step = pytensor.function([t], [table(q), table(p).T, log_pi], mode="JAX")
    path_q, path_p = np.zeros(()), np.zeros(())
    for t_ in range(1, T + 1):
        tables = [np.array(a) for a in step(t_)]
        shape = [8 if i in (t_ - 1, t_) else 1 for i in range(T + 1)]
        path_q, path_p = path_q + tables[0].reshape(shape), path_p + tables[1].reshape(shape)
    return path_q, path_p + tables[2]


def bound_and_log_p(path_q: np.ndarray, path_p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return K of Eq. 12 and log p(x_0), each (8,), in nats."""
    later = tuple(range(1, path_q.ndim))
    return (np.exp(path_q) * (path_p - path_q)).sum(axis=later), logsumexp(path_p, axis=later)


def exercise_1() -> np.ndarray:
    """Show that K = log p = -3 bits for every x_0: a model that is perfect for independent, fair bits.

    A bit that votes for itself is Bayes' rule for data whose bits are independent and fair. Such data are the prior,
    which the forward chain leaves unchanged, so the chains have equal trajectories and w is the same for all of them.
    """
    K, log_p = bound_and_log_p(*log_paths(build(4, together=False)))
    assert np.allclose(K / BIT, -3, atol=1e-10, rtol=0)
    assert np.allclose(log_p - K, 0, atol=1e-10, rtol=0)
    return K / BIT


def exercise_2() -> list[float]:
    """Show that the mean of log((w_1 + w_2) / 2) is between K and log p: the bound of M = 2 is tighter.

    The mean of w is p(x_0) for every M, and the spread of the mean of M values is smaller, so Jensen's inequality
    costs less. This is the importance-weighted bound of Burda, Grosse and Salakhutdinov (2016).
    """
    path_q, path_p = log_paths(build(3))
    q, log_w = np.exp(path_q[7]).ravel(), (path_p - path_q)[7].ravel()
    K, log_p = (values[7] for values in bound_and_log_p(path_q, path_p))
    two = q @ (np.logaddexp(log_w[:, None], log_w) - BIT) @ q
    assert K < two < log_p
    return [value / BIT for value in (K, two, log_p)]


def exercise_3() -> np.ndarray:
    """Show that K of Eq. 12 is K of Eq. 14 plus `edge_correction`, whose mean is 0 for bits of the base rate.

    Eq. 14 has entropies of the prior where Eq. 12 has means of log pi. They agree for the mean over data that have the
    prior's rates, not for each example.
    """
    base_rate, T = 0.3, 4
    model = build(T, base_rate=base_rate)
    K_12, _ = bound_and_log_p(*log_paths(model))
    x0, x_t = (pt.constant(a) for a in (np.repeat(STATES, 8, axis=0), np.tile(STATES, (8, 1))))
    t = pt.scalar("t")
    rates = model.get_rates(pt.full((64,), t))
    kl = model.kernel.kl(model.kernel.posterior(x0, x_t, *rates), model.reverse(x_t, pt.full((64,), t))).sum(axis=1)
    log_q = model.kernel.log_prob(model.kernel.forward_marginal(x0, rates[1]), x_t).sum(axis=1)
    term = pytensor.function([t], (pt.exp(log_q) * kl).reshape((8, 8)).sum(axis=1), mode="JAX")
    x = pt.constant(STATES)
    outputs = [*model.entropies(x), model.edge_correction(x)]
    H_T, H_1, H_p, edge = (np.array(a) for a in pytensor.function([], outputs, mode="JAX")())
    K_14 = -sum(np.array(term(t)) for t in range(2, T + 1)) + H_T - H_1 - H_p
    assert np.allclose(K_14 + edge, K_12, atol=1e-10, rtol=0)
    assert abs(edge).max() > 0.1
    share = np.where(STATES == 1, base_rate, 1 - base_rate).prod(axis=1)
    assert abs(share @ edge) < 1e-10
    return edge / BIT


if __name__ == "__main__":
    for exercise in (exercise_1, exercise_2, exercise_3):
        print(exercise.__name__, exercise())
