"""Data of a run: scaled training and test examples, of images and toy problems alike."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dpm.base import noise
from dpm.base.errors import InputError
from dpm.base.hashing import hash_array, hash_rows
from dpm.base.progress import Progress
from dpm.base.wording import count
from dpm.datasets import ImageData, Scaling, image_data_from_arrays
from dpm.datasets import load as load_images
from dpm.datasets.scaling import level_factor, unit_values
from dpm.datasets.stored import PreparedImages, StoredImages, in_parts
from dpm.graph.kernels.binomial import BinomialKernel
from dpm.runs.settings import Settings

IN_MEMORY = {"auto": None, "yes": True, "no": False}
READ_AT_ONCE = 4 << 20  # bytes of the file
IDENTITY = Scaling(1.0, 0.0)
VALIDATION_FRACTION = 6  # one part in six of the training split: the last 10,000 of MNIST, as is usual


@dataclass(frozen=True)
class RunData:
    """Training and test examples in the model's units, and where they come from.

    Attributes:
        train: scaled training examples, (n, c, h, w) or (n, size): an array, or PreparedImages read from the disk.
            With a crop size they are whole images.
        test: scaled test examples, an array; with a crop size all pieces of the test images, side by side.
        scaling: the affine map from data units to model units.
        name: name of the data set.
        units: a sentence on the units.
        hash: SHA-256 digests of the unscaled splits, shortened; "" for generated data.
        quantized: True for 8-bit levels, which training dequantizes.
        path: where the data were found.
        note: what the user should know about them, or "".
        dtype: type of the numbers in the file.
        range: smallest and largest number in the file.
        in_memory: False if batches are read from the disk.

    Example:
        >>> data = dpm.load(np.eye(8))
        >>> data.train.shape, data.example_shape, data.units
        ((7, 8), (8,), 'bits; diffused as they are')
    """

    train: Any
    test: np.ndarray
    scaling: Scaling
    name: str
    units: str
    hash: str
    quantized: bool
    path: str = ""
    note: str = ""
    dtype: str = "float32"
    range: tuple[float, float] = (0.0, 1.0)
    in_memory: bool = True

    @property
    def example_shape(self) -> tuple[int, ...]:
        """The shape of one test example."""
        return tuple(self.test.shape[1:])

    def describe(self) -> dict[str, Any]:
        """Return the facts that a checkpoint keeps, as JSON can hold them."""
        facts = {key: getattr(self, key) for key in ("name", "path", "hash", "dtype", "quantized", "in_memory")}
        return facts | {"range": list(self.range), "scale": self.scaling.scale, "shift": self.scaling.shift}


def load(
    source: Any,
    path: str | None = None,
    *,
    crop: int | None = None,
    dtype: str = "float32",
    in_memory: str = "auto",
    test_fraction: float = 0.1,
    seed: int = 0,
    quiet: bool = True,
    binary: bool = False,
) -> RunData:
    """Load data for training: a named data set, a file, or arrays of your own.

    Images are scaled to mean 0 and variance 1 over all training pixels, as the Gaussian kernel expects.

    Args:
        source: one of

            - a name: "mnist" (embedded digits if the full set is not found), "fashion_mnist", "cifar10", "imagenet",
              "bark", "bark_like", "dead_leaves";
            - a Fuel HDF5 file, "FILE.hdf5";
            - an array: images (n, h, w) or (n, c, h, w), 8-bit or floats in [0, 1]; vectors or bits (n, size);
            - a pair of arrays, (train, test).
        path: folder(s) or file in which to search for a named data set.
        crop: train on random squares of this side.
        dtype: float type of the scaled examples.
        in_memory: "yes", "no" (read batches from the HDF5 file) or "auto".
        test_fraction: fraction of a single array that becomes the test set, drawn at random.
        seed: seed of that draw.
        quiet: print nothing while a large file is read.
        binary: the values are bits, black and white, and stay 0 and 1, as the binomial kernel expects.

    Returns:
        RunData with `train`, `test`, `scaling`, `name` and `units`.

    Raises:
        InputError: the data are not found or not accepted.

    Example:
        >>> import dpm
        >>> data = dpm.load("mnist")
        >>> data.test.shape[1:]
        (1, 28, 28)
    """
    if isinstance(source, (str, Path)):
        given = {"dataset": str(source), "dtype": dtype, "in_memory": in_memory, "quiet": quiet}
        optional = {"data_path": path, "crop": crop}
        settings = Settings.from_arguments(**given, **{k: v for k, v in optional.items() if v is not None})
        return prepare_images(find_images(settings), settings, binary=binary)
    train, test = _split_arrays(source, test_fraction, seed)
    if train.ndim == 2:
        vectors = _vector_data(train, test, dtype)
        for name in ("train", "test") if binary else ():
            BinomialKernel().check(getattr(vectors, name), f"the {name} vectors")
        return vectors
    images = image_data_from_arrays(train, test)
    settings = Settings.from_arguments(dtype=dtype, quiet=quiet).replace(crop=crop)
    return prepare_images(images, settings, binary=binary)


def _split_arrays(source: Any, test_fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return training and test arrays of a pair, or of one array that is split at random."""
    if isinstance(source, (tuple, list)) and len(source) == 2:
        train, test = (np.asarray(part) for part in source)
        return train, test
    X = np.asarray(source)
    n = len(X) if X.ndim else 0
    n_test = max(1, round(n * test_fraction))
    if not 0 < test_fraction < 1 or n_test >= n:
        raise InputError(
            f"test_fraction: {test_fraction} of {count(n, 'example')}; expected a fraction above 0 that leaves "
            "some to train on"
        )
    order = np.random.default_rng(seed).permutation(n)
    return X[np.sort(order[n_test:])], X[np.sort(order[:n_test])]


