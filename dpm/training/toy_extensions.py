"""Main-loop extensions of the toy problems: the bound next to its ceiling and the truth, and Figures 1 and 2."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dpm.base.noise import ExampleNoise
from dpm.base.progress import Progress, write_line
from dpm.experiments.toys import Toy
from dpm.extensions import (
    ENTROPY_TIMES,
    LogLikelihood,
    PlotEntropies,
    PlotMonitors,
    PlotSchedule,
    result_facts,
    run_paths,
)
from dpm.likelihood.bound import default_times, estimate_bound
from dpm.plots import paper_figures
from dpm.runs.data import RunData
from dpm.runs.folder import RunPaths, save_arrays
from dpm.runs.settings import Settings
from dpm.sampler import StepCounter, generate_samples, shown_time
from dpm.training.least_squares import refit
from dpm.training.monitoring import Checkpoint, EveryN, HeldOutBound, Monitoring, Printing, WriteLog, WriteResult
from dpm.trajectories.forward import forward_trajectory

EVALUATIONS = 4_000_000  # of the network, at most for a plot
EVALUATIONS_SMALL = 200_000  # with --small: seconds, as training
SAMPLES = 2000
ENTROPY_EXAMPLES = 20_000  # for each time: rare flips decide the entropy of bits at small t
STATES_SHOWN = 6
HEARTBEAT_PERIOD = 5  # bins (section 3.1.2)


def toy_extensions(folder: Path, config: dict[str, Any], data: RunData, settings: Settings) -> list[Any]:
    """Return the extensions of a toy problem, in the order in which they act."""
    toy, arguments, paths = settings.toy, config["model"], run_paths(folder, settings)
    assert toy is not None
    every = settings.ext_every_n
    reference, held_out = ReferenceBounds(toy, arguments, every, settings.quiet), HeldOutBound(data.test, every)
    start = [LeastSquaresStart(data, settings.quiet)] if arguments.get("start") == "least_squares" else []
    budget = EVALUATIONS_SMALL if settings.small else EVALUATIONS
    figure = PlotTrajectories(paths, data, str(settings.experiment), budget)
    plots = [
        EveryN(figure, every, settings.plot_before_training),
        EveryN(PlotEntropies(paths, data.test, min(ENTROPY_EXAMPLES, budget // ENTROPY_TIMES)), every),
        EveryN(PlotSchedule(paths), every),
        EveryN(PlotMonitors(paths), every),
    ]
    return [
        *start,
        Monitoring(held_out, reference),
        WriteLog(folder),
        WriteResult(folder, held_out, result_facts(config, settings), reference),
        Checkpoint(folder, config, settings.keep),
        Printing(settings.quiet),
        *([] if settings.plots == "none" else plots),
        EveryN(LogLikelihood(held_out, settings.quiet, reference), every),
    ]


class ReferenceBounds:
    """The true log likelihood, and the ceiling of K under the model's present schedule, in the model's unit.

    The ceiling takes seconds. Under a learned schedule it is computed every n epochs and where training ends,
    and NaN otherwise.
    """

    def __init__(self, toy: Toy, arguments: dict[str, Any], every: int = 1, quiet: bool = True) -> None:
        self.toy, self.arguments, self.every, self.quiet = toy, arguments, every, quiet
        with Progress(desc="exact log likelihood", quiet=quiet):
            self.truth = toy.log_likelihood(arguments)
        self._ceilings: dict[bytes, float] = {}

    def __call__(self, loop: Any) -> dict[str, float]:
        beta = np.asarray(loop.compiled.beta(loop.averaged_theta), dtype=np.float64)
        key = beta.tobytes()
        learned = self.arguments.get("learn_beta", False)
        if key not in self._ceilings and (not learned or loop.epoch % self.every == 0 or loop.has_ended):
            what = "ceiling of K under this schedule"
            with Progress(total=len(beta) - 1, unit="step", desc=what, quiet=self.quiet) as bar:
                self._ceilings = {key: self.toy.ceiling(self.arguments, beta, progress=bar.update)}
        return {"truth": self.truth, "ceiling": self._ceilings.get(key, float("nan"))}


class LeastSquaresStart:
    """Solve for the readouts of a new run before the first step of the optimizer.

    A signal ends the program at once, since there is nothing to resume yet.
    """

    def __init__(self, data: RunData, quiet: bool) -> None:
        self.data, self.quiet = data, quiet

    def before_training(self, loop: Any) -> None:
        def check() -> None:
            if loop.stopped:
                raise KeyboardInterrupt

        if loop.state.step == 0:
            before = self.estimate(loop)
            loop.theta = refit(loop.compiled, loop.theta, self.data.train, loop.seed, self.quiet, check)
            if not self.quiet:
                write_line(
                    f"readouts solved in closed form: K - L_null test {before:.4f} before, {self.estimate(loop):.4f} "
                    f"after, {loop.compiled.model.unit}; --start zero shows them being learned"
                )

    def estimate(self, loop: Any) -> float:
        """Return K - L_null of the test data, as in the log."""
        times = default_times(loop.compiled.model)
        return estimate_bound(loop.compiled, loop.theta, self.data.test, loop.seed, times, "test").K_minus_L_null


class PlotTrajectories:
    """Plot Figure 1 (swiss roll) or Figure 2 (heartbeat) as `trajectory_batch######`, with the states as arrays."""

    what = "plot of the trajectories"

    def __init__(self, paths: RunPaths, data: RunData, name: str, evaluations: int) -> None:
        self.paths, self.X, self.name, self.evaluations = paths, data.test[:SAMPLES], name, evaluations

    def do(self, loop: Any) -> None:
        compiled = loop.compiled
        model, T = compiled.model, compiled.model.trajectory_length
        n = max(1, min(len(self.X), self.evaluations // T))
        source = ExampleNoise(loop.seed, 0, n, model.kernel.noise)
        times = [0, max(T // 2, 2), T]
        # As the sampler numbers them: T..2, and 0 at the end.
        shown = [t if t > 1 else 0 for t in T - np.linspace(0, T - 1, STATES_SHOWN).round().astype(int)]
        states: dict[int, np.ndarray] = {}

        bar = Progress(total=T - 1, unit="step", desc=self.what, quiet=loop.quiet)
        count = StepCounter(T, bar.update)

        def capture(t: int, X: np.ndarray) -> None:
            count(t, X)
            if t in times or t in shown:  # all of T = 2000 would be 320 MB
                states[t] = X

        with bar:
            generate_samples(compiled, loop.averaged_theta, n, source, callback=capture, times={*times, *shown})
        stem = f"trajectory_batch{loop.state.step:06d}"
        kept: dict[str, Any] = {f"x_{t}": states[t] for t in times}
        save_arrays(self.paths.array(f"{stem}.npz"), times=np.array(times), **kept)
        path = self.paths.plot("trajectories", f"{stem}.png")
        if self.name == "swissroll":
            N = ExampleNoise(loop.seed + 1, 0, len(self.X), model.kernel.noise)(self.X.shape)
            forward = forward_trajectory(compiled.beta(loop.averaged_theta), self.X, times, N)
            reverse = [(shown_time(t), states[t]) for t in times]
            drift = [(t, self._drift(loop, t)) for t in (2, *times[1:])]
            paper_figures.plot_figure_1(list(zip(times, forward, strict=True)), reverse, drift, path)
        else:
            paper_figures.plot_figure_2(self.X, {shown_time(t): states[t] for t in shown}, path, HEARTBEAT_PERIOD)

    def _drift(self, loop: Any, t: int) -> tuple[np.ndarray, np.ndarray]:
        """Return f_mu(x, t) - x on a grid: points (n, 2) and arrows (n, 2)."""
        axis = np.linspace(-2, 2, 15)
        points = loop.compiled.engine.asarray(np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2))
        model = loop.compiled.model
        step = loop.compiled.function(partial(_reverse_mean, model), loop.compiled.reverse_inputs(len(points)))
        (mu,) = step(loop.averaged_theta, points, loop.compiled.engine.asarray(np.full(len(points), t)))
        return points, mu - points


def _reverse_mean(model: Any, X: Any, t: Any) -> Any:
    return model.reverse(X, t)[0]
