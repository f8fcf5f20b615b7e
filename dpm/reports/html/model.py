"""Plots that need the model of a run's newest checkpoint: KL_t by t, and trajectories at many t."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from dpm.base import noise
from dpm.base.errors import InputError
from dpm.base.noise import ExampleNoise
from dpm.datasets import Scaling
from dpm.engines.microbatches import map_microbatches
from dpm.likelihood.bound import entropies
from dpm.reports.html.players import POINTS, Panel, Player, images_per_frame, show_restoration
from dpm.runs.folder import NEWEST
from dpm.runs.loading import open_run
from dpm.sampler import Constraint, generate_inpaint_mask, generate_samples, shown_time
from dpm.trajectories.draws import state_times
from dpm.trajectories.forward import forward_states

EXAMPLES, TIMES = 100, 40  # test examples, and the largest number of t of each
FRAMES = 20


class Divergences(NamedTuple):
    """KL_t of Eq. 14 over test examples, in bits per pixel (a vector counts as one).

    Attributes:
        t, first, last: geometric middle and ends of parts of 2..T, see `log_parts`.
        kl, error: mean of KL_t in each part, and its standard error.
        K, K_error: the bound, and its standard error.
        examples: number of test examples.
    """

    t: np.ndarray
    first: np.ndarray
    last: np.ndarray
    kl: np.ndarray
    error: np.ndarray
    K: float
    K_error: float
    examples: int


def evaluate_run(files: Any, backend: str, data_path: str | None, quiet: bool) -> tuple[Divergences, list[Player]]:
    """Return the Divergences and the players of a run folder. Raises InputError if checkpoint or data are missing."""
    path = files.folder / NEWEST
    if not path.is_file():
        raise InputError(f"{files.folder} holds no {NEWEST}")
    run = open_run(path, backend)
    X = run.data("test", data_path)
    seed, T = run.settings.seed if run.settings else 0, run.model.trajectory_length
    n = min(len(X), EXAMPLES)
    total = n * (len(log_parts(T, TIMES)) - 1) + (2 if run.has_images else 1) * (T - 1)
    with tqdm(total=total, disable=quiet or None, desc=files.name, dynamic_ncols=True) as bar:
        result = divergences(run.compiled, run.theta, X[:n], seed, bar.update)
        players = trajectories(run.compiled, run.theta, X, seed, run.scaling, bar.update)
    return result, players


def log_parts(trajectory_length: int, parts: int) -> np.ndarray:
    """Return the ends of parts of 2..T that grow with t, int (k + 1,): part i is ends[i]..ends[i + 1] - 1, k <= parts.

    Where a part would be shorter than a step it is a single one: the first steps, whose terms are the largest and
    differ most, are apart.
    """
    return np.unique(np.geomspace(2, trajectory_length + 1, parts + 1).round().astype(int))


def divergences(
    compiled: Any,
    theta: np.ndarray,
    X: np.ndarray,
    seed: int,
    progress: Callable[[int], object] = lambda terms: None,
) -> Divergences:
    """Return the Divergences of scaled examples X, (n, ...), each at one t in each of the parts of `log_parts`.

    K is estimated without bias: the sum over t = 2..T in Eq. 14 is that of the parts' lengths times their mean KL_t.
    """
    model, engine, n = compiled.model, compiled.engine, len(X)
    model.kernel.check(X, "X")
    ends = log_parts(model.trajectory_length, TIMES)
    first, lengths = ends[:-1], np.diff(ends)
    size = min(n, compiled.microbatch_size(n))
    function = compiled.function(model.kl_single_t, compiled.forward_inputs(size), cache=True)
    nats = np.empty((n, len(first)))
    for part, (start, length) in enumerate(zip(first, lengths, strict=True)):
        rng = noise.generator(seed, noise.TERMS, part)
        t = start + np.floor(rng.random(n) * length)
        arrays = [X, t, noise.DRAWS[model.kernel.noise](rng, X.shape), rng.random(X.shape)]
        nats[:, part] = map_microbatches(engine, function, theta, [engine.asarray(a) for a in arrays], size)[0]
        progress(n)
    forward_T, forward_1, prior = entropies(compiled, theta, X)
    bits = model.n_channels / np.log(2) / np.prod(X.shape[1:])
    kl, K = nats * bits, (forward_T - forward_1 - prior - nats @ lengths) * bits
    errors = [values.std(axis=0, ddof=1) / n**0.5 if n > 1 else np.full(values.shape[1:], np.nan) for values in (kl, K)]
    last = ends[1:] - 1
    return Divergences(np.sqrt(first * last), first, last, kl.mean(axis=0), errors[0], K.mean(), float(errors[1]), n)


def trajectories(
    compiled: Any,
    theta: np.ndarray,
    X: np.ndarray,
    seed: int,
    scaling: Scaling,
    progress: Callable[[int], object] = lambda steps: None,
) -> list[Player]:
    """Return the players of a model: forward next to reverse trajectory and, for images, in-painting.

    Args:
        compiled: model and engine.
        theta: flat parameters.
        X: scaled test examples, (n, ...); the first ones are shown.
        seed: seed of the noise.
        scaling: the affine map from data units to model units.
        progress: called with 1 after each step.
    """
    model = compiled.model
    T, has_images = model.trajectory_length, len(model.example_shape) == 3
    n = min(len(X), images_per_frame(int(np.prod(model.example_shape))) if has_images else POINTS)
    X, times = X[:n], state_times(T, -(-T // FRAMES))

    def reverse(constraint=None):
        states = {}

        def keep(t, X):
            if t in times:
                states[t] = scaling.inverse(np.asarray(X, np.float64))
            if t < T:
                progress(1)

        generate_samples(compiled, theta, n, ExampleNoise(seed, 0, n, model.kernel.noise), constraint, keep)
        return [states[t] for t in times]

    shown = [shown_time(t) for t in times]
    forward = [scaling.inverse(x) for x in forward_states(compiled, theta, X, shown, seed)]
    panels = [Panel("Forward: test data become noise, x_t of q", forward)]
    panels.append(Panel("Reverse: noise becomes samples, x_t of p", reverse()))
    caption = (
        "Both ways at the same t: read the forward trajectory from t = 1 up, the reverse one from t = T down to the "
        "samples x_1."
    )
    players = [Player("Forward and reverse trajectory", caption, shown, panels, plays=True)]
    if has_images:
        known = generate_inpaint_mask(n, X.shape[1], X.shape[3])
        states = reverse(Constraint(X, known=known))
        panels = show_restoration(scaling.inverse(np.asarray(X, np.float64)), states, "In-painting, x_t", ~known[0])
        caption = "The right half is known, the left half (outlined) is drawn by the multiplied chain (section 2.5)."
        players.append(Player("In-painting", caption, shown, panels))
    return players
