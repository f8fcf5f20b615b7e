"""K against examples and processor time for five choices of training: docs/results/training_curves.png.

    python -m benchmarks.training_curves [--epochs 8] [--seeds 0 1 2] [FOLDER]

The default model is trained on the 4,000 embedded digits with one thread, for the same number of examples with each
choice: as the release with the corrections, then with Adam and a rate that falls to 0, times by importance, small
minibatches, which are the defaults, and another objective. After each epoch K - L_null of the 1,000 test digits is
estimated. Printed is the last value of each run; the curves are means over the seeds, with the smallest and largest
value. Takes half an hour of one core. Seconds are of the processor, so other programs change them little.
"""

import argparse
import time
from pathlib import Path

import numpy as np

import dpm
from dpm.plots.charts import BLUE, DARK, GRAY, GREEN, ORANGE, make_figure, render_png

RELEASED = {"optimizer": "rmsprop", "times": "stratified", "lr_schedule": "release", "warmup": 0, "ema": 0.0}
CHOICES = {
    "RMSProp as released, minibatches of 128": (GRAY, RELEASED | {"batch_size": 128}),
    "Adam, cosine, EMA": (DARK, {"times": "stratified", "batch_size": 128}),
    "the same, times by importance": (GREEN, {"batch_size": 128}),
    "the same, minibatches of 32: the defaults": (BLUE, {}),
    "the same, balanced-then-K": (ORANGE, {"objective": "balanced-then-K"}),
}


class Processor:
    """Extension that accumulates the CPU time of training steps, excluding evaluation between epochs."""

    def __init__(self) -> None:
        self.now, self.seconds, self.rows = time.process_time(), 0.0, []

    def before_training(self, loop) -> None:
        self.now = time.process_time()

    def after_batch(self, loop) -> None:
        self.seconds += time.process_time() - self.now
        self.now = time.process_time()

    def after_epoch(self, loop) -> None:
        self.rows.append((loop.state.step * loop.batch_size, self.seconds))
        self.now = time.process_time()


def main() -> None:
    """Train, print a table and plot."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", default="docs/results")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    figure, axes = make_figure(11, 4, 1, 2)
    charts = list(axes.flat)
    print("| choice | seed | examples drawn | processor time, s | K - L_null, bits/pixel |\n|---|---|---|---|---|")
    for name, (color, settings) in CHOICES.items():
        curves = []
        for seed in options.seeds:
            examples, seconds, K = train(settings | {"epochs": options.epochs, "seed": seed})
            curves.append((examples, seconds, K))
            print(f"| {name} | {seed} | {examples[-1]:,.0f} | {seconds[-1]:.0f} | {K[-1]:.3f} |", flush=True)
        examples, seconds, K = np.array(curves).transpose(1, 0, 2)
        for chart, x in zip(charts, (examples, seconds), strict=True):
            chart.plot(x.mean(0), K.mean(0), ".-", color=color, label=name)
            chart.fill_between(x.mean(0), K.min(0), K.max(0), color=color, alpha=0.2, linewidth=0)
    for chart, label in zip(charts, ("training examples drawn", "processor time of training, s"), strict=True):
        chart.set(xlabel=label, ylabel="K - L_null, bits/pixel")
    charts[0].legend(fontsize=8)
    (Path(options.folder) / "training_curves.png").write_bytes(render_png(figure))


def train(settings: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Train one run; return the examples drawn, the seconds and K - L_null of the test digits after each epoch."""
    data, clock = dpm.load("mnist"), Processor()
    model = dpm.DiffusionModel(spatial_width=28, n_colors=1)
    run = dpm.train(model, data, extensions=[clock], threads=1, quiet=True, **settings)
    examples, seconds = np.array(clock.rows, float).T
    return examples, seconds, np.array([row["test_K_minus_L_null"] for row in run.log])


if __name__ == "__main__":
    main()
