"""Terms of the bound and the bounds of Eq. 23 over t, as pictures; written as dpm/viz.py writes."""

import numpy as np

from dpm.viz import BLUE, DARK, ORANGE, _charts, _curve, _rendered, _target, _whole_ticks, _write


def plot_entropy_bounds(times, lower, upper, entropy, path, unit="bits/pixel"):
    """Both bounds of Eq. 23 and the model's entropy over t, three lines; below, how far the bounds are from it.

    times: t; lower, upper, entropy: like times, in `unit`; path: ends in .png. Returns it. Raises InputError for a
    path as dpm.viz.plot_images does.
    """
    target = _target(path, ".png")
    figure, (steps, apart) = _charts(7, 6, 2, 1, sharex=True, height_ratios=[3, 2])
    lines = [
        (upper, r"upper bound $H_q(X_t | X_{t-1})$", {"color": BLUE, "linestyle": "--"}),
        (entropy, r"model $H_p(X_{t-1} | X_t)$", {"color": ORANGE}),
        (lower, "lower bound", {"color": DARK, "linestyle": ":"}),
    ]
    for values, label, style in lines:
        _curve(steps, times, values, label=label, **style)
        # The bounds follow beta over many bits, which hides how near they are: the model as zero shows it.
        _curve(apart, times, values - entropy, **style)
    steps.set(title="Entropy of each reverse step and its bounds (Eq. 23)", ylabel=f"entropy ({unit})")
    steps.legend()
    apart.set(xlabel="t", ylabel=f"difference from\nthe model ({unit})")
    return _finished(figure, steps, apart, target)


def plot_terms(times, kl, error, apart, path, unit="bits/pixel"):
    """The terms KL_t of Eq. 14 beside the distance of the bounds of Eq. 23; below, how K - L_null adds up over t.

    Eq. 23 bounds H_q(X_{t-1} | X_t), the conditional entropy of a step of the reversed forward trajectory. Its lower
    bound is H_q(X_{t-1} | X_t, X_0); KL_t above it is the model's mean of -log p(x_{t-1} | x_t). So KL_t is 0 where the
    model's step is as narrow as the lower bound, and as far as the bounds are apart where it is the reversed step of
    the noise itself; that distance less KL_t is what the step adds to K - L_null.

    times: t; kl, apart: like times, in `unit`, NaN where a t was not looked at; error: standard errors of kl, drawn
    twice as a band; path: ends in .png. Returns it. Raises InputError for a path as dpm.viz.plot_images does.
    """
    target = _target(path, ".png")
    figure, (steps, total) = _charts(7, 6, 2, 1, sharex=True, height_ratios=[3, 2])
    steps.fill_between(times, np.maximum(kl - 2 * error, 0), kl + 2 * error, color=ORANGE, alpha=0.25, linewidth=0)
    _curve(steps, times, kl, label="$KL_t$, a term of Eq. 14", color=ORANGE)
    _curve(steps, times, apart, label="upper less lower bound of Eq. 23", color=BLUE, linestyle="--")
    steps.set(title="Terms of the bound and the bounds of Eq. 23", ylabel=unit, yscale="log")
    steps.legend()
    known = np.isfinite(kl)
    filled = np.interp(times, times[known], kl[known])  # of a t between two that were looked at
    _curve(total, times, np.cumsum(apart - filled), color=DARK)
    total.set(xlabel="t", ylabel=f"K - L_null of\nsteps 2..t ({unit})")
    return _finished(figure, steps, total, target)


def _finished(figure, upper, lower, target):
    """Write the figure of two axes over the same t; returns its path."""
    lower.xaxis.set_major_locator(_whole_ticks())
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    _write({target: _rendered(figure)})
    return target
