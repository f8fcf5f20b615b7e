"""K of a model of dead leaves next to the exact log likelihood of a conditional mixture, on the same test images.

    python -m benchmarks.dead_leaves_claim RUN [--n 200] [--t-per-example 100] [--components 10 30 60]
        [--radius 2] [--patches 20000]

RUN is a run of `train.py --experiment deadleaves`. The mixture of causal neighborhoods (floor 1e-5;
dpm/likelihood/conditional_mixture.py) is fitted to the same training images, with the model's dequantization,
and evaluated on the images as they are (x_0) and with the noise of beta_1 (x_1). Prints bits/pixel, and the mean of K
minus log p over the images with its standard error.
"""

import argparse

import numpy as np

from benchmarks.dead_leaves import PATCHES, RADIUS, add_noise, score_mixture
from dpm.likelihood import bound
from dpm.likelihood.standard_errors import estimate
from dpm.runs.loading import open_run


def main() -> None:
    """Evaluate the model and the mixtures, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run")
    parser.add_argument("--n", type=int, default=200, help="test images")
    parser.add_argument("--t-per-example", type=int, default=100)
    parser.add_argument("--components", type=int, nargs="+", default=[10, 30, 60])
    parser.add_argument("--radius", type=int, default=RADIUS, help="of a neighborhood, in pixels")
    parser.add_argument("--patches", type=int, default=PATCHES, help="that the mixture is fitted to")
    options = parser.parse_args()
    run = open_run(options.run)
    data, model = run.load_data(), run.model
    train, test = np.asarray(data.train[:]), np.asarray(data.test[: options.n])
    bits = 1 / np.log(2) / model.n_pixels
    K = bound.terms(run.compiled, run.theta, test, 0, options.t_per_example).K * bits
    beta_1 = float(run.compiled.beta(run.theta)[0])
    print(f"beta_1 {beta_1:.3g}, dequantization {model.uniform_noise:.3g} of the images' deviation")
    print("| | bits/pixel | K minus it, by image |\n|---|---|---|")
    value, error = estimate(K)
    print(f"| K | {value:.3f} ± {error:.3f} | |", flush=True)
    for name, variance in (("x_0", 0.0), ("x_1", beta_1)):
        rng = np.random.default_rng(0)
        noisy = [add_noise(images, model.uniform_noise, variance, rng) for images in (train, test)]
        for components in options.components:
            log_p = score_mixture(*noisy, rng, components, options.radius, options.patches)
            (value, error), (gain, spread) = estimate(log_p), estimate(K - log_p)
            print(
                f"| mixture of {components}, log p({name}) | {value:.3f} ± {error:.3f} | {gain:+.3f} ± {spread:.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
