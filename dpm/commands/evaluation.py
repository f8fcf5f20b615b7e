"""What python -m dpm evaluate does: a checkpoint and examples become K term by term, or log p(x) by Eq. 9."""

import csv
import io
import json
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from dpm.base.atomic import atomic_write, writable_folder
from dpm.base.command_line import print_table
from dpm.base.errors import InputError
from dpm.commands.evaluate import DRAWS, SINGLE_EXAMPLES
from dpm.commands.sampling import compiled_model, load_model
from dpm.experiments.toys import TOYS, make_data
from dpm.likelihood import bound
from dpm.likelihood import estimates as likelihood
from dpm.likelihood.units import LEVELS, NAMES, Units, no_levels, number
from dpm.plots import bounds as viz_bounds
from dpm.runs.data import pieces, prepared_data
from dpm.runs.user_images import read_pictures
from dpm.training.run import resumed_flags

LEVEL_TOLERANCE = 1e-3  # as in dpm/datasets/scaling.py
STEMS = {"exact": "evaluation", "reference-2015": "evaluation_2015", "trajectories": "log_likelihood"}


class Examples(NamedTuple):
    """X: scaled, (n, ...), in the float type of the run; name: what they are, in words; quantized: whether they are
    8-bit levels."""

    X: np.ndarray
    name: str
    quantized: bool


class Result(NamedTuple):
    """What an estimator found.

    values: nats an example in scaled units by the keys of dpm.likelihood.units.NAMES; errors: the standard errors, nats an example
    by their names; lines: what is printed behind the table; facts, arrays, rows: for the .json, .npz and .csv file, the
    first row being the header.
    """

    values: dict
    errors: dict
    lines: list
    facts: dict
    arrays: dict
    rows: list


def evaluate(options):
    """Run python -m dpm evaluate with checked options; writes files of the names in STEMS, returns 0."""
    folder = writable_folder("--output-dir", options.output_dir)
    loaded = load_model(options)
    if not options.input and loaded.config is None:
        raise InputError(f"{options.checkpoint}: a model.pkl does not tell its data; give --input FILE")
    compiled, theta = compiled_model(loaded, options.backend, options.threads)
    model = compiled.model
    given = input_examples(options, loaded, model.example_shape) if options.input else run_examples(options, loaded)
    model.kernel.check(given.X, f"--input {options.input}" if options.input else given.name)
    scale = None if model.kernel.binary else loaded.scaling.scale
    units = Units(int(np.prod(model.example_shape)), model.n_pixels, scale)
    if options.trajectories:
        result = by_trajectories(options, compiled, theta, given.X, units)
    elif options.estimator == "reference-2015":
        result = by_reference(options, compiled, theta, given.X, units, loaded)
    else:
        result = by_terms(options, compiled, theta, given.X)
    about = {
        "checkpoint": str(options.checkpoint),
        "examples": given.name,
        "n_examples": len(given.X),
        "estimator": "trajectories" if options.trajectories else options.estimator or "exact",
        "trajectory_length": model.trajectory_length,
        "seed": options.seed,
        "engine": str(compiled.engine),
    }
    levels = bits_of_levels(result.values, units, no_levels(given.quantized, model.uniform_noise, loaded.scaling.scale))
    if not options.quiet:
        report(about, result, units, levels)
    written = write(folder, about, result, units, levels)
    if about["estimator"] == "exact":
        written.append(plot(folder / f"{STEMS['exact']}.png", result, units, model.unit))
    if not options.quiet:
        print(f"written: {', '.join(map(str, written))}")
    return 0


# ------------------------------------------------------------------ the examples


def first_of(X, options, name):
    """(the first --n-examples of X, how many of them in words). Raises InputError where there are fewer."""
    n = options.n_examples or (min(SINGLE_EXAMPLES, len(X)) if options.trajectories else len(X))
    if n > len(X):
        raise InputError(f"--n-examples: {n} is more than there are, {len(X)} {name}; take at most that")
    return X[:n], f"{n} {name}" if n == len(X) else f"the first {n} of {len(X)} {name}"


def run_examples(options, loaded):
    """The Examples that the run was trained on or tested with, read or made again."""
    given = {"resume_file": options.checkpoint, "quiet": options.quiet}
    if options.data_path is not None:
        given["data_path"] = options.data_path
    flags, variant = resumed_flags(given, loaded.config)
    name, split = flags["experiment"], options.split or "test"
    if name in TOYS:
        if options.data_path is not None:
            raise InputError(f"--data-path {options.data_path}: {name} makes its own data; leave it out")
        options_of_data = (flags[key] for key in ("model_args", "small", "seed", "dtype"))
        data = make_data(TOYS[name], name, *options_of_data)._asdict()
    else:
        data = prepared_data(flags, variant, loaded.config["data"])
    X = data[split]
    if split == "train" and flags["crop"]:
        X = pieces(X[:], flags["crop"])
    X, words = first_of(X, options, f"{split} examples of {data['name']} ({data['path']})")
    return Examples(X, words, data["quantized"])


