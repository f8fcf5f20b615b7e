"""How fast four optimizers come down: docs/results/optimizers.png, and the table of docs/optimizers.md on stdout.

python -m benchmarks.optimizers [--output docs/results/optimizers.png] [--passes P] [--seeds S]

(F - F*) / (F0 - F*) of the whole sum F against passes, medians of three seeds; the values that are looked at between
steps are not counted. SFO and L-BFGS run as they are by default, Adam and RMSProp with the best of six constant rates,
chosen for each problem by F after the last pass of the first seed (in a tie the largest). Two minutes on one core.
"""

import argparse
import platform
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy
from tqdm import tqdm

from dpm.optimizers import LBFGS, SFO, Adam, RMSProp, Stochastic
from dpm.plots.charts import BLUE, DARK, ORANGE, make_figure, render_png
from tests.helpers import problems

RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
WHOLE = {"SFO": SFO, "L-BFGS": LBFGS}
RULES = {"Adam": Adam, "RMSProp": RMSProp}
STYLES = {"SFO": (BLUE, "-"), "L-BFGS": (DARK, "--"), "Adam": (ORANGE, "-"), "RMSProp": ("#CC79A7", "-.")}
TOLERANCES = (1e-2, 1e-4, 1e-6)
#: The deviation of fresh noise, in root mean square elements of the subfunctions' gradients at the start.
NOISE = 0.3
#: Gaps below are rounding: they count, and are drawn, as this.
FLOOR = 1e-10
LOOKS = 4  # a pass


class Case(NamedTuple):
    """What is minimized, for how many passes, and whether every evaluation sees noise of its own."""

    make: Callable[[], problems.Problem]
    passes: int
    noise: bool = False


CASES = {
    "quadratics": Case(problems.golden_quadratics, 60),
    "autoencoder": Case(problems.golden_autoencoder, 100),
    "logistic regression": Case(problems.logistic_regression, 40),
    "logistic regression, fresh noise": Case(problems.logistic_regression, 40, noise=True),
}


def with_noise(problem, rng):
    """f_df that adds e' theta to each f_i, the Gaussian e drawn anew at each call: F stays what it is in the mean."""
    gradients = np.array([problem.f_df(problem.start, i)[1] for i in problem.references])
    deviation = NOISE * np.sqrt((gradients**2).mean())

    def f_df(x, i):
        value, gradient = problem.f_df(x, i)
        e = deviation * rng.standard_normal(len(x))
        return value + e @ x, gradient + e

    return f_df


def begin(name, problem, noise, rate, seed):
    """The optimizer of that name at the start."""
    f_df = with_noise(problem, np.random.default_rng((seed, 1))) if noise else problem.f_df
    kind, more = (Stochastic, {"rule": RULES[name], "learning_rate": rate}) if name in RULES else (WHOLE[name], {})
    return kind(f_df, problem.start, problem.references, rng=np.random.default_rng(seed), **more)


def descent(optimizer, problem, passes):
    """F after each quarter of a pass, without noise; where an optimizer has ended by itself it stays."""
    looks = np.ceil(np.arange(LOOKS * passes + 1) * len(problem.references) / LOOKS)
    made, totals = [0], [problem.total(problem.start)]
    for look in looks:
        before = -1
        while before < optimizer.sum.evaluations < look:
            before = optimizer.sum.evaluations
            optimizer.step()
        if optimizer.sum.evaluations > made[-1]:
            made.append(optimizer.sum.evaluations)
            totals.append(problem.total(optimizer.theta))
    return np.array(totals)[np.searchsorted(made, looks, side="right") - 1]


def gaps(case, passes, seeds, bar):
    """{optimizer: (rate or None, array (seeds, looks))}. F* is the least F known or met."""
    problem, found = case.make(), {}

    def runs(name, rate, seed, ends=False):
        bar.update()
        optimizer = begin(name, problem, case.noise, rate, seed)
        return problem.total(optimizer.optimize(passes)) if ends else descent(optimizer, problem, passes)

    first = problem.total(problem.start)
    for name in STYLES:
        rate = None
        if name in RULES:
            ends = [max(runs(name, r, 0, ends=True), problem.least + FLOOR * first) for r in RATES[::-1]]
            rate = RATES[::-1][int(np.argmin(ends))]
        found[name] = rate, np.array([runs(name, rate, seed) for seed in range(seeds)])
    least = min(problem.least, *(totals.min() for _, totals in found.values()))
    return {name: (rate, np.maximum((F - least) / (first - least), FLOOR)) for name, (rate, F) in found.items()}


def rows(name, found):
    """The lines of the table."""
    for optimizer, (rate, gap) in found.items():
        median = np.median(gap, 0)
        needed = [np.flatnonzero(median <= tolerance) for tolerance in TOLERANCES]
        cells = [f"{looks[0] / LOOKS:g}" if len(looks) else "-" for looks in needed]
        yield f"| {name} | {optimizer} | {rate or '-'} | {' | '.join(cells)} | {median[-1]:.0e} |"


def plot(all_found):
    """The PNG's bytes: a chart for each problem, one legend."""
    figure, axes = make_figure(8, 6.5, 2, 2)
    for chart, (name, found) in zip(axes.flat, all_found.items(), strict=True):
        for optimizer, (_, gap) in found.items():
            color, style = STYLES[optimizer]
            passes = np.arange(gap.shape[1]) / LOOKS
            chart.plot(passes, np.median(gap, 0), style, color=color, linewidth=1.8, label=optimizer)
            chart.fill_between(passes, gap.min(0), gap.max(0), color=color, alpha=0.2, linewidth=0)
        chart.set(yscale="log", ylim=(1e-3 if CASES[name].noise else FLOOR, 2), xlim=(0, passes[-1]), title=name)
        chart.grid(alpha=0.3)
    figure.supxlabel("passes over the data")
    figure.supylabel("(F − F*) / (F0 − F*)")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False)
    return render_png(figure)


def main(arguments=None):
    """Run, print the table, write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("docs/results/optimizers.png"))
    parser.add_argument("--passes", type=int, help="instead of each problem's own number; for a quick look")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args(arguments)
    number = len(CASES) * (len(RULES) * len(RATES) + len(STYLES) * options.seeds)
    with tqdm(total=number, unit="run", disable=None) as bar:
        found = {k: gaps(case, options.passes or case.passes, options.seeds, bar) for k, case in CASES.items()}
    print(f"Python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}")
    print("| problem | optimizer | rate |", *(f"{tolerance:.0e} |" for tolerance in TOLERANCES), "at the end |")
    print("|" + "---|" * (4 + len(TOLERANCES)))
    print(*(row for name in found for row in rows(name, found[name])), sep="\n")
    options.output.write_bytes(plot(found))


if __name__ == "__main__":
    main()
