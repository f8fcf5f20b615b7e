"""Pictures of vectors: points of the plane, or sequences in rows; written as dpm/viz.py writes."""

import io

import numpy as np

from dpm.viz import BLUE, _charts, _rendered, _target, _whole_ticks, _write

ROWS = 40


def save_vectors(X, stem, **more):
    """Write `<stem>.npz`, the vectors under the key X beside the arrays `more`, and their picture `<stem>.png`.

    X: (n, size) in data units. Two numbers are a point each; others a row each, the first 40, from white at the
    smallest value (0 or below) to black at the largest (1 or above), over the means of all. Returns both paths.
    """
    arrays, picture = _target(f"{stem}.npz", ".npz"), _target(f"{stem}.png", ".png")
    buffer = io.BytesIO()
    np.savez(buffer, X=X, **more)
    figure = _points(X) if X.shape[1] == 2 else _sequences(X)
    _write({arrays: buffer.getvalue(), picture: _rendered(figure)})
    return arrays, picture


def _points(X):
    figure, axes = _charts(5, 5, 1, 1)
    axes.plot(*X.T, ".", color=BLUE, markersize=2)
    low, high = X.min(), X.max()
    margin = 0.05 * (high - low) + 0.01
    limits = low - margin, high + margin  # of both axes: a narrow cloud is seen as narrow
    axes.set(xlim=limits, ylim=limits, aspect="equal", xlabel="$x_1$", ylabel="$x_2$")
    return figure


def _sequences(X):
    figure, (rows, means) = _charts(5, 6, 2, 1, height_ratios=[4, 1], sharex=True)
    low, high = min(0.0, X.min()), max(1.0, X.max())
    rows.imshow(X[:ROWS], cmap="gray_r", vmin=low, vmax=high, aspect="auto", interpolation="nearest")
    rows.set(ylabel="samples", yticks=[])
    means.bar(np.arange(X.shape[1]), X.mean(axis=0), color=BLUE)
    means.set(xlabel="element", ylabel="mean", ylim=(low, high))
    means.xaxis.set_major_locator(_whole_ticks())
    return figure
