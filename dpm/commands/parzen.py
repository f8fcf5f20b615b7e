"""python -m dpm parzen: Table 2's Parzen-window log likelihood of samples."""

import argparse
import hashlib
import json
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.spatial.distance import cdist
from tqdm import tqdm

from dpm.base.atomic import atomic_write, writable_folder, write_json
from dpm.base.command_line import Parser, run_command
from dpm.base.errors import InputError
from dpm.datasets.formats.arrays import read_arrays
from dpm.engines.names import ENGINES
from dpm.likelihood.estimates import estimate

PROG = "dpm parzen"
# The protocol of Goodfellow et al. (2014): their number of samples, their grid, and the first 1,000 of the validation
# part for the choice of sigma.
N_SAMPLES = 10_000
SIGMAS = tuple(np.logspace(-1, 0, 10))
VALID_MOST = 1000
SEED = 12345  # that of sample.py
LARGEST_SIGMA = 1e100
WRITE_EVERY = 60  # seconds, of the samples drawn so far
CHUNK = 1 << 22  # squared distances at once, 32 MB
EXACT_TO = 1e-9  # nats: rounding of squared distances that may reach a result


class ParzenResult(NamedTuple):
    """value: mean log density of the test examples, nats; standard_error: of that mean, NaN for one example; sigma:
    the width chosen; validation: mean log density of the validation examples for each width, (k,)."""

    value: float
    standard_error: float
    sigma: float
    validation: np.ndarray