def _vector_data(train: np.ndarray, test: np.ndarray, dtype: str) -> RunData:
    """Return the RunData of vectors: bits as they are, numbers scaled to mean 0 and variance 1."""
    if train.ndim != 2 or test.ndim != 2 or train.shape[1] != test.shape[1] or train.dtype.kind not in "fiub":
        raise InputError(f"vectors: got shapes {train.shape} and {test.shape}; expected numbers (n, size) in both")
    binary = all(np.isin(part, (0, 1)).all() for part in (train, test))
    scaling = IDENTITY if binary else Scaling.fit(train, "the training vectors")
    kind = "bits; diffused as they are" if binary else f"x * {scaling.scale:.5g} + {scaling.shift:.5g}"
    return RunData(
        train=scaling.forward(train).astype(dtype),
        test=scaling.forward(test).astype(dtype),
        scaling=scaling,
        name="arrays",
        units=kind,
        hash="-".join(hash_array(np.ascontiguousarray(part))[:16] for part in (train, test)),
        quantized=False,
        path="memory",
        dtype=str(train.dtype),
        range=(float(train.min()), float(train.max())),
    )


def is_quantized(saved: Mapping[str, Any]) -> bool:
    """Return True for 8-bit data, from the entry "data" of a saved config; earlier versions spelled it -ised."""
    return bool(saved["quantised"] if "quantised" in saved else saved["quantized"])


def load_data(settings: Settings, saved: Mapping[str, Any] | None = None) -> RunData:
    """Read, or generate, the data of a run and scale them.

    Args:
        settings: of the run.
        saved: the entry "data" of the config of a saved run, or None for a new run. Its scaling is used, and the data
            must be the same.

    Raises:
        InputError: the data are not found, are not accepted, or are not those of the saved run.
    """
    toy = settings.toy
    if toy is not None:
        from dpm.experiments.toys import make_data

        name, arguments = str(settings.experiment), settings.model_args
        made = make_data(toy, name, arguments, settings.small, settings.seed, settings.dtype)
        return RunData(**made._asdict() | {"range": tuple(made.range)})
    return prepare_images(find_images(settings, saved), settings, saved, settings.has_bits)


def prepare_images(
    images: ImageData, settings: Settings, saved: Mapping[str, Any] | None = None, binary: bool = False
) -> RunData:
    """Return the RunData of images. saved: as in load_data; binary: as in load."""
    train, test = (
        survey(part, f"{images.path} ({name})", settings.quiet)
        for name, part in (("train", images.train), ("test", images.test))
    )
    digest = "-".join(found.hash[:16] for found in (train, test))
    if saved and digest != saved["hash"]:
        raise InputError(
            f"the data at {images.path} are not those of the run, which were read from {saved['path']}; give "
            "--data-path the place where those are now"
        )
    if (train.factor is None) != (test.factor is None):
        raise InputError(f"{images.path}: one of train and test is 8-bit pixels, the other is not; make them alike")
    if binary:
        for part, found, name in ((images.train, train, "train"), (images.test, test, "test")):
            unit = PreparedImages(part, found.factor, IDENTITY, settings.dtype)
            for some in in_parts(unit, READ_AT_ONCE):
                BinomialKernel().check(some, f"{images.path} ({name})")
        scaling = IDENTITY
    else:
        scaling = Scaling(saved["scale"], saved["shift"]) if saved else fit_scaling(images, train, settings)
    return scale_images(images, train, test, scaling, digest, settings, binary)


