"""The diffusion rates beta_1..beta_T of the released code, as symbolic functions.

The paper's time t = 1..T is used throughout; index t - 1 of an array belongs to time t.
"""

import numpy as np
import pytensor.tensor as pt
from pytensor import config

MIN_BETA = 1e-6
MAX_BETA_GAP = 1e-5


def generate_temporal_basis(trajectory_length, n_basis):
    """Bump functions over time (Eq. 64): (n_basis, T), the columns sum to 1.

    Centers lie evenly from the first to the last step; the released width is half their distance (the paper's
    text says the whole distance).
    """
    time = np.linspace(-1, 1, trajectory_length)
    centers = np.linspace(-1, 1, n_basis)
    width = (centers[1] - centers[0]) / 2
    bumps = np.exp(-((time - centers[:, None]) ** 2) / (2 * width**2))
    return bumps / bumps.sum(axis=0)


def released(trajectory_length):
    """beta_t = 1 / linspace(T, 2, T), the baseline of the 2015 code, which leaves some signal at T: float64 (T,)."""
    return 1 / np.linspace(trajectory_length, 2, trajectory_length)


def signal_shares(beta):
    """alpha_bar_0..alpha_bar_T of the numbers beta_1..beta_T: float64 (T + 1,), with alpha_bar_0 = 1."""
    return np.concatenate([[1.0], np.cumprod(1 - np.asarray(beta, dtype=np.float64))])


def generate_beta_arr(perturbation, temporal_basis, step1_beta):
    """beta_1..beta_T: (T,), between 1e-6 and 1 - 1e-5.

    perturbation: (n_basis,) coefficients of the temporal basis added inside the sigmoid, around the rates
    1 / linspace(T, 2, T), which erase about an equal share of the signal at each step (section 2.4.1). The
    released code never trains them: zeros. step1_beta is added to the first rate.
    """
    trajectory_length = temporal_basis.shape[1]
    baseline = released(trajectory_length)
    smallest = np.full(trajectory_length, MIN_BETA)
    smallest[0] += step1_beta
    offset = np.log(baseline) - np.log1p(-baseline)
    basis, offset, smallest, room = (
        np.asarray(a, dtype=config.floatX) for a in (temporal_basis, offset, smallest, 1 - smallest - MAX_BETA_GAP)
    )
    return smallest + pt.sigmoid(pt.dot(perturbation, basis) + offset) * room


def get_t_weights(t, trajectory_length):
    """Weights that pick time t out of an array over 1..T: (n, T); t: (n,), fractions interpolate linearly."""
    times = np.arange(1, trajectory_length + 1, dtype=config.floatX)
    return pt.maximum(0, 1 - abs(t[:, None] - times))


def cumulative_beta(beta_arr):
    """beta_bar_0..beta_bar_T: (T + 1,), with beta_bar_t = 1 - prod_{s <= t} (1 - beta_s) and beta_bar_0 = 0.

    Summed as logarithms: 1 minus a product of factors near 1 would lose most digits of float32 at small t.
    """
    log_alpha_bar = pt.cumsum(pt.log1p(-beta_arr))
    return pt.concatenate([np.zeros(1, dtype=config.floatX), -pt.expm1(log_alpha_bar)])
