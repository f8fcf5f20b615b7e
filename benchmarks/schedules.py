"""K of the embedded digits with each schedule of rates: the table in docs/schedules.md.

    python -m benchmarks.schedules [--epochs 8] [--seeds 0] [--only NAME ...]

The default model is trained with the defaults and one thread, for the same number of examples with each schedule.
Printed are K and K - L_null of the 1,000 test digits, 20 strata of t each, and bits per dimension of 8-bit levels, by
which schedules with different rates can be compared. One run takes some two minutes.
"""

import argparse

import dpm
from dpm.runs.evaluation import units_of

SMALL = 1e-5  # beta_1 of those that end on "1e-5"
STRATA = 20


def build_schedules() -> dict[str, dict]:
    """Return {name: arguments of the model}."""
    even = dpm.schedules.even_log_snr(1000, SMALL)
    return {
        **{
            name: {"schedule": name} for name in ("released", "released-learned", "free", "linear", "cosine", "log-snr")
        },
        "log-snr, 1e-5": {"schedule": "log-snr", "beta_1": SMALL},
        "learned from log-snr, 1e-5": {"schedule": dpm.schedules.FreeSchedule(even)},
    }


def main() -> None:
    """Train, evaluate and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    schedules = build_schedules()
    parser.add_argument("--only", nargs="+", choices=schedules, metavar="NAME", help="of these schedules")
    options = parser.parse_args()
    data = dpm.load("mnist")
    print("| schedule | seed | K | K - L_null | standard error | bits/dimension |")
    print("|---|---|---|---|---|---|")
    for name in options.only or schedules:
        for seed in options.seeds:
            model = dpm.DiffusionModel(spatial_width=28, n_colors=1, **schedules[name])
            run = dpm.train(model, data, epochs=options.epochs, seed=seed, threads=1, quiet=True)
            bound = dpm.bound(run, data.test, t_per_example=STRATA)
            units = units_of(run)
            nats = units.in_data_units("K", bound.K / units.factors()[bound.unit])
            print(
                f"| {name} | {seed} | {bound.K:.3f} | {bound.K_minus_L_null:.3f} | {bound.standard_error:.3f} | "
                f"{units.bits_of_levels(nats):.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