def scale_images(
    images: ImageData, train: "Survey", test: "Survey", scaling: Scaling, digest: str, settings: Settings, binary: bool
) -> RunData:
    """Return the RunData of surveyed images."""
    prepared = [
        PreparedImages(part, found.factor, scaling, settings.dtype)
        for part, found in ((images.train, train), (images.test, test))
    ]
    in_memory = not isinstance(images.train, StoredImages)
    low, high = train.range
    dtype = str(images.train.dtype)
    kind = "continuous" if train.factor is None else "8-bit pixels"
    units = f"{dtype} in [{low:g}, {high:g}], {kind}; x * {scaling.scale:.5g} + {scaling.shift:.5g} has mean 0 and "
    units = f"{dtype} in [{low:g}, {high:g}], bits; diffused as they are" if binary else f"{units}variance 1"
    return RunData(
        train=prepared[0][:] if in_memory else prepared[0],
        test=cut_pieces(prepared[1][:], settings.crop),
        scaling=scaling,
        name=images.name,
        units=units + ("" if in_memory else "; read from the disk in batches"),
        hash=digest,
        quantized=train.factor is not None and not binary,
        path=str(images.path),
        note=images.note,
        dtype=dtype,
        range=(low, high),
        in_memory=in_memory,
    )


def find_images(settings: Settings, saved: Mapping[str, Any] | None = None) -> ImageData:
    """Return the unscaled images of the settings. saved: as in load_data."""
    in_memory = IN_MEMORY[settings.in_memory]
    if saved and in_memory is None:
        in_memory = saved.get("in_memory", True)  # the order of the minibatches depends on it
    entry, crop = settings.entry, settings.crop
    first = entry.first if entry else None
    images = load_images(settings.dataset, settings.data_path, in_memory, crop is not None, first)
    sides = (*images.train.shape[2:], *images.test.shape[2:])
    if crop is not None and crop > min(sides):
        raise InputError(f"--crop: {crop} is larger than the images, {sides[0]} x {sides[1]}; take at most that")
    return images


@dataclass(frozen=True)
class Survey:
    """Facts about images that are needed before any is used.

    Attributes:
        hash: SHA-256 of type, shape and numbers.
        factor: what divides 8-bit levels into [0, 1] (datasets.scaling.level_factor), or None for continuous data.
        range: smallest and largest number.
        counts: how often each whole number 0..255 occurs, (256,), or None for other numbers.
    """

    hash: str
    factor: int | None
    range: tuple[float, float]
    counts: np.ndarray | None


def survey(images: Any, what: str, quiet: bool) -> Survey:
    """Return the Survey of images: an array, or StoredImages, which are read once. what: their name in messages."""
    whole = images.dtype.kind in "bu" and images.dtype.itemsize == 1
    counts = np.zeros(256, dtype=np.int64)
    low, high = np.inf, -np.inf
    show = isinstance(images, StoredImages) and not quiet

    def read_parts() -> Iterator[np.ndarray]:
        nonlocal low, high
        with Progress(total=len(images), unit="image", desc=f"reading {what}", quiet=not show) as bar:
            for part in in_parts(images, READ_AT_ONCE):
                if whole:
                    counts[:] += np.bincount(part.ravel().view(np.uint8), minlength=256)
                low, high = min(low, float(part.min())), max(high, float(part.max()))
                yield np.ascontiguousarray(part)
                bar.update(len(part))

    digest = hash_rows(images.dtype, images.shape, read_parts())
    factor = level_factor(np.flatnonzero(counts).astype(images.dtype) if whole else images, what)
    return Survey(digest, factor, (low, high), counts if whole else None)


def fit_scaling(images: ImageData, train: Survey, settings: Settings) -> Scaling:
    """Fit scale and shift to all training pixels, or to one random minibatch as released."""
    unit = PreparedImages(images.train, train.factor, IDENTITY, "float32")
    if settings.variant.scaling_from_minibatch:
        rng = noise.generator(settings.seed, noise.START, 0)
        n = min(settings.batch_size, len(unit))
        return Scaling.fit(unit[rng.choice(len(unit), n, replace=False)], "one minibatch of the data")
    what = f"{images.path} (train)"
    if train.counts is None:
        return Scaling.fit(unit, what)
    levels = np.arange(256).astype(images.train.dtype)
    return Scaling.fit_levels(train.counts, unit_values(levels, train.factor, "float32"), what)


def validation_start(n: int) -> int:
    """Return where the validation part of n training examples begins, at least 1: it is the last sixth of them.

    Training has no such part; it is where models that are compared with ours choose their settings.
    """
    if n < 2:
        raise InputError(f"the training split: {n} example is too few to choose anything with; give at least 2")
    return n - max(1, n // VALIDATION_FRACTION)


def cut_pieces(images: np.ndarray, side: int | None) -> np.ndarray:
    """Cut each image into squares of `side`, side by side from its upper left corner: (m, c, side, side)."""
    if side is None:
        return images
    n, c, height, width = images.shape
    rows, columns = height // side, width // side
    cut = images[:, :, : rows * side, : columns * side].reshape(n, c, rows, side, columns, side)
    return np.ascontiguousarray(cut.transpose(0, 2, 4, 1, 3, 5).reshape(-1, c, side, side))
