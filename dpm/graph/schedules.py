"""Schedules beta_1..beta_T (section 2.4.1): fixed arrays, the released schedule, and bricks with learned rates.

Times are the paper's, t = 1..T; index t - 1 of an array belongs to time t. A fixed schedule is a float64 array of shape
(T,). The schedule of a model is a `Schedule`, a brick whose `beta_arr()` is the symbolic array; `NAMES` are those that
DiffusionModel knows by name (docs/schedules.md).
"""

import numpy as np
import pytensor.tensor as pt
from numpy.typing import ArrayLike, NDArray
from pytensor import config
from scipy.special import expit

from dpm.base.errors import InputError
from dpm.graph import Tensor
from dpm.graph.bricks import RATES, Brick, Constant

MIN_BETA = 1e-6  # limits of the released schedule
MAX_BETA_GAP = 1e-5
MARGIN = 1e-6  # a learned rate stays this far from 0 and from 1
LARGEST = 0.999  # rate of the cosine and the linear schedule
FIRST_LINEAR = 1e-4
FINAL_SNR = 1e-4  # SNR_T of the schedule "log-snr": x_T keeps less than 1e-4 bits of an element of variance 1
NAMES = ("released", "released-learned", "free", "linear", "cosine", "log-snr")

FloatArray = NDArray[np.float64]


# ---------------------------------------------------------------------- fixed schedules, as numbers


def released(trajectory_length: int) -> FloatArray:
    """Return beta_t = 1 / linspace(T, 2, T), the baseline of the 2015 code, which leaves some signal at T, (T,)."""
    return 1 / np.linspace(trajectory_length, 2, trajectory_length)


def erase_equally(trajectory_length: int) -> FloatArray:
    """Return beta_t = 1 / (T - t + 1), the paper's binomial schedule (2.4.1): each step erases 1 / T of the signal."""
    return 1 / np.arange(trajectory_length, 0, -1.0)


def constant(trajectory_length: int, beta: float) -> FloatArray:
    """Return the rate beta at each step, (T,)."""
    return np.full(trajectory_length, float(beta))


def linear(trajectory_length: int, first: float = FIRST_LINEAR, last: float = 0.02) -> FloatArray:
    """Return evenly spaced rates, (T,) (Ho, Jain and Abbeel 2020, section 4, where T is 1,000)."""
    return np.linspace(first, last, trajectory_length)


def cosine(trajectory_length: int, offset: float = 0.008, largest: float = LARGEST) -> FloatArray:
    """Return the cosine schedule, (T,).

    alpha_bar_t = cos^2((t / T + offset) / (1 + offset) pi / 2), normalized (Nichol and Dhariwal 2021, Eq. 17).
    """
    share = np.cos((np.arange(trajectory_length + 1) / trajectory_length + offset) / (1 + offset) * np.pi / 2) ** 2
    return np.minimum(1 - share[1:] / share[:-1], largest)


def even_log_snr(trajectory_length: int, beta_1: float, final_snr: float = FINAL_SNR) -> FloatArray:
    """Return the rates that space log SNR_t = log(alpha_bar_t / (1 - alpha_bar_t)) evenly, (T,).

    Args:
        trajectory_length: T.
        beta_1: first rate; SNR_1 = (1 - beta_1) / beta_1.
        final_snr: SNR_T.

    Raises:
        InputError: T is below 2, beta_1 is not in (0, 1), or final_snr is not in (0, SNR_1).
    """
    first = log_snr_1(trajectory_length, beta_1)
    if not 0 < final_snr < np.exp(first):
        raise InputError(f"final_snr={final_snr}: must be above 0 and below SNR_1 of beta_1, {np.exp(first):g}")
    return rates_of_log_snr(np.linspace(first, np.log(final_snr), trajectory_length))


def log_snr_1(trajectory_length: int, beta_1: float) -> float:
    """Return log SNR_1 = log((1 - beta_1) / beta_1). Raises InputError if T is below 2 or beta_1 not in (0, 1)."""
    if trajectory_length < 2:
        raise InputError(f"T={trajectory_length}: must be 2 or more")
    if not 0 < beta_1 < 1:
        raise InputError(f"beta_1={beta_1}: must be above 0 and below 1")
    return float(np.log1p(-beta_1) - np.log(beta_1))


def rates_of_log_snr(log_snr: FloatArray) -> FloatArray:
    """Return beta_t = (1 - alpha_bar_t) (1 - SNR_t / SNR_{t-1}), exact for the smallest rates; SNR_0 is infinite."""
    lost = -np.expm1(np.diff(log_snr))
    return expit(-log_snr) * np.concatenate([[1.0], lost])


FIXED = {"erase_equally": erase_equally, "released": released, "constant": constant, "linear": linear, "cosine": cosine}


