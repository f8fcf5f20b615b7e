"""Samples of a run in data units: plain ones, in-painting, denoising, and products with r(x)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from dpm.base.errors import InputError
from dpm.base.noise import ExampleNoise
from dpm.base.progress import Progress
from dpm.base.wording import count
from dpm.runs.loading import Run
from dpm.sampler import Constraint
from dpm.trajectories.draws import batch_size, draw_batches, state_times

DEFAULT_SEED = 12345  # that of the 2015 code
DEFAULT_N = 49
DEFAULT_VECTORS = 1000

MakeConstraint = Callable[[int, int], Constraint | None]


class Samples(NamedTuple):
    """Samples and captured states of their reverse trajectories, in data units.

    Attributes:
        X: samples, float64 (n, ...).
        states: states at `times`, (len(times), n, ...).
        times: T, every n-th time below it, and 0; empty if no states were asked for.
    """

    X: np.ndarray
    states: np.ndarray
    times: list[int]


def sample(run: Run, n: int | None = None, seed: int = DEFAULT_SEED, quiet: bool = False) -> np.ndarray:
    """Draw samples of a trained model by its reverse trajectory (section 2.2).

    Args:
        run: a trained model, from `dpm.train` or `dpm.open_run`.
        n: number of samples; by default 49 images or 1,000 vectors.
        seed: seed of the noise. Sample i depends on (seed, i) only.
        quiet: show no progress.

    Returns:
        Samples in data units, float64: images (n, c, h, w), 0 black and 1 white, not clipped; or vectors (n, size).

    Example:
        With a run of 8 x 8 images:

        >>> dpm.sample(run, n=4).shape
        (4, 1, 8, 8)
    """
    return draw_samples(run, n or default_n(run), seed, quiet=quiet).X


def inpaint(
    run: Run, images: np.ndarray, known: np.ndarray, n: int | None = None, seed: int = DEFAULT_SEED, quiet: bool = False
) -> np.ndarray:
    """Draw the unknown pixels of images by the reverse chain multiplied by a delta at the known ones (section 2.5).

    Args:
        run: a trained model of images.
        images: images in data units, (m, c, h, w).
        known: True where a pixel is kept, broadcast to the images.
        n: number of samples, which use the images cyclically; by default one for each image.
        seed: seed of the noise.
        quiet: show no progress.

    Returns:
        Images in data units, float64 (n, c, h, w). Known pixels are exactly those of the input.

    Raises:
        InputError: the images do not have the model's shape, or known pixels are not in the kernel's support.

    Example:
        >>> images = np.full((2, 1, 8, 8), 0.5)
        >>> known = np.arange(8) >= 4  # the right half
        >>> dpm.inpaint(run, images, known)[0, 0, 0, 4:]
        array([0.5, 0.5, 0.5, 0.5])
    """
    images = check_images(run, images)
    n = len(images) if n is None else n
    known = np.broadcast_to(np.asarray(known, dtype=bool), images.shape[1:])
    X = draw_samples(run, n, seed, known_pixels(run, images, known), quiet=quiet).X
    return restore_known(X, images, known)


def denoise(
    run: Run,
    images: np.ndarray,
    sigma: float = 1.0,
    n: int | None = None,
    seed: int = DEFAULT_SEED,
    quiet: bool = False,
) -> np.ndarray:
    """Draw images given noisy ones, by the reverse chain multiplied by a Gaussian around them (section 2.5).

    Args:
        run: a trained model of images.
        images: noisy images in data units, (m, c, h, w).
        sigma: standard deviation of their noise, in standard deviations of the training data.
        n: number of samples, which use the images cyclically; by default one for each image.
        seed: seed of the noise.
        quiet: show no progress.

    Returns:
        Images in data units, float64 (n, c, h, w).

    Raises:
        InputError: the images do not have the model's shape, or the model is of bits.

    Example:
        >>> noisy = np.random.default_rng(0).random((3, 1, 8, 8))
        >>> dpm.denoise(run, noisy, sigma=0.5).shape
        (3, 1, 8, 8)
    """
    images = check_images(run, images)
    return draw_samples(run, len(images) if n is None else n, seed, noisy_images(run, images, sigma), quiet=quiet).X


def draw_samples(
    run: Run,
    n: int,
    seed: int,
    constraint: MakeConstraint | None = None,
    log_r: Callable[[Any], Any] | None = None,
    guidance: str = "linear",
    every: int = 0,
    quiet: bool = True,
) -> Samples:
    """Draw samples, with or without a constraint or an r(x), and capture states.

    Args:
        run: a trained model.
        n: number of samples.
        seed: seed of the noise.
        constraint: function (first, count) that returns the Constraint of samples first to first + count - 1.
        log_r: function of a symbolic x in scaled units, in nats (n,); see dpm.trajectories.products.sample_chain.
        guidance: guidance schedule of r(x).
        every: capture every n-th state; 0 for none.
        quiet: show no progress bar.
    """
    compiled, scaling = run.compiled, run.scaling
    T, times = run.model.trajectory_length, state_times(run.model.trajectory_length, every)
    batch = batch_size(compiled, n)
    samples, states = [], []
    total = n * (T - 1)
    with Progress(total=total, unit="step", unit_scale=True, quiet=quiet, desc=count(n, "sample")) as bar:
        for part in draw_batches(
            compiled,
            run.theta,
            n,
            seed,
            batch,
            constraint=constraint,
            log_r=log_r,
            guidance=guidance,
            times=times,
            progress=bar.update,
        ):
            samples.append(part.samples)
            states.append(part.states)
    X = scaling.inverse(np.concatenate(samples).astype(np.float64))
    return Samples(X, scaling.inverse(np.concatenate(states, axis=1)), times)


def default_n(run: Run) -> int:
    """Return the default number of samples."""
    return DEFAULT_N if run.has_images else DEFAULT_VECTORS


def check_images(run: Run, images: np.ndarray) -> np.ndarray:
    """Return images as float64; raise InputError unless they have the model's shape."""
    images = np.asarray(images, dtype=np.float64)
    if images.shape[1:] != run.model.example_shape or not len(images):
        raise InputError(f"images: got shape {images.shape}; expected (n, {str(run.model.example_shape)[1:]}")
    return images


