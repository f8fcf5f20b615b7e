"""What sample.py does: a checkpoint becomes samples, in-paintings or denoised pictures."""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from dpm import checkpoint, viz
from dpm.backend import Engine
from dpm.blocks_checkpoint import PARAMETER_PREFIX, infer_arguments, read_blocks_checkpoint
from dpm.datasets import Scaling
from dpm.errors import InputError
from dpm.experiments import RELEASED
from dpm.files import replacing
from dpm.model import DiffusionModel, known_names
from dpm.noise import PictureNoise
from dpm.objective import CompiledModel
from dpm.pictures import read_mask, read_pictures
from dpm.sampler import Posterior, generate_samples

BATCH = 100
DEFAULT_N = 49


def sample(options):
    """Run sample.py with parsed options; writes samples.npz and samples.png, returns 0."""
    folder = Path(options.output_dir)
    if not folder.is_dir():
        raise InputError(f"--output-dir: {folder} is not a folder; create it first, or give another")
    arguments, parameters, scaling, dtype = load_model(options)
    engine = Engine(options.backend, dtype)
    with engine:
        model = DiffusionModel(**arguments)
    compiled = CompiledModel(model, engine)
    theta = compiled.layout.flatten(parameters, dtype)
    constraint, pictures, drawn = observation(options, model, scaling)
    n = check_n(options, pictures)
    every = options.every or (max(1, model.trajectory_length // 60) if options.animate else 0)
    batches = []
    for first in range(0, n, BATCH):
        size = min(BATCH, n - first)
        batches.append(draw(options, compiled, theta, first, size, constraint, every))
    X = np.concatenate([final for final, _ in batches])
    X = scaling.inverse(X.astype(np.float64))
    if drawn is not None:  # the affine map and back may move the last bit of a known pixel
        X = np.where(drawn, X, cycled(pictures, 0, n))
    states = [scaling.inverse(np.concatenate(parts)) for parts in zip(*(s for _, s in batches), strict=True)]
    write(folder, X, states, state_times(model.trajectory_length, every), options)
    if not options.quiet:
        print(f"{n} samples: {folder / 'samples.npz'} and {folder / 'samples.png'}")
    return 0


def load_model(options):
    """(arguments, parameters, scaling, dtype) of the checkpoint, ours or one of 2015."""
    path = Path(options.checkpoint)
    if path.suffix == ".pkl":
        arrays = read_blocks_checkpoint(path)
        arguments = infer_arguments(arrays) | known_names(options.model_args) | RELEASED.model_arguments
        parameters = {p: v for p, v in arrays.items() if p.startswith(PARAMETER_PREFIX)}
        scale = 1.0 if options.scale is None else options.scale
        if not 0 < scale < np.inf:
            raise InputError(f"--scale: {scale} is not accepted; take a number above 0")
        return arguments, parameters, Scaling(scale, options.shift or 0.0), "float32"
    for name in ("model_args", "scale", "shift"):
        if getattr(options, name):
            flag = name.replace("_", "-")
            raise InputError(f"--{flag} is for a model.pkl of 2015; {path} holds its own, leave it out")
    meta, arrays = checkpoint.load(path)
    parameters, _ = checkpoint.split(arrays)
    data = meta["config"]["data"]
    return (
        known_names(meta["model"]),
        parameters,
        Scaling(data["scale"], data["shift"]),
        meta["config"]["flags"]["dtype"],
    )


def observation(options, model, scaling):
    """(constraint, pictures, drawn): constraint(first, n) is the Posterior of samples first.. or None; pictures:
    the input in data units or None; drawn: True where in-painting draws, or None."""
    if options.mode == "sample":
        if options.input is not None:
            raise InputError(f"--input {options.input} is not used by --mode sample; take inpaint or denoise")
        return (lambda first, n: None), None, None
    if options.input is None:
        raise InputError(f"--mode {options.mode} needs --input FILE: .npz, .png, or FILE.hdf5[:SPLIT[:A-B]]")
    pictures = read_pictures(options.input, model.picture_shape)
    scaled = scaling.forward(pictures)
    if options.mode == "denoise":
        if not 0 < options.sigma < np.inf:
            raise InputError(f"--sigma: {options.sigma} is not accepted; take a number above 0")

        def denoise(first, n):
            observed = cycled(scaled, first, n)
            if options.add_noise:
                observed = observed + options.sigma * PictureNoise(options.seed + 1, first, n)(observed.shape)
            return Posterior(observed, sigma=options.sigma)

        return denoise, pictures, None
    drawn = read_mask(options.mask, model.picture_shape)

    def inpaint(first, n):
        observed = cycled(scaled, first, n)
        return Posterior(observed, known=np.broadcast_to(~drawn, observed.shape))

    return inpaint, pictures, drawn


def cycled(pictures, first, n):
    """n pictures from number `first` on, beginning again after the last."""
    return pictures[np.arange(first, first + n) % len(pictures)]


def check_n(options, pictures):
    """How many samples to draw; raises InputError for a number below 1 in --n or --every."""
    for name in ("n", "every"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise InputError(f"--{name}: {value} is not accepted; take 1 or more")
    default = DEFAULT_N if pictures is None else len(pictures)
    return default if options.n is None else options.n


def state_times(trajectory_length, every):
    """The times whose states are kept: T, each every-th, and 0; none for every = 0."""
    if not every:
        return []
    return [t for t in range(trajectory_length, 0, -1) if (trajectory_length - t) % every == 0 and t != 1] + [0]


def draw(options, compiled, theta, first, n, constraint, every):
    """(samples, states at state_times) number first to first + n - 1, in scaled units."""
    T = compiled.model.trajectory_length
    keep, states = set(state_times(T, every)), []
    noise = PictureNoise(options.seed, first, n)
    with tqdm(total=T - 1, unit="step", disable=options.quiet or None, desc=f"samples {first}-{first + n - 1}") as bar:

        def callback(t, X):
            if t in keep:
                states.append(np.asarray(X, dtype=np.float64))
            if t < T:
                bar.update()

        X = generate_samples(compiled, theta, n, noise, constraint(first, n), callback)
    return X, states


def write(folder, X, states, times, options):
    """samples.npz (X; with --every also X_t and t), samples.png and, where asked, samples.gif."""
    try:
        viz.save_images(X, folder / "samples")
        if options.every:
            with replacing(folder / "samples.npz") as temporary, open(temporary, "wb") as stream:
                np.savez(stream, X=X, X_t=np.stack(states), t=np.array(times))
        if options.animate:
            viz.animate([state[:DEFAULT_N] for state in states], folder / "samples.gif")
    except OSError as error:
        raise InputError(f"--output-dir: cannot write in {folder} ({error}); give another folder") from None
