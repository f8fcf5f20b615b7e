"""Z by particles for each guidance schedule, as tables of docs/posterior.md.

    python -m benchmarks.posterior_Z

First 40 runs of 512 particles: Gaussian data N(0.5, 0.3^2) with the exact reverse kernel, r a Gaussian around 0.8 with
standard deviation 0.4, T = 40. Then six runs of 400 particles: the heartbeat with the best factorial kernel, the first
bit observed with an error of 0.001, T = 40. Takes two minutes.
"""

import numpy as np

from dpm.graph import schedules
from dpm.trajectories import potentials, products
from tests.helpers import exact

T, ERROR = 40, 0.001
MEAN, DEVIATION, R_MEAN, R_DEVIATION = 0.5, 0.3, 0.8, 0.4


def main() -> None:
    """Print both tables."""
    print("| guidance | mean of exp(log Z) and its standard error | true Z |\n|---|---|---|")
    beta = schedules.erase_equally(T)  # alpha_bar_T = 0, so p(x_1) of the exact chain equals q(x_1)
    normal, log_r = exact.mixture(T, [(1.0, MEAN, DEVIATION)], beta), potentials.gaussian(R_MEAN, R_DEVIATION)
    mean, variance = np.sqrt(1 - beta[0]) * MEAN, (1 - beta[0]) * DEVIATION**2 + beta[0]
    both = variance + R_DEVIATION**2  # r is 1 at its mean
    truth = R_DEVIATION / np.sqrt(both) * np.exp(-((mean - R_MEAN) ** 2) / (2 * both))
    for guidance in products.GUIDANCE:
        Z = np.exp([result.log_Z for result in run(normal, log_r, 512, 40, guidance)])
        print(f"| {guidance} | {Z.mean():.4f} ± {Z.std(ddof=1) / np.sqrt(len(Z)):.4f} | {truth:.4f} |", flush=True)
    first = np.arange(exact.LENGTH) == 0
    log_r, truth = potentials.bits(first, first, ERROR), 0.2 * (1 - ERROR) + 0.8 * ERROR
    print(f"\ntrue log Z {np.log(truth):.3f}\n\n| guidance | smallest | largest | least effective sample size |")
    print("|---|---|---|---|")
    for guidance in products.GUIDANCE:
        results = run(exact.heartbeat(T), log_r, 400, 6, guidance)
        log_Z = [result.log_Z for result in results]
        least = min(result.effective.min() for result in results)
        print(f"| {guidance} | {min(log_Z):.2f} | {max(log_Z):.2f} | {least:.0f} |", flush=True)


def run(compiled, log_r, n_particles, runs, guidance):
    """Return the result of each seed."""
    return [
        products.sample_product(compiled, exact.NONE, log_r, n_particles, seed, guidance, last_step=False)
        for seed in range(runs)
    ]


if __name__ == "__main__":
    main()
