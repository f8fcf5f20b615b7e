"""A procedural bark-like texture: long branching cracks between ridged plates, made of filtered noise."""

import numpy as np

from dpm.datasets.made.generators import check_count

# The noise repeats after the frame and this many pixels more, so that opposite edges are next to independent.
MARGIN = 64


def bark_like(rng: np.random.Generator, n: int, width: int = 256) -> np.ndarray:
    """Textures that look like tree bark: a stand-in for photographs of it, of no known law.

    Gaussian noise filtered in the frequency domain becomes a height: waves across the trunk, whose dislocations are
    the forks of the cracks, flattened to plates, with breaks and grain; lit from the upper left. Lengths are in
    pixels at any width, cracks some 30 apart. Statistics are the same all over the frame, and it does not tile.
    Images are drawn one after the other from rng: the first do not depend on n.
    Returns uint8 of shape (n, 1, width, width), a hundredth of an image's pixels at 0 and at 255 each or more.
    Raises InputError if n < 1 or width < 1.
    """
    check_count("n", n)
    check_count("width", width)
    images = np.empty((n, 1, width, width), np.uint8)
    for image in images[:, 0]:
        image[:] = _levels(_texture(rng, width + MARGIN)[:width, :width])
    return images


def _texture(rng: np.random.Generator, period: int) -> np.ndarray:
    """One picture in arbitrary units on a torus of that period."""
    patches = _noise(rng, period, 1 / 120, 1 / 60).real
    rough = _noise(rng, period, 1 / 16, 1 / 10).real
    fibres = _noise(rng, period, 1 / 40, 1 / 7).real
    grain = _noise(rng, period, 1 / 4, 1 / 2).real
    # The phase of the waves grows by a turn from crack to crack; where it is undefined, cracks fork.
    waves = _noise(rng, period, 1 / 140, 1 / 110, mean_across=1 / 30)
    turn = np.angle(waves) + 0.35 * rough + 0.35 * fibres
    plate = 1 - np.exp(-(1 + np.cos(turn)) / np.exp(0.4 * patches - 0.3))
    # Short breaks across a plate, where a slower noise lets them be.
    breaks = np.exp(-((_noise(rng, period, 1 / 18, 1 / 50).real / 0.12) ** 2))
    breaks /= 1 + np.exp(-4 * _noise(rng, period, 1 / 30, 1 / 25).real)
    height = plate * (1 - 0.5 * breaks) + 0.1 * rough + 0.1 * fibres + 0.07 * grain
    slope_down, slope_across = (np.roll(height, -1, axis) - np.roll(height, 1, axis) for axis in (0, 1))
    light = np.tanh(1.2 * slope_across + 0.84 * slope_down)
    # Little light falls into the cracks.
    return plate * (1 + 0.2 * patches + 0.1 * fibres + 0.7 * light)


def _noise(rng: np.random.Generator, period: int, down: float, across: float, mean_across: float = 0.0) -> np.ndarray:
    """Stationary complex Gaussian noise on a torus, its real part of variance 1, with a Gaussian spectrum.

    down, across: standard deviations of the frequencies in cycles a pixel; mean_across: the mean of those across.
    """
    f = np.fft.fftfreq(period).astype(np.float32)
    gain = np.outer(np.exp(-((f / down) ** 2) / 4), np.exp(-(((f - mean_across) / across) ** 2) / 4))
    white = rng.standard_normal((period, 2 * period), np.float32).view(np.complex64)
    return np.fft.ifft2(gain * white) * (period / np.sqrt((gain**2).mean()))


def _levels(texture: np.ndarray) -> np.ndarray:
    """The texture stretched to 0..255, a hundredth of its pixels clipped at either end."""
    low, high = np.percentile(texture, [1, 99])
    contrast = max(high - low, np.finfo(np.float32).tiny)
    return (np.clip((texture - low) / contrast, 0, 1) * 255).round().astype(np.uint8)
