"""Samples of each guidance schedule next to the true product: docs/results/posterior_guidance.png.

    python -m benchmarks.posterior_guidance [FOLDER]

One number, a mixture of three Gaussians, r a Gaussian around 0.6 with standard deviation 0.5, T = 400, the best
Gaussian reverse kernel instead of a trained one, 4,096 samples. Prints the total variation to the product on 40 bins.
Takes half a minute.
"""

import sys
from pathlib import Path

import numpy as np

from dpm.plots.charts import BLUE, DARK, ORANGE, make_figure, render_png
from dpm.trajectories import potentials, products
from tests.helpers import exact

T, N, SEED = 400, 4096, 0
MEAN, SIGMA = 0.6, 0.5
EDGES = np.linspace(-2.5, 2.5, 41)


def product(x):
    """Return p(x) r(x) / Z of the data on a fine even grid."""
    parts = sum(w * np.exp(-0.5 * ((x - m) / s) ** 2) / s for w, m, s in exact.MIXTURE)
    density = parts * np.exp(-0.5 * ((x - MEAN) / SIGMA) ** 2)
    return density / density.sum() / (x[1] - x[0])


def main(folder="docs/results"):
    """Draw samples, print total variations and plot."""
    compiled, log_r = exact.mixture(T), potentials.gaussian(MEAN, SIGMA)
    fine = np.linspace(-4, 4, 8001)
    truth = np.histogram(fine, EDGES, weights=product(fine))[0] * (fine[1] - fine[0])
    samples = {}
    for guidance in products.GUIDANCE:
        rng = np.random.default_rng(SEED)
        samples[guidance] = products.sample_chain(compiled, exact.NONE, log_r, N, rng.standard_normal, guidance)
    for n in (64, N):
        samples[f"linear, {n:,} particles"] = products.sample_product(
            compiled, exact.NONE, log_r, n, SEED, "linear", last_step=False
        ).samples
    samples["independent draws from the product"] = np.random.default_rng(SEED).choice(
        fine, (N, 1), p=product(fine) / 1000
    )
    figure, axes = make_figure(11, 5, 2, 4, sharex=True, sharey=True)
    for chart, (name, x) in zip(axes.flat, samples.items(), strict=True):
        share = np.histogram(x, EDGES)[0] / len(x)
        distance = 0.5 * (np.abs(share - truth).sum() + 1 - share.sum())
        print(f"{name}: total variation {distance:.3f}")
        color = BLUE if name in products.GUIDANCE else ORANGE
        chart.stairs(share / np.diff(EDGES), EDGES, fill=True, color=color, alpha=0.6)
        chart.plot(fine, product(fine), color=DARK, linewidth=1)
        chart.set(xlim=(EDGES[0], EDGES[-1]), ylim=(0, 1.6))
        chart.set_title(f"{name}: {distance:.2f}", fontsize=9)
    (Path(folder) / "posterior_guidance.png").write_bytes(render_png(figure))


if __name__ == "__main__":
    main(*sys.argv[1:])
