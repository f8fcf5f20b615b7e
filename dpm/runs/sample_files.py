"""Many samples of a run, drawn over a long time: kept in files, so that drawing can be resumed."""

import hashlib
import json
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

from dpm.base.errors import InputError
from dpm.base.progress import Progress
from dpm.base.wording import count
from dpm.datasets.formats.arrays import read_arrays
from dpm.runs.folder import save_arrays
from dpm.runs.loading import Run
from dpm.trajectories.draws import batch_size, draw_batches

WRITE_EVERY = 60  # seconds, of the samples drawn so far


class SampleFiles:
    """parzen_samples.npz with samples in data units, and a partial file next to it while they are drawn.

    Drawing can be resumed, and complete samples are replaced only when as many new ones are complete.

    Args:
        folder: of the files.
        key: bytes that identify model, seed and engine; both files hold their checksum.
        shape: shape of one sample.
    """

    def __init__(self, folder: Path, key: bytes, shape: tuple[int, ...]) -> None:
        digest = hashlib.sha256(key)
        self.key, self.shape = np.frombuffer(digest.digest(), np.uint8), shape
        self.whole, self.partial = folder / "parzen_samples.npz", folder / f"parzen_{digest.hexdigest()[:12]}.part.npz"
        self.written = time.monotonic()

    def read(self) -> np.ndarray:
        """Return the samples of this model, seed and engine in the files, (m, ...); none if they are of others."""
        most = np.empty((0, *self.shape), np.float32)
        for path in (self.whole, self.partial):
            with suppress(InputError, OSError):
                arrays = read_arrays(path)
                X, key = arrays.get("X"), arrays.get("of")
                if X is None or key is None or X.dtype != most.dtype or X.shape[1:] != self.shape:
                    continue
                if np.array_equal(key, self.key) and len(X) > len(most):
                    most = X
        return most

    def write_periodically(self, parts: list[np.ndarray]) -> None:
        """Write the partial file once a minute."""
        if time.monotonic() > self.written + WRITE_EVERY:
            self.write(self.partial, parts)
            self.written = time.monotonic()

    def write(self, path: Path, parts: list[np.ndarray]) -> None:
        """Replace one of the files by these parts of the samples."""
        save_arrays(path, X=np.concatenate(parts), of=self.key)


def draw_or_resume(run: Run, n: int, seed: int, folder: Path, quiet: bool) -> tuple[np.ndarray, Path]:
    """Return n samples of a run in data units, float32, and the file that holds them.

    Samples that the folder holds of this model, seed and engine are not drawn again.

    Args:
        run: a trained model.
        n: number of samples.
        seed: seed of the noise, as in sample.py.
        folder: where the files are kept.
        quiet: print nothing and show no progress bar.
    """
    scaling, batch = run.scaling, batch_size(run.compiled, n)
    facts = [str(run.engine), seed, run.model.arguments, scaling.scale, scaling.shift]
    if (numbers := (run.engine.noise, run.engine.precision)) != ("host", "float32"):
        facts += numbers
    files = SampleFiles(folder, json.dumps(facts).encode() + run.theta.tobytes(), run.model.example_shape)
    present = files.read()
    if len(present) and not quiet:
        what = "resuming from them" if len(present) < n else f"taking the first {n:,}"
        print(f"{folder}: holds {count(len(present), 'sample')} of this model, seed and engine; {what}")
    if len(present) >= n:
        return present[:n], files.whole
    parts = [present[: len(present) // batch * batch]]  # the others are drawn in the same batches as all at once
    start, steps = len(parts[0]), run.model.trajectory_length - 1
    what, total = count(n, "sample"), n * steps
    bar = Progress(desc=what, total=total, initial=start * steps, unit="step", unit_scale=True, quiet=quiet)
    try:
        with bar:
            for part in draw_batches(run.compiled, run.theta, n, seed, batch, start=start, progress=bar.update):
                parts.append(scaling.inverse(part.samples.astype(np.float64)).astype(np.float32))
                files.write_periodically(parts)
    except BaseException:
        if sum(map(len, parts)) > len(present):
            files.write(files.partial, parts)
        raise
    samples = np.concatenate(parts)
    files.write(files.whole, [samples])
    files.partial.unlink(missing_ok=True)
    return samples, files.whole
