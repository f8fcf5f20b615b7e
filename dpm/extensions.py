"""What hangs on the main loop: log, progress, checkpoints, pictures, the reported likelihood."""

import csv
import io
import json
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from dpm import viz
from dpm.base import noise
from dpm.base.atomic import atomic_write
from dpm.likelihood import bound
from dpm.likelihood.entropies import spread_times, step_entropies
from dpm.plots import bounds as viz_bounds
from dpm.runs import checkpoint
from dpm.runs import folder as run_folder
from dpm.runs.folder import report_failure
from dpm.sampler import Posterior, capture_times, generate_inpaint_mask, generate_samples
from dpm.trajectories.forward import forward_trajectory

COLUMNS = (
    "epoch",
    "step",
    "seconds",
    "train_K",
    "train_K_minus_L_null",
    "test_K",
    "test_K_minus_L_null",
    "learning_rate",
    "skipped_steps",
)
PICTURES = 49
ENTROPY_TIMES = 40
ENTROPY_PICTURES = 12  # of each time: a network of pictures takes a second for all of them


def standard_extensions(folder, config, data, flags):
    """Those of train.py, in the order in which they act."""
    every = flags["ext_every_n"]
    plots = [
        PlotSamples(folder, data),
        PlotParameters(folder),
        PlotGradients(folder),
        PlotInternalState(folder, data),
        PlotEntropies(folder, data["test"], ENTROPY_PICTURES),
    ]
    return [
        Monitoring(data["test"]),
        Printing(flags["quiet"]),
        WriteLog(folder),
        Checkpoint(folder, config, flags["keep"]),
        *[EveryN(plot, every, flags["plot_before_training"]) for plot in plots],
        EveryN(PlotMonitors(folder), every),
        EveryN(LogLikelihood(data["test"], flags["quiet"]), every),
    ]


class Monitoring:
    """A log row after each epoch: K and K - L_null of training and test data in bits a pixel.

    Training: the mean over the epoch's minibatches, each before its step. Test: every picture once, with the same
    times and noise at every epoch. known(loop): further columns, such as the truth, where there are any.
    """

    def __init__(self, test, known=None):
        self.test, self.known = test, known

    def after_epoch(self, loop):
        null = bound.L_null(loop.compiled.model)
        test = bound.K_minus_L_null(
            loop.compiled, loop.theta, self.test, loop.seed, min(loop.batch_size, len(self.test))
        )
        train = -loop.state.epoch_cost
        values = (
            loop.epoch,
            loop.state.step,
            round(loop.state.seconds, 3),
            train + null,
            train,
            test.value + null,
            test.value,
            loop.learning_rate,
            loop.skipped_steps,
        )
        row = dict(zip(COLUMNS, values, strict=True))
        loop.state.rows.append(row | (self.known(loop) if self.known else {}))


class Printing:
    """A progress bar with K - L_null and the time left; one line an epoch where stderr is no terminal."""

    def __init__(self, quiet):
        self.quiet, self.bar = quiet, None
        self.terminal = sys.stderr.isatty() and not quiet

    def before_training(self, loop):
        if self.terminal:
            total = None if loop.hours else loop.epochs * loop.epoch_length
            self.bar = tqdm(total=total, initial=loop.state.step, unit="step", dynamic_ncols=True)

    def after_evaluation(self, loop):
        if self.bar is not None:
            self.bar.update(loop.state.step - self.bar.n)

    def after_batch(self, loop):
        if self.bar is not None:
            self.bar.set_postfix_str(self._text(loop, -loop.state.epoch_cost), refresh=False)
            self.after_evaluation(loop)

    def after_epoch(self, loop):
        if not (self.quiet or self.terminal):
            row = loop.state.rows[-1]
            unit = loop.compiled.model.unit
            print(
                f"epoch {row['epoch']}{self._left(loop)}  step {row['step']}  {row['seconds']:.0f} s  K - L_null "
                f"train {row['train_K_minus_L_null']:.4f} test {row['test_K_minus_L_null']:.4f} {unit}"
                + (f"  skipped {row['skipped_steps']}" if row["skipped_steps"] else ""),
                flush=True,
            )

    def after_training(self, loop):
        if self.bar is not None:
            self.bar.close()

    def _text(self, loop, train):
        test = f" test {loop.state.rows[-1]['test_K']:.3f}" if loop.state.rows else ""
        skipped = f" skipped {loop.skipped_steps}" if loop.skipped_steps else ""
        null = bound.L_null(loop.compiled.model)
        return (
            f"epoch {loop.epoch + 1}{self._left(loop)} K {train + null:.3f}{test} {loop.compiled.model.unit}{skipped}"
        )

    def _left(self, loop):
        if not loop.hours:
            return f"/{loop.epochs}"
        return f", {max(0, 60 * loop.hours - loop.state.seconds / 60):.0f} min left,"