def log_density(X, centers, sigmas, progress=None):
    """log of the mean over the centers of N(x; center, sigma^2 I), nats an example: (k, n).

    X: (n, D); centers: (m, D); sigmas: k widths, in the units of X. Beside its arguments and float64 copies of both it
    holds at most 3 x 32 MB, or 3 m numbers where m is above 4 million. progress: called with the number of examples
    after each part.
    """
    X, centers = (np.asarray(a, dtype=np.float64) for a in (X, centers))
    middle = centers.mean(axis=0)
    X, centers = X - middle, centers - middle  # smaller numbers, whose products round less
    rows = max(1, CHUNK // len(centers))
    values = np.empty((len(sigmas), len(X)))
    for start in range(0, len(X), rows):
        part = slice(start, min(start + rows, len(X)))
        distances = squared_distances(X[part], centers, EXACT_TO * 2 * min(sigmas) ** 2)
        # Behind the least distance the largest exponent is 0, so that no sum vanishes however far x is.
        least = distances.min(axis=1, keepdims=True)
        distances -= least
        terms = np.empty_like(distances)
        for value, sigma in zip(values, sigmas, strict=True):
            np.exp(np.multiply(distances, -0.5 / sigma**2, out=terms), out=terms)
            normalizer = X.shape[1] * np.log(sigma * np.sqrt(2 * np.pi))
            value[part] = np.log(terms.mean(axis=1)) - least[:, 0] * (0.5 / sigma**2) - normalizer
        if progress:
            progress(part.stop - part.start)
    return values


def squared_distances(X, centers, tolerance):
    """Squared Euclidean distances, (n, m), with an error of at most `tolerance` or of some roundings of the distance.

    By one product of matrices; rows where that would cancel too many digits are computed from differences.
    """
    sizes, center_sizes = (np.einsum("ij,ij->i", a, a) for a in (X, centers))
    distances = X @ centers.T
    distances *= -2
    distances += sizes[:, None]
    distances += center_sizes
    # Each of the three parts is rounded at its own size, the sums of products more than once.
    rounding = 8 * np.finfo(np.float64).eps * (sizes + center_sizes.max())
    exact = rounding > np.maximum(tolerance, 1e-12 * distances.min(axis=1))
    distances[exact] = cdist(X[exact], centers, "sqeuclidean")
    return np.maximum(distances, 0, out=distances)


def parzen(centers, valid, test, sigmas, progress=None):
    """The log likelihood of `test` under a Parzen window whose width is the best of `sigmas` for `valid`: ParzenResult.

    centers: samples of the model, (m, D); valid: (v, D), of the training split; test: (n, D).
    """
    validation = log_density(valid, centers, sigmas, progress).mean(axis=1)
    sigma = sigmas[int(validation.argmax())]
    (values,) = log_density(test, centers, [sigma], progress)
    value, error = estimate(values)
    return ParzenResult(value, error, float(sigma), validation)


# ------------------------------------------------------------------ the command


def parser():
    """The options of the command."""
    top = Parser(prog=PROG, description=__doc__.partition(": ")[2])
    add = top.add_argument
    add("source", metavar="CHECKPOINT|SAMPLES", help="checkpoint.h5 of a run, from which samples are drawn; or samples "
        "in units of the data: FILE.npz (its array X) or FILE.hdf5[:SPLIT[:A-B]]")  # fmt: skip
    add("--dataset", help="samples only: the data they are compared with, as train.py --dataset (default: MNIST)")
    add("--data-path", help="folder(s) or file to look for the data in")
    add("--n-samples", type=int, help=f"checkpoint: how many to draw (default: {N_SAMPLES:,}); samples: how many to "
        "take (default: all)")  # fmt: skip
    add("--sigmas", type=float, nargs="+", metavar="SIGMA", help="widths to choose from, in units of the data "
        "(default: 10 from 0.1 to 1, evenly in their logarithm)")  # fmt: skip
    add("--clip", action="store_true", help="samples of pixels: cut at 0 and 1 (default: as drawn)")
    add("--seed", type=int, help=f"checkpoint only: of the noise, as in sample.py (default: {SEED})")
    add("--backend", choices=ENGINES, help="checkpoint only: engine (default: auto)")
    add("--output-dir", default=".", help="folder, which must exist, for parzen.json and, from a checkpoint, "
        "parzen_samples.npz (default: here)")  # fmt: skip
    add("--quiet", action="store_true", help="print the last line alone")
    return top


def main(arguments=None):
    """Run the command; returns the exit status."""
    options = parser().parse_args(arguments)
    return run_command(PROG, lambda: run(options))


def run(options):
    """Draw or read samples, print their log likelihood and write parzen.json; returns 0."""
    drawn = Path(options.source).suffix == ".h5"
    folder = writable_folder("--output-dir", options.output_dir)
    check_options(options, drawn)
    sigmas = sorted(set(options.sigmas or SIGMAS))
    samples, data, place = (drawn_samples if drawn else read_samples)(options, folder)
    if wrong := int((~np.isfinite(flat(samples)).all(axis=1)).sum()):
        raise InputError(
            f"{options.source}: {wrong:,} of {len(samples):,} samples are not finite; the model is not fit to be "
            "drawn from, train it further or anew"
        )
    if options.clip:
        samples = samples.clip(0, 1)
    valid, test = validation_and_test(data)
    say = (lambda text: None) if options.quiet else print
    say(f"data     {data['name']} from {data['path']}: {len(valid):,} validation examples of the training split")
    say(f"         {len(test):,} test examples, {test.shape[1]} numbers each, in [{test.min():g}, {test.max():g}]")
    say(f"samples  {len(samples):,}, {'clipped to 0..1' if options.clip else 'not clipped'}: {place}")
    with tqdm(total=len(valid) + len(test), unit="example", disable=options.quiet or None, desc="densities") as bar:
        result = parzen(flat(samples), valid, test, sigmas, bar.update)
    edge = len(sigmas) > 1 and result.sigma in (sigmas[0], sigmas[-1])
    say(f"sigma    {result.sigma:.4g}, of {len(sigmas)} from {sigmas[0]:.4g} to {sigmas[-1]:.4g}")
    if edge:
        side = "smaller" if result.sigma == sigmas[0] else "larger"
        print(f"{PROG}: warning: sigma {result.sigma:.4g} is at the edge of the grid; give {side} --sigmas too",
              file=sys.stderr)  # fmt: skip
    known = np.isfinite(result.standard_error)
    write_json(
        folder / "parzen.json",
        {
            "value": result.value,
            "standard_error": result.standard_error if known else None,
            "unit": "nats an example, density in the data's units",
            "sigma": result.sigma,
            "sigma_at_edge": edge,
            "sigmas": sigmas,
            "validation": result.validation.tolist(),
            "samples": {"n": len(samples), "place": str(place), "clipped": options.clip, "source": options.source},
            "data": {key: data[key] for key in ("name", "path", "hash")}
            | {"n_valid": len(valid), "n_test": len(test), "dimension": test.shape[1]},
            "seed": (SEED if options.seed is None else options.seed) if drawn else None,
        },
    )
    error = f"+- {result.standard_error:.2f}" if known else "(one example, so no error)"
    print(f"Parzen log likelihood {result.value:.2f} {error} nats an example, sigma {result.sigma:.4g}")
    return 0


def check_options(options, drawn):
    """Raise InputError for a value that is not accepted and for an option that would be ignored."""
    for name in ("dataset",) if drawn else ("seed", "backend"):
        if getattr(options, name) is not None:
            kind = "a checkpoint, which names its own data" if drawn else "samples that are drawn already"
            raise InputError(f"--{name}: has no meaning with {kind}; leave it out")
    if not drawn and not {".npz", ".hdf5"} & {Path(part).suffix for part in options.source.split(":")}:
        raise InputError(
            f"{options.source}: accepted are checkpoint.h5, FILE.npz and FILE.hdf5[:SPLIT[:A-B]]; of a model.pkl draw "
            "with sample.py and give its samples.npz"
        )
    if options.n_samples is not None and options.n_samples < 1:
        raise InputError(f"--n-samples: {options.n_samples} is not accepted; take 1 or more")
    if options.seed is not None and options.seed < 0:
        raise InputError(f"--seed: {options.seed} is not accepted; take 0 or more")
    for sigma in options.sigmas or ():
        if not 1 / LARGEST_SIGMA <= sigma <= LARGEST_SIGMA:
            raise InputError(f"--sigmas: {sigma} is not accepted; take numbers above 0, such as 0.1 0.2 0.5")


def check_clip(options, data):
    """Raise InputError for --clip where numbers have no limits."""
    if options.clip and not data["quantized"]:
        raise InputError(f"--clip: is for pixels; {data['name']} is continuous, leave it out")


def drawn_samples(options, folder):
    """(samples, data, their file): samples in units of the data, drawn from the checkpoint and written to the folder.

    data: as dpm.runs.data.prepared_data.
    """
    from dpm.commands import sampling
    from dpm.experiments.toys import TOYS, make_data
    from dpm.runs.data import prepared_data
    from dpm.training import run as training

    no_choice = {"checkpoint": options.source, "model_args": {}, "scale": None, "shift": None, "size": None}
    loaded = sampling.load_model(argparse.Namespace(**no_choice))
    given = {"resume_file": options.source, "quiet": options.quiet}
    if options.data_path is not None:
        given["data_path"] = options.data_path
    flags, variant = training.resumed_flags(given, loaded.config)
    toy = TOYS.get(flags["experiment"])
    if toy and options.data_path is not None:
        raise InputError("--data-path: has no meaning with a model of a made data set; leave it out")
    compiled, theta = sampling.compiled_model(loaded, options.backend or "auto")
    if compiled.model.kernel.binary:
        raise InputError(f"{options.source}: a model of bits, which have no density; K is their log likelihood's bound")
    if toy:
        options_of_data = (flags[key] for key in ("model_args", "small", "seed", "dtype"))
        data = make_data(toy, flags["experiment"], *options_of_data)._asdict()
    else:
        data = prepared_data(flags, variant, loaded.config["data"])
    check_clip(options, data)  # drawing takes long
    batch = sampling.VECTORS if loaded.vectors else sampling.BATCH
    seed = SEED if options.seed is None else options.seed
    n, scaling = options.n_samples or N_SAMPLES, loaded.scaling
    facts = [str(compiled.engine), seed, loaded.config["model"], scaling.scale, scaling.shift]
    kept = SampleFiles(folder, json.dumps(facts).encode() + theta.tobytes(), compiled.model.example_shape)
    known = kept.read()
    if len(known) and not options.quiet:
        what = "going on with them" if len(known) < n else f"taking the first {n:,}"
        print(f"{folder}: holds {len(known):,} samples of this model, seed and engine; {what}")
    if len(known) < n:
        parts = [known[: len(known) // batch * batch]]  # the others are drawn in the same batches as at once
        try:
            for part in draw(compiled, theta, len(parts[0]), n, seed, batch, options.quiet):
                parts.append(scaling.inverse(part.astype(np.float64)).astype(np.float32))
                kept.write_now_and_then(parts)
        except BaseException:
            if sum(map(len, parts)) > len(known):
                kept.write(kept.partial, parts)
            raise
        known = np.concatenate(parts)
        kept.write(kept.whole, [known])
        kept.partial.unlink(missing_ok=True)
    return known[:n], data | {"crop": flags["crop"]}, kept.whole


class SampleFiles:
    """parzen_samples.npz, samples in units of the data; and while they are drawn a partial file beside it, so that
    drawing can go on and nothing takes the place of samples that are there before as many are complete.

    of: bytes that name model, seed and engine, whose checksum both files hold; shape: of one sample.
    """

    def __init__(self, folder, of, shape):
        digest = hashlib.sha256(of)
        self.of, self.shape = np.frombuffer(digest.digest(), np.uint8), shape
        self.whole, self.partial = folder / "parzen_samples.npz", folder / f"parzen_{digest.hexdigest()[:12]}.part.npz"
        self.written = time.monotonic()

    def read(self):
        """The samples of this model, seed and engine that the files hold, (m, ...); none where they are of others."""
        most = np.empty((0, *self.shape), np.float32)
        for path in (self.whole, self.partial):
            with suppress(InputError, OSError):
                arrays = read_arrays(path)
                X, of = arrays.get("X"), arrays.get("of")
                if X is None or of is None or X.dtype != most.dtype or X.shape[1:] != self.shape:
                    continue
                if np.array_equal(of, self.of) and len(X) > len(most):
                    most = X
        return most

    def write_now_and_then(self, parts):
        """Write the partial file, once a minute."""
        if time.monotonic() > self.written + WRITE_EVERY:
            self.write(self.partial, parts)
            self.written = time.monotonic()

    def write(self, path, parts):
        """Replace one of the files by one of these parts of the samples."""
        with atomic_write(path) as temporary, open(temporary, "wb") as stream:
            np.savez(stream, X=np.concatenate(parts), of=self.of)


def draw(compiled, theta, start, n, seed, batch, quiet):
    """Samples start to n of the model, scaled, by reverse trajectories: those of sample.py for the same seed.

    Yields arrays of up to `batch` samples.
    """
    from dpm.base.noise import ExampleNoise
    from dpm.sampler import generate_samples

    model = compiled.model
    steps = model.trajectory_length - 1
    shown = {"total": n * steps, "initial": start * steps, "unit": "step", "unit_scale": True}
    with tqdm(**shown, disable=quiet or None, desc=f"{n:,} samples") as bar:
        for first in range(start, n, batch):
            count = min(batch, n - first)
            noise = ExampleNoise(seed, first, count, model.kernel.noise)

            def callback(t, X, count=count):
                if t < model.trajectory_length:
                    bar.update(count)

            yield generate_samples(compiled, theta, count, noise, callback=callback)


def read_samples(options, folder):
    """As drawn_samples, of a file; nothing is written."""
    from dpm.runs.data import prepared_data
    from dpm.runs.user_images import read_pictures
    from dpm.training import run as training

    chosen = {"dataset": options.dataset, "data_path": options.data_path, "quiet": options.quiet or None}
    flags, variant = training.new_flags({key: value for key, value in chosen.items() if value is not None})
    data: dict[str, Any] = prepared_data(flags, variant, None)
    check_clip(options, data)
    samples = read_pictures(options.source, data["test"].shape[1:], data["quantized"], "samples")
    if len(samples) < (options.n_samples or 1):
        raise InputError(f"--n-samples: {options.source} holds {len(samples)}; take at most that, or leave it out")
    return samples[: options.n_samples], data | {"crop": None}, options.source


def validation_and_test(data):
    """Validation examples of the training split and the test examples, in units of the data: (v, D), (n, D)."""
    from dpm.runs.data import pieces, validation_start

    train = data["train"]
    start = validation_start(len(train))
    valid = pieces(train[start : start + VALID_MOST], data["crop"])

    def unit(scaled):
        values = data["scaling"].inverse(scaled.astype(np.float64))
        return flat(np.rint(255 * values) / 255 + 0.0 if data["quantized"] else values)

    return unit(valid), unit(data["test"])


def flat(examples):
    """(n, D)"""
    return examples.reshape(len(examples), -1)


if __name__ == "__main__":
    sys.exit(main())
