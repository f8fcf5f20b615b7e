"""Main-loop extensions of train.py under their 2015 names: plots of samples, parameters, gradients and curves.

An extension is any object with some of the methods before_training(loop), after_evaluation(loop), after_batch(loop),
after_epoch(loop) and after_training(loop). The plots here have do(loop), which EveryN calls.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dpm import viz
from dpm.base import noise
from dpm.base.progress import Progress, write_line
from dpm.base.wording import plural
from dpm.graph.bricks import RATES, Brick
from dpm.graph.kernels.gaussian import has_unit_prior
from dpm.likelihood import bound
from dpm.likelihood.entropies import spread_times, step_entropies
from dpm.likelihood.result import format_references, format_released
from dpm.plots import bounds, panels, schedules
from dpm.runs.data import RunData
from dpm.runs.folder import RunPaths, save_arrays
from dpm.runs.settings import Settings
from dpm.sampler import Constraint, StepCounter, capture_times, generate_inpaint_mask, generate_samples, shown_time
from dpm.training.monitoring import Checkpoint, EveryN, HeldOutBound, Monitoring, Printing, WriteLog, WriteResult
from dpm.trajectories.forward import forward_states, forward_trajectory

IMAGES = 49
INPAINT, DENOISE = "_inpaint", "_denoise1"  # in names of files
ENTROPY_TIMES = 40
ENTROPY_IMAGES = 12  # for each time: an image network takes a second for all of them


def standard_extensions(folder: Path, config: dict[str, Any], data: RunData, settings: Settings) -> list[Any]:
    """Return the extensions of train.py, in the order in which they act."""
    every, paths = settings.ext_every_n, run_paths(folder, settings)
    held_out = HeldOutBound(data.test, every)
    return [
        Monitoring(held_out),
        WriteLog(folder),
        WriteResult(folder, held_out, result_facts(config, settings)),
        Checkpoint(folder, config, settings.keep),
        Printing(settings.quiet),
        *plot_extensions(paths, data, settings),
        EveryN(LogLikelihood(held_out, settings.quiet), every),
    ]


def plot_extensions(paths: RunPaths, data: RunData, settings: Settings) -> list[EveryN]:
    """Return the extensions that plot, as --plots selects them."""
    if settings.plots == "none":
        return []
    every, complete = settings.ext_every_n, settings.plots == "all"
    inside = [PlotParameters(paths), PlotGradients(paths), PlotInternalState(paths, data)] if complete else []
    curves = [PlotEntropies(paths, data.test, ENTROPY_IMAGES), PlotSchedule(paths)]
    plots: list[Any] = [PlotSamples(paths, data, complete), *inside, *curves]
    before = settings.plot_before_training
    return [*[EveryN(plot, every, before) for plot in plots], EveryN(PlotMonitors(paths), every)]


def result_facts(config: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Return what result.json holds besides K and its evaluation."""
    return {
        "seed": settings.seed,
        "objective": settings.objective,
        "data": config["data"]["name"],
        "versions": config["versions"],
    }


def run_paths(folder: Path, settings: Settings) -> RunPaths:
    """Return where plots and arrays go: into folders by kind, or flat as in 2015 for a faithful run."""
    return RunPaths(folder, flat=settings.faithful)


class DrawSamples:
    """Draw the samples that PlotSamples plots and discard them; another process of the run writes the plots.

    Args:
        data: of the run; test images are in-painted and denoised.
        complete: draw all kinds. Otherwise denoising is left out.
    """

    what = "images of samples and in-painting"

    def __init__(self, data: RunData, complete: bool = True) -> None:
        self.complete, self.X_true = complete, data.test[:IMAGES]
        self.known = generate_inpaint_mask(*self.X_true.shape[:3])

    def do(self, loop: Any) -> None:
        self.draw(loop)

    def draw(self, loop: Any) -> dict[str, dict[int, np.ndarray]]:
        """Return the states of reverse trajectories by t, for each kind by its part of the names of files."""
        model = loop.compiled.model
        kinds = {"": None, INPAINT: Constraint(self.X_true, known=self.known)}
        if self.complete and not model.kernel.binary:
            noisy = self.X_true + noise.ExampleNoise(loop.seed + 1, 0, len(self.X_true))(self.X_true.shape)
            kinds[DENOISE] = Constraint(noisy, sigma=1.0)
        steps = len(kinds) * (model.trajectory_length - 1)
        with Progress(total=steps, unit="step", desc=self.what, quiet=loop.quiet) as bar:
            return {name: self._draw_states(loop, constraint, bar) for name, constraint in kinds.items()}

    def _draw_states(self, loop: Any, constraint: Constraint | None, bar: Progress) -> dict[int, np.ndarray]:
        """Return the states of a reverse trajectory at the times to plot, by t; bar: updated after each step."""
        model, n, states = loop.compiled.model, len(self.X_true), {}
        count, times = StepCounter(model.trajectory_length, bar.update), set(capture_times(model.trajectory_length))

        def capture(t: int, X: np.ndarray) -> None:
            count(t, X)
            if t in times:
                states[t] = X

        source = noise.ExampleNoise(loop.seed, 0, n, model.kernel.noise)
        generate_samples(loop.compiled, loop.averaged_theta, n, source, constraint, capture, times)
        return states