class WriteLog:
    """log.csv: one row an epoch, rewritten in one step each time."""

    def __init__(self, folder):
        self.path = folder / "log.csv"

    def before_training(self, loop):
        self.after_epoch(loop)

    def after_epoch(self, loop):
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(loop.state.rows[0]) if loop.state.rows else COLUMNS)
        writer.writeheader()
        writer.writerows(loop.state.rows)
        with report_failure("log.csv", loop, mended=True), atomic_write(self.path) as temporary:
            temporary.write_text(text.getvalue(), newline="")


class Checkpoint:
    """checkpoint.h5 after each epoch and when training ends or is stopped; the last `keep` of them, and the best.

    checkpoint_best.h5 is that of the epoch with the highest test K.
    """

    def __init__(self, folder, config, keep=1):
        self.folder, self.config, self.keep = folder, config, keep

    def before_training(self, loop):
        self.saved = None
        # The step of the checkpoint that lies there: the one that a run goes on with.
        resumed = self.config["flags"]["resume_file"]
        self.there = loop.state.step if resumed and Path(resumed).name == run_folder.NEWEST else None
        if self.there and self.there % loop.epoch_length == 0:
            self.mark_best(loop)  # the process may have been killed between saving and this

    def after_epoch(self, loop):
        self.save(loop, between_epochs=True)
        if self.saved == loop.state.step:
            self.mark_best(loop)

    def mark_best(self, loop):
        """Where the last epoch has the highest test K so far, its checkpoint is the best."""
        known = [row["test_K"] for row in loop.state.rows]
        if all(known[-1] >= K for K in known if np.isfinite(K)):
            with report_failure(run_folder.BEST, loop, mended=True):
                run_folder.mark_best(self.folder)

    def after_training(self, loop):
        if self.saved != loop.state.step:
            self.save(loop)

    def save(self, loop, between_epochs=False):
        """Write the checkpoint, unless the model is not finite: a good file is never replaced by a bad one."""
        state = dict(vars(loop.state))
        if between_epochs:  # the sums are cleared after the extensions have run
            state |= {"cost_sum": 0.0, "weight_sum": 0.0}
        arrays = {f"/optimizer/{name}": value for name, value in loop.optimizer_state().items()}
        theta = loop.theta
        arrays |= {f"/parameters{path}": value for path, value in loop.compiled.layout.split(theta).items()}
        meta = {"config": self.config, "model": loop.compiled.model.arguments, "state": state}
        with report_failure(run_folder.NEWEST, loop, mended=True):
            if not np.isfinite(theta).all():
                raise ValueError("parameters are not finite; the file stays as it was")
            if self.there != loop.state.step:
                run_folder.keep_earlier(self.folder, self.there, self.keep - 1)
            checkpoint.save(self.folder / run_folder.NEWEST, json.loads(json.dumps(meta)), arrays)
            self.saved = self.there = loop.state.step


