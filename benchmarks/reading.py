"""Measure speed and memory of reading shuffled minibatches of 512 from a large file; print a table and JSON.

python benchmarks/reading.py [--gigabytes 2] [--compression none|gzip] [--folder FOLDER] [--train]

The file has 64 x 64 color images (dead leaves, shifted and permuted so that no two are equal). It is dropped from the
system's cache where that is allowed, and one epoch is read as in training: blocks in random order, shuffled within a
window, prefetched by a thread, converted to float32 in the model's units. MB/s count the pixels in the file.
--train: also time a training step of the default model for such images, to compare with the time of a batch.
"""

import argparse
import contextlib
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

SHAPE = (3, 64, 64)
BATCH = 512


def make_file(path: Path, gigabytes: float, compression: str | None) -> int:
    """Write a data set in Fuel's layout with about so many bytes of pixels; return the number of images."""
    from dpm.datasets.fuel import layout, writing
    from dpm.datasets.made.dead_leaves import dead_leaves

    rng = np.random.default_rng(0)
    gray = np.rint(255 * dead_leaves(rng, 300, 64, r_max=32.0)[:, 0]).astype(np.uint8)
    n = int(gigabytes * 1e9) // int(np.prod(SHAPE))
    chunk = max(1, writing.CHUNK_BYTES // int(np.prod(SHAPE)))
    with h5py.File(path, "w") as file:
        features = file.create_dataset(
            "features", (n, *SHAPE), np.uint8, chunks=(chunk, *SHAPE), compression=compression
        )
        for start in range(0, n, 1000):
            count = min(1000, n - start)
            images = gray[rng.integers(0, len(gray), (count, 3))]
            features[start : start + count] = np.roll(images, rng.integers(64), axis=-1)
        file.attrs["split"] = layout.split_array({"train": {"features": (0, n)}})
    return n


def drop_from_cache(path: Path) -> None:
    """Ask the system to drop the file from its cache."""
    with open(path, "rb") as stream, contextlib.suppress(OSError, AttributeError):
        os.fsync(stream.fileno())
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure(path: Path) -> dict[str, float]:
    """Read one epoch; return seconds, MB/s and MiB."""
    from dpm.datasets import H5PYDataset, Scaling
    from dpm.datasets.stored import PreparedImages, StoredImages
    from dpm.datasets.streams import minibatches

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    stored = StoredImages(H5PYDataset(path, ("train",), sources=("features",)))
    stream = minibatches(PreparedImages(stored, 1, Scaling(3.5, -1.7), "float32"), BATCH)
    start, images, waits = time.perf_counter(), 0, []
    last = start
    for batch in stream.get_epoch_iterator(np.random.default_rng(0)):
        images += len(batch)
        now = time.perf_counter()
        waits.append(now - last)
        last = now
    seconds = time.perf_counter() - start
    assert images == len(stored)
    return {
        "images": images,
        "seconds": round(seconds, 2),
        "MB/s": round(images * np.prod(SHAPE) / seconds / 1e6),
        "ms per batch": round(1e3 * seconds / len(waits), 1),
        "longest wait ms": round(1e3 * max(waits)),
        "peak MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "MiB before": before // 1024,
    }


def step_seconds() -> float:
    """Return the median seconds of a training step of the default model at this image size and batch."""
    from dpm.base import noise
    from dpm.engines.compiled import CompiledModel
    from dpm.engines.engine import Engine
    from dpm.model import DiffusionModel

    engine = Engine("auto", "float32")
    with engine:
        compiled = CompiledModel(DiffusionModel(SHAPE[1], SHAPE[0]), engine)
    theta, rng = compiled.start(np.random.default_rng(0)), np.random.default_rng(1)
    X = rng.standard_normal((BATCH, *SHAPE)).astype(np.float32)
    t, N, U = noise.minibatch_noise(rng, X.shape, 1000, "normal")
    inputs = [engine.asarray(a) for a in (X, t, N, U, np.ones(BATCH))]
    objective, seconds = compiled.objective(BATCH), []
    for _ in range(4):
        start = time.perf_counter()
        objective(theta, *inputs)
        seconds.append(time.perf_counter() - start)
    return round(float(np.median(seconds[1:])), 3)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the file, read it, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--compression", choices=("none", "gzip"), default="none")
    parser.add_argument("--folder", default=None)
    parser.add_argument("--train", action="store_true")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "large.hdf5"
        compression = None if options.compression == "none" else options.compression
        if not (pid := os.fork()):  # in a child, so that its memory does not count
            make_file(path, options.gigabytes, compression)
            os._exit(0)
        if os.waitpid(pid, 0)[1]:
            sys.exit("the file could not be written")
        size = path.stat().st_size
        drop_from_cache(path)
        result = {"file GB": round(size / 1e9, 2), "compression": options.compression} | measure(path)
    if options.train:
        result["step s"] = step_seconds()
    print("| " + " | ".join(result) + " |\n|" + "---|" * len(result))
    print("| " + " | ".join(map(str, result.values())) + " |")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
