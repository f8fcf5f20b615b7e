"""The options of train.py and sample.py; nothing heavy is imported before they are understood."""

import argparse
import sys

from dpm.base.errors import InputError
from dpm.runs.flags import DTYPES, ENGINES, OPTIMIZERS, TRAIN_FLAGS, check_numbers, switch

CHOICES = {"backend": ENGINES, "dtype": DTYPES, "optimizer": OPTIMIZERS, "in-memory": ("auto", "yes", "no")}
MODES = ("sample", "inpaint", "denoise", "posterior")
WAYS = ("constant", "linear", "alpha_bar", "end", "predicted")  # those of dpm/posterior.py


class Parser(argparse.ArgumentParser):
    """Prints one line and exits with status 2, as every other mistake does."""

    def error(self, message):
        self.exit(2, error_line(self.prog, f"{message} (--help lists all options)") + "\n")


def error_line(prog, message):
    """What every mistake is told as: one line, whatever was typed."""
    return f"{prog}: error: {' '.join(str(message).splitlines())}"


def print_table(rows):
    """Texts in columns, side by side; rows: lists of as many."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def spellings(name):
    """--with-hyphens and --with_underscores."""
    return sorted({f"--{name}", f"--{name.replace('-', '_')}"})


def train_parser():
    """The options of train.py; absent ones are not set."""
    parser = Parser(
        prog="train.py",
        description="Train a diffusion probabilistic model (Sohl-Dickstein et al., ICML 2015).",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    for flag in TRAIN_FLAGS:
        options: dict = {"dest": flag.key, "help": f"{flag.help} (default: {flag.default})"}
        if flag.kind is switch:
            options |= {"nargs": "?", "const": True, "metavar": "true|false"}
        elif flag.name in CHOICES:
            options |= {"choices": CHOICES[flag.name]}
        else:
            options |= {"metavar": flag.kind.__name__.upper() if flag.kind in (int, float) else "TEXT"}
        parser.add_argument(*spellings(flag.name), type=_named(flag.name, flag.kind), **options)
    return parser


def sample_parser():
    """The options of sample.py."""
    parser = Parser(
        prog="sample.py",
        description="Draw from a trained model: CHECKPOINT is all it needs.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("checkpoint", metavar="CHECKPOINT", help="checkpoint.h5 of a run folder, or a model.pkl of 2015")
    add("--n", type=int, help="samples (default: 49 pictures or 1,000 vectors, or as many as there are of --input or "
        "--particles)")  # fmt: skip
    add(
        "--seed",
        type=int,
        default=12345,
        help="of the noise; without --particles sample i depends on (seed, i) alone (%(default)s)",
    )
    add("--mode", choices=MODES, default="sample", help="what to draw (default: %(default)s)")
    add(
        "--input",
        metavar="FILE",
        help="pictures to in-paint or denoise: .npz, .png, or FILE.hdf5[:SPLIT[:A-B]]",
    )
    add("--mask", help="inpaint: what is drawn anew: left, right, top, bottom, center, or a FILE, "
        "not 0 where to draw, or center:SIDE (default: left, as in 2015)")  # fmt: skip
    add("--size", type=int, help="height and width of the samples, where the model can draw others than it was trained "
        "on (docs/data.md)")  # fmt: skip
    add("--sigma", type=float,
        help="denoise: deviation of the noise in --input, in those of the training data (default: 1)")  # fmt: skip
    add(
        "--add-noise",
        action="store_true",
        help="denoise: first add noise of --sigma to the input, as 2015 did",
    )
    add("--log-r", "--log_r", metavar="NAME(...)", help="posterior: log of the r that multiplies the model: "
        "gaussian(mean=..., sigma=...), bits(known=..., value=..., error=0.001) or linear(weights=...), each a number "
        "or a list with one for each element, in units of the data; None in mean: not observed")  # fmt: skip
    add("--way", choices=WAYS, help="posterior: how r enters at step t: in full (as in the paper), growing in a line "
        "or with the share of signal, at the end alone, or as r of the predicted x_0 (default: linear, and end with "
        "--particles)")  # fmt: skip
    add("--particles", type=int, metavar="N", help="posterior: weigh N samples with one another, which is exact for "
        "large N, and estimate log Z (default: the multiplied chain alone)")  # fmt: skip
    add("--animate", action="store_true", help="write samples.gif of the reverse trajectory")
    add("--every", type=int, metavar="N", help="also keep every N-th state: samples.npz then holds X_t and t")
    add(
        "--output-dir",
        "--output_dir",
        default=".",
        help="folder, which must exist, for samples.* (default: here)",
    )
    add_model_options(parser)
    return parser


def add_model_options(parser):
    """Those of every command that takes a checkpoint of ours or a model.pkl of 2015."""
    add = parser.add_argument
    add("--backend", choices=ENGINES, default="auto", help="engine (default: %(default)s)")
    add("--threads", type=int, metavar="N", help="parts of a batch computed at the same time (default: as many as the "
        "machine has processors)")  # fmt: skip
    add("--model-args", "--model_args", type=_named("model-args", literal), default={},
        help="model.pkl only: arguments of DiffusionModel where its arrays do not tell them")  # fmt: skip
    add("--scale", type=float, help="model.pkl only: the model's units are scale * x + shift (default: 1)")
    add("--shift", type=float, help="model.pkl only (default: 0)")
    add("--quiet", action="store_true", help="print nothing but errors")


def literal(text):
    """Imported late, as its module parses Python."""
    from dpm.runs.flags import literal_arguments

    return literal_arguments(text)


def _named(name, kind):
    """kind as argparse wants it: its errors become one line that names the flag and the value."""

    def convert(text):
        try:
            return kind(text)
        except InputError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    convert.__name__ = getattr(kind, "__name__", "value")
    return convert


def command(prog, action):
    """Run action() and return the exit status; a mistake, or a full disk and such, is one line on stderr, status 2."""
    try:
        return action() or 0
    except (InputError, OSError) as error:
        print(error_line(prog, error), file=sys.stderr)
        return 2
    except MemoryError as error:
        print(error_line(prog, f"not enough memory ({error}); take a smaller model or batch"), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{prog}: stopped", file=sys.stderr)
        return 130


def train_main(arguments=None):
    """train.py."""
    given = vars(train_parser().parse_args(arguments))

    def action():
        check_numbers(given)
        from dpm.training.run import train

        return train(given)

    return command("train.py", action)


def sample_main(arguments=None):
    """sample.py."""
    options = sample_parser().parse_args(arguments)

    def action():
        from dpm.commands.sampling import sample

        return sample(options)

    return command("sample.py", action)
