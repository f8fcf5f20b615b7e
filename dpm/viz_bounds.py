"""The entropy of reverse steps between the bounds of Eq. 23, as a picture; written as dpm/viz.py writes."""

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
    apart.xaxis.set_major_locator(_whole_ticks())
    for axes in (steps, apart):
        axes.grid(alpha=0.3)
    _write({target: _rendered(figure)})
    return target
