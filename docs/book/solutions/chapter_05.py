"""Solutions of chapter 5: learning."""

from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt

import dpm
from dpm import networks, optimizers
from dpm.graph import Tensor

T, WIDTH = 8, 0.06


def draw(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x_0, times and noise of the chapter's problem."""
    x0 = rng.choice([-1.0, 1.0], (n, 1)) * (1 - WIDTH**2) ** 0.5
    t = 2.0 + np.arange(n) % (T - 1)
    return x0 + WIDTH * rng.standard_normal((n, 1)), t, rng.standard_normal((n, 1))


def exercise_1() -> dict[str, float]:
    """Compare rmsprop and sgd with adam: plain gradient descent needs a rate that fits the gradient.

    Adam and RMSProp divide the gradient by its running size, so that a step is about the rate, whatever the cost's
    unit is. SGD moves by the rate times the gradient. At 0.003 it reaches less in 300 steps than the other two.
    """
    beta = dpm.schedules.released(T)
    beta[0] = WIDTH**2 / 4
    network = networks.PosteriorVariance(1, networks.NormalizedRBF(1, units=16), trajectory_length=T)
    model = dpm.VectorDiffusion(1, dpm.GaussianKernel(), dpm.schedules.FreeSchedule(beta), network)
    theta = model.shared(seed=0)
    x0, t, noise, _ = model.inputs()
    cost = model.cost_single_t(x0, t, noise).mean()
    cost_and_gradients = pytensor.function(
        [x0, t, noise], [cost, *pytensor.grad(cost, list(theta.values()))], mode="JAX"
    )
    found = {}
    for name in ("adam", "rmsprop", "sgd"):
        model.shared(seed=0)
        gradients = [variable.type() for variable in theta.values()]
        updates = getattr(optimizers.updates, name)(theta, gradients, 0.003)
        step = pytensor.function(gradients, updates=updates, mode="JAX")
        rng, bounds = np.random.default_rng(1), []
        for _ in range(300):
            value, *values = cost_and_gradients(*draw(rng, 70 * (T - 1)))
            step(*values)
            bounds.append(-float(value))
        found[name] = float(np.mean(bounds[-50:]))
    assert found["adam"] > found["sgd"] + 0.1
    assert found["rmsprop"] > found["sgd"] + 0.1
    return found


def exercise_2() -> tuple[float, float]:
    """Show that the gradient of x_t by beta is 0 for bits, though the mean of x_t depends on beta.

    x_t = 1 where noise is below the rate: a step function of beta, flat almost everywhere. The mean over noise is the
    rate itself, x_0 (1 - beta) + beta / 2, whose derivative at x_0 = 1 is -1/2.
    """
    kernel = dpm.BinomialKernel(0.5)
    beta, noise = pt.scalar("beta"), pt.vector("noise")
    x_t = kernel.sample(kernel.forward_step(pt.ones_like(noise), beta), noise).mean()
    gradient: Any = pytensor.grad(x_t, beta, disconnected_inputs="ignore")
    f = pytensor.function([beta, noise], [x_t, gradient], mode="JAX", on_unused_input="ignore")
    u = (np.arange(1000) + 0.5) / 1000
    (low, by_graph), (high, _) = f(0.4, u), f(0.6, u)
    slope = (float(high) - float(low)) / 0.2
    assert float(by_graph) == 0
    assert abs(slope + 0.5) < 1e-2
    return float(by_graph), slope


class TwoNumbers(dpm.networks.ReverseNetwork):
    """The best Gaussian reverse step for data that are -1 or 1."""

    def __init__(self) -> None:
        super().__init__("two numbers")

    def reverse(self, kernel: Any, x_t: Tensor, t: Tensor, rates: tuple[Tensor, Tensor, Tensor]) -> Any:
        """Return p(x_{t-1} | x_t) with the mean and variance of x_0 given x_t, tanh and 1 - tanh^2."""
        beta, beta_bar, before = rates
        mean = pt.tanh(x_t * pt.sqrt(1 - beta_bar) / beta_bar)
        q = kernel.posterior(mean, x_t, *rates)
        slope = pt.sqrt(1 - before) * beta / beta_bar
        return q._replace(sigma=pt.sqrt(q.sigma**2 + slope**2 * (1 - mean**2)))


def exercise_3() -> list[float]:
    """Show that K of two numbers grows without limit as beta_1 falls.

    Two numbers have no density, so no finite log likelihood limits K. With even steps in log SNR the divergences stay
    small, and -H_q(X_1 | X_0) adds half a bit for each factor of 2 in beta_1: 1.66 bits for each factor of 10.
    """
    gains = []
    rng = np.random.default_rng(0)
    for beta_1 in (1e-2, 1e-4, 1e-6):
        length = 200
        schedule = dpm.schedules.FixedSchedule(dpm.schedules.even_log_snr(length, beta_1))
        model = dpm.VectorDiffusion(1, dpm.GaussianKernel(), schedule, TwoNumbers())
        x0, t, noise, _ = model.inputs()
        gain = pytensor.function([x0, t, noise], -model.cost_single_t(x0, t, noise).mean(), mode="JAX")
        n = 5 * (length - 1)
        times = 2.0 + np.arange(n) % (length - 1)
        values = [gain(rng.choice([-1.0, 1.0], (n, 1)), times, rng.standard_normal((n, 1))) for _ in range(20)]
        gains.append(float(np.mean(values)))
    assert np.all(np.diff(gains) > 2.5)
    return gains


if __name__ == "__main__":
    for exercise in (exercise_1, exercise_2, exercise_3):
        print(exercise.__name__, exercise())
