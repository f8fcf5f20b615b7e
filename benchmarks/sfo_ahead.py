"""Passes of SFO to a tolerance with 1, 2, 4 and 8 subfunctions evaluated at each point.

    python -m benchmarks.sfo_ahead

Uses the test problems: quadratics, logistic regression and an autoencoder. Prints the medians over seeds of the
numbers of passes and of points. The points determine the time if workers evaluate the subfunctions of a point in
parallel. Takes half a minute.
"""

import numpy as np

from dpm.optimizers import SFO
from tests.helpers.problems import Problem, golden_autoencoder, golden_quadratics, logistic_regression, passes_to_reach

SEEDS, MOST = 5, 40
PROBLEMS = {
    "logistic regression": (logistic_regression, 1e-6),
    "quadratics": (golden_quadratics, 1e-6),
    "autoencoder": (golden_autoencoder, 1e-3),
}


def main() -> None:
    """Print a row for each problem and number of subfunctions."""
    print("| problem | N | tolerance | at each point | passes | points |\n|---|---|---|---|---|---|")
    for name, (make, tolerance) in PROBLEMS.items():
        problem = make()
        for n_ahead in (1, 2, 4, 8):
            found = []
            for seed in range(SEEDS):
                found.append(measure(problem, tolerance, seed, n_ahead))
            passes, points = np.median(found, axis=0)
            print(f"| {name} | {len(problem.references)} | {tolerance:g} | {n_ahead} | {passes:.1f} | {points:.0f} |")


def measure(problem: Problem, tolerance: float, seed: int, n_ahead: int) -> tuple[float, float]:
    """Return the numbers of passes and of points to a tolerance, inf if it was not reached."""
    points = 0

    def f_dfs(theta, references):
        nonlocal points
        points += 1
        return [problem.f_df(theta, reference) for reference in references]

    more = {"rng": np.random.default_rng(seed), "n_ahead": n_ahead, "init_subf": max(2, n_ahead), "f_dfs": f_dfs}
    optimizer = SFO(problem.f_df, problem.start, problem.references, **more)
    (passes,) = passes_to_reach(optimizer, problem, (tolerance,), MOST)
    return passes, points if np.isfinite(passes) else np.inf


if __name__ == "__main__":
    main()