def known_pixels(run: Run, images: np.ndarray, known: np.ndarray) -> MakeConstraint:
    """Return the constraint that fixes the known pixels of images, in data units, which are used cyclically."""
    scaled = run.scaling.forward(images)
    run.model.kernel.check(np.where(known, scaled, 0.0), "known pixels")

    def constraint(first: int, count: int) -> Constraint:
        observed = repeat_images(scaled, first, count)
        return Constraint(observed, known=np.broadcast_to(known, observed.shape))

    return constraint


def noisy_images(run: Run, images: np.ndarray, sigma: float, noise_seed: int | None = None) -> MakeConstraint:
    """Return the Gaussian constraint around images, in data units, which are used cyclically.

    noise_seed: seed of noise of deviation sigma that is first added to the images, or None for none.
    Raises InputError if the model is of bits: the chain starts at the noisy images.
    """
    if run.model.kernel.binary:
        raise InputError(
            "denoise: is for Gaussian noise; this model is of bits: take inpaint, or --mode posterior with bits(...)"
        )
    scaled = run.scaling.forward(images)

    def constraint(first: int, count: int) -> Constraint:
        observed = repeat_images(scaled, first, count)
        if noise_seed is not None:
            observed = observed + sigma * ExampleNoise(noise_seed, first, count)(observed.shape)
        return Constraint(observed, sigma=sigma)

    return constraint


def restore_known(X: np.ndarray, images: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return in-painted samples with the known pixels of the input: scaling back may move their last bit."""
    return np.where(known, repeat_images(images, 0, len(X)), X)


def repeat_images(images: np.ndarray, first: int, count: int) -> np.ndarray:
    """Return `count` images from number `first` on, starting over after the last."""
    return images[np.arange(first, first + count) % len(images)]
