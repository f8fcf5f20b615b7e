"""A folder of PNG and JPEG pictures as one array: cut to squares of one size, all gray or all in color.

The pictures may come from strangers: Pillow may open nothing but PNG and JPEG, and what a file may ask of it has the
limits below, with which a picture takes at most about 2 s and 500 MB.
"""

import io
import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from dpm.base.errors import InputError
from dpm.datasets.made.generators import check_count
from dpm.datasets.reading import read_up_to

SUFFIXES = (".png", ".jpg", ".jpeg")
CROPS = ("center", "random")
MAX_SIZE = 4096
MAX_PIXELS = 26_000_000
MAX_BYTES = 48 << 20
# Each scan of a progressive JPEG goes over all pixels, however few its bytes; common are about 10.
MAX_SCANS = 25
# A part of a file, such as PNG's chunks, costs a few reads: before the pixels, and from there on.
MAX_HEADER_READS = 1000
MAX_PIXEL_READS = 100_000


def picture_files(folder: str | os.PathLike[str]) -> list[Path]:
    """The pictures in `folder` and the folders in it, sorted, each once: .png, .jpg and .jpeg in any case.

    Hidden files and folders, whose names begin with a dot, are left out. The paths are absolute.
    Raises InputError if a folder cannot be read, if there are no pictures, and for whatever has a picture's name
    without being a regular file in `folder`: a folder, a pipe, a device, a symbolic link that leads out of it.
    """
    root = Path(os.path.realpath(folder))
    found, folders = set(), [root]
    try:
        while folders:
            for path in folders.pop().iterdir():
                picture, link = path.suffix.lower() in SUFFIXES, path.is_symlink()
                if path.name.startswith(".") or not (picture or path.is_dir()):
                    continue
                target = Path(os.path.realpath(path)) if link else path
                if not target.is_relative_to(root):
                    raise InputError(
                        f"{_name(path)}: is a link that leads out of {_name(root)}; put what it leads to there itself"
                    )
                if picture:
                    _check_regular(target)
                    found.add(target)
                elif not link:
                    folders.append(path)
    except OSError as error:
        raise InputError(
            f"{_name(error.filename or folder)}: cannot be read ({error.strerror}); give a readable folder of pictures"
        ) from error
    if not found:
        raise InputError(
            f"{_name(folder)}: holds no pictures; accepted are {', '.join(SUFFIXES)}, also in folders in it"
        )
    return sorted(found)


def read_pictures(
    paths: Sequence[Path],
    size: int,
    crop: str = "center",
    gray: bool = False,
    crops: int = 1,
    rng: np.random.Generator | None = None,
    quiet: bool = True,
) -> np.ndarray:
    """Square windows of the pictures, uint8 (len(paths) * crops, c, size, size); those of a picture lie together.

    c is 1 if `gray` or if all windows are gray, else 3. To have training and test images alike, read both in one call
    and cut the result at a multiple of `crops`. Pictures are turned as their EXIF data say, what is transparent
    lies on white, and 16 bits are rounded to 8.

    Args:
        paths: at least one picture, as from `picture_files`.
        size: height and width of the result, 1..MAX_SIZE pixels.
        crop: "center", the largest central square, resized; or "random", windows in the picture's own resolution.
        gray: weigh the colors to gray, by ITU-R 601 as in Pillow.
        crops: windows a picture; 1 for "center".
        rng: where the windows of "random" come from.
        quiet: show no progress on stderr.

    Raises InputError for arguments other than these, for a file that is unreadable, damaged, no PNG or JPEG, or beyond
    the limits of this module, and for "random" if the shorter side of a picture is below `size`.
    """
    _check_arguments(paths, size, crop, crops, rng)
    pixels = np.zeros((len(paths) * crops, 1, size, size), np.uint8)
    for i, path in enumerate(tqdm(paths, unit="picture", desc="reading", disable=quiet or None)):
        for j, window in enumerate(_windows(Path(path), size, crop, crops, rng)):
            cut = _levels(window, gray)
            if len(cut) > pixels.shape[1]:
                pixels = np.repeat(pixels, len(cut), axis=1)
            pixels[i * crops + j] = cut
    return pixels