def input_examples(options, loaded, example_shape):
    """The Examples of --input."""
    X = read_pictures(options.input, example_shape, loaded.pixels)
    X, words = first_of(X, options, f"examples of {options.input}")
    levels = LEVELS * X
    on_grid = (np.abs(levels - np.rint(levels)) <= LEVEL_TOLERANCE).all() and X.min() >= 0 and X.max() <= 1
    return Examples(loaded.scaling.forward(X).astype(loaded.dtype), words, bool(loaded.pixels and on_grid))


# ------------------------------------------------------------------ the estimators


def by_terms(options, compiled, theta, X):
    """K as the sum over t (Eq. 14): a Result."""
    T = compiled.model.trajectory_length
    k = options.t_per_example or T - 1
    if k > T - 1:
        raise InputError(
            f"--t-per-example: {k} is more than there are, t = 2..{T}; take up to {T - 1}, or leave it out"
        )
    with tqdm(total=len(X) * k, unit="term", unit_scale=True, disable=options.quiet or None, desc="K") as bar:
        terms = bound.terms(compiled, theta, X, options.seed, options.t_per_example, bar.update, options.batch_size)
    edge = bound.edge(compiled, theta, X)
    K, null = terms.K.mean(), terms.L_null.mean()
    values = {
        "sum_kl": (T - 1) * terms.kl.mean(dtype=np.float64),
        "forward_T": terms.forward_T.mean(),
        "forward_1": terms.forward_1.mean(),
        "prior": terms.prior.mean(),
        "L_null": null,
        "K": K,
        "K_minus_L_null": K - null,
        "K_eq12": K + edge.mean(),
    }
    errors = {"standard error of K": terms.error, "of it from draws": terms.draws_error}
    looked = f"every t from 2 to {T}" if k == T - 1 else f"{k} of the {T - 1} times t for each, one in each equal part"
    lines = [
        f"{looked}, one draw of x_t each. The standard error is that of the examples as a sample of the data; the "
        "part from draws is left where K of these very examples is asked for.",
        "K by Eq. 12 has means of log pi where Eq. 14 puts the prior's entropy: a bound for any examples.",
    ]
    t, mean, error, count = terms.by_time()
    apart = bound.bounds_apart(compiled, theta, X)
    rows = [("t", "kl_nats_per_example", "standard_error", "draws", "bounds_apart_nats_per_example")]
    rows += list(zip(t, mean, error, count, apart, strict=True))
    arrays = {"times": terms.times, "kl": terms.kl, "forward_T": terms.forward_T, "forward_1": terms.forward_1}
    arrays |= {"prior": terms.prior, "K": terms.K, "K_eq12": terms.K + edge}
    return Result(values, errors, lines, {"times_per_example": k}, arrays, rows)


def by_reference(options, compiled, theta, X, units, loaded):
    """K as the released code printed it: minibatches at a single t each, KL_t counted T times. A Result."""
    model, draws = compiled.model, options.draws or DRAWS
    T = model.trajectory_length
    of_run = loaded.config["flags"]["batch_size"] if loaded.config else 512
    size = min(options.batch_size or of_run, len(X))
    estimates = likelihood.reference_likelihood(compiled, theta, X, options.seed, size, draws)
    estimate = likelihood.Estimate(np.nan, np.nan)
    for found in tqdm(estimates, total=draws, unit="minibatch", disable=options.quiet or None, desc="K as in 2015"):
        estimate = found
    constants = bound.entropies(compiled, theta, X)
    forward_T, forward_1, prior = (a.mean() for a in constants)
    gain = forward_T - forward_1
    # The model may count KL_t T - 1 times, as it should.
    nats = 1 / units.factors()["bits/pixel"]
    kl = (gain - estimate.value * nats) / model.n_terms
    error = estimate.standard_error * nats / model.n_terms
    values = {"sum_kl": T * kl, "forward_T": forward_T, "forward_1": forward_1, "prior": prior, "L_null": -prior}
    values |= {"K": gain - T * kl - prior, "K_minus_L_null": gain - T * kl}
    per_pixel = units.factors()["bits/pixel"]
    lines = [
        f"as released in 2015: {draws} minibatches of {size}, each at one random t; KL_t, a mean over T - 1 = {T - 1} "
        f"times, is counted {T} times, which takes {kl * per_pixel:.5f} bits/pixel away: counted {T - 1} times "
        f"K - L_null is {(gain - (T - 1) * kl) * per_pixel:.5f}.",
    ]
    facts = {"draws": draws, "minibatch": size, "counted_once_too_often": units.all(kl)}
    return Result(values, {"standard error": T * error}, lines, facts, {}, [])


