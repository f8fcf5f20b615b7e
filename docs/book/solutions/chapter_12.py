"""Solutions of chapter 12: from here to DDPM and VDM."""

import numpy as np
import pytensor
import pytensor.tensor as pt

import dpm

WIDTH = 0.1
FIRST, LAST = np.log((1 - 1e-3) / 1e-3), -8.0


def exercise_1() -> int:
    """Show that the weights 1 and 1 / SNR_t agree where SNR_t = 1: equal shares of signal and noise.

    x_0 - x_hat_0 = (eps_hat - eps) / SNR_t^(1/2), so the squared error of x_0 is that of eps, divided by SNR_t. It
    counts large t more than the simple loss, where K counts small t more.
    """
    alpha_bar = dpm.schedules.signal_shares(dpm.schedules.linear(1000))[1:]
    snr = alpha_bar / (1 - alpha_bar)
    t = 1 + int(np.abs(np.log(snr)).argmin())
    assert abs(alpha_bar[t - 1] - 0.5) < 0.01
    weight_of_K = (snr[:-1] / snr[1:] - 1) / 2  # t = 2..T
    assert weight_of_K[0] > weight_of_K[t]
    assert 1 / snr[1] < 1 / snr[t] < 1 / snr[-1]
    return t


def exercise_2() -> float:
    """Show that the gradient of log q(x_t | x_0) by x_t is -eps / sqrt(1 - alpha_bar_t).

    q(x_t | x_0) is a Gaussian of variance 1 - alpha_bar_t around sqrt(alpha_bar_t) x_0, and x_t is eps deviations away
    from its mean.
    """
    kernel = dpm.GaussianKernel()
    x_0, eps, noise = pt.vectors("x_0", "eps", "noise")  # noise: 1 - alpha_bar_t
    x_t = kernel.sample(kernel.forward_marginal(x_0, noise), eps)
    at = x_t.type("at")
    score = pytensor.grad(kernel.log_prob(kernel.forward_marginal(x_0, noise), at).sum(), at)
    f = pytensor.function([at, x_0, noise], score, mode="JAX")
    rng = np.random.default_rng(0)
    values = rng.standard_normal(50), rng.standard_normal(50), rng.uniform(0.01, 0.99, 50)
    point = pytensor.function([x_0, eps, noise], x_t, mode="JAX")(*values)
    difference = np.abs(np.asarray(f(point, values[0], values[2])) + values[1] / np.sqrt(values[2])).max()
    assert difference < 1e-9
    return float(difference)


def gain(T: int, learned: bool) -> float:
    """Return K - L_null in bits on the even path of T steps, with the best network."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(200)
    snr = np.exp(np.linspace(FIRST, LAST, T))
    center2, shrink = 1 - WIDTH**2, 1 + snr[1:, None] * WIDTH**2
    precision = snr[1:, None] * center2 / shrink
    between = center2 / np.cosh(precision + np.sqrt(precision) * nodes) ** 2
    terms = -np.diff(snr)[:, None] * (WIDTH**2 / shrink + between / shrink**2)
    kl = (np.log1p(terms) if learned else terms) @ (weights / weights.sum()) / 2
    return float((np.log((1 + snr[0]) / (1 + snr[-1])) / 2 - kl.sum()) / np.log(2))


def exercise_3() -> int:
    """Find T of the fixed variance for the K that the learned one has at T = 10: several times as many steps."""
    goal = gain(10, learned=True)
    T = next(T for T in range(10, 2000) if gain(T, learned=False) >= goal)
    assert T > 20
    assert gain(T - 1, learned=False) < goal
    return T


if __name__ == "__main__":
    for exercise in (exercise_1, exercise_2, exercise_3):
        print(exercise.__name__, exercise())
