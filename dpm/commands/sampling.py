"""What sample.py does: a checkpoint becomes samples, in-paintings, denoised pictures or samples of a product."""

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from dpm import viz
from dpm.base.arguments import check_names
from dpm.base.atomic import atomic_write, writable_folder
from dpm.base.errors import InputError
from dpm.base.noise import ExampleNoise
from dpm.datasets import Scaling
from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.experiments.toys import TOYS
from dpm.experiments.variants import RELEASED
from dpm.model import DiffusionModel, argument_names
from dpm.plots.vectors import save_vectors
from dpm.runs import checkpoint
from dpm.runs.blocks_checkpoint import PARAMETER_PREFIX, infer_arguments, read_blocks_checkpoint
from dpm.runs.user_images import read_mask, read_pictures
from dpm.sampler import Posterior, generate_samples
from dpm.trajectories import potentials as named_r
from dpm.trajectories.products import sample_chain, sample_product

BATCH = 100
VECTORS = 1000  # in a batch
DEFAULT_N = 49
CHAIN_WAY = "linear"  # of those in dpm/trajectories/products.py
# The weights of "linear" have heavy tails, so that its log Z is usually too low and its error too small.
PARTICLES_WAY = "end"


class Loaded(NamedTuple):
    """What sample.py takes of a checkpoint.

    build: a function that builds the model, to be called inside its engine; parameters: dict of path to array;
    pixels: whether the data were 8-bit, as those of 2015 were; vectors: whether they are no pictures; config: the
    run's, None for a model.pkl.
    """

    build: Any
    parameters: dict
    scaling: Scaling
    dtype: str
    pixels: bool
    vectors: bool = False
    config: Any = None


def sample(options):
    """Run sample.py with parsed options; writes samples.npz and samples.png, returns 0."""
    folder = writable_folder("--output-dir", options.output_dir)
    check_options(options)
    loaded = load_model(options)
    check_model(options, loaded)
    compiled, theta = compiled_model(loaded, options.backend, options.threads)
    X, more = (particles if options.particles else trajectories)(options, compiled, theta, loaded)
    write(folder, X, more, loaded.vectors, options)
    if not options.quiet:
        print(f"{len(X)} samples: {folder / 'samples.npz'} and {folder / 'samples.png'}")
    return 0


def compiled_model(loaded, backend, threads=None):
    """The CompiledModel of a Loaded on the engine named, and its parameters as one flat vector."""
    engine = Engine(backend, loaded.dtype, threads)
    with engine:
        model = loaded.build()
    compiled = CompiledModel(model, engine)
    return compiled, compiled.layout.flatten(loaded.parameters, loaded.dtype)


def particles(options, compiled, theta, loaded):
    """Samples of p(x_0) r(x_0) by particles: (samples in data units, further arrays of samples.npz)."""
    log_r = chosen_r(options, compiled.model, loaded.scaling)
    n = options.n or options.particles
    way = options.way or PARTICLES_WAY
    r = sample_product(compiled, theta, log_r, options.particles, options.seed, way, n, edge=False)
    if not options.quiet:
        least = r.effective.argmin()
        print(
            f"log Z = {r.log_Z:.4f} +- {r.log_Z_error:.4f} nats; effective sample size {r.effective[-1]:.0f} of "
            f"{options.particles} at the end, at least {r.effective[least]:.0f} (after {least} steps), "
            f"resamplings: {r.resamplings}"
        )
    X = loaded.scaling.inverse(r.samples.astype(np.float64))
    return X, {"log_Z": r.log_Z, "log_Z_error": r.log_Z_error, "effective": r.effective}


