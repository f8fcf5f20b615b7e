"""`dpm sample`, and sample.py: draw samples, in-paintings, denoised images or samples of a product with r(x)."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from dpm.base.command_line import Parser, run_command
from dpm.base.errors import InputError
from dpm.base.progress import Progress
from dpm.base.wording import count
from dpm.cluster.mapper import mapped
from dpm.commands.options import ModelOptions, add_model_options, open_run_of, read_input_of

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from dpm.plots.products import Product
    from dpm.runs.loading import Run

MODES = ("sample", "inpaint", "denoise", "posterior")
GUIDANCE = ("constant", "linear", "alpha_bar", "end", "predicted")  # as in dpm/trajectories/guidance.py
MASK = "left"
CHAIN_GUIDANCE = "linear"
# The weights of "linear" have heavy tails, so that its log Z is usually too low and its error too small.
PARTICLES_GUIDANCE = "end"
# Options and the modes that use them.
USED_BY = {
    "input": ("inpaint", "denoise"),
    "mask": ("inpaint",),
    "sigma": ("denoise",),
    "add_noise": ("denoise",),
    "log_r": ("posterior",),
    "guidance": ("posterior",),
    "particles": ("posterior",),
}


@dataclass(frozen=True)
class Options(ModelOptions):
    """The values of all options."""

    n: int | None
    seed: int
    mode: str
    input: str | None
    mask: str | None
    size: int | None
    sigma: float | None
    add_noise: bool
    log_r: str | None
    guidance: str | None
    particles: int | None
    animate: bool
    every: int | None
    output_dir: str


class Given(NamedTuple):
    """Images to restore, (n, c, h, w) in data units, and where to draw, (c, h, w) bool; None for denoising."""

    images: "np.ndarray"
    hole: "np.ndarray | None"


def build_parser(prog: str = "dpm sample") -> Parser:
    """Return the parser of the command."""
    parser = Parser(
        prog=prog,
        description="Draw from a trained model; its checkpoint is all that is needed.",
        examples=[
            ("DiffusionModel_MNIST-... --n 16 --animate", "draw 16 samples, and show how they form"),
            (
                "DiffusionModel_MNIST-... --mode inpaint --mask left --input mnist5k.hdf5:test:0-10",
                "draw the left halves of the first ten test images of a file",
            ),
        ],
    )
    parser.add_argument("checkpoint", metavar="RUN", help="run folder, its checkpoint.h5, or a model.pkl of 2015")
    _add_mode_options(parser)
    _add_posterior_options(parser)
    add = parser.group("output").add_argument
    add("--animate", action="store_true", help="write samples.gif of the reverse trajectory")
    add("--every", type=int, metavar="N", help="also keep every N-th state: samples.npz then holds X_t and t")
    add("--output-dir", default=".", help="existing folder for samples.* (default: the current folder)")
    add_model_options(parser)
    return parser


def _add_mode_options(parser: Parser) -> None:
    """Add the options that determine what is drawn."""
    add = parser.group("what to draw").add_argument
    add("--mode", choices=MODES, default="sample", help="what to draw (default: %(default)s)")
    add(
        "--n",
        type=int,
        help="number of samples (default: 49 images or 1,000 vectors; with --input one per image; with --particles "
        "that number)",
    )
    add(
        "--seed",
        type=int,
        default=12345,
        help="seed of the noise; without --particles sample i depends on (seed, i) only (default: %(default)s)",
    )
    add(
        "--size",
        type=int,
        help="height and width of the samples, if the model can draw other sizes than it was trained on (docs/data.md)",
    )
    add = parser.group("--mode inpaint and denoise").add_argument
    add(
        "--input",
        metavar="FILE",
        help="images to in-paint or denoise: .npz, .png, or FILE.hdf5[:SPLIT[:A-B]], the images A to B - 1 of a split",
    )
    add(
        "--mask",
        help="inpaint: the part to draw: left, right, top, bottom, center, center:SIDE, or an image FILE whose nonzero "
        f"pixels mark it (default: {MASK}, as in 2015)",
    )
    add("--sigma", type=float, help="denoise: deviation of the noise in --input, in standard "
        "deviations of the training data (default: 1)")  # fmt: skip
    add("--add-noise", action="store_true", help="denoise: first add noise of --sigma to the input, as in 2015")


def _add_posterior_options(parser: Parser) -> None:
    """Add the options of the product with r(x)."""
    add = parser.group("--mode posterior").add_argument
    add(
        "--log-r",
        metavar="NAME(...)",
        help="log of the r(x) that multiplies the model: gaussian(mean=..., sigma=...), bits(known=..., "
        "value=..., error=0.001) or linear(weights=...), each a number or a list with one for each element, in data "
        "units; None in mean: not observed",
    )
    add(
        "--guidance",
        choices=GUIDANCE,
        help="guidance schedule, how r(x) enters at step t: in full (constant, as in the paper), growing "
        "linearly or with the signal (alpha_bar), at the end only, or as r of the predicted x_0 (default: "
        f"{CHAIN_GUIDANCE}, and {PARTICLES_GUIDANCE} with --particles)",
    )
    add(
        "--particles",
        type=int,
        metavar="N",
        help="weigh N samples against one another, which is exact for large N, and estimate log Z (default: "
        "the multiplied chain without weights)",
    )


def main(arguments: Sequence[str] | None = None, prog: str = "dpm sample") -> int:
    """Run the command; return the exit status."""
    options = Options(**vars(build_parser(prog).parse_args(arguments)))
    return run_command(prog, lambda: draw(options))


def draw(options: Options) -> int:
    """Draw with the options of a command line; write samples.npz, samples.png, and inpaint.png or denoise.png."""
    from dpm.base.atomic import writable_folder

    folder = writable_folder("--output-dir", options.output_dir)
    check_options(options)
    run = open_run_of(options, size=options.size)
    check_model(options, run)
    given = read_given(options, run) if options.mode in USED_BY["input"] else None
    with mapped(run.compiled, options.cluster, options.quiet):
        if options.particles:
            X, more = draw_particles(options, run, options.particles)
        else:
            X, more = draw_trajectories(options, run, given)
    write(folder, X, more, run, options, given)
    if not options.quiet:
        names = ["samples.npz", "samples.png", *(["samples.gif"] if options.animate else [])]
        print(f"{count(len(X), 'sample')}: {' and '.join(str(folder / name) for name in names)}")
        if options.mode in USED_BY["input"]:
            print(f"next to their input: {folder / options.mode}.png")
    return 0


# ------------------------------------------------------------------ checks


def check_options(options: Options) -> None:
    """Raise InputError for a number that is not accepted and for an option that the mode would ignore."""
    for name in ("n", "every", "size", "threads"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise InputError(f"--{name}: {value} is not accepted; take 1 or more")
    if options.seed < 0:
        raise InputError(f"--seed: {options.seed} is not accepted; take 0 or more")
    for name, modes in USED_BY.items():
        if getattr(options, name) not in (None, False) and options.mode not in modes:
            flag = name.replace("_", "-")
            raise InputError(
                f"--{flag} is not used by --mode {options.mode}; leave it out, or take {' or '.join(modes)}"
            )
    if options.mode in USED_BY["input"] and options.input is None:
        raise InputError(f"--mode {options.mode} needs --input FILE: .npz, .png, or FILE.hdf5[:SPLIT[:A-B]]")
    if options.mode == "posterior":
        check_posterior(options)
    if options.sigma is not None and not 0 < options.sigma < float("inf"):
        raise InputError(f"--sigma: {options.sigma} is not accepted; take a number above 0")


def check_posterior(options: Options) -> None:
    """Raise InputError for options of --mode posterior that are missing, not accepted or contradict each other."""
    from dpm.trajectories import potentials

    if options.log_r is None:
        raise InputError(f'--mode posterior needs --log-r "NAME(...)", such as "{potentials.EXAMPLE}"')
    potentials.read(options.log_r)
    if options.particles is None:
        return
    if options.particles < 2:
        raise InputError(f"--particles: {options.particles} is not accepted; take 2 or more, or leave it out")
    if options.n is not None and options.n > options.particles:
        raise InputError(f"--n: {options.n} is not accepted with --particles {options.particles}; take at most as many")
    for name in ("every", "animate"):
        if getattr(options, name):
            raise InputError(
                f"--{name} is not used with --particles, whose states are not the past of its samples; leave one out"
            )


def check_model(options: Options, run: "Run") -> None:
    """Raise InputError for an option that makes no sense for the data of the model."""
    if run.has_images:
        return
    if options.mode in ("inpaint", "denoise"):
        raise InputError(f"--mode {options.mode} is for images; this model draws vectors: take --mode posterior")


# ------------------------------------------------------------------ drawing


def draw_particles(options: Options, run: "Run", n_particles: int) -> "tuple[np.ndarray, dict[str, Any]]":
    """Draw from p(x_0) r(x_0) by particles; return samples in data units and further arrays of samples.npz."""
    import numpy as np

    from dpm.trajectories.products import sample_product

    steps = run.model.trajectory_length - 1
    with Progress(total=steps, unit="step", desc=f"{n_particles:,} particles", quiet=options.quiet) as bar:
        result = sample_product(
            run.compiled,
            run.theta,
            read_potential(options, run),
            n_particles,
            options.seed,
            options.guidance or PARTICLES_GUIDANCE,
            options.n or n_particles,
            last_step=False,
            progress=bar.update,
        )
    if not options.quiet:
        least = result.effective.argmin()
        print(
            f"log Z = {result.log_Z:.4f} +- {result.log_Z_error:.4f} nats; effective sample size "
            f"{result.effective[-1]:.0f} of {n_particles} at the end, at least {result.effective[least]:.0f} "
            f"(after {least} steps), resamplings: {result.resamplings}"
        )
    X = run.scaling.inverse(result.samples.astype(np.float64))
    return X, {"log_Z": result.log_Z, "log_Z_error": result.log_Z_error, "effective": result.effective}


def draw_trajectories(options: Options, run: "Run", given: Given | None) -> "tuple[np.ndarray, dict[str, Any]]":
    """Draw each sample by one reverse trajectory; return samples in data units and further arrays of samples.npz."""
    import numpy as np

    from dpm.runs import samples

    constraint: samples.MakeConstraint | None = None
    n = samples.default_n(run) if given is None else len(given.images)
    log_r = read_potential(options, run) if options.mode == "posterior" else None
    if given is not None and given.hole is not None:
        constraint = samples.known_pixels(run, given.images, ~given.hole)
    elif given is not None:
        sigma = 1.0 if options.sigma is None else options.sigma
        constraint = samples.noisy_images(run, given.images, sigma, options.seed + 1 if options.add_noise else None)
    T = run.model.trajectory_length
    every = options.every or (max(1, T // 60) if options.animate else T * (given is not None))
    result = samples.draw_samples(
        run,
        options.n or n,
        options.seed,
        constraint,
        log_r,
        options.guidance or CHAIN_GUIDANCE,
        every,
        options.quiet,
    )
    X = result.X
    if given is not None and given.hole is not None:
        X = samples.restore_known(X, given.images, ~given.hole)
    return X, {"X_t": result.states, "t": np.array(result.times)} if every else {}


def read_given(options: Options, run: "Run") -> Given:
    """Return the images and the mask that the options name; warn of a mask that divides nothing."""
    from dpm.runs.user_images import describe_trivial_mask, read_mask

    images = read_input_of(run, str(options.input), options.quiet)
    if options.mode != "inpaint":
        return Given(images, None)
    hole = read_mask(MASK if options.mask is None else options.mask, run.model.example_shape)
    if text := describe_trivial_mask(hole):
        print(f"warning: --mask {options.mask}: {text}", file=sys.stderr)
    return Given(images, hole)


def read_potential(options: Options, run: "Run") -> Any:
    """Return the log r of --log-r, in the model's units."""
    from dpm.trajectories import potentials

    name, arguments = potentials.read(str(options.log_r))
    return potentials.build(name, arguments, run.model.example_shape, run.scaling, run.model.kernel.binary)


