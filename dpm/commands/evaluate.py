"""python -m dpm evaluate: the options. What they do is in dpm/commands/evaluation.py."""

import sys

from dpm.base.command_line import Parser, run_command
from dpm.base.errors import InputError
from dpm.commands.options import add_model_options

PROG = "dpm evaluate"
ESTIMATORS = ("exact", "reference-2015")
DRAWS = 10_000
SINGLE_EXAMPLES = 10


def parser():
    """All options."""
    top = Parser(
        prog=PROG,
        description="K (Eq. 14) of a trained model term by term, or log p(x) of single examples (Eq. 9).",
        allow_abbrev=False,
    )
    add = top.add_argument
    add("checkpoint", metavar="CHECKPOINT", help="checkpoint.h5 of a run folder, or a model.pkl of 2015 with --input")
    add("--input", metavar="FILE", help="other examples than those of the run: .npz, .png, or FILE.hdf5[:SPLIT[:A-B]]")
    add("--split", choices=("test", "train"), help="which examples of the run (default: test)")
    add("--data-path", "--data_path", help="folder(s) or file where the run's data are now")
    add("--n-examples", "--n_examples", type=int, metavar="N",
        help=f"the first N examples (default: all; {SINGLE_EXAMPLES} with --trajectories)")  # fmt: skip
    add("--t-per-example", "--t_per_example", type=int, metavar="N",
        help="look at N times of each example, one in each of N equal parts of 2..T (default: at every t)")  # fmt: skip
    add("--estimator", choices=ESTIMATORS, help="reference-2015: as the released code printed it (default: exact)")
    add("--draws", type=int, help=f"reference-2015: minibatches, each at one random t (default: {DRAWS})")
    add("--trajectories", type=int, metavar="M",
        help="instead of K: log p(x) of single examples by M forward trajectories each (Eq. 9)")  # fmt: skip
    add("--batch-size", "--batch_size", type=int,
        help="examples (trajectories) at once, up to 200, which moves the last bits alone; reference-2015: those of a "
        "minibatch (default: the run's)")  # fmt: skip
    add("--seed", type=int, default=0, help="of all draws (default: %(default)s)")
    add("--output-dir", "--output_dir", default=".", help="folder, which must exist, for evaluation.* (default: here)")
    add_model_options(top)
    top.set_defaults(size=None)  # what sample.py asks of a model beside these
    return top


def check(options):
    """Raise InputError for a number that is not accepted and for an option that would be ignored."""
    for name in ("n_examples", "t_per_example", "draws", "trajectories", "batch_size", "threads"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise InputError(f"--{name.replace('_', '-')}: {value} is not accepted; take 1 or more")
    if options.seed < 0:
        raise InputError(f"--seed: {options.seed} is not accepted; take 0 or more")
    reference = options.estimator == "reference-2015"
    contradictions = [
        ("trajectories", "estimator"),
        ("trajectories", "t_per_example"),
        ("input", "split"),
        ("input", "data_path"),
    ] + reference * [("estimator", "t_per_example")]
    for first, second in contradictions:
        if getattr(options, first) is not None and getattr(options, second) is not None:
            names = [f"--{name.replace('_', '-')} {getattr(options, name)}" for name in (first, second)]
            raise InputError(f"{names[1]} has no meaning with {names[0]}; leave one out")
    if options.draws is not None and not reference:
        raise InputError(f"--draws {options.draws} has a meaning with --estimator reference-2015 alone; leave it out")
    if not reference and (options.batch_size or 0) > 200:
        raise InputError(f"--batch-size: {options.batch_size} is not accepted; take up to 200")


def main(arguments=None):
    """Run the command; returns the exit status."""
    options = parser().parse_args(arguments)

    def action():
        check(options)
        from dpm.commands.evaluation import evaluate

        return evaluate(options)

    return run_command(PROG, action)


if __name__ == "__main__":
    sys.exit(main())