def trajectories(options, compiled, theta, loaded):
    """Samples, each by a reverse trajectory of its own: (samples in data units, further arrays of samples.npz)."""
    model, scaling = compiled.model, loaded.scaling
    run, pictures, drawn = mode(options, compiled, theta, loaded)
    default = len(pictures) if pictures is not None else VECTORS if loaded.vectors else DEFAULT_N
    n, T = options.n or default, model.trajectory_length
    every = options.every or (max(1, T // 60) if options.animate else 0)
    batch = VECTORS if loaded.vectors else BATCH
    batches = [draw(options, model, run, first, min(batch, n - first), every) for first in range(0, n, batch)]
    X = np.concatenate([final for final, _ in batches])
    X = scaling.inverse(X.astype(np.float64))
    if drawn is not None:  # the affine map and back may move the last bit of a known pixel
        X = np.where(drawn, X, cycled(pictures, 0, n))
    states = [scaling.inverse(np.concatenate(parts)) for parts in zip(*(s for _, s in batches), strict=True)]
    return X, {"X_t": np.stack(states), "t": np.array(state_times(T, every))} if every else {}


def check_options(options):
    """Raise InputError for a number that is not accepted and for an option that the mode would ignore."""
    for name in ("n", "every", "size", "threads"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise InputError(f"--{name}: {value} is not accepted; take 1 or more")
    if options.seed < 0:
        raise InputError(f"--seed: {options.seed} is not accepted; take 0 or more")
    used = {
        "input": ("inpaint", "denoise"),
        "mask": ("inpaint",),
        "sigma": ("denoise",),
        "add_noise": ("denoise",),
        "log_r": ("posterior",),
        "way": ("posterior",),
        "particles": ("posterior",),
    }
    for name, modes in used.items():
        if getattr(options, name) not in (None, False) and options.mode not in modes:
            flag = name.replace("_", "-")
            raise InputError(
                f"--{flag} is not used by --mode {options.mode}; leave it out, or take {' or '.join(modes)}"
            )
    if options.mode in used["input"] and options.input is None:
        raise InputError(f"--mode {options.mode} needs --input FILE: .npz, .png, or FILE.hdf5[:SPLIT[:A-B]]")
    if options.mode == "posterior":
        check_posterior(options)
    if options.sigma is not None and not 0 < options.sigma < np.inf:
        raise InputError(f"--sigma: {options.sigma} is not accepted; take a number above 0")


def check_posterior(options):
    """Raise InputError for options of --mode posterior that are missing, not accepted or contradict each other."""
    if options.log_r is None:
        raise InputError(f'--mode posterior needs --log-r "NAME(...)", such as "{named_r.EXAMPLE}"')
    named_r.read(options.log_r)
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


def check_model(options, loaded):
    """Raise InputError for an option that makes no sense for the data of the model."""
    if not loaded.vectors:
        return
    if options.mode in ("inpaint", "denoise"):
        raise InputError(f"--mode {options.mode} is for pictures; this model draws vectors: take --mode posterior")
    if options.animate:
        raise InputError("--animate is for pictures; this model draws vectors: take --every")
    if options.size:
        raise InputError("--size is for pictures; this model draws vectors: leave it out")


def load_model(options):
    """The checkpoint, ours or one of 2015: a Loaded."""
    path = Path(options.checkpoint)
    if path.suffix == ".pkl":
        return load_2015(options, path)
    for name in ("model_args", "scale", "shift"):
        if getattr(options, name) not in (None, {}):
            flag = name.replace("_", "-")
            raise InputError(f"--{flag} is for a model.pkl of 2015; {path} holds its own, leave it out")
    meta, arrays = checkpoint.load_run(path)
    parameters, _ = checkpoint.split(arrays)
    data, flags = meta["config"]["data"], meta["config"]["flags"]
    toy = TOYS.get(flags["experiment"])
    # As training builds it: a toy's complete arguments may hold one that has no meaning beside the others.
    build = partial(toy.model, flags["model_args"]) if toy else partial(DiffusionModel, **sized(options, meta["model"]))
    scaling = Scaling(data["scale"], data["shift"])
    return Loaded(build, parameters, scaling, flags["dtype"], data["quantized"], toy is not None, meta["config"])


def sized(options, arguments):
    """The saved arguments of DiffusionModel, for pictures of --size. Raises InputError where they fit one size only."""
    arguments = check_names(arguments, argument_names())
    if options.size is None or options.size == arguments["spatial_width"]:
        return arguments
    dense = arguments["n_hidden_dense_lower"] > 0 and arguments["n_layers_dense_lower"] > 0
    if dense or arguments.get("conv_biases") != "shared":
        raise InputError(
            f"--size {options.size}: the model draws {arguments['spatial_width']} x {arguments['spatial_width']} only; "
            "one trained with --model-args \"n_hidden_dense_lower=0,conv_biases='shared'\" draws any size"
        )
    return arguments | {"spatial_width": options.size}


def load_2015(options, path):
    """A model.pkl, with --model-args, --scale and --shift: a Loaded."""
    if options.size is not None:
        raise InputError(
            f"--size {options.size}: a model.pkl of 2015 draws pictures of its own size only; leave it out"
        )
    arrays = read_blocks_checkpoint(path)
    for name in set(check_names(options.model_args, argument_names())) & set(RELEASED.model_arguments):
        raise InputError(f"--model-args {name}: a model.pkl has {RELEASED.model_arguments[name]!r}; leave it out")
    arguments = infer_arguments(arrays) | options.model_args | RELEASED.model_arguments
    parameters = {p: v for p, v in arrays.items() if p.startswith(PARAMETER_PREFIX)}
    scale = 1.0 if options.scale is None else options.scale
    shift = 0.0 if options.shift is None else options.shift
    if not 0 < scale < np.inf:
        raise InputError(f"--scale: {scale} is not accepted; take a number above 0")
    if not np.isfinite(shift):
        raise InputError(f"--shift: {shift} is not accepted; take a number")
    return Loaded(partial(DiffusionModel, **arguments), parameters, Scaling(scale, shift), "float32", True)


def chosen_r(options, model, scaling):
    """The log r of --log-r, in the model's units."""
    name, arguments = named_r.read(options.log_r)
    return named_r.build(name, arguments, model.example_shape, scaling, model.kernel.binary)


def mode(options, compiled, theta, loaded):
    """(run, pictures, drawn): run(first, n, noise, callback) gives samples first.. in scaled units; pictures: the
    input in data units or None; drawn: True where in-painting draws, or None."""
    if options.mode == "posterior":
        log_r = chosen_r(options, compiled.model, loaded.scaling)

        def product(first, n, noise, callback):
            return sample_chain(compiled, theta, log_r, n, noise, options.way or CHAIN_WAY, callback=callback)

        return product, None, None
    constraint, pictures, drawn = observation(options, compiled.model, loaded.scaling, loaded.pixels)

    def run(first, n, noise, callback):
        return generate_samples(compiled, theta, n, noise, constraint(first, n), callback)

    return run, pictures, drawn


def observation(options, model, scaling, pixels):
    """(constraint, pictures, drawn): constraint(first, n) is the Posterior of samples first.. or None; pictures:
    the input in data units or None; drawn: True where in-painting draws, or None."""
    if options.mode == "sample":
        return (lambda first, n: None), None, None
    pictures = read_pictures(options.input, model.example_shape, pixels)
    scaled = scaling.forward(pictures)
    if options.mode == "denoise":
        sigma = 1.0 if options.sigma is None else options.sigma

        def denoise(first, n):
            observed = cycled(scaled, first, n)
            if options.add_noise:
                observed = observed + sigma * ExampleNoise(options.seed + 1, first, n)(observed.shape)
            return Posterior(observed, sigma=sigma)

        return denoise, pictures, None
    drawn = read_mask("left" if options.mask is None else options.mask, model.example_shape)

    def inpaint(first, n):
        observed = cycled(scaled, first, n)
        return Posterior(observed, known=np.broadcast_to(~drawn, observed.shape))

    return inpaint, pictures, drawn


def cycled(pictures, first, n):
    """n pictures from number `first` on, beginning again after the last."""
    return pictures[np.arange(first, first + n) % len(pictures)]


def state_times(trajectory_length, every):
    """The times whose states are kept: T, each every-th, and 0; none for every = 0."""
    if not every:
        return []
    return [t for t in range(trajectory_length, 0, -1) if (trajectory_length - t) % every == 0 and t != 1] + [0]


def draw(options, model, run, first, n, every):
    """(samples, states at state_times) number first to first + n - 1, in scaled units."""
    T = model.trajectory_length
    keep, states = set(state_times(T, every)), []
    noise = ExampleNoise(options.seed, first, n, model.kernel.noise)
    with tqdm(total=T - 1, unit="step", disable=options.quiet or None, desc=f"samples {first}-{first + n - 1}") as bar:

        def callback(t, X):
            if t in keep:
                states.append(np.asarray(X, dtype=np.float64))
            if t < T:
                bar.update()

        X = run(first, n, noise, callback)
    return X, states


def write(folder, X, more, vectors, options):
    """samples.npz (X and the arrays `more`), samples.png and, where asked, samples.gif."""
    try:
        if vectors:
            save_vectors(X, folder / "samples", **more)
            return
        viz.save_images(X, folder / "samples")
        shown = more if options.every or options.particles else {}
        if shown:
            with atomic_write(folder / "samples.npz") as temporary, open(temporary, "wb") as stream:
                np.savez(stream, X=X, **shown)
        if options.animate:
            viz.animate([state[:DEFAULT_N] for state in more["X_t"]], folder / "samples.gif")
    except OSError as error:
        raise InputError(f"--output-dir: cannot write in {folder} ({error}); give another folder") from None