class EveryN:
    """Runs do(loop) every n epochs, at the end of training, and before it where asked.

    A failing plot is a warning: pictures never stop or change training.
    """

    def __init__(self, extension, n, before_training=False):
        self.extension, self.n, self.before = extension, n, before_training
        self.done = None

    def before_training(self, loop):
        if self.before and loop.state.step == 0:
            self.run(loop)

    def after_epoch(self, loop):
        if loop.epoch % self.n == 0:
            self.run(loop)

    def after_training(self, loop):
        if not loop.stopped and self.done != loop.state.step:
            self.run(loop)

    def run(self, loop):
        self.done = loop.state.step
        with report_failure(type(self.extension).__name__, loop):
            self.extension.do(loop)


class PlotSamples:
    """Samples, in-painting and denoising as the released code plots them, and the forward trajectory."""

    def __init__(self, folder, data):
        self.folder, self.scaling = folder, data["scaling"]
        self.X_true = data["test"][:PICTURES]

    def do(self, loop):
        compiled, X_true = loop.compiled, self.X_true
        T = compiled.model.trajectory_length
        noisy = X_true + noise.ExampleNoise(loop.seed + 1, 0, len(X_true))(X_true.shape)
        mask = generate_inpaint_mask(*X_true.shape[:3])
        kinds = {
            "": None,
            "_inpaint": Posterior(X_true, known=mask),
            "_denoise1": Posterior(noisy, sigma=1.0),
        }
        self.save("_true", X_true, 0, loop)
        for name, posterior in kinds.items():
            states: dict = {}
            source = noise.ExampleNoise(loop.seed, 0, len(X_true))
            keep = set(capture_times(T))
            generate_samples(
                compiled, loop.theta, len(X_true), source, posterior,
                lambda t, X, states=states, keep=keep: states.update({t: X} if t in keep else {}),
            )  # fmt: skip
            for t, X in states.items():
                self.save(name, X, t, loop)
            if not name:
                self.trajectories(states, loop)

    def save(self, name, X, t, loop):
        """`samples<name>_t####_batch######.png` and .npz, in the units of the data."""
        stem = self.folder / f"samples{name}_t{t:04d}_batch{loop.state.step:06d}"
        viz.save_images(self.scaling.inverse(np.asarray(X, dtype=np.float64)), stem)

    def trajectories(self, states, loop):
        """Forward and reverse trajectory at the same times (the rows of Figure 1, as pictures)."""
        times = sorted(states)
        beta = loop.compiled.beta(loop.theta)
        source = noise.ExampleNoise(loop.seed, 0, len(self.X_true))
        forward = forward_trajectory(beta, self.X_true, times, source(self.X_true.shape))
        for name, rows in (("forward", forward), ("reverse", [states[t] for t in times])):
            pictures = [self.scaling.inverse(np.asarray(X, dtype=np.float64)) for X in rows]
            path = self.folder / f"trajectory_{name}_batch{loop.state.step:06d}.png"
            viz.plot_trajectory(pictures, times, path)


class PlotParameters:
    """`params-<name>_raw` and `_rf` pictures of every parameter."""

    prefix = "params"

    def __init__(self, folder):
        self.folder = folder

    def values(self, loop):
        return loop.compiled.layout.split(loop.theta)

    def do(self, loop):
        for path, value in self.values(loop).items():
            name = path.removeprefix("/diffusionmodel/").replace("/", "-").replace(" ", "_")
            stem = self.folder / f"{self.prefix}-{name}_batch{loop.state.step:06d}"
            viz.plot_parameter(value, stem, name)


class PlotGradients(PlotParameters):
    """`grads-<name>` pictures: the gradient on the first minibatch of the data."""

    prefix = "grads"

    def values(self, loop):
        _, gradient = loop.first_gradient()
        return loop.compiled.layout.split(gradient)


