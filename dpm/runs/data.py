"""From the flags of train.py to scaled training and test pictures."""

import numpy as np
from tqdm import tqdm

from dpm.base import noise
from dpm.base.errors import InputError
from dpm.datasets import Scaling, load
from dpm.datasets.scaling import level_factor, unit_values
from dpm.datasets.stored import PreparedImages, StoredImages, in_parts
from dpm.experiments.named import EXPERIMENTS
from dpm.runs import checkpoint

IN_MEMORY = {"auto": None, "yes": True, "no": False}
READ_AT_ONCE = 4 << 20  # bytes of the file
VALIDATION_SHARE = 6  # of the training split: the last 10,000 of MNIST, as is usual


def prepared_data(flags, variant, saved):
    """Scaled training and test pictures and what is known of them: a dict.

    saved: the entry "data" of a run that goes on, or None; its scaling is taken and its data must be the same.
    With --crop the training pictures are whole and the test pictures all their pieces, side by side.
    """
    found = found_images(flags, saved)
    sets = {"train": found.train, "test": found.test}
    surveys = {part: survey(images, f"{found.path} ({part})", flags["quiet"]) for part, images in sets.items()}
    digest = "-".join(s["hash"][:16] for s in surveys.values())
    if saved and digest != saved["hash"]:
        raise InputError(
            f"the data at {found.path} are not those of the run, which were read from {saved['path']}; give "
            "--data-path the place where those are now"
        )
    train, test = surveys.values()
    quantized = train["factor"] is not None
    if quantized != (test["factor"] is not None):
        raise InputError(f"{found.path}: one of train and test is 8-bit pixels, the other is not; make them alike")
    scaling = Scaling(saved["scale"], saved["shift"]) if saved else fitted(found, train, flags, variant)
    prepared = {
        part: PreparedImages(images, surveys[part]["factor"], scaling, flags["dtype"]) for part, images in sets.items()
    }
    in_memory = not isinstance(found.train, StoredImages)
    low, high = train["range"]
    kind = "8-bit pixels, dequantized" if quantized else "continuous"
    return {
        "name": found.name,
        "path": str(found.path),
        "note": found.note,
        "hash": digest,
        "dtype": str(found.train.dtype),
        "range": [low, high],
        "units": f"{found.train.dtype} in [{low:g}, {high:g}], {kind}; x * {scaling.scale:.5g} + {scaling.shift:.5g} "
        "has mean 0 and variance 1" + ("" if in_memory else "; read from the disk in batches"),
        "quantized": quantized,
        "in_memory": in_memory,
        "scaling": scaling,
        "train": prepared["train"][:] if in_memory else prepared["train"],
        "test": pieces(prepared["test"][:], flags["crop"]),
    }


def found_images(flags, saved):
    """The ImageData of the flags. saved: as prepared_data."""
    in_memory = IN_MEMORY[flags["in_memory"]]
    if saved and in_memory is None:
        in_memory = saved.get("in_memory", True)  # the order of the minibatches depends on it
    experiment, crop = EXPERIMENTS.get(flags["experiment"]), flags["crop"]
    first = experiment.select_size(flags["small"]).first if experiment else None
    found = load(flags["dataset"], flags["data_path"], in_memory, crop is not None, first)
    sides = (*found.train.shape[2:], *found.test.shape[2:])
    if crop is not None and crop > min(sides):
        raise InputError(f"--crop: {crop} is larger than the pictures, {sides[0]} x {sides[1]}; take at most that")
    return found


def survey(images, what, quiet):
    """What one has to know of pictures before any is used: hash, range, factor (preprocess.level_factor); of whole
    numbers 0..255 also how many there are of each, counts. images: an array, or StoredImages, of whole numbers 0..255
    read once."""
    whole = images.dtype.kind in "bu" and images.dtype.itemsize == 1
    counts = np.zeros(256, dtype=np.int64)
    low, high = np.inf, -np.inf
    shown = isinstance(images, StoredImages) and not quiet

    def parts():
        nonlocal low, high
        bar = tqdm(total=len(images), unit="picture", desc=f"reading {what}", disable=None if shown else True)
        with bar:
            for part in in_parts(images, READ_AT_ONCE):
                if whole:
                    counts[:] += np.bincount(part.ravel().view(np.uint8), minlength=256)
                low, high = min(low, float(part.min())), max(high, float(part.max()))
                yield np.ascontiguousarray(part)
                bar.update(len(part))

    digest = checkpoint.rows_hash(images.dtype, images.shape, parts())
    factor = level_factor(np.flatnonzero(counts).astype(images.dtype) if whole else images, what)
    return {"hash": digest, "factor": factor, "range": [low, high], "counts": counts if whole else None}


def fitted(found, train, flags, variant):
    """Scale and shift: of all training pixels, or of one random minibatch as released. train: their survey."""
    unit = PreparedImages(found.train, train["factor"], Scaling(1.0, 0.0), "float32")
    if variant.scaling_from_minibatch:
        rng = noise.generator(flags["seed"], noise.START, 0)
        n = min(flags["batch_size"], len(unit))
        return Scaling.fit(unit[rng.choice(len(unit), n, replace=False)], "one minibatch of the data")
    what = f"{found.path} (train)"
    if train["counts"] is None:
        return Scaling.fit(unit, what)
    levels = np.arange(256).astype(found.train.dtype)
    return Scaling.fit_levels(train["counts"], unit_values(levels, train["factor"], "float32"), what)


def validation_start(n):
    """Where the validation part of n training examples begins, at least 1: it is the last sixth of them.

    Training has no such part: what is compared with a model chooses its own settings there.
    """
    if n < 2:
        raise InputError(f"the training split: {n} example is too few to choose anything with; give at least 2")
    return n - max(1, n // VALIDATION_SHARE)


def pieces(images, side):
    """The squares of `side` that lie side by side from the upper left corner of each image, (m, c, side, side)."""
    if side is None:
        return images
    n, c, height, width = images.shape
    rows, columns = height // side, width // side
    cut = images[:, :, : rows * side, : columns * side].reshape(n, c, rows, side, columns, side)
    return np.ascontiguousarray(cut.transpose(0, 2, 4, 1, 3, 5).reshape(-1, c, side, side))
