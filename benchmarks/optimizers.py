"""Compare the convergence of four optimizers: write docs/results/optimizers.png, and a table to stdout.

    python -m benchmarks.optimizers [--output docs/results/optimizers.png] [--passes P] [--seeds S]

The table is that of docs/optimizers.md. Plotted is (F - F*) / (F0 - F*) of the full sum F over passes, the median of
three seeds; evaluations for the plot do not count as passes. SFO and L-BFGS use their defaults. Adam and RMSProp use
the best of six constant rates, chosen per problem by F after the last pass of the first seed (the largest in a tie).
This takes two minutes on one core.
"""

import argparse
import platform
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy

from dpm.base.progress import Progress
from dpm.optimizers import LBFGS, SFO, Adam, RMSProp, Stochastic
from dpm.optimizers.base import Optimizer
from dpm.plots.charts import BLUE, DARK, ORANGE, make_figure, render_png
from tests.helpers import problems

RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
SECOND_ORDER: dict[str, type[Optimizer]] = {"SFO": SFO, "L-BFGS": LBFGS}
RULES = {"Adam": Adam, "RMSProp": RMSProp}
STYLES = {"SFO": (BLUE, "-"), "L-BFGS": (DARK, "--"), "Adam": (ORANGE, "-"), "RMSProp": ("#CC79A7", "-.")}
Gaps = dict[str, tuple[float | None, np.ndarray]]
TOLERANCES = (1e-2, 1e-4, 1e-6)
#: Standard deviation of new noise, in units of the root mean square element of the gradients at the start.
NOISE = 0.3
#: Smaller gaps are rounding, and are drawn and compared as this.
FLOOR = 1e-10
LOOKS = 4  # evaluations of F per pass


class Case(NamedTuple):
    """A problem of the comparison.

    Attributes:
        make: returns the problem.
        passes: number of passes.
        noise: add new noise to every evaluation.
    """

    make: Callable[[], problems.Problem]
    passes: int
    noise: bool = False


CASES = {
    "quadratics": Case(problems.golden_quadratics, 60),
    "autoencoder": Case(problems.golden_autoencoder, 100),
    "logistic regression": Case(problems.logistic_regression, 40),
    "logistic regression, fresh noise": Case(problems.logistic_regression, 40, noise=True),
}


def add_noise(problem: problems.Problem, rng: np.random.Generator) -> Callable[..., tuple[float, np.ndarray]]:
    """Return an f_df that adds e' theta to each f_i, with a new Gaussian e at each call; the mean of F is unchanged."""
    gradients = np.array([problem.f_df(problem.start, i)[1] for i in problem.references])
    deviation = NOISE * np.sqrt((gradients**2).mean())

    def f_df(x, i):
        value, gradient = problem.f_df(x, i)
        e = deviation * rng.standard_normal(len(x))
        return value + e @ x, gradient + e

    return f_df


def make_optimizer(name: str, problem: problems.Problem, noise: bool, rate: float | None, seed: int) -> Optimizer:
    """Return the optimizer of that name at the start of the problem; the rate is used by Adam and RMSProp only."""
    f_df = add_noise(problem, np.random.default_rng((seed, 1))) if noise else problem.f_df
    kind: type[Optimizer]
    more: dict[str, Any]
    kind, more = (
        (Stochastic, {"rule": RULES[name], "learning_rate": rate}) if name in RULES else (SECOND_ORDER[name], {})
    )
    return kind(f_df, problem.start, problem.references, rng=np.random.default_rng(seed), **more)


def measure_descent(optimizer: Optimizer, problem: problems.Problem, passes: int) -> np.ndarray:
    """Return F without noise at the start and after each quarter of a pass, shape (LOOKS * passes + 1,).

    After an optimizer has converged F stays constant.
    """
    looks = np.ceil(np.arange(LOOKS * passes + 1) * len(problem.references) / LOOKS)
    evaluations, totals = [0], [problem.total(problem.start)]
    for look in looks:
        before = -1
        while before < optimizer.sum.evaluations < look:
            before = optimizer.sum.evaluations
            optimizer.step()
        if optimizer.sum.evaluations > evaluations[-1]:
            evaluations.append(optimizer.sum.evaluations)
            totals.append(problem.total(optimizer.theta))
    return np.array(totals)[np.searchsorted(evaluations, looks, side="right") - 1]


def measure_gaps(case: Case, passes: int, seeds: int, bar: Progress) -> Gaps:
    """Return (F - F*) / (F0 - F*) of all optimizers on a problem; F* is the smallest F known or found.

    Args:
        case: the problem.
        passes: number of passes.
        seeds: number of seeds.
        bar: progress bar, advanced by one per run.

    Returns:
        {optimizer: (rate or None, gaps (seeds, LOOKS * passes + 1))}.
    """
    problem, descents = case.make(), {}

    def start(name: str, rate: float | None, seed: int) -> Optimizer:
        bar.update()
        return make_optimizer(name, problem, case.noise, rate, seed)

    first = problem.total(problem.start)
    for name in STYLES:
        rate = None
        if name in RULES:
            ends = [problem.total(start(name, r, 0).optimize(passes)) for r in RATES[::-1]]
            ends = [max(end, problem.least + FLOOR * first) for end in ends]
            rate = RATES[::-1][int(np.argmin(ends))]
        runs = [measure_descent(start(name, rate, seed), problem, passes) for seed in range(seeds)]
        descents[name] = rate, np.array(runs)
    least = min(problem.least, *(totals.min() for _, totals in descents.values()))
    return {name: (rate, np.maximum((F - least) / (first - least), FLOOR)) for name, (rate, F) in descents.items()}


def format_rows(name: str, gaps: Gaps) -> Iterator[str]:
    """Yield the lines of the table for one problem."""
    for optimizer, (rate, gap) in gaps.items():
        median = np.median(gap, 0)
        needed = [np.flatnonzero(median <= tolerance) for tolerance in TOLERANCES]
        cells = [f"{looks[0] / LOOKS:g}" if len(looks) else "-" for looks in needed]
        yield f"| {name} | {optimizer} | {rate or '-'} | {' | '.join(cells)} | {median[-1]:.0e} |"


def plot(all_gaps: dict[str, Gaps]) -> bytes:
    """Return a PNG with one chart per problem and one legend."""
    figure, axes = make_figure(8, 6.5, 2, 2)
    for chart, (name, gaps) in zip(axes.flat, all_gaps.items(), strict=True):
        for optimizer, (_, gap) in gaps.items():
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


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all optimizers on all problems, print the table and write the plot."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("docs/results/optimizers.png"))
    parser.add_argument("--passes", type=int, help="number of passes for all problems, to try it quickly")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args(arguments)
    number = len(CASES) * (len(RULES) * len(RATES) + len(STYLES) * options.seeds)
    with Progress(total=number, unit="run", desc="optimizers") as bar:
        gaps = {k: measure_gaps(case, options.passes or case.passes, options.seeds, bar) for k, case in CASES.items()}
    print(f"Python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}")
    print("| problem | optimizer | rate |", *(f"{tolerance:.0e} |" for tolerance in TOLERANCES), "at the end |")
    print("|" + "---|" * (4 + len(TOLERANCES)))
    print(*(row for name in gaps for row in format_rows(name, gaps[name])), sep="\n")
    options.output.write_bytes(plot(gaps))


if __name__ == "__main__":
    main()