class PlotSamples(DrawSamples):
    """Plot samples, in-painting and denoising as the released code does, and the forward trajectory.

    Args:
        paths: of the run.
        data: of the run; test images are in-painted and denoised.
        complete: plot all kinds at all times. Otherwise denoising is left out, and of the states before the last one
            only the arrays are kept.
    """

    def __init__(self, paths: RunPaths, data: RunData, complete: bool = True) -> None:
        super().__init__(data, complete)
        self.paths, self.scaling = paths, data.scaling

    def do(self, loop: Any) -> None:
        # Files come last: a full disk must not end a chain that other processes compute too.
        drawn = self.draw(loop)
        self.save("_true", self.X_true, 0, loop)
        for name, states in drawn.items():
            for t, X in states.items():
                self.save(name, X, t, loop)
            if name:
                self.plot_restoration(name[1:], states, ~self.known if name == INPAINT else None, loop)
            else:
                self.plot_trajectories(states, loop)

    def save(self, name: str, X: np.ndarray, t: int, loop: Any) -> None:
        """Write `samples<name>_t####_batch######` as .npz in data units and, of the last state, as .png."""
        stem = f"samples{name}_t{t:04d}_batch{loop.state.step:06d}"
        images = self.scaling.inverse(np.asarray(X, dtype=np.float64))
        save_arrays(self.paths.array(f"{stem}.npz"), X=images)
        if self.complete or t == 0:
            viz.plot_images(images, self.paths.plot("samples", f"{stem}.png"))

    def plot_restoration(self, name: str, states: dict[int, np.ndarray], hole: np.ndarray | None, loop: Any) -> None:
        """Plot test images, the start of the reverse chain and its end as `restoration_<name>_batch######.png`."""
        path = self.paths.plot("samples", f"restoration_{name}_batch{loop.state.step:06d}.png")
        arrays = (self.X_true, states[max(states)], states[0])
        original, start, end = (self.scaling.inverse(np.asarray(X, dtype=np.float64)) for X in arrays)
        panels.plot_restoration(original, start, end, path, hole)

    def plot_trajectories(self, states: dict[int, np.ndarray], loop: Any) -> None:
        """Plot the forward and the reverse trajectory at the same times (the rows of Figure 1, for images)."""
        times = sorted(states)
        forward = diffuse(loop, self.X_true, times)
        reverse = {shown_time(t): states[t] for t in times}
        for name, rows in (("forward", dict(zip(times, forward, strict=True))), ("reverse", reverse)):
            images = [self.scaling.inverse(np.asarray(X, dtype=np.float64)) for X in rows.values()]
            path = self.paths.plot("trajectories", f"trajectory_{name}_batch{loop.state.step:06d}.png")
            viz.plot_trajectory(images, list(rows), path)


class PlotParameters:
    """Plot every parameter as `params-<name>_raw` and, where it has receptive fields, `_rf`."""

    prefix, kind, what = "params", "parameters", "plots of the parameters"

    def __init__(self, paths: RunPaths) -> None:
        self.paths = paths

    def values(self, loop: Any) -> dict[str, np.ndarray]:
        """Return the arrays to plot, by Blocks path."""
        return loop.compiled.layout.split(loop.averaged_theta)

    def do(self, loop: Any) -> None:
        for path, value in Progress(self.values(loop).items(), unit="array", desc=self.what, quiet=loop.quiet):
            name = path.removeprefix("/diffusionmodel/").replace("/", "-").replace(" ", "_")
            stem = self.paths.plot(self.kind, f"{self.prefix}-{name}_batch{loop.state.step:06d}")
            viz.plot_parameter(value, stem, name, getattr(loop.compiled.model, "spatial_width", None))


class PlotGradients(PlotParameters):
    """Plot the gradient on the first minibatch of the data as `grads-<name>`."""

    prefix, kind, what = "grads", "gradients", "plots of the gradient"

    def values(self, loop: Any) -> dict[str, np.ndarray]:
        _, gradient = loop.first_gradient()
        return loop.compiled.layout.split(gradient)


