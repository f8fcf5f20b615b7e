"""Passes of SFO to a tolerance with 1, 2, 4 and 8 subfunctions evaluated at each point.

    python -m benchmarks.sfo_ahead

Problems are those of the tests: quadratics, logistic regression and an autoencoder. Printed is the median over seeds of
the passes, and of the points at which subfunctions were evaluated one after the other: what takes the time if workers
evaluate those of a point at the same time. Takes three minutes.
"""

import numpy as np

from dpm.optimizers import SFO
from tests.helpers.problems import golden_autoencoder, golden_quadratics, logistic_regression, passes_to_reach

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
                more = {"rng": np.random.default_rng(seed), "n_ahead": n_ahead, "init_subf": max(2, n_ahead)}
                optimizer = SFO(problem.f_df, problem.start, problem.references, **more)
                steps = count_steps(optimizer)
                (passes,) = passes_to_reach(optimizer, problem, (tolerance,), MOST)
                found.append((passes, steps[0] if np.isfinite(passes) else np.inf))
            passes, points = np.median(found, axis=0)
            print(f"| {name} | {len(problem.references)} | {tolerance:g} | {n_ahead} | {passes:.1f} | {points:.0f} |")


def count_steps(optimizer: SFO) -> list[int]:
    """Count the steps of an optimizer from now on; return a list with their number."""
    counted, step = [0], optimizer.step

    def count() -> None:
        counted[0] += 1
        step()

    optimizer.step = count  # type: ignore[method-assign]
    return counted


if __name__ == "__main__":
    main()
