"""K - L_null of MNIST's digits after some minutes of training with the defaults.

python -m benchmarks.digits [--minutes 2] [--seeds 0 1 2] [--data-path FOLDER]

The default model is trained on all training digits for the given time, in which the learning rate falls to 0. Printed
is K - L_null of the first 1,000 test digits, 100 strata of t each, with its standard error. Nothing is written.
"""

import argparse

import dpm

N_TEST = 1000
STRATA = 100


def main() -> None:
    """Train, evaluate and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=2)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--data-path", help="folder of the data")
    options = parser.parse_args()
    data = dpm.load("mnist", options.data_path)
    model = dpm.DiffusionModel(spatial_width=28, n_colors=1)
    print(f"{len(data.train):,} training digits\n")
    print("| minutes | seed | steps | K - L_null, bits/pixel | standard error |\n|---|---|---|---|---|")
    for seed in options.seeds:
        steps = CountSteps()
        run = dpm.train(
            model, data, hours=options.minutes / 60, epochs=10**6, seed=seed, quiet=True, extensions=[steps]
        )
        bound = dpm.bound(run, data.test[:N_TEST], t_per_example=STRATA)
        print(
            f"| {options.minutes:g} | {seed} | {steps.count:,} | {bound.K_minus_L_null:.3f} | "
            f"{bound.standard_error:.3f} |",
            flush=True,
        )


class CountSteps:
    """Extension that counts the steps of training."""

    count = 0

    def after_batch(self, loop):
        self.count = loop.state.step


if __name__ == "__main__":
    main()
