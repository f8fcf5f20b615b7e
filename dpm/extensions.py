"""Main-loop extensions of train.py under their 2015 names: plots of samples, parameters, gradients and curves.

An extension is any object with some of the methods before_training(loop), after_evaluation(loop), after_batch(loop),
after_epoch(loop) and after_training(loop). The plots here have do(loop), which EveryN calls.
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dpm import viz
from dpm.base import noise
from dpm.base.progress import Progress, write_line
from dpm.graph.bricks import RATES, Brick
from dpm.graph.kernels import GaussianKernel
from dpm.likelihood import bound
from dpm.likelihood.entropies import spread_times, step_entropies
from dpm.plots import bounds, schedules
from dpm.runs.data import RunData
from dpm.runs.folder import RunPaths, save_arrays
from dpm.runs.settings import Settings
from dpm.sampler import Constraint, capture_times, generate_inpaint_mask, generate_samples
from dpm.training.monitoring import Checkpoint, EveryN, Monitoring, Printing, WriteLog
from dpm.trajectories.forward import forward_states, forward_trajectory

IMAGES = 49
ENTROPY_TIMES = 40
ENTROPY_IMAGES = 12  # for each time: an image network takes a second for all of them


def standard_extensions(folder: Path, config: dict[str, Any], data: RunData, settings: Settings) -> list[Any]:
    """Return the extensions of train.py, in the order in which they act."""
    every, paths = settings.ext_every_n, run_paths(folder, settings)
    plots = [
        PlotSamples(paths, data),
        PlotParameters(paths),
        PlotGradients(paths),
        PlotInternalState(paths, data),
        PlotEntropies(paths, data.test, ENTROPY_IMAGES),
        PlotSchedule(paths),
    ]
    return [
        Monitoring(data.test),
        Printing(settings.quiet),
        WriteLog(folder),
        Checkpoint(folder, config, settings.keep),
        *[EveryN(plot, every, settings.plot_before_training) for plot in plots],
        EveryN(PlotMonitors(paths), every),
        EveryN(LogLikelihood(data.test, settings.quiet), every),
    ]


def run_paths(folder: Path, settings: Settings) -> RunPaths:
    """Return where plots and arrays go: into folders by kind, or flat as in 2015 for a faithful run."""
    return RunPaths(folder, flat=settings.faithful)


class PlotSamples:
    """Plot samples, in-painting and denoising as the released code does, and the forward trajectory."""

    what = "pictures of samples, in-painting and denoising"

    def __init__(self, paths: RunPaths, data: RunData) -> None:
        self.paths, self.scaling = paths, data.scaling
        self.X_true = data.test[:IMAGES]

    def do(self, loop: Any) -> None:
        compiled, X_true = loop.compiled, self.X_true
        kernel = compiled.model.kernel
        mask = generate_inpaint_mask(*X_true.shape[:3])
        kinds = {"": None, "_inpaint": Constraint(X_true, known=mask)}
        if not kernel.binary:
            noisy = X_true + noise.ExampleNoise(loop.seed + 1, 0, len(X_true))(X_true.shape)
            kinds["_denoise1"] = Constraint(noisy, sigma=1.0)
        self.save("_true", X_true, 0, loop)
        T = compiled.model.trajectory_length
        with Progress(total=len(kinds) * T, unit="step", desc=self.what, quiet=loop.quiet) as bar:
            for name, constraint in kinds.items():
                states = self.draw(loop, constraint, set(capture_times(T)), bar)
                for t, X in states.items():
                    self.save(name, X, t, loop)
                if not name:
                    self.plot_trajectories(states, loop)

    def draw(self, loop: Any, constraint: Constraint | None, times: set[int], bar: Progress) -> dict[int, np.ndarray]:
        """Return the states of a reverse trajectory at these times, by t; bar: updated after each step."""
        model, n, states = loop.compiled.model, len(self.X_true), {}

        def capture(t: int, X: np.ndarray) -> None:
            bar.update()
            if t in times:
                states[t] = X

        source = noise.ExampleNoise(loop.seed, 0, n, model.kernel.noise)
        generate_samples(loop.compiled, loop.averaged_theta, n, source, constraint, capture)
        return states

    def save(self, name: str, X: np.ndarray, t: int, loop: Any) -> None:
        """Write `samples<name>_t####_batch######` as .png and .npz, in data units."""
        stem = f"samples{name}_t{t:04d}_batch{loop.state.step:06d}"
        images = self.scaling.inverse(np.asarray(X, dtype=np.float64))
        save_arrays(self.paths.array(f"{stem}.npz"), X=images)
        viz.plot_images(images, self.paths.plot("samples", f"{stem}.png"))

    def plot_trajectories(self, states: dict[int, np.ndarray], loop: Any) -> None:
        """Plot the forward and the reverse trajectory at the same times (the rows of Figure 1, for images)."""
        times = sorted(states)
        forward = diffuse(loop, self.X_true, times)
        for name, rows in (("forward", forward), ("reverse", [states[t] for t in times])):
            images = [self.scaling.inverse(np.asarray(X, dtype=np.float64)) for X in rows]
            path = self.paths.plot("trajectories", f"trajectory_{name}_batch{loop.state.step:06d}.png")
            viz.plot_trajectory(images, times, path)


class PlotParameters:
    """Plot every parameter as `params-<name>_raw` and, where it has receptive fields, `_rf`."""

    prefix, kind, what = "params", "parameters", "pictures of the parameters"

    def __init__(self, paths: RunPaths) -> None:
        self.paths = paths

    def values(self, loop: Any) -> dict[str, np.ndarray]:
        """Return the arrays to plot, by Blocks path."""
        return loop.compiled.layout.split(loop.averaged_theta)

    def do(self, loop: Any) -> None:
        for path, value in Progress(self.values(loop).items(), unit="array", desc=self.what, quiet=loop.quiet):
            name = path.removeprefix("/diffusionmodel/").replace("/", "-").replace(" ", "_")
            stem = self.paths.plot(self.kind, f"{self.prefix}-{name}_batch{loop.state.step:06d}")
            viz.plot_parameter(value, stem, name)


class PlotGradients(PlotParameters):
    """Plot the gradient on the first minibatch of the data as `grads-<name>`."""

    prefix, kind, what = "grads", "gradients", "pictures of the gradient"

    def values(self, loop: Any) -> dict[str, np.ndarray]:
        _, gradient = loop.first_gradient()
        return loop.compiled.layout.split(gradient)


class PlotInternalState:
    """Plot what the network computes for noisy images at T/2 as `internal-<name>`; nothing of a user's own network."""

    what = "pictures of what the network computes"

    def __init__(self, paths: RunPaths, data: RunData) -> None:
        self.paths, self.X = paths, data.test[:IMAGES]
        self.names: list[str] = []

    def do(self, loop: Any) -> None:
        model, engine = loop.compiled.model, loop.compiled.engine
        if not hasattr(model, "internal_state") or isinstance(getattr(model, "network", None), Brick):
            return
        function = loop.compiled.function(partial(self._graph, model), loop.compiled.reverse_inputs(len(self.X)))
        t = model.trajectory_length // 2
        (noisy,) = diffuse(loop, self.X, [t])
        times = np.full(len(self.X), t, dtype=engine.dtype)
        for name, value in zip(self.names, function(loop.averaged_theta, engine.asarray(noisy), times), strict=True):
            path = self.paths.plot("internal", f"internal-{name}_batch{loop.state.step:06d}.png")
            viz.plot_images(_channels_as_images(value[:4]), path, title=name)

    def _graph(self, model: Any, X: Any, t: Any) -> list[Any]:
        state = model.internal_state(X, t)
        self.names = list(state)
        return list(state.values())