def signal_shares(beta: ArrayLike) -> FloatArray:
    """Return alpha_bar_0..alpha_bar_T of the numbers beta_1..beta_T, float64 (T + 1,), with alpha_bar_0 = 1."""
    return np.concatenate([[1.0], np.cumprod(1 - np.asarray(beta, dtype=np.float64))])


def generate_temporal_basis(trajectory_length: int, n_basis: int) -> FloatArray:
    """Return bump functions over time (Eq. 64), float64 (n_basis, T), whose columns sum to 1.

    The centers are evenly spaced from the first to the last step. The released width is half their spacing; the
    paper's text has the whole spacing.
    """
    time = np.linspace(-1, 1, trajectory_length)
    centers = np.linspace(-1, 1, n_basis)
    width = (centers[1] - centers[0]) / 2
    bumps = np.exp(-((time - centers[:, None]) ** 2) / (2 * width**2))
    return bumps / bumps.sum(axis=0)


# ---------------------------------------------------------------------- symbolic arrays over time


def smallest_rates(trajectory_length: int, step1_beta: float) -> FloatArray:
    """Return the lower limits of beta_1..beta_T in the released schedule: 1e-6, and step1_beta more at t = 1, (T,)."""
    smallest = np.full(trajectory_length, MIN_BETA)
    smallest[0] += step1_beta
    return smallest


def generate_beta_arr(
    perturbation: Tensor, temporal_basis: FloatArray, step1_beta: float, beta_1: float | None = None
) -> Tensor:
    """Return beta_1..beta_T of the released code, symbolic (T,), between 1e-6 and 1 - 1e-5.

    Args:
        perturbation: coefficients of the temporal basis, (n_basis,), added inside the sigmoid around the rates
            1 / linspace(T, 2, T), which erase about an equal share of the signal at each step (section 2.4.1). The
            released code never trains them: they are 0.
        temporal_basis: bumps over time, (n_basis, T).
        step1_beta: added to the smallest first rate.
        beta_1: first rate, fixed and of any size, instead of the released one, which is above step1_beta + 1 / T.
    """
    trajectory_length = temporal_basis.shape[1]
    baseline = released(trajectory_length)
    smallest = smallest_rates(trajectory_length, step1_beta)
    offset = np.log(baseline) - np.log1p(-baseline)
    basis, offset, smallest, room = (
        np.asarray(a, dtype=config.floatX) for a in (temporal_basis, offset, smallest, 1 - smallest - MAX_BETA_GAP)
    )
    rates = smallest + pt.sigmoid(pt.dot(perturbation, pt.constant(basis, name="temporal basis")) + offset) * room
    if beta_1 is None:
        return rates
    return pt.concatenate([np.asarray([beta_1], dtype=config.floatX), rates[1:]])


def get_t_weights(t: Tensor, trajectory_length: int) -> Tensor:
    """Return weights that select time t from an array over 1..T, (n, T).

    Args:
        t: one time per example, (n,); a fraction interpolates linearly between two times.
        trajectory_length: T.
    """
    times = np.arange(1, trajectory_length + 1, dtype=config.floatX)
    return pt.maximum(0, 1 - abs(t[:, None] - times))


def cumulative_beta(beta_arr: Tensor) -> Tensor:
    """Return beta_bar_0..beta_bar_T, (T + 1,): beta_bar_t = 1 - prod_{s <= t} (1 - beta_s), beta_bar_0 = 0.

    Summed as logarithms: 1 minus a product of factors near 1 would lose most digits of float32 at small t.
    """
    log_alpha_bar = pt.cumsum(pt.log1p(-beta_arr))
    return pt.concatenate([np.zeros(1, dtype=config.floatX), -pt.expm1(log_alpha_bar)])


# ---------------------------------------------------------------------- schedules of a model, as bricks


class Schedule(Brick):
    """A schedule of a model: any brick with `trajectory_length` and `beta_arr()`.

    Attributes:
        trajectory_length: T, 2 or more.
    """

    trajectory_length: int

    def beta_arr(self) -> Tensor:
        """Return beta_1..beta_T, symbolic (T,), each in (0, 1]; only the last may be 1."""
        raise NotImplementedError


class FixedSchedule(Schedule):
    """A schedule that is not learned.

    Args:
        beta: beta_1..beta_T, (T,). The last rate may be 1, which erases all signal.

    Raises:
        InputError: T < 2, or a rate outside (0, 1).
    """

    def __init__(self, beta: ArrayLike) -> None:
        super().__init__("schedule")
        self.beta = check_rates(beta)
        self.trajectory_length = len(self.beta)

    def beta_arr(self) -> Tensor:
        """Return the constant beta_1..beta_T, (T,)."""
        return pt.constant(self.beta.astype(config.floatX), name="beta")


