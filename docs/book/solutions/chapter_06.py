"""Solutions of chapter 6: the toy problems."""

import numpy as np

from dpm.experiments import exact
from dpm.experiments.toys import TOYS, swiss_roll_schedule

NOISE = 0.05


def exercise_1() -> dict[str, float]:
    """Compare the ceilings of three schedules: best is the highest, and the released one loses more than half a bit.

    The released rates begin with one large step from beta_1 to 1 / T, in which the detail of the spiral is lost at
    once. Steps that are even in log SNR lose little to the best ones.
    """
    toy = TOYS["swissroll"]
    found = {}
    for name in ("released", "even_log_snr", "best"):
        arguments = toy.complete({"noise": NOISE, "schedule": name})
        found[name] = toy.ceiling(arguments, swiss_roll_schedule(arguments))
    assert found["released"] < found["even_log_snr"] <= found["best"] + 0.02
    assert found["best"] - found["released"] > 0.5
    return found


def exercise_2() -> tuple[float, float]:
    """Compare diagonal with full covariance: the full one has the higher ceiling.

    Given x_t, x_0 is uncertain along the spiral and almost certain across it. The direction of the spiral turns, and a
    diagonal covariance can be narrow only along the axes.
    """
    arguments = TOYS["swissroll"].complete({"noise": NOISE})
    beta = swiss_roll_schedule(arguments)
    diagonal, full = (
        exact.swiss_roll.ceiling(NOISE, beta, np.random.default_rng(0), covariance)[0]
        for covariance in ("diagonal", "full")
    )
    assert full > diagonal + 0.02
    return diagonal, full


def exercise_3() -> float:
    """Show that the share is 5 x 2^L_null, about one in three thousand.

    Every heartbeat has 4 ones and 16 zeros, so each has the same probability under independent bits of rate 0.2, and
    the log of it is L_null. There are five of them.
    """
    share = 5 * 2 ** exact.heartbeat.L_null()
    assert np.isclose(share, 5 * 0.2**4 * 0.8**16)
    assert 1 / 5000 < share < 1 / 1000
    return share


if __name__ == "__main__":
    for exercise in (exercise_1, exercise_2, exercise_3):
        print(exercise.__name__, exercise())