def write(
    folder: "Path", X: "np.ndarray", more: dict[str, Any], run: "Run", options: Options, given: Given | None
) -> None:
    """Write samples.npz (X and the arrays `more`), samples.png, the plot of a restoration and samples.gif."""
    from dpm import viz
    from dpm.plots.animations import animate_vectors
    from dpm.plots.vectors import save_vectors
    from dpm.runs.folder import save_arrays
    from dpm.runs.samples import DEFAULT_N
    from dpm.sampler import shown_time

    times = [shown_time(t) for t in more.get("t", ())]
    try:
        if not run.has_images:
            product = make_product(options, run) if options.mode == "posterior" else None
            save_vectors(X, folder / "samples", product, **(more if options.every or options.particles else {}))
            if options.animate:
                animate_vectors(more["X_t"], times, folder / "samples.gif", quiet=options.quiet)
            return
        viz.save_images(X, folder / "samples")
        if given is not None:
            plot_restoration(folder / f"{options.mode}.png", X, more["X_t"][0], given, options.add_noise)
        if more and (options.every or options.particles):
            save_arrays(folder / "samples.npz", X=X, **more)
        if options.animate:
            viz.animate([state[:DEFAULT_N] for state in more["X_t"]], folder / "samples.gif", times=times)
    except OSError as error:
        raise InputError(f"--output-dir: cannot write in {folder} ({error}); give another folder") from None


def plot_restoration(path: "Path", X: "np.ndarray", start: "np.ndarray", given: Given, add_noise: bool) -> None:
    """Plot in-painted or denoised images X next to what the chain starts at and, where it is known, the original."""
    from dpm.plots import panels
    from dpm.runs.samples import repeat_images

    original = repeat_images(given.images, 0, len(X)) if given.hole is not None or add_noise else None
    panels.plot_restoration(original, start, X, path, given.hole)


def make_product(options: Options, run: "Run") -> "Product":
    """Return r(x) of --log-r and the test data, in data units, for the plot; no data where they are not found."""
    import numpy as np

    from dpm.plots.products import Product

    log_r = read_potential(options, run)

    def evaluate(X: np.ndarray) -> np.ndarray:
        function = run.compiled.function(log_r, [run.compiled.examples("X", len(X))])
        return function(run.theta, run.engine.asarray(run.scaling.forward(X)))[0]

    try:
        return Product(evaluate, run.scaling.inverse(np.asarray(run.data("test"), np.float64)))
    except InputError:
        return Product(evaluate)
