"""Read a folder of PNG and JPEG images as one array: squares of one size, all gray or all in color.

The files are untrusted: Pillow opens only PNG and JPEG, within the limits below. An image takes at most about 2 s and
500 MB.
"""

import io
import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from dpm.base.errors import InputError
from dpm.base.progress import Progress
from dpm.datasets.made.generators import check_count
from dpm.datasets.reading import read_up_to

SUFFIXES = (".png", ".jpg", ".jpeg")
CROPS = ("center", "random")
MAX_SIZE = 4096
MAX_PIXELS = 26_000_000
MAX_BYTES = 48 << 20
# Each scan of a progressive JPEG processes all pixels, even if it has few bytes; about 10 scans are common.
MAX_SCANS = 25
# Limits on the number of reads before the pixels and in total: each part of a file, such as a PNG chunk, takes a few.
MAX_HEADER_READS = 1000
MAX_PIXEL_READS = 100_000


def image_files(folder: str | os.PathLike[str]) -> list[Path]:
    """List the .png, .jpg and .jpeg files in a folder and its sub-folders; suffixes in any case.

    Hidden files and folders (names that start with a dot) are skipped.

    Args:
        folder: The folder.

    Returns:
        Absolute paths, sorted, without duplicates.

    Raises:
        InputError: If a folder is unreadable, if there are no images, or if a path with such a suffix is not a regular
            file in `folder`: a folder, a pipe, a device or a symbolic link to another place.
    """
    root = Path(os.path.realpath(folder))
    files, folders = set(), [root]
    try:
        while folders:
            for path in folders.pop().iterdir():
                image, link = path.suffix.lower() in SUFFIXES, path.is_symlink()
                if path.name.startswith(".") or not (image or path.is_dir()):
                    continue
                target = Path(os.path.realpath(path)) if link else path
                if not target.is_relative_to(root):
                    raise InputError(f"{_name(path)}: is a link to a place outside {_name(root)}; replace it by a copy")
                if image:
                    _check_regular(target)
                    files.add(target)
                elif not link:
                    folders.append(path)
    except OSError as error:
        raise InputError(
            f"{_name(error.filename or folder)}: cannot be read ({error.strerror}); give a readable folder of images"
        ) from error
    if not files:
        raise InputError(
            f"{_name(folder)}: holds no images; accepted are {', '.join(SUFFIXES)}, also in its sub-folders"
        )
    return sorted(files)


def read_images(
    paths: Sequence[Path],
    size: int,
    crop: str = "center",
    gray: bool = False,
    crops: int = 1,
    rng: np.random.Generator | None = None,
    quiet: bool = True,
) -> np.ndarray:
    """Read square crops of images.

    Images are rotated by their EXIF orientation, transparent pixels are composed on white, and 16 bits are rounded to
    8. Read training and test images in one call, so that both are gray or both are in color.

    Args:
        paths: At least one file, as from `image_files`.
        size: Height and width of the result, 1..MAX_SIZE pixels.
        crop: "center", the largest central square, resized; or "random", windows at the image's own resolution.
        gray: Convert colors to gray by ITU-R 601, as Pillow does.
        crops: Windows per image; 1 for "center".
        rng: Source of the positions of "random".
        quiet: Show no progress on stderr.

    Returns:
        uint8 (len(paths) * crops, c, size, size) with c = 1 if `gray` or if all crops are gray, otherwise 3; the crops
        of an image are contiguous.

    Raises:
        InputError: For other arguments; for a file that is unreadable, damaged, not PNG or JPEG, or exceeds the limits
            of this module; for "random" if the shorter side of an image is below `size`.
    """
    _check_arguments(paths, size, crop, crops, rng)
    pixels = np.zeros((len(paths) * crops, 1, size, size), np.uint8)
    for i, path in enumerate(Progress(paths, unit="image", desc="reading", quiet=quiet)):
        for j, window in enumerate(_windows(Path(path), size, crop, crops, rng)):
            cut = _levels(window, gray)
            if len(cut) > pixels.shape[1]:
                pixels = np.repeat(pixels, len(cut), axis=1)
            pixels[i * crops + j] = cut
    return pixels


