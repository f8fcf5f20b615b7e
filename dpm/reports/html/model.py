"""What only the model itself tells: KL_t by t, and trajectories at many t, from a run's newest checkpoint."""

from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from dpm.base.errors import InputError
from dpm.base.noise import ExampleNoise
from dpm.commands.sample import build_parser as sample_parser
from dpm.commands.sampling import compiled_model, load_model, state_times
from dpm.experiments.toys import TOYS, make_data
from dpm.experiments.variants import find_variant
from dpm.likelihood.bound import terms
from dpm.reports.html.players import POINTS, Panel, Player, number
from dpm.runs import folder as run_folder
from dpm.runs.data import prepared_data
from dpm.runs.flags import TRAIN_FLAGS, check_saved
from dpm.sampler import Posterior, generate_inpaint_mask, generate_samples

EXAMPLES, TIMES = 100, 40  # test examples, and t of each: as many evaluations of the network as 4 in 100 of T = 1000
FRAMES = 20


class Divergences(NamedTuple):
    """KL_t of Eq. 14 over the test examples, bits a pixel (a vector is one).

    t, first, last: middle and ends of equal parts of 2..T; kl, error: mean of KL_t within, and its standard error;
    K, K_error: their sum with the entropies, over `examples` test examples.
    """

    t: np.ndarray
    first: np.ndarray
    last: np.ndarray
    kl: np.ndarray
    error: np.ndarray
    K: float
    K_error: float
    examples: int


def evaluated(run, backend, data_path, quiet):
    """(Divergences, players) of a run. Raises InputError where its checkpoint or its data cannot be had."""
    path = run.folder / run_folder.NEWEST
    if not path.is_file():
        raise InputError(f"{run.folder} holds no {run_folder.NEWEST}")
    loaded = load_model(sample_parser().parse_args(["--", str(path)]))
    config = loaded.config
    check_saved(config["flags"], path)
    X = test_examples(config, data_path)
    compiled, theta = compiled_model(loaded, backend)
    seed, T = config["flags"]["seed"], compiled.model.trajectory_length
    n = min(len(X), EXAMPLES)
    total = n * min(TIMES, T - 1) + (1 if loaded.vectors else 2) * (T - 1)
    with tqdm(total=total, disable=quiet or None, desc=run.name, dynamic_ncols=True) as bar:
        found = divergences(compiled, theta, X[:n], seed, bar.update)
        players = trajectories(compiled, theta, X, seed, loaded.scaling, bar.update)
    return found, players


def test_examples(config, data_path):
    """Scaled test examples of the run whose checkpoint holds config, (n, ...)."""
    flags = {flag.key: flag.default for flag in TRAIN_FLAGS} | config["flags"] | {"quiet": True}
    toy = TOYS.get(flags["experiment"])
    if toy:
        options_of_data = (flags[key] for key in ("model_args", "small", "seed", "dtype"))
        return make_data(toy, flags["experiment"], *options_of_data).test
    variant = find_variant(config["face"])
    if data_path is not None:
        flags["data_path"] = data_path
    return prepared_data(flags, variant, config["data"])["test"]


def divergences(compiled, theta, X, seed, progress=None):
    """Divergences of the scaled examples X, (n, ...), each at TIMES of its t, one in each of as many parts of 2..T."""
    found = terms(compiled, theta, X, seed, TIMES, progress)
    n, k = found.kl.shape
    ends = 2 + np.floor(np.arange(k + 1) * (found.T - 1) / k).astype(int)
    first, last = ends[:-1], np.maximum(ends[1:] - 1, ends[:-1])
    bits = compiled.model.n_channels / np.log(2) / np.prod(X.shape[1:])
    kl, K = found.kl * bits, found.K * bits
    errors = [values.std(axis=0, ddof=1) / n**0.5 if n > 1 else np.full(values.shape[1:], np.nan) for values in (kl, K)]
    return Divergences((first + last) / 2, first, last, kl.mean(axis=0), errors[0], K.mean(), float(errors[1]), n)


def trajectories(compiled, theta, X, seed, scaling, progress=lambda steps: None):
    """The players of a model: forward beside reverse trajectory, and for pictures in-painting.

    X: scaled test examples (n, ...); what is shown of them are the first. progress: called with 1 after each step.
    """
    model = compiled.model
    T, pictures = model.trajectory_length, len(model.example_shape) == 3
    n = min(len(X), number(int(np.prod(model.example_shape))) if pictures else POINTS)
    X, times = X[:n], state_times(T, -(-T // FRAMES))

    def reverse(posterior=None):
        states = {}

        def keep(t, X):
            if t in times:
                states[t] = scaling.inverse(np.asarray(X, np.float64))
            if t < T:
                progress(1)

        generate_samples(compiled, theta, n, ExampleNoise(seed, 0, n, model.kernel.noise), posterior, keep)
        return [states[t] for t in times]

    forward = [scaling.inverse(x) for x in forward_states(compiled, theta, X, times, seed)]
    panels = [Panel("Forward: test data become noise, x_t of q", forward)]
    panels.append(Panel("Reverse: noise becomes samples, x_t of p", reverse()))
    caption = "Both ways at the same t: read the forward trajectory from t = 0 up, the reverse one from t = T down."
    players = [Player("Forward and reverse trajectory", caption, times, panels, plays=True)]
    if pictures:
        known = generate_inpaint_mask(n, X.shape[1], X.shape[3])
        panels = [Panel("Test pictures", [forward[-1]]), Panel("In-painting, x_t", reverse(Posterior(X, known=known)))]
        caption = "The right half is known, the left half is drawn by the multiplied chain (section 2.5)."
        players.append(Player("In-painting", caption, times, panels))
    return players


def forward_states(compiled, theta, X, times, seed):
    """x_t of q(x_t | x_0) at each of times, all from one noise: a list of float64 arrays like X."""
    model, engine, n = compiled.model, compiled.engine, len(X)

    def build(X, t, N, U):
        return [model.generate_forward_diffusion_sample(X, t, N, U)[0]]

    function = compiled.get("forward", n, "XtNU", build)
    N = engine.asarray(ExampleNoise(seed + 1, 0, n, model.kernel.noise)(X.shape))
    middle = engine.asarray(np.full(X.shape, 0.5))  # the noise that makes gray levels continuous is 0
    states = []
    for t in times:
        (x,) = function(theta, engine.asarray(X), engine.asarray(np.full(n, t)), N, middle) if t else (X,)
        states.append(np.asarray(x, np.float64))
    return states
