"""K on a data set: frozen noise and times, every picture counted once a draw."""

from typing import NamedTuple

import numpy as np

from dpm.base import noise


class Estimate(NamedTuple):
    """A mean in bits a pixel and its standard error (NaN where one number cannot have one)."""

    value: float
    standard_error: float


def L_null(model):
    """The log likelihood of scaled pictures under the unit Gaussian, -H_p(X_T), in bits a pixel."""
    return -model.kernel.prior_entropy() / np.log(2) * model.n_channels


def evaluation_times(model, seed, n, draw=0):
    """The time at which each of n pictures is evaluated, spread evenly over 2..T: (n,)."""
    return noise.stratified_times(noise.generator(seed, noise.EVALUATION, draw), n, model.trajectory_length)


def example_costs(compiled, theta, X, seed, batch_size, draw=0):
    """-(K - L_null) of each picture at one time each, bits a pixel: (n,).

    X: scaled pictures (n, c, h, w); the times spread evenly over 2..T. Noise and times depend on (seed, draw,
    picture) alone, so every call and every batch size gives the same numbers.
    """
    engine = compiled.engine
    compiled.model.kernel.check(X, "X")
    function = compiled.costs(batch_size)
    t = evaluation_times(compiled.model, seed, len(X), draw)

    def inputs(start):
        indices = np.arange(start, min(start + batch_size, len(X)))
        N, U = noise.example_noise(seed, noise.EVALUATION, indices, X.shape[1:], compiled.model.kernel.noise, draw)
        part = slice(start, start + batch_size)
        return [engine.asarray(a) for a in (X[part], t[part], N, U)]

    costs = [function(theta, *arrays) for arrays in engine.prefetch(inputs, range(0, len(X), batch_size))]
    return np.concatenate(costs).astype(np.float64)


def K_minus_L_null(compiled, theta, X, seed, batch_size, draws=1):
    """K - L_null over the pictures X, bits a pixel: an Estimate.

    Several draws make the value more exact; the error is that of one, since all have the same pictures.
    """
    bounds = [-example_costs(compiled, theta, X, seed, batch_size, draw) for draw in range(draws)]
    times = [evaluation_times(compiled.model, seed, len(X), draw) for draw in range(draws)]
    errors = [stratified_error(values, t) for values, t in zip(bounds, times, strict=True)]
    return Estimate(float(np.mean(bounds)), float(np.sqrt(np.mean(np.square(errors)))))


def K_all_terms(compiled, theta, X, seed, batch_size, draws):
    """K - L_null as the sum over all t = 2..T (Eq. 14), each term the mean over `draws` examples of X: an Estimate."""
    model, engine = compiled.model, compiled.engine
    model.kernel.check(X, "X")
    function = compiled.costs(min(batch_size, draws))
    costs = np.empty((model.trajectory_length - 1, draws))
    for row, t in zip(costs, range(2, model.trajectory_length + 1), strict=True):
        rng = noise.generator(seed, noise.LIKELIHOOD, t)
        examples, N, U = noise.draw_examples(rng, X, draws, model.kernel.noise)
        row[:] = function(theta, *(engine.asarray(a) for a in (examples, np.full(draws, t), N, U)))
    error = np.sqrt(np.sum(costs.var(axis=1, ddof=1)) / draws) / len(costs)
    return Estimate(float(-costs.mean()), float(error))


def stratified_error(values, times):
    """Standard error of the mean of values whose times are spread evenly: NaN for a single one.

    Values at neighboring times differ by chance alone, so the mean square of their differences is twice the
    variance that is left within a stratum (the successive-difference estimator, von Neumann 1941).
    """
    if len(values) < 2:
        return float("nan")
    differences = np.diff(np.asarray(values)[np.argsort(times, kind="stable")])
    return float(np.sqrt(np.mean(differences**2) / 2 / len(values)))


def reference_likelihood(compiled, theta, X, seed, batch_size, draws):
    """The released estimate: the mean over `draws` random minibatches, each at one single time. An Estimate."""
    engine, model = compiled.engine, compiled.model
    function = compiled.costs(batch_size)
    means = []
    for draw in range(draws):
        rng = noise.generator(seed, noise.LIKELIHOOD, draw)
        pictures = X[rng.choice(len(X), size=min(batch_size, len(X)), replace=False)]
        t, N, U = noise.minibatch_noise(
            rng, pictures.shape, model.trajectory_length, model.kernel.noise, noise.single_time
        )
        costs = function(theta, *(engine.asarray(a) for a in (pictures, t, N, U)))
        means.append(-costs.mean(dtype=np.float64))
        yield estimate(np.array(means))


def estimate(values):
    """Mean and standard error of independent values."""
    n = len(values)
    error = float(np.std(values, ddof=1) / n**0.5) if n > 1 else float("nan")
    return Estimate(float(np.mean(values)), error)