def _check_arguments(paths: Sequence[Path], size: int, crop: str, crops: int, rng: np.random.Generator | None) -> None:
    check_count("crops", crops)
    if not len(paths):
        raise InputError("paths: is empty; give at least one image")
    if not 1 <= size <= MAX_SIZE:
        raise InputError(f"size={size}: accepted are 1 to {MAX_SIZE} pixels")
    if crop not in CROPS:
        raise InputError(f"crop={crop!r}: accepted are {', '.join(CROPS)}")
    if crop == "center" and crops > 1:
        raise InputError(f"crops={crops}: an image has one center; accepted are 1, or any number with crop random")
    if crop == "random" and rng is None:
        raise InputError("rng=None: crop random needs a generator; give numpy.random.default_rng(seed)")


def _windows(path: Path, size: int, crop: str, crops: int, rng: np.random.Generator | None) -> list[Image.Image]:
    image = _decode(path)
    width, height = image.size
    side = min(image.size)
    if crop == "center":
        left, top = (width - side) // 2, (height - side) // 2
        # BOX averages the area of a pixel. LANCZOS overshoots at edges, and clipping gives too many 0 and 255.
        return [image.resize((size, size), Image.Resampling.BOX, (left, top, left + side, top + side))]
    if side < size:
        raise InputError(
            f"{_name(path)}: {width} x {height} pixels are too few for windows of {size} x {size}; "
            "choose a smaller size or crop center, or remove the file"
        )
    assert rng is not None
    lefts, tops = (rng.integers(0, length - size + 1, crops).tolist() for length in (width, height))
    return [image.crop((x, y, x + size, y + size)) for x, y in zip(lefts, tops, strict=True)]


def _levels(window: Image.Image, gray: bool) -> np.ndarray:
    """Return (1, h, w) if `gray` or if the window is gray, otherwise (3, h, w)."""
    if window.mode == "RGBA":
        window = Image.alpha_composite(Image.new("RGBA", window.size, "white"), window).convert("RGB")
    if gray:
        window = window.convert("L")
    levels = np.atleast_3d(np.asarray(window)).transpose(2, 0, 1)
    return levels[:1] if (levels == levels[:1]).all() else levels


def _decode(path: Path) -> Image.Image:
    """Decode an image, rotate it upright, and convert it to mode L, RGB or, if it has transparency, RGBA."""
    data = _contents(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            if data.count(b"\xff\xda") > MAX_SCANS and not data.startswith(b"\x89PNG"):
                raise ValueError(f"more than {MAX_SCANS} scans")
            image = _open(data)
            if image.format == "PNG":
                # Decoding checks neither the checksums nor the end of the file.
                image.verify()
                image = _open(data)
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            return _plain(image)
    except Exception as error:  # Pillow raises many types for a damaged file
        unknown = isinstance(error, UnidentifiedImageError)
        reason = "another format, or damaged" if unknown else " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{_name(path)}: cannot be read as PNG or JPEG ({reason}); save it again from an image editor or remove it"
        ) from error


class _Stream(io.BytesIO):
    """The bytes of an image, with a limit on the number of reads."""

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
        raise ValueError(f"{width} x {height} pixels; accepted are {MAX_PIXELS:,} in total")
    return image


def _plain(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        levels = np.asarray(image).astype(np.uint16)
        # Round to the nearest of 0, 257, ..., 65535.
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
        raise InputError(f"{_name(path)}: more than {MAX_BYTES} bytes; reduce its size or remove it")
    return bytes(data)


def _check_regular(path: Path) -> None:
    if path.exists() and not path.is_file():
        raise InputError(f"{_name(path)}: has the suffix of an image but is not a regular file; rename or remove it")


def _name(path: str | os.PathLike[str]) -> str:
    """Return the path for a message of one line, with other characters escaped."""
    text = os.fspath(path)
    return text if text.isprintable() else ascii(text)
