"""Plots that need the model of a run's newest checkpoint: KL_t by t, and trajectories at many t."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from dpm.base.errors import InputError
from dpm.base.noise import ExampleNoise
from dpm.base.progress import Progress
from dpm.datasets import Scaling
from dpm.likelihood.bound import default_times, summarize, terms
from dpm.likelihood.result import Bound
from dpm.likelihood.times import bin_edges
from dpm.reports.html.players import POINTS, Panel, Player, images_per_frame, show_restoration
from dpm.runs.folder import NEWEST
from dpm.runs.loading import open_run
from dpm.sampler import Constraint, StepCounter, generate_inpaint_mask, generate_samples, shown_time
from dpm.trajectories.draws import state_times
from dpm.trajectories.forward import forward_states

FRAMES = 20


class Divergences(NamedTuple):
    """KL_t of Eq. 14 over test examples, in bits per pixel (a vector counts as one).

    Attributes:
        t, first, last: geometric middle and ends of bins of 2..T.
        kl, error: mean of KL_t in each bin, and its standard error.
        bound: the bound that the terms sum to, as training evaluates it.
    """

    t: np.ndarray
    first: np.ndarray
    last: np.ndarray
    kl: np.ndarray
    error: np.ndarray
    bound: Bound


def evaluate_run(files: Any, backend: str, data_path: str | None, quiet: bool) -> tuple[Divergences, list[Player]]:
    """Return the Divergences and the players of a run folder. Raises InputError if checkpoint or data are missing."""
    path = files.folder / NEWEST
    if not path.is_file():
        raise InputError(f"{files.folder} holds no {NEWEST}")
    run = open_run(path, backend)
    X = run.data("test", data_path)
    seed, T = run.settings.seed if run.settings else 0, run.model.trajectory_length
    total = len(X) * default_times(run.model) + (2 if run.has_images else 1) * (T - 1)
    with Progress(total=total, quiet=quiet, desc=files.name) as bar:
        result = divergences(run.compiled, run.theta, X, seed, bar.update)
        players = trajectories(run.compiled, run.theta, X, seed, run.scaling, bar.update)
    return result, players


def divergences(
    compiled: Any,
    theta: np.ndarray,
    X: np.ndarray,
    seed: int,
    progress: Callable[[int], object] | None = None,
) -> Divergences:
    """Return the Divergences of scaled test examples X, (n, ...), evaluated as in training."""
    times = default_times(compiled.model)
    found = terms(compiled, theta, X, seed, times, progress)
    means = found.by_time(bin_edges(found.T))
    bits = 1 / np.log(2) / compiled.model.n_pixels
    middle = np.sqrt(means.first * means.last)
    bound = summarize(compiled, found, seed, times, "test")
    return Divergences(middle, means.first, means.last, means.mean * bits, means.error * bits, bound)


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
        progress: called with the number of steps since the last call.
    """
    model = compiled.model
    T, has_images = model.trajectory_length, len(model.example_shape) == 3
    n = min(len(X), images_per_frame(int(np.prod(model.example_shape))) if has_images else POINTS)
    X, times = X[:n], state_times(T, -(-T // FRAMES))

    def reverse(constraint=None):
        states, count = {}, StepCounter(T, progress)

        def keep(t, X):
            if t in times:
                states[t] = scaling.inverse(np.asarray(X, np.float64))
            count(t, X)

        generate_samples(compiled, theta, n, ExampleNoise(seed, 0, n, model.kernel.noise), constraint, keep, times)
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
