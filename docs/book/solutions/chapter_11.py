"""Solutions of the exercises of chapter 11, From 2015 to today."""

import numpy as np
import pytensor
import pytensor.tensor as pt

import dpm


def exercise_1() -> float:
    """Return the slope after 50 steps of Adam by hand, equal to that of `dpm.optimizers.updates.adam`."""
    x, y, xs = pt.vector("x"), pt.vector("y"), np.linspace(-2, 2, 50)
    slopes = []
    for by_hand in (True, False):
        slope = pytensor.shared(0.0, name="slope")
        gradient = pytensor.grad(((slope * x - y) ** 2).mean(), slope)
        updates = _adam(slope, gradient) if by_hand else dpm.optimizers.updates.adam([slope], [gradient], 0.1)
        step = pytensor.function([x, y], [], updates=updates, mode="FAST_COMPILE")
        for _ in range(50):
            step(xs, 3 * xs)
        slopes.append(float(slope.get_value()))
    assert abs(slopes[0] - slopes[1]) < 1e-9
    assert abs(slopes[0] - 3) < 0.5
    return slopes[0]


def _adam(parameter, gradient, rate=0.1, decays=(0.9, 0.999), epsilon=1e-8):
    """Return the updates of one step of Adam: running means of the gradient and its square, without their bias."""
    step, mean, square = (pytensor.shared(0.0) for _ in range(3))
    new_step = step + 1
    new_mean = decays[0] * mean + (1 - decays[0]) * gradient
    new_square = decays[1] * square + (1 - decays[1]) * gradient**2
    unbiased = [new / (1 - decay**new_step) for new, decay in zip((new_mean, new_square), decays, strict=True)]
    moved = parameter - rate * unbiased[0] / (pt.sqrt(unbiased[1]) + epsilon)
    return {step: new_step, mean: new_mean, square: new_square, parameter: moved}


def exercise_2() -> tuple[float, float]:
    """Return the variance at the end of 2,000 simulated chains, and that of q(x_T | x_0): equal within 10 %."""
    rates = dpm.schedules.linear(100, 0.001, 0.05)
    beta, noise, start = pt.vector("beta"), pt.matrix("noise"), pt.vector("x_0")
    states = pytensor.scan(
        lambda b, n, x: pt.sqrt(1 - b) * x + pt.sqrt(b) * n,
        sequences=[beta, noise],
        outputs_info=[start],
        return_updates=False,
    )
    draws = np.random.default_rng(0).standard_normal((len(rates), 2000))
    last = states[-1].eval({beta: rates, noise: draws, start: np.full(2000, 3.0)}, mode="FAST_COMPILE")
    expected = 1 - dpm.schedules.signal_shares(rates)[-1]
    assert abs(last.var() / expected - 1) < 0.1
    assert abs(last.mean() - 3 * (1 - expected) ** 0.5) < 0.1
    return float(last.var()), float(expected)


def exercise_3() -> float:
    """Return how many times larger the variance of a minibatch's cost is with one t: more than twice.

    With one t the terms of all images are large together, or small together; with a t for each image their mean is
    taken over many t.
    """
    rng = np.random.default_rng(0)
    model = dpm.DiffusionModel(spatial_width=4, n_colors=1, trajectory_length=50, n_hidden_dense_lower=0)
    model.shared(seed=0)
    x0, t, noise, _ = model.inputs(16)
    cost = pytensor.function([x0, t, noise], model.cost_single_t(x0, t, noise).mean(), mode="FAST_COMPILE")
    images = rng.standard_normal(x0.type.shape)
    variances = []
    for shape in ((1,), (16,)):
        costs = [
            cost(
                images, np.broadcast_to(rng.integers(2, 51, shape), 16).astype(float), rng.standard_normal(images.shape)
            )
            for _ in range(200)
        ]
        variances.append(np.var(costs))
    ratio = float(variances[0] / variances[1])
    assert ratio > 2
    return ratio