class FreeSchedule(Schedule):
    """A schedule with beta_2..beta_T learned, one parameter per step.

    beta_1 is fixed "to prevent overfitting" (2.4.1). beta_t = m + (1 - 2 m) sigmoid(logit_t) with m = 1e-6, so that
    0 < beta_t < 1 whatever the parameters are.

    Args:
        start: initial rates beta_1..beta_T, (T,).

    Raises:
        InputError: T < 2, or a rate outside (0, 1).
    """

    def __init__(self, start: ArrayLike) -> None:
        super().__init__("schedule")
        start = check_rates(start)
        self.trajectory_length, self.first = len(start), float(start[0])
        inside = np.clip((start[1:] - MARGIN) / (1 - 2 * MARGIN), MARGIN, 1 - MARGIN)
        self.offset = np.log(inside) - np.log1p(-inside)
        self.logits = self.add_parameter("logits", (len(start) - 1,), RATES, Constant(0.0))

    def beta_arr(self) -> Tensor:
        """Return beta_1..beta_T, (T,)."""
        offset, first = (np.asarray(a, dtype=config.floatX) for a in (self.offset, [self.first]))
        return pt.concatenate([first, MARGIN + (1 - 2 * MARGIN) * pt.sigmoid(self.logits + offset)])


class BasisSchedule(Schedule):
    """The released form with learned coefficients: bumps over time inside the sigmoid, around 1 / linspace(T, 2, T).

    Args:
        trajectory_length: T.
        n_basis: number of coefficients.
        step1_beta: added to the smallest first rate.
        beta_1: first rate, which is then not learned; None to learn it with the others.

    Raises:
        InputError: trajectory_length or n_basis below 2.
    """

    def __init__(
        self, trajectory_length: int, n_basis: int = 10, step1_beta: float = 0.001, beta_1: float | None = None
    ) -> None:
        super().__init__("schedule")
        if trajectory_length < 2 or n_basis < 2:
            raise InputError(f"trajectory_length={trajectory_length}, n_basis={n_basis}: each must be 2 or more")
        self.trajectory_length, self.step1_beta, self.beta_1 = trajectory_length, step1_beta, beta_1
        self.basis = generate_temporal_basis(trajectory_length, n_basis)
        self.coefficients = self.add_parameter("coefficients", (n_basis,), RATES, Constant(0.0))

    def beta_arr(self) -> Tensor:
        """Return beta_1..beta_T, (T,)."""
        return generate_beta_arr(self.coefficients, self.basis, self.step1_beta, self.beta_1)


def build_schedule(
    name: str, trajectory_length: int, beta_1: float | None = None, step1_beta: float = 0.001, n_basis: int = 10
) -> Schedule:
    """Return a schedule by its name, one of NAMES except "released", which belongs to DiffusionModel.

    Args:
        name: "released-learned", a BasisSchedule; "free", a FreeSchedule that starts at the released rates; "linear",
            whose last rate is 20 / T (0.02 at T = 1,000), "cosine" or "log-snr", which are not learned.
        trajectory_length: T.
        beta_1: first rate; None for the one of the form: 1e-4 of "linear", the formula's of "cosine", and the released
            one, 1e-6 + step1_beta + about 1 / T, of the others.
        step1_beta: added to the smallest first rate of the release.
        n_basis: number of coefficients of "released-learned".
    """
    if name == "released-learned":
        return BasisSchedule(trajectory_length, n_basis, step1_beta, beta_1)
    if name == "linear":
        first = FIRST_LINEAR if beta_1 is None else beta_1
        return FixedSchedule(linear(trajectory_length, first, min(20 / trajectory_length, LARGEST)))
    smallest = smallest_rates(trajectory_length, step1_beta)
    rates = smallest + released(trajectory_length) * (1 - smallest - MAX_BETA_GAP)
    if name == "cosine":
        rates = cosine(trajectory_length)
    if beta_1 is not None:
        rates[0] = beta_1
    if name == "log-snr":
        rates = even_log_snr(trajectory_length, rates[0])
    return FreeSchedule(rates) if name == "free" else FixedSchedule(rates)


def check_rates(beta: ArrayLike) -> FloatArray:
    """Return beta as a float64 array; raise InputError where it is not a schedule."""
    beta = np.asarray(beta, dtype=np.float64)
    if beta.ndim != 1 or len(beta) < 2:
        raise InputError(f"schedule: got an array of shape {beta.shape}; expected beta_1..beta_T with T of 2 or more")
    last = np.arange(len(beta)) == len(beta) - 1
    wrong = np.flatnonzero(~((beta > 0) & ((beta < 1) | ((beta == 1) & last))))
    if len(wrong):
        raise InputError(
            f"schedule: got beta_{wrong[0] + 1} = {beta[wrong[0]]}; expected above 0 and below 1 (the last may be 1)"
        )
    return beta