class PlotEntropies:
    """Plot the entropy of the reverse steps and its bounds (Eq. 23) as `entropies_batch######`, with arrays.

    In bits per pixel (a vector counts as one), at about 40 times of 2..T, each the mean over `draws` of the examples X.
    """

    what = "entropies of the reverse steps"

    def __init__(self, paths: RunPaths, X: np.ndarray, draws: int) -> None:
        self.paths, self.X, self.draws = paths, X, draws

    def do(self, loop: Any) -> None:
        compiled = loop.compiled
        times = spread_times(compiled.model.trajectory_length, ENTROPY_TIMES)
        with Progress(total=len(times), unit="step", desc=self.what, quiet=loop.quiet) as bar:
            theta = loop.averaged_theta
            _, *nats = step_entropies(compiled, theta, self.X, loop.seed, self.draws, times, bar.update)
        lower, upper, entropy, error = (values / np.log(2) for values in nats)
        stem = f"entropies_batch{loop.state.step:06d}"
        arrays = {"times": times, "lower": lower, "upper": upper, "entropy": entropy, "standard_error": error}
        save_arrays(self.paths.array(f"{stem}.npz"), **arrays)
        path = self.paths.plot("entropies", f"{stem}.png")
        bounds.plot_entropy_bounds(times, lower, upper, entropy, path, compiled.model.unit)