def _check_arguments(paths: Sequence[Path], size: int, crop: str, crops: int, rng: np.random.Generator | None) -> None:
    check_count("crops", crops)
    if not len(paths):
        raise InputError("paths: is empty; give at least one picture")
    if not 1 <= size <= MAX_SIZE:
        raise InputError(f"size={size}: accepted are 1 to {MAX_SIZE} pixels")
    if crop not in CROPS:
        raise InputError(f"crop={crop!r}: accepted are {', '.join(CROPS)}")
    if crop == "center" and crops > 1:
        raise InputError(f"crops={crops}: a picture has one center; accepted are 1, or any number with crop random")
    if crop == "random" and rng is None:
        raise InputError("rng=None: crop random needs a generator; give numpy.random.default_rng(seed)")


def _windows(path: Path, size: int, crop: str, crops: int, rng: np.random.Generator | None) -> list[Image.Image]:
    image = _decode(path)
    width, height = image.size
    side = min(image.size)
    if crop == "center":
        left, top = (width - side) // 2, (height - side) // 2
        # BOX averages what a pixel covers. LANCZOS overshoots at edges, and clipping that piles up 0 and 255.
        return [image.resize((size, size), Image.Resampling.BOX, (left, top, left + side, top + side))]
    if side < size:
        raise InputError(
            f"{_name(path)}: {width} x {height} pixels are too few for windows of {size} x {size}; "
            "take a smaller size, crop center, or remove the file"
        )
    assert rng is not None
    lefts, tops = (rng.integers(0, length - size + 1, crops).tolist() for length in (width, height))
    return [image.crop((x, y, x + size, y + size)) for x, y in zip(lefts, tops, strict=True)]


def _levels(window: Image.Image, gray: bool) -> np.ndarray:
    """(1, h, w) if gray is asked for or there, else (3, h, w)."""
    if window.mode == "RGBA":
        window = Image.alpha_composite(Image.new("RGBA", window.size, "white"), window).convert("RGB")
    if gray:
        window = window.convert("L")
    levels = np.atleast_3d(np.asarray(window)).transpose(2, 0, 1)
    return levels[:1] if (levels == levels[:1]).all() else levels


def _decode(path: Path) -> Image.Image:
    """The picture, upright, in mode L, RGB or, where something is transparent, RGBA."""
    data = _contents(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            if data.count(b"\xff\xda") > MAX_SCANS and not data.startswith(b"\x89PNG"):
                raise ValueError(f"more than {MAX_SCANS} scans")
            image = _open(data)
            if image.format == "PNG":
                # Decoding looks neither at the checksums nor for the end of the file.
                image.verify()
                image = _open(data)
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            return _plain(image)
    except Exception as error:  # Pillow raises many types for a damaged file
        unknown = isinstance(error, UnidentifiedImageError)
        reason = "it is neither or damaged" if unknown else " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{_name(path)}: cannot be read as PNG or JPEG ({reason}); save it anew from a picture program or remove it"
        ) from error


class _Stream(io.BytesIO):
    """The bytes of a picture, to be read in a limited number of steps."""

    steps = MAX_HEADER_READS

    def read(self, size: int | None = -1, /) -> bytes:
        self.steps -= 1
        if self.steps < 0:
            raise ValueError("too many parts")
        return super().read(size)


def _open(data: bytes) -> Image.Image:
    stream = _Stream(data)
    image = Image.open(stream, formats=("PNG", "JPEG"))
    stream.steps = MAX_PIXEL_READS
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ValueError(f"{width} x {height} pixels; accepted are {MAX_PIXELS:,} in all")
    return image


def _plain(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        levels = np.asarray(image).astype(np.uint16)
        # The nearest of 0, 257, ..., 65535.
        return Image.fromarray((levels // 257 + (levels % 257 > 128)).astype(np.uint8))
    mode = "RGBA" if image.has_transparency_data else "L" if image.mode in ("1", "L") else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _contents(path: Path) -> bytes:
    try:
        _check_regular(path)
        with open(path, "rb") as stream:
            data = read_up_to(stream, MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"{_name(path)}: cannot be read ({error.strerror}); make it readable or remove it") from error
    if len(data) > MAX_BYTES:
        raise InputError(f"{_name(path)}: more than {MAX_BYTES} bytes; save it smaller or remove it")
    return bytes(data)


def _check_regular(path: Path) -> None:
    if path.exists() and not path.is_file():
        raise InputError(f"{_name(path)}: has the name of a picture but is no regular file; rename or remove it")


def _name(path: str | os.PathLike[str]) -> str:
    """The path for a message of one line, whatever characters a stranger put into it."""
    text = os.fspath(path)
    return text if text.isprintable() else ascii(text)
