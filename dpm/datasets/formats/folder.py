"""Read a folder of PNG and JPEG images as one array: squares of one size, all gray or all in color.

The files are untrusted: Pillow opens only PNG and JPEG, within the limits below. An image takes at most about 4 s and
500 MB.
"""

import io
import os
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from dpm.base.errors import InputError
from dpm.base.progress import Progress
from dpm.base.wording import plural
from dpm.datasets.made.generators import check_count
from dpm.datasets.reading import read_up_to

SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif")
CROPS = ("center", "random")
MAX_SIZE = 4096
MAX_PIXELS = 52_000_000
MAX_BYTES = 100 << 20
# Each scan of a progressive JPEG processes all pixels, even if it has few bytes; about 10 scans are common.
MAX_SCANS = 25
MAX_SCANNED = 26_000_000 * MAX_SCANS  # pixels of all scans together
# Limits on the number of reads before the pixels and in total: each part of a file, such as a PNG chunk, takes a few.
MAX_HEADER_READS = 1000
MAX_PIXEL_READS = 100_000
#: Images of 16 bits that stay below this value, as those of sensors with 12 bits do, lose most gray levels in 8 bits.
MIN_16_BITS = 1 << 14
#: Number of files that a message lists.
LISTED = 1000

Report = Callable[[str], object]


class _Unusable(Exception):
    """The reason why an image cannot be used."""


def _ignore(line: str) -> None:
    pass


def image_files(folder: str | os.PathLike[str], warn: Report = _ignore) -> list[Path]:
    """List the files in a folder and its sub-folders that are named as PNG or JPEG; suffixes in any case.

    Hidden files and folders (names that start with a dot) are skipped.

    Args:
        folder: The folder.
        warn: Function of a line of text, called if there are other files, which are left out.

    Returns:
        Absolute paths, sorted, without duplicates.

    Raises:
        InputError: If a folder is unreadable, if there are no images, or if there are symbolic links to other places.
    """
    root = Path(os.path.realpath(folder))
    files, folders = set(), [root]
    outside, others = [], Counter[str]()
    try:
        while folders:
            for path in folders.pop().iterdir():
                image, link = path.suffix.lower() in SUFFIXES, path.is_symlink()
                if path.name.startswith("."):
                    continue
                if not (image or path.is_dir()):
                    others[path.suffix.lower() or "without a suffix"] += 1
                    continue
                target = Path(os.path.realpath(path)) if link else path
                if not target.is_relative_to(root):
                    outside.append(path)
                elif image and not (target.is_dir() and not link):
                    files.add(target)
                elif not link:
                    folders.append(path)
    except OSError as error:
        raise InputError(
            f"{_name(error.filename or folder)}: cannot be read ({error.strerror}); give a readable folder of images"
        ) from error
    if outside:
        names = _join([_name(path) for path in sorted(outside)])
        links = "is a link" if len(outside) == 1 else "are links"
        raise InputError(f"{names}: {links} to places outside {_name(root)}; replace by copies")
    left_out = ", ".join(f"{count} {_name(suffix)}" for suffix, count in sorted(others.items()))
    if not files:
        raise InputError(
            f"{_name(folder)}: holds no images{f', but {left_out}' if left_out else ''}; accepted are "
            f"{', '.join(SUFFIXES)}, also in its sub-folders"
        )
    if left_out:
        warn(f"{_name(folder)}: left out as neither PNG nor JPEG: {left_out}")
    return sorted(files)


def read_images(
    paths: Sequence[Path],
    size: int,
    crop: str = "center",
    gray: bool = False,
    crops: int = 1,
    rng: np.random.Generator | None = None,
    quiet: bool = True,
    skip_unreadable: bool = False,
    warn: Report = _ignore,
) -> np.ndarray:
    """Read square crops of images.

    Images are rotated by their EXIF orientation, transparent pixels are composed on white, and 16 bits are rounded to
    8. For "center", a JPEG of more than MAX_PIXELS is decoded at half its size. Read training and test images in one
    call, so that both are gray or both are in color.

    Args:
        paths: At least one file, as from `image_files`.
        size: Height and width of the result, 1..MAX_SIZE pixels.
        crop: "center", the largest central square, resized; or "random", windows at the image's own resolution.
        gray: Convert colors to gray by ITU-R 601, as Pillow does.
        crops: Windows per image; 1 for "center".
        rng: Source of the positions of "random".
        quiet: Show no progress on stderr.
        skip_unreadable: Leave out the images for which InputError would be raised, if there are others.
        warn: Function of a line of text, called for images with faults outside of their pixels, for those of 16 bits
            of which few gray levels remain, and for those left out.

    Returns:
        uint8 (n * crops, c, size, size) for n images, with c = 1 if `gray` or if all crops are gray, otherwise 3; the
        crops of an image are contiguous.

    Raises:
        InputError: For other arguments. After all files were tried, with a list, if some are unreadable, damaged, not
            PNG or JPEG, or exceed the limits of this module, or if for "random" their shorter side is below `size`.
    """
    _check_arguments(paths, size, crop, crops, rng)
    pixels = np.zeros((len(paths) * crops, 1, size, size), np.uint8)
    count, unusable, odd = 0, [], []
    for path in Progress(paths, unit="image", desc="reading", quiet=quiet):
        try:
            notes: list[str] = []
            cuts = [_levels(window, gray) for window in _windows(Path(path), size, crop, crops, rng, notes)]
        except _Unusable as error:
            unusable.append(f"{_name(path)} ({error})")
            continue
        odd += [f"{_name(path)} ({note})" for note in notes]
        for cut in cuts:
            if len(cut) > pixels.shape[1]:
                pixels = np.repeat(pixels, len(cut), axis=1)
            pixels[count] = cut
            count += 1
    if odd:
        warn(f"images read in spite of: {_join(odd)}")
    many = f"{len(paths)} {plural(len(paths), 'image')}"
    if unusable and not (skip_unreadable and count):
        raise InputError(
            f"{len(unusable)} of {many} cannot be read: {_join(unusable)}; save them again from an image editor "
            "or remove them, or leave them out with --skip-unreadable"
        )
    if unusable:
        warn(f"left out {len(unusable)} of {many} that cannot be read: {_join(unusable)}")
    return pixels[:count]