class PlotSchedule:
    """Plot beta_t and the shares of signal and noise of a learned schedule as `schedule_batch######`, with arrays.

    Next to them the schedule that training started from. A schedule that is not learned has no such plot.
    """

    what = "picture of the schedule"

    def __init__(self, paths: RunPaths) -> None:
        self.paths = paths

    def do(self, loop: Any) -> None:
        compiled = loop.compiled
        if not any(parameter.role == RATES for parameter in compiled.layout.parameters.values()):
            return
        start = compiled.start(noise.generator(loop.seed, noise.START, 1))
        rates = {"beta": compiled.beta(loop.averaged_theta), "start": compiled.beta(start)}
        stem = f"schedule_batch{loop.state.step:06d}"
        save_arrays(self.paths.array(f"{stem}.npz"), **rates)
        schedules.plot_schedule(**rates, path=self.paths.plot("schedule", f"{stem}.png"))


class PlotMonitors:
    """Plot the curves of the log as `monitors_batch######.png`."""

    what = "picture of the log"

    def __init__(self, paths: RunPaths) -> None:
        self.paths = paths

    def do(self, loop: Any) -> None:
        if loop.state.rows:
            path = self.paths.plot("monitors", f"monitors_batch{loop.state.step:06d}.png")
            viz.plot_monitors(loop.state.rows, path, loop.compiled.model.unit)


class LogLikelihood:
    """Print K and K - L_null of the test data with the standard error, in bits per pixel."""

    what = "K of the test data"

    def __init__(self, test: np.ndarray, quiet: bool) -> None:
        self.test, self.quiet = test, quiet

    def do(self, loop: Any) -> None:
        size, compiled, draws = min(loop.batch_size, len(self.test)), loop.compiled, loop.variant.likelihood_draws
        if draws:
            estimates = bound.reference_likelihood(compiled, loop.averaged_theta, self.test, loop.seed, size, draws)
            for result in Progress(estimates, total=draws, quiet=self.quiet, desc="likelihood"):  # noqa: B007
                pass  # the last one is the result
        else:
            result = bound.K_minus_L_null(compiled, loop.averaged_theta, self.test, loop.seed, size, draws=4)
        if not self.quiet:
            K = result.value + bound.L_null(compiled.model)
            write_line(
                f"K={K:.4f} bits/pix standard error={result.standard_error:.4f}  "
                f"K - L_null={result.value:.4f} bits/pix (test data, scaled units)"
            )


def diffuse(loop: Any, X: np.ndarray, times: list[int]) -> list[np.ndarray]:
    """Return x_t at the times t, from the same noise, by the model's schedule and kernel, each (n, ...)."""
    if not isinstance(loop.compiled.model.kernel, GaussianKernel):
        return forward_states(loop.compiled, loop.averaged_theta, X, times, loop.seed)
    N = noise.ExampleNoise(loop.seed, 0, len(X))(X.shape)
    return forward_trajectory(loop.compiled.beta(loop.averaged_theta), X, times, N)


def _channels_as_images(value: np.ndarray) -> np.ndarray:
    """Return (n, channels, h, w) as n * channels gray images, stretched to [0, 1] together."""
    low, high = float(value.min()), float(value.max())
    n, channels, height, width = value.shape
    stretched = (value - low) / (high - low) if high > low else np.zeros_like(value)
    return stretched.reshape(n * channels, 1, height, width)