class PlotInternalState:
    """Plot what the network computes for noisy images at T/2 as `internal-<name>`; nothing of a user's own network.

    The title names t and what is shown: the first images, the first channels, the scales that the path sums over.
    """

    what = "plots of what the network computes"

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
            viz.plot_channels(value, path, f"{describe_state(name, model)}, t = {t} of {model.trajectory_length}")

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
        bounds.plot_entropy_bounds(times, lower, upper, entropy, path, compiled.model.unit, error)


class PlotSchedule:
    """Plot beta_t, the shares of signal and noise, and the bumps over time as `schedule_batch######`, with arrays.

    Next to a learned schedule the one that training started from.
    """

    what = "plot of the schedule"

    def __init__(self, paths: RunPaths) -> None:
        self.paths = paths

    def do(self, loop: Any) -> None:
        compiled = loop.compiled
        learned = any(parameter.role == RATES for parameter in compiled.layout.parameters.values())
        start = compiled.beta(compiled.start(noise.generator(loop.seed, noise.START, 1))) if learned else None
        beta, stem = compiled.beta(loop.averaged_theta), f"schedule_batch{loop.state.step:06d}"
        save_arrays(self.paths.array(f"{stem}.npz"), beta=beta, **({"start": start} if learned else {}))
        bumps = getattr(compiled.model, "temporal_basis", None)
        schedules.plot_schedule(beta, start, self.paths.plot("schedule", f"{stem}.png"), bumps)


class PlotMonitors:
    """Plot the curves of the log as `monitors_batch######.png`."""

    what = "plot of the log"

    def __init__(self, paths: RunPaths) -> None:
        self.paths = paths

    def do(self, loop: Any) -> None:
        if loop.state.rows:
            path = self.paths.plot("monitors", f"monitors_batch{loop.state.step:06d}.png")
            viz.plot_monitors(loop.state.rows, path, loop.compiled.model.unit)


class LogLikelihood:
    """Print K and K - L_null of the test data with their standard errors, as log.csv and result.json have them.

    A faithful run prints the released estimator instead, and says so.

    Args:
        held_out: K of the test examples.
        quiet: print nothing.
        reference: function of the loop that returns the ceiling of K and the true log likelihood of a toy problem.
    """

    what = "K of the test data"

    def __init__(
        self, held_out: HeldOutBound, quiet: bool, reference: Callable[[Any], dict[str, float]] | None = None
    ) -> None:
        self.held_out, self.quiet, self.reference = held_out, quiet, reference

    def do(self, loop: Any) -> None:
        if loop.variant.likelihood_draws:
            if not self.quiet:
                write_line(self.as_released(loop, loop.variant.likelihood_draws))
            return
        found = self.held_out(loop)  # all processes of a run evaluate, even if only one prints
        if not self.quiet:
            known = self.reference(loop) if self.reference else {}
            exact = format_references(known, loop.compiled.model.unit)
            write_line("; ".join(filter(None, [str(found), exact])))

    def as_released(self, loop: Any, draws: int) -> str:
        """Return the line of a faithful run."""
        compiled, test = loop.compiled, self.held_out.X
        size, model = min(loop.batch_size, len(test)), compiled.model
        estimates = bound.reference_likelihood(compiled, loop.averaged_theta, test, loop.seed, size, draws)
        for result in Progress(estimates, total=draws, desc="likelihood", quiet=self.quiet):  # noqa: B007
            pass  # the last one is the result
        K = result.value + bound.L_null(model)
        text = format_released(K, result.value, model.unit, result.standard_error, draws, size)
        return f"{text}, unlike in log.csv"


def diffuse(loop: Any, X: np.ndarray, times: list[int]) -> list[np.ndarray]:
    """Return x_t at the times t, from the same noise, by the model's schedule and kernel, each (n, ...)."""
    if not has_unit_prior(loop.compiled.model.kernel):
        return forward_states(loop.compiled, loop.averaged_theta, X, times, loop.seed)
    N = noise.ExampleNoise(loop.seed, 0, len(X))(X.shape)
    return forward_trajectory(loop.compiled.beta(loop.averaged_theta), X, times, N)


def describe_state(name: str, model: Any) -> str:
    """Return what an intermediate result of the network is, for the title of its plot."""
    scales = model.arguments["n_scales"]
    texts = {
        "Z": "Z, input of the readout (Eq. 63)",
        "mu_coeff": "mu_coeff, readout of the mean summed over the bumps (Eq. 63)",
        "beta_coeff": "beta_coeff, readout of the variance summed over the bumps (Eq. 63)",
        "rate_coeff": "rate_coeff, readout of the rate summed over the bumps (Eq. 63)",
        "conv": f"conv, output of the convolutional path: sum of {scales} {plural(scales, 'scale')}",
        "dense_lower": "dense_lower, output of the dense path",
    }
    return texts.get(name, name)
