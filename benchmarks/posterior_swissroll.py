"""Samples of a trained swiss roll times a Gaussian r, next to the product: docs/results/posterior_swissroll.png.

    python -m benchmarks.posterior_swissroll RUN/checkpoint.h5 [FOLDER]

RUN is a run of `train.py --experiment swissroll`; r is a Gaussian around (0.8, 0.5) with standard deviation 0.4. The
product of the density of the data with r is on the curve, with density r(c(u)) at u, because the noise is much narrower
than r. Prints the total variation to it on 40 parts of the curve.
"""

import sys
from pathlib import Path

import numpy as np

from dpm.base import noise
from dpm.datasets.made.generators import swiss_roll_curve
from dpm.plots.charts import BLUE, DARK, ORANGE, make_figure, render_png
from dpm.runs.loading import open_run
from dpm.trajectories import potentials, products

N, PARTS = 4096, 40
MEAN, SIGMA = np.array([0.8, 0.5]), 0.4


def along_the_curve(X, curve):
    """Return the share of the points X in each part of the curve, (PARTS,)."""
    nearest = ((X[:, None] - curve) ** 2).sum(axis=2).argmin(axis=1)
    return np.histogram(nearest, PARTS, (0, len(curve)))[0] / len(X)


def main(path, folder="docs/results"):
    """Draw samples, print total variations and plot."""
    run = open_run(Path(path))
    compiled, theta, width = run.compiled, run.theta, run.model.arguments["noise"]
    log_r = potentials.gaussian(MEAN, SIGMA)
    curve, _ = swiss_roll_curve((np.arange(2000) + 0.5) / 2000, width)
    r = np.exp(-0.5 * (((curve - MEAN) / SIGMA) ** 2).sum(axis=1))
    r /= r.sum()
    truth = r.reshape(PARTS, -1).sum(axis=1)
    source = noise.ExampleNoise(0, 0, N)
    exact = curve[np.random.default_rng(0).choice(len(curve), N, p=r)]
    samples = {
        "the product": exact + width * np.random.default_rng(1).standard_normal(exact.shape),
        "constant, the paper's chain": products.sample_chain(compiled, theta, log_r, N, source, "constant"),
        f"end, {N:,} particles": products.sample_product(compiled, theta, log_r, N, 0, "end", last_step=False).samples,
    }
    figure, axes = make_figure(12, 4.4, 1, 3, sharex=True, sharey=True)
    axis = np.linspace(-2.2, 2.2, 200)
    x, y = np.meshgrid(axis, axis)
    field = np.exp(-0.5 * ((x - MEAN[0]) ** 2 + (y - MEAN[1]) ** 2) / SIGMA**2)
    colors = (DARK, BLUE, ORANGE)
    for chart, (name, X), color in zip(axes.flat, samples.items(), colors, strict=True):
        distance = 0.5 * np.abs(along_the_curve(np.asarray(X), curve) - truth).sum()
        print(f"{name}: total variation {distance:.3f}")
        chart.contour(x, y, field, levels=[0.1, 0.5, 0.9], colors="#999999", linewidths=0.8)
        chart.plot(*np.asarray(X).T, ".", color=color, markersize=2, alpha=0.3)
        chart.set(xlim=(-2.2, 2.2), ylim=(-2.2, 2.2), aspect="equal")
        chart.set_title(f"{name}: {distance:.2f}", fontsize=9)
    (Path(folder) / "posterior_swissroll.png").write_bytes(render_png(figure))


if __name__ == "__main__":
    main(*sys.argv[1:])