class PlotInternalState:
    """`internal-<name>` pictures: what the network computes for noisy pictures at T/2."""

    def __init__(self, folder, data):
        self.folder, self.X = folder, data["test"][:PICTURES]
        self.names: list = []

    def do(self, loop):
        model, engine = loop.compiled.model, loop.compiled.engine

        def build(X, t):
            state = model.internal_state(X, t)
            self.names = list(state)
            return list(state.values())

        function = loop.compiled.get("internal", len(self.X), "Xt", build)
        t = model.trajectory_length // 2
        N = noise.ExampleNoise(loop.seed, 0, len(self.X))(self.X.shape)
        beta = loop.compiled.beta(loop.theta)
        (noisy,) = forward_trajectory(beta, self.X, [t], N)
        times = np.full(len(self.X), t, dtype=engine.dtype)
        for name, value in zip(self.names, function(loop.theta, engine.asarray(noisy), times), strict=True):
            stem = self.folder / f"internal-{name}_batch{loop.state.step:06d}"
            viz.plot_images(_channels_as_pictures(value[:4]), stem.with_suffix(".png"), title=name)


class PlotEntropies:
    """`entropies_batch######.png`: the entropy of reverse steps and its bounds (Eq. 23), and the arrays as .npz.

    Both in bits a pixel (a vector is one), at about 40 times of 2..T, each the mean over `draws` of the examples X.
    """

    def __init__(self, folder, X, draws):
        self.folder, self.X, self.draws = folder, X, draws

    def do(self, loop):
        compiled = loop.compiled
        times = spread_times(compiled.model.trajectory_length, ENTROPY_TIMES)
        _, *nats = step_entropies(compiled, loop.theta, self.X, loop.seed, self.draws, times)
        lower, upper, entropy, error = (values / np.log(2) for values in nats)
        stem = self.folder / f"entropies_batch{loop.state.step:06d}"
        np.savez(stem.with_suffix(".npz"), times=times, lower=lower, upper=upper, entropy=entropy, standard_error=error)
        path, unit = stem.with_suffix(".png"), compiled.model.unit
        viz_bounds.plot_entropy_bounds(times, lower, upper, entropy, path, unit)


class PlotMonitors:
    """`monitors_batch######.png`: the curves of the log."""

    def __init__(self, folder):
        self.folder = folder

    def do(self, loop):
        if loop.state.rows:
            path = self.folder / f"monitors_batch{loop.state.step:06d}.png"
            viz.plot_monitors(loop.state.rows, path, loop.compiled.model.unit)


class LogLikelihood:
    """Prints K and K - L_null of the test data with the standard error, in bits a pixel."""

    def __init__(self, test, quiet):
        self.test, self.quiet = test, quiet

    def do(self, loop):
        size, compiled = min(loop.batch_size, len(self.test)), loop.compiled
        if loop.variant.likelihood_draws:
            estimates = bound.reference_likelihood(
                compiled, loop.theta, self.test, loop.seed, size, loop.variant.likelihood_draws
            )
            for result in tqdm(  # noqa: B007  the last one is the result
                estimates, total=loop.variant.likelihood_draws, disable=self.quiet or None, desc="likelihood"
            ):
                pass
        else:
            result = bound.K_minus_L_null(compiled, loop.theta, self.test, loop.seed, size, draws=4)
        if not self.quiet:
            null = bound.L_null(compiled.model)
            tqdm.write(
                f"K={result.value + null:.4f} bits/pix standard error={result.standard_error:.4f}  "
                f"K - L_null={result.value:.4f} bits/pix (test data, scaled units)"
            )


def _channels_as_pictures(value):
    """(n, channels, h, w) as n * channels gray pictures, stretched to [0, 1] together."""
    low, high = float(value.min()), float(value.max())
    n, channels, height, width = value.shape
    stretched = (value - low) / (high - low) if high > low else np.zeros_like(value)
    return stretched.reshape(n * channels, 1, height, width)