def by_trajectories(options, compiled, theta, X, units):
    """log p(x_0) of each example by Eq. 9 beside its K: a Result."""
    M, T = options.trajectories, compiled.model.trajectory_length
    found = []
    with tqdm(total=len(X) * M * T, unit="step", unit_scale=True, disable=options.quiet or None, desc="Eq. 9") as bar:
        for example, x in enumerate(X):
            block = min(options.batch_size or compiled.microbatch_size(bound.BLOCK), M)
            found.append(bound.log_likelihood(compiled, theta, x, options.seed, M, block, bar.update, example))
    value, error, effective, K = np.array(found).T
    null = compiled.model.kernel.prior_entropy() * units.dimensions
    values = {"L_null": -null, "K_eq12": K.mean(), "log_p": value.mean()}
    n = len(value)
    errors = {"standard error over examples": likelihood.estimate(value).standard_error}
    errors["of it by bootstrap"] = float(np.sqrt((error**2).sum()) / n)
    least = effective.min()
    lines = [
        f"{M} forward trajectories an example; their mean log weight is K (Eq. 11), the log of their mean weight an "
        f"estimate of log p(x_0) that is too low in the mean. The fewest effective trajectories are {least:.1f} of {M}"
        + (": the estimates hang on a few; take more trajectories." if least < max(10, M / 100) else "."),
    ]
    rows = [("example", "log_p_nats", "bootstrap_error", "effective_trajectories", "K_nats")]
    rows += list(zip(map(str, range(n)), value, error, effective, K, strict=True))
    arrays = {"log_p": value, "log_p_error": error, "effective": effective, "K": K}
    return Result(values, errors, lines, {"trajectories": M}, arrays, rows)


def bits_of_levels(values, units, reason):
    """(bits a dimension of 8-bit levels, why there are none): one of both is None."""
    key = next(key for key in ("log_p", "K_eq12", "K") if key in values)
    return (None, reason) if reason else (units.bits_of_levels(units.in_data(key, values[key])), None)


# ------------------------------------------------------------------ what is shown and written


def report(about, result, units, levels):
    """Print the tables of a Result."""
    print(f"{about['checkpoint']}: T = {about['trajectory_length']}, seed {about['seed']}, {about['engine']}")
    print(about["examples"])
    if "log_p" in result.values:
        shown = [(str(row[0]), number(row[1]), number(row[2]), number(row[3], 1), number(row[4])) for row in
                 result.rows[1:]]  # fmt: skip
        print_table([("example", "log p(x_0), nats", "error", "effective", "K, nats"), *shown])
    factors = {unit: units.factors()[unit] for unit in units.shown()}

    def row(label, nats):
        return [label, *(number(nats * factor) for factor in factors.values())]

    head = "bits: probabilities" if units.scale is None else "scaled units"
    print_table(
        [(head, *factors)]
        + [row(NAMES[key], nats) for key, nats in result.values.items()]
        + [row(label, nats) for label, nats in result.errors.items()]
    )
    if units.scale is not None:
        print(f"scaled units are {units.scale:.6g} x + shift of the data's x; a log density in units of the data has "
              f"{np.log(units.scale):+.4f} nats/dimension:")  # fmt: skip
        keys = [key for key in ("L_null", "K", "K_eq12", "log_p") if key in result.values]
        print_table([("data units", *factors)]
                    + [row(NAMES[key], units.in_data(key, result.values[key])) for key in keys])  # fmt: skip
        value, reason = levels
        of = "log p(x_0)" if "log_p" in result.values else "K"
        told = f"none, as {reason}" if reason else f"{value:.4f} bits/dimension, uniform dequantization"
        print(f"8-bit levels, by {of}: {told}")
    for line in result.lines:
        print(line)


def write(folder, about, result, units, levels):
    """The .json, .npz and, where there are rows, .csv file; returns their paths. Raises InputError on a full disk."""
    stem = STEMS[about["estimator"]]
    paths = [folder / f"{stem}{ending}" for ending in (".json", ".npz", ".csv")[: 2 + bool(result.rows)]]
    summary = about | result.facts | {"scaled_units": {key: units.all(nats) for key, nats in result.values.items()}}
    if units.scale is not None:
        summary["data_units"] = {key: units.all(units.in_data(key, nats)) for key, nats in result.values.items()}
        summary["scale"] = units.scale
        summary["bits_per_dimension_of_8_bit_levels"] = levels[0]
    summary["errors"] = {label: units.all(nats) for label, nats in result.errors.items()}
    means: dict = {f"mean_{key}": np.float64(nats) for key, nats in result.values.items()}
    packed, table = io.BytesIO(), io.StringIO(newline="")
    np.savez(packed, **means, **result.arrays)
    csv.writer(table).writerows([["none" if value != value else value for value in row] for row in result.rows])
    text = json.dumps(summary, indent=2) + "\n"
    contents = [text.encode(), packed.getvalue(), table.getvalue().encode()]
    try:
        for path, content in zip(paths, contents, strict=False):
            with atomic_write(path) as temporary:
                temporary.write_bytes(content)
    except OSError as error:
        raise InputError(f"--output-dir: cannot write in {folder} ({error}); give another folder") from None
    return paths


def plot(path, result, units, unit):
    """The picture of KL_t beside the bounds of Eq. 23; returns its path."""
    t, kl, error, _, apart = np.array(result.rows[1:], dtype=np.float64).T
    factor = units.factors()["bits/pixel"]
    return viz_bounds.plot_terms(t, kl * factor, error * factor, apart * factor, path, unit)