def _join(entries: Sequence[str]) -> str:
    more = [f"{len(entries) - LISTED} more"] if len(entries) > LISTED else []
    return ", ".join([*entries[:LISTED], *more])


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


def _windows(
    path: Path, size: int, crop: str, crops: int, rng: np.random.Generator | None, notes: list[str]
) -> list[Image.Image]:
    image = _decode(path, crop == "center", notes)
    width, height = image.size
    side = min(image.size)
    if crop == "center":
        left, top = (width - side) // 2, (height - side) // 2
        # BOX averages the area of a pixel. LANCZOS overshoots at edges, and clipping gives too many 0 and 255.
        return [image.resize((size, size), Image.Resampling.BOX, (left, top, left + side, top + side))]
    if side < size:
        raise _Unusable(
            f"{width} x {height} pixels, too few for windows of {size} x {size}: take a smaller size, or crop center"
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


def _decode(path: Path, reduced: bool, notes: list[str]) -> Image.Image:
    """Decode an image, rotate it upright, and convert it to mode L, RGB or, if it has transparency, RGBA.

    Args:
        path: The file.
        reduced: Decode a JPEG of more than MAX_PIXELS at half its size.
        notes: Receives a line for each fault outside of the pixels.
    """
    data = _contents(path)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # there are limits of our own
            image = _load(data, reduced, notes)
            try:
                ImageOps.exif_transpose(image, in_place=True)
            except Exception as error:  # Pillow raises many types for damaged EXIF, which holds no pixels
                notes.append(f"EXIF: {_one_line(error)}")
            notes += dict.fromkeys(_one_line(warning.message) for warning in caught)
            return _plain(image, notes)
    except UnidentifiedImageError:
        raise _Unusable("another format than PNG and JPEG, or damaged") from None
    except Exception as error:  # Pillow raises many types for a damaged file
        raise _Unusable(_one_line(error)) from error


def _one_line(error: Warning | Exception | str) -> str:
    return " ".join(ascii(str(error))[1:-1].replace("\\n", " ").split()) or type(error).__name__


def _load(data: bytes, reduced: bool, notes: list[str]) -> Image.Image:
    """Return an image with its pixels; reduced, notes: as in _decode."""
    try:
        return _load_whole(data, reduced)
    except ValueError as error:
        if "MAX_TEXT" not in str(error):  # a limit of Pillow, named in its message
            raise
    notes.append("texts or a color profile of more than 1 MB, not read")
    return _load_whole(_without_texts(data), reduced)


def _without_texts(data: bytes) -> bytes:
    """Return a PNG without its chunks of text and color profile."""
    kept, start = [data[:8]], 8
    for _ in range(MAX_PIXEL_READS):
        end = start + 12 + int.from_bytes(data[start : start + 4])
        if data[start + 4 : start + 8] not in (b"zTXt", b"iTXt", b"tEXt", b"iCCP"):
            kept.append(data[start:end])
        start = end
        if start >= len(data):
            return b"".join(kept)
    raise ValueError("too many parts")


def _load_whole(data: bytes, reduced: bool) -> Image.Image:
    image = _open(data)
    width, height = image.size
    if image.format == "PNG":
        # Decoding checks neither the checksums nor the end of the file.
        image.verify()
        image = _open(data)
    else:
        scans = data.count(b"\xff\xda")
        if scans > MAX_SCANS or scans * width * height > MAX_SCANNED:
            raise ValueError(f"{width} x {height} pixels in {scans} scans, too many")
        if reduced and width * height > MAX_PIXELS:
            image.draft(None, (width // 2, height // 2))
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"{width} x {height} pixels; accepted are {MAX_PIXELS:,} in total")
    image.load()
    return image


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
    return image


def _plain(image: Image.Image, notes: list[str]) -> Image.Image:
    if image.mode.startswith("I"):
        levels = np.array(image, np.uint16)
        if levels.max() < MIN_16_BITS:
            notes.append(
                f"16 bits that reach only {levels.max()} of 65535, few gray levels remain in 8 bits: convert arrays "
                "keeps all"
            )
        # Round to the nearest of 0, 257, ..., 65535; in place, since images may be large.
        rest = levels % 257
        levels //= 257
        levels += rest > 128
        return Image.fromarray(levels.astype(np.uint8))
    mode = "RGBA" if image.has_transparency_data else "L" if image.mode in ("1", "L") else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _contents(path: Path) -> bytes:
    if path.exists() and not path.is_file():
        raise _Unusable("not a regular file")
    try:
        with open(path, "rb") as stream:
            data = read_up_to(stream, MAX_BYTES + 1)
    except OSError as error:
        raise _Unusable(str(error.strerror)) from error
    if len(data) > MAX_BYTES:
        raise _Unusable(f"more than {MAX_BYTES:,} bytes")
    return bytes(data)


def _name(path: str | os.PathLike[str]) -> str:
    """Return the path for a message of one line, with other characters escaped."""
    text = os.fspath(path)
    return text if text.isprintable() else ascii(text)
