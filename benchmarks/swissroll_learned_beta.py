"""Bound and schedule of the swiss roll with beta learned and with beta fixed: docs/results/swissroll_learned_beta.png.

    python -m benchmarks.swissroll_learned_beta LEARNED FIXED [FOLDER]

LEARNED and FIXED are run folders that began with the same schedule:

    python train.py --experiment swissroll --model-args "form='paper',schedule='released'"
    python train.py --experiment swissroll --model-args "form='paper',schedule='released',learn_beta=False"

Left: K of the test points after each epoch, with the ceilings of the first and of the last schedule. Right: the log
signal-to-noise ratio of each t under both. The ceilings are printed.
"""

import sys
from pathlib import Path

import numpy as np

from dpm.experiments.toys import TOYS, swiss_roll_ceiling, swiss_roll_schedule
from dpm.plots.charts import BLUE, DARK, ORANGE, make_figure, render_png
from dpm.runs.loading import open_run


def log_snr(beta):
    """Return log(alpha_bar_t / (1 - alpha_bar_t)) for t = 1..T, (T,)."""
    log_alpha_bar = np.cumsum(np.log1p(-np.asarray(beta, dtype=np.float64)))
    return log_alpha_bar - np.log(-np.expm1(log_alpha_bar))


def main(learned, fixed, folder="docs/results"):
    """Print the ceilings and plot."""
    runs = {"beta learned": open_run(Path(learned)), "beta fixed": open_run(Path(fixed))}
    figure, axes = make_figure(11, 4, 1, 2)
    left, right = axes.flat
    for (name, run), color in zip(runs.items(), (BLUE, ORANGE), strict=True):
        arguments = run.model.arguments
        beta = np.asarray(run.compiled.beta(run.theta), dtype=np.float64)
        ceiling = swiss_roll_ceiling(arguments, beta)
        print(f"{name}: K {run.log[-1]['test_K']:.3f} after {run.log[-1]['step']} steps, ceiling {ceiling:.3f}")
        left.plot([row["step"] for row in run.log], [row["test_K"] for row in run.log], ".-", color=color, label=name)
        left.axhline(ceiling, color=color, linestyle=":", label=f"ceiling, {name}")
        right.plot(np.arange(1, len(beta) + 1), log_snr(beta), ".-", color=color, label=name)
    truth = TOYS["swissroll"].log_likelihood(arguments)
    left.axhline(truth, color=DARK, linewidth=0.8, label="truth")
    start = swiss_roll_schedule(arguments)
    assert np.allclose(np.log(start), np.log(beta), atol=1e-3), "the schedule of FIXED is not that of its arguments"
    right.axhline(-2 * np.log(arguments["noise"]), color=DARK, linewidth=0.8, label="1 / noise^2 of the data")
    left.set(xlabel="steps of training", ylabel="K, bits")
    right.set(xlabel="t", ylabel="log signal-to-noise ratio")
    for chart in (left, right):
        chart.legend(fontsize=8)
    (Path(folder) / "swissroll_learned_beta.png").write_bytes(render_png(figure))


if __name__ == "__main__":
    main(*sys.argv[1:])
