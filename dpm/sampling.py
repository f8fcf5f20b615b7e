"""What sample.py does: a checkpoint becomes samples, in-paintings or denoised pictures."""

import os
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
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"--output-dir: {folder} cannot be written; give another folder")
    check_options(options)
    arguments, parameters, scaling, dtype, pixels = load_model(options)
    engine = Engine(options.backend, dtype)
    with engine:
        model = DiffusionModel(**arguments)
    compiled = CompiledModel(model, engine)
    theta = compiled.layout.flatten(parameters, dtype)
    constraint, pictures, drawn = observation(options, model, scaling, pixels)
    n = options.n or (DEFAULT_N if pictures is None else len(pictures))
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


def check_options(options):
    """Raise InputError for a number that is not accepted and for an option that the mode would ignore."""
    for name in ("n", "every"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise InputError(f"--{name}: {value} is not accepted; take 1 or more")
    if options.seed < 0:
        raise InputError(f"--seed: {options.seed} is not accepted; take 0 or more")
    used = {"input": ("inpaint", "denoise"), "mask": ("inpaint",), "sigma": ("denoise",), "add_noise": ("denoise",)}
    for name, modes in used.items():
        if getattr(options, name) not in (None, False) and options.mode not in modes:
            flag = name.replace("_", "-")
            raise InputError(
                f"--{flag} is not used by --mode {options.mode}; leave it out, or take {' or '.join(modes)}"
            )
    if options.mode != "sample" and options.input is None:
        raise InputError(f"--mode {options.mode} needs --input FILE: .npz, .png, or FILE.hdf5[:SPLIT[:A-B]]")
    if options.sigma is not None and not 0 < options.sigma < np.inf:
        raise InputError(f"--sigma: {options.sigma} is not accepted; take a number above 0")


def load_model(options):
    """(arguments, parameters, scaling, dtype, pixels) of the checkpoint, ours or one of 2015; pixels: whether its data
    were 8-bit, as those of 2015 were."""
    path = Path(options.checkpoint)
    if path.suffix == ".pkl":
        arrays = read_blocks_checkpoint(path)
        for name in set(known_names(options.model_args)) & set(RELEASED.model_arguments):
            raise InputError(f"--model-args {name}: a model.pkl has {RELEASED.model_arguments[name]!r}; leave it out")
        arguments = infer_arguments(arrays) | options.model_args | RELEASED.model_arguments
        parameters = {p: v for p, v in arrays.items() if p.startswith(PARAMETER_PREFIX)}
        scale = 1.0 if options.scale is None else options.scale
        shift = 0.0 if options.shift is None else options.shift
        if not 0 < scale < np.inf:
            raise InputError(f"--scale: {scale} is not accepted; take a number above 0")
        if not np.isfinite(shift):
            raise InputError(f"--shift: {shift} is not accepted; take a number")
        return arguments, parameters, Scaling(scale, shift), "float32", True
    for name in ("model_args", "scale", "shift"):
        if getattr(options, name) not in (None, {}):
            flag = name.replace("_", "-")
            raise InputError(f"--{flag} is for a model.pkl of 2015; {path} holds its own, leave it out")
    meta, arrays = checkpoint.load_run(path)
    parameters, _ = checkpoint.split(arrays)
    data = meta["config"]["data"]
    return (
        known_names(meta["model"]),
        parameters,
        Scaling(data["scale"], data["shift"]),
        meta["config"]["flags"]["dtype"],
        data["quantised"],
    )


def observation(options, model, scaling, pixels):
    """(constraint, pictures, drawn): constraint(first, n) is the Posterior of samples first.. or None; pictures:
    the input in data units or None; drawn: True where in-painting draws, or None."""
    if options.mode == "sample":
        return (lambda first, n: None), None, None
    pictures = read_pictures(options.input, model.picture_shape, pixels)
    scaled = scaling.forward(pictures)
    if options.mode == "denoise":
        sigma = 1.0 if options.sigma is None else options.sigma

        def denoise(first, n):
            observed = cycled(scaled, first, n)
            if options.add_noise:
                observed = observed + sigma * PictureNoise(options.seed + 1, first, n)(observed.shape)
            return Posterior(observed, sigma=sigma)

        return denoise, pictures, None
    drawn = read_mask("left" if options.mask is None else options.mask, model.picture_shape)

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
