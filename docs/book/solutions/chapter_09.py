"""Solutions of chapter 9: products with r(x), by enumeration of three bits."""

import itertools
from typing import Any

import numpy as np
import pytensor.tensor as pt
from scipy.special import logsumexp

import dpm
from dpm.engines.compiled import CompiledModel
from dpm.graph import Tensor
from dpm.trajectories.products import exponents, sample_product

STATES = np.array(list(itertools.product([0.0, 1.0], repeat=3)))
NOTHING = np.zeros(0)


class Votes(dpm.networks.ReverseNetwork):
    """Guess x_0 of the data 000 and 111 from the votes of the bits of x_t."""

    def __init__(self) -> None:
        super().__init__("votes")

    def reverse(self, kernel: Any, x_t: Tensor, t: Tensor, rates: tuple[Tensor, Tensor, Tensor]) -> Any:
        """Return p(x_{t-1} | x_t)."""
        signal = 1 - rates[1]
        votes = (2 * x_t - 1).sum(axis=1, keepdims=True)
        return kernel.mixture(votes * (pt.log1p(signal) - pt.log1p(-signal)) + pt.zeros_like(x_t), x_t, *rates)


def compile_bits(T: int) -> CompiledModel:
    """Return the model of the chapter with T steps."""
    with dpm.Engine("jax", "float64") as engine:
        schedule = dpm.schedules.FixedSchedule(dpm.schedules.erase_equally(T))
        return CompiledModel(dpm.VectorDiffusion(3, dpm.BinomialKernel(0.5), schedule, Votes()), engine)


def log_tables(compiled: CompiledModel) -> np.ndarray:
    """Return log p(x_{t-1} | x_t) of t = 1..T, (T, x_t, x_{t-1})."""
    T = compiled.model.trajectory_length
    beta_1 = compiled.beta(NOTHING)[0]
    rate = STATES * (1 - beta_1) + beta_1 / 2
    reverse = compiled.reverse(8)
    steps = [reverse(NOTHING, STATES, np.full(8, float(t)))[0] for t in range(2, T + 1)]
    logits = np.array([np.log(rate / (1 - rate)), *steps])
    return -np.logaddexp(0, -logits[:, :, None] * (2 * STATES - 1)).sum(axis=3)


def end_of_chain(log_p: np.ndarray, log_r_t: np.ndarray) -> np.ndarray:
    """Return p(x_0), (8,), of the chain multiplied by r_t, (T + 1, 8), by Eq. 21."""
    log_x = log_r_t[-1] - logsumexp(log_r_t[-1])  # the prior is even
    for table, log_r in zip(log_p[::-1], log_r_t[-2::-1], strict=True):
        step = table + log_r
        log_x = logsumexp(log_x[:, None] + step - logsumexp(step, axis=1, keepdims=True), axis=0)
    return np.exp(log_x)


def total_variation(log_p: np.ndarray, log_r: np.ndarray, log_r_t: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the total variation from the chain to the product, and chain minus product, (8,)."""
    product = end_of_chain(log_p, np.zeros_like(log_r_t)) * np.exp(log_r)
    difference = end_of_chain(log_p, log_r_t) - product / product.sum()
    return float(0.5 * np.abs(difference).sum()), difference


def exercise_1() -> dict[str, list[float]]:
    """Show that no number of steps makes the rule exact: the total variation stays, or grows.

    The dropped normalizers are closer to constant for a small step, but there are more of them.
    """
    log_r, found = 2 * STATES[:, 0], {}
    tables = {T: log_tables(compile_bits(T)) for T in (4, 8, 16, 32)}
    for guidance in ("constant", "linear"):
        found[guidance] = [
            total_variation(log_p, log_r, exponents(guidance, dpm.schedules.erase_equally(T))[:, None] * log_r)[0]
            for T, log_p in tables.items()
        ]
        assert min(found[guidance]) > 0.02
        assert found[guidance][-1] > found[guidance][0]
    return found


def exercise_2() -> tuple[float, np.ndarray]:
    """Show that in-painting by the rule is not exact: 100 gets too much, and 111 too little.

    The known bit is 1 in every x_t, and is certain. The network counts it as one vote of a bit at time t, most of which
    is noise, so it pulls the other bits less than a known bit should.
    """
    log_r = np.where(STATES[:, 0] == 1, 0.0, -1e3)  # r = 0 there
    log_p = log_tables(compile_bits(8))
    distance, difference = total_variation(log_p, log_r, np.broadcast_to(log_r, (9, 8)))
    assert distance > 0.01
    assert abs(difference[:4]).max() < 1e-10  # the first bit is known
    assert difference[4] > 0.02
    assert difference[7] < -0.02
    return distance, difference[4:].round(4)


def exercise_3() -> tuple[float, float]:
    """Show that the spread of log Z falls by about the root of 10.

    Z is a mean over particles, so its standard deviation falls as N^(-1/2).
    """
    compiled = compile_bits(8)

    def log_r(x: Tensor) -> Tensor:
        return 2 * x[:, 0]

    few, many = (
        float(np.std([sample_product(compiled, NOTHING, log_r, n, seed).log_Z for seed in range(60)]))
        for n in (100, 1000)
    )
    assert 2 < few / many < 5
    return few, many


if __name__ == "__main__":
    for exercise in (exercise_1, exercise_2, exercise_3):
        print(exercise.__name__, exercise())
