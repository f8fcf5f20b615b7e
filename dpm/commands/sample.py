"""`dpm sample`, and sample.py: draw samples from a trained model."""

from dpm.base.command_line import Parser, run_command
from dpm.commands.options import add_model_options

MODES = ("sample", "inpaint", "denoise", "posterior")
WAYS = ("constant", "linear", "alpha_bar", "end", "predicted")  # as in dpm/trajectories/products.py


def build_parser(prog="dpm sample"):
    """The options of sample.py."""
    parser = Parser(
        prog=prog,
        description="Draw from a trained model: CHECKPOINT is all it needs.",
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


def main(arguments=None, prog="dpm sample"):
    """Run the command; return the exit status."""
    options = build_parser(prog).parse_args(arguments)

    def action():
        from dpm.commands.sampling import sample

        return sample(options)

    return run_command(prog, action)
