"""What hangs on the main loop for the toy problems: the bound beside its ceiling and the truth, and Figures 1 and 2."""

import json

import numpy as np
from tqdm import tqdm

from dpm.base.atomic import atomic_write
from dpm.base.noise import ExampleNoise
from dpm.experiments.toys import TOYS
from dpm.extensions import Checkpoint, EveryN, Monitoring, PlotEntropies, PlotMonitors, Printing, WriteLog
from dpm.likelihood import estimates as likelihood
from dpm.plots import paper_figures as viz_toys
from dpm.sampler import forward_trajectory, generate_samples
from dpm.training.least_squares import refit

EVALUATIONS = 4_000_000  # of single terms of K for a reported bound
SAMPLES = 2000
ENTROPY_EXAMPLES = 20_000  # of each time: rare flips decide the entropy of bits at small t
STATES_SHOWN = 6


def toy_extensions(folder, config, data, flags):
    """Those of a toy problem, in the order in which they act."""
    toy, arguments = TOYS[flags["experiment"]], config["model"]
    known, every = Known(toy, arguments), flags["ext_every_n"]
    start = [LeastSquaresStart(data["train"], flags["quiet"])] if arguments.get("start") == "least_squares" else []
    return [
        *start,
        Monitoring(data["test"], known),
        Printing(flags["quiet"]),
        WriteLog(folder),
        Checkpoint(folder, config, flags["keep"]),
        EveryN(PlotTrajectories(folder, data, flags["experiment"]), every, flags["plot_before_training"]),
        EveryN(PlotEntropies(folder, data["test"], ENTROPY_EXAMPLES), every),
        EveryN(PlotMonitors(folder), every),
        EveryN(Bound(folder, known, data["test"], flags["quiet"]), every),
    ]


class Known:
    """The truth, and the ceiling under the model's schedule of the moment, in the model's unit."""

    def __init__(self, toy, arguments):
        self.toy, self.arguments = toy, arguments
        self.truth = toy.log_likelihood(arguments)
        self._ceilings: dict = {}

    def __call__(self, loop):
        beta = np.asarray(loop.compiled.beta(loop.theta), dtype=np.float64)
        key = beta.tobytes()
        if key not in self._ceilings:  # it takes seconds, and most schedules stay as they are
            self._ceilings = {key: self.toy.ceiling(self.arguments, beta)}
        return {"truth": self.truth, "ceiling": self._ceilings[key]}


class LeastSquaresStart:
    """The readouts of a new run solved for before the first step of the optimizer.

    A signal ends the program at once, as there is nothing yet to go on with.
    """

    def __init__(self, X, quiet):
        self.X, self.quiet = X, quiet

    def before_training(self, loop):
        def check():
            if loop.stopped:
                raise KeyboardInterrupt

        if loop.state.step == 0:
            loop.theta = refit(loop.compiled, loop.theta, self.X, loop.seed, self.quiet, check)


class Bound:
    """K of the test data as the sum over all t, beside the truth and the ceiling: a printed line and result.json."""

    def __init__(self, folder, known, test, quiet):
        self.path = folder / "result.json"
        self.known, self.test, self.quiet = known, test, quiet

    def do(self, loop):
        compiled = loop.compiled
        draws = max(2, EVALUATIONS // (compiled.model.trajectory_length - 1))
        bound = likelihood.K_all_terms(compiled, loop.theta, self.test, loop.seed, loop.batch_size, draws)
        result = {
            "epoch": loop.epoch,
            "K": bound.value + likelihood.L_null(compiled.model),
            "K_minus_L_null": bound.value,
            "standard_error": bound.standard_error,
            "draws_of_each_term": draws,
            "unit": compiled.model.unit,
        } | self.known(loop)
        with atomic_write(self.path) as temporary:
            temporary.write_text(json.dumps(result, indent=2) + "\n")
        if not self.quiet:
            tqdm.write(
                f"K={result['K']:.4f} +- {bound.standard_error:.4f} {result['unit']}  K - L_null={bound.value:.4f}  "
                f"(ceiling {result['ceiling']:.4f}, truth {result['truth']:.4f})"
            )


class PlotTrajectories:
    """`trajectory_batch######.png`: Figure 1 (swiss roll) or Figure 2 (heartbeat), and its states as .npz."""

    def __init__(self, folder, data, name):
        self.folder, self.X, self.name = folder, data["test"][:SAMPLES], name

    def do(self, loop):
        compiled = loop.compiled
        model, n = compiled.model, len(self.X)
        T = model.trajectory_length
        source = ExampleNoise(loop.seed, 0, n, model.kernel.noise)
        times = [0, max(T // 2, 2), T]
        # As the sampler numbers them: T..2, and 0 at the end.
        shown = [t if t > 1 else 0 for t in T - np.linspace(0, T - 1, STATES_SHOWN).round().astype(int)]
        states = {}

        def keep(t, X):
            if t in times or t in shown:  # all of T = 2000 would be 320 MB
                states[t] = X

        generate_samples(compiled, loop.theta, n, source, callback=keep)
        stem = self.folder / f"trajectory_batch{loop.state.step:06d}"
        np.savez_compressed(stem.with_suffix(".npz"), times=times, **{f"x_{t}": states[t] for t in times})
        if self.name == "swissroll":
            N = ExampleNoise(loop.seed + 1, 0, n, model.kernel.noise)(self.X.shape)
            forward = forward_trajectory(compiled.beta(loop.theta), self.X, times, N)
            drift = [self._drift(loop, max(t, 2)) for t in times]
            viz_toys.plot_figure_1(forward, [states[t] for t in times], drift, times, stem.with_suffix(".png"))
        else:
            viz_toys.plot_figure_2(self.X, {t: states[t] for t in shown}, stem.with_suffix(".png"))

    def _drift(self, loop, t):
        """f_mu(x, t) - x on a grid: points (n, 2) and arrows (n, 2)."""
        axis = np.linspace(-2, 2, 15)
        points = loop.compiled.engine.asarray(np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2))
        model = loop.compiled.model
        step = loop.compiled.get("reverse_mu", len(points), "Xt", lambda X, t: [model.reverse(X, t)[0]])
        (mu,) = step(loop.theta, points, loop.compiled.engine.asarray(np.full(len(points), t)))
        return points, mu - points
