"""K - L_null of MNIST's digits after some minutes of training with the defaults, or as released.

python -m benchmarks.digits [--minutes 2] [--seeds 0 1 2] [--faithful] [--threads N] [--data-path FOLDER]

The default model is trained on all training digits for the given time, in which the learning rate falls to 0. Printed
is K - L_null of the first 1,000 test digits, 100 strata of t each, with its standard error. Nothing is written.
--faithful trains the model of `train.py --faithful`.
"""

import argparse

import dpm
from dpm.runs.data import load_data
from dpm.training.building import build_model

N_TEST = 1000
STRATA = 100


def main() -> None:
    """Train, evaluate and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=2)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--faithful", action="store_true", help="train as released in 2015")
    parser.add_argument("--threads", type=int, help="microbatches computed in parallel")
    parser.add_argument("--data-path", help="folder of the data")
    options = parser.parse_args()
    print("| minutes | seed | steps | K - L_null, bits/pixel | standard error |\n|---|---|---|---|---|")
    for seed in options.seeds:
        given = {
            **{key: getattr(options, key) for key in ("faithful", "threads")},
            **{"hours": options.minutes / 60, "seed": seed, "quiet": True},
        }
        settings, steps = dpm.Settings.from_arguments(**given, data_path=options.data_path), CountSteps()
        data = load_data(settings)
        run = dpm.train(build_model(settings, data), data, extensions=[steps], **given)
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
