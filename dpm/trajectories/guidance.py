"""Guidance schedules: how strongly r(x) multiplies each reverse step (section 2.5)."""

import numpy as np

from dpm.base.errors import InputError
from dpm.graph.schedules import signal_shares

GUIDANCE = ("constant", "linear", "alpha_bar", "end", "predicted")


def exponents(guidance: str, beta: np.ndarray) -> np.ndarray:
    """Return the exponents c_0..c_T of a guidance schedule, r_t(x) = r(x)^c_t with c_0 = 1.

    - "constant": c_t = 1 (Eq. 22).
    - "linear": c_t = (T - t) / T, the paper's other choice (2.5.4).
    - "alpha_bar": c_t = alpha_bar_t, the share of signal left at t.
    - "end": c_t = 0 for t > 0, so that r enters in the last step only.
    - "predicted": c_t = 1, with r_t(x) = r(E[x_0 | x_t = x]) under the model.

    Args:
        guidance: one of GUIDANCE.
        beta: beta_1..beta_T, (T,).

    Returns:
        float64 (T + 1,).

    Raises:
        InputError: the schedule is unknown.
    """
    if guidance not in GUIDANCE:
        raise InputError(f"guidance {guidance!r} is unknown; accepted: {', '.join(GUIDANCE)}")
    T = len(beta)
    t = np.arange(T + 1)
    return {
        "constant": np.ones(T + 1),
        "linear": (T - t) / T,
        "alpha_bar": signal_shares(beta),
        "end": (t == 0).astype(np.float64),
        "predicted": np.ones(T + 1),
    }[guidance]
