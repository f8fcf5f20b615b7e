"""A procedural bark-like texture from filtered noise: long branching cracks between ridged plates."""

import numpy as np

from dpm.datasets.made.generators import check_count

# Pixels by which the period of the noise exceeds the frame, so that opposite edges are nearly independent.
MARGIN = 64


def bark_like(rng: np.random.Generator, n: int, width: int = 256) -> np.ndarray:
    """Draw textures that look like tree bark, to replace photographs of bark; their distribution is not known.

    Gaussian noise filtered in the frequency domain gives a height map: waves across the trunk, whose dislocations are
    the forks of the cracks, flattened to plates, with breaks and grain, lit from the upper left. Lengths are in
    pixels at any width; cracks are about 30 pixels apart. The texture is stationary and does not tile.

    Args:
        rng: Source of the noise. Images are drawn one after the other: the first ones do not depend on `n`.
        n: Number of images.
        width: Height and width in pixels.

    Returns:
        uint8 (n, 1, width, width); in each image at least 1% of the pixels are 0, and at least 1% are 255.

    Raises:
        InputError: If n < 1 or width < 1.
    """
    check_count("n", n)
    check_count("width", width)
    images = np.empty((n, 1, width, width), np.uint8)
    for image in images[:, 0]:
        image[:] = _levels(_texture(rng, width + MARGIN)[:width, :width])
    return images


def _texture(rng: np.random.Generator, period: int) -> np.ndarray:
    """Draw one image in arbitrary units on a torus of that period."""
    patches = _noise(rng, period, 1 / 120, 1 / 60).real
    rough = _noise(rng, period, 1 / 16, 1 / 10).real
    fibres = _noise(rng, period, 1 / 40, 1 / 7).real
    grain = _noise(rng, period, 1 / 4, 1 / 2).real
    # The phase of the waves grows by 2 pi from crack to crack; cracks fork where it is undefined.
    waves = _noise(rng, period, 1 / 140, 1 / 110, mean_across=1 / 30)
    phase = np.angle(waves) + 0.35 * rough + 0.35 * fibres
    plate = 1 - np.exp(-(1 + np.cos(phase)) / np.exp(0.4 * patches - 0.3))
    # Short breaks across a plate, where a slower noise permits them.
    breaks = np.exp(-((_noise(rng, period, 1 / 18, 1 / 50).real / 0.12) ** 2))
    breaks /= 1 + np.exp(-4 * _noise(rng, period, 1 / 30, 1 / 25).real)
    height = plate * (1 - 0.5 * breaks) + 0.1 * rough + 0.1 * fibres + 0.07 * grain
    slope_down, slope_across = (np.roll(height, -1, axis) - np.roll(height, 1, axis) for axis in (0, 1))
    light = np.tanh(1.2 * slope_across + 0.84 * slope_down)
    # Cracks receive little light.
    return plate * (1 + 0.2 * patches + 0.1 * fibres + 0.7 * light)


def _noise(rng: np.random.Generator, period: int, down: float, across: float, mean_across: float = 0.0) -> np.ndarray:
    """Draw stationary complex Gaussian noise on a torus with a Gaussian spectrum; its real part has variance 1.

    down, across: standard deviations of the frequencies in cycles per pixel; mean_across: mean frequency across.
    """
    f = np.fft.fftfreq(period).astype(np.float32)
    gain = np.outer(np.exp(-((f / down) ** 2) / 4), np.exp(-(((f - mean_across) / across) ** 2) / 4))
    white = rng.standard_normal((period, 2 * period), np.float32).view(np.complex64)
    return np.fft.ifft2(gain * white) * (period / np.sqrt((gain**2).mean()))


def _levels(texture: np.ndarray) -> np.ndarray:
    """Stretch the texture to 0..255, with 1% of its pixels clipped at either end."""
    low, high = np.percentile(texture, [1, 99])
    contrast = max(high - low, np.finfo(np.float32).tiny)
    return (np.clip((texture - low) / contrast, 0, 1) * 255).round().astype(np.uint8)
