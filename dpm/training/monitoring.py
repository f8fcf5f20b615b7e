"""Main-loop extensions that watch and keep a run: the log, progress, checkpoints, and plots every few epochs."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dpm.base.atomic import atomic_write
from dpm.base.progress import Progress, note_line
from dpm.likelihood import bound
from dpm.runs import checkpoint
from dpm.runs.folder import BEST, NEWEST, keep_earlier, mark_best, report_failure

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


class Monitoring:
    """Append a log row after each epoch: K and K - L_null of training and test data, in bits per pixel.

    Training: the mean over the epoch's minibatches, each before its step. Test: every example once, with the same times
    and noise at every epoch.

    Args:
        test: scaled test examples.
        reference: function of the loop that returns further columns, such as the true log likelihood.
    """

    def __init__(self, test: np.ndarray, reference: Callable[[Any], dict[str, float]] | None = None) -> None:
        self.test, self.reference = test, reference

    def after_epoch(self, loop: Any) -> None:
        null = bound.L_null(loop.compiled.model)
        size = min(loop.batch_size, len(self.test))
        with Progress(desc="K of the test data", quiet=loop.quiet):
            test = bound.K_minus_L_null(loop.compiled, loop.averaged_theta, self.test, loop.seed, size)
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
        loop.state.rows.append(row | (self.reference(loop) if self.reference else {}))


class Printing:
    """Show the progress with K and the time left, and print one line per epoch if stderr is not a terminal."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self.bar: Any = None

    def before_training(self, loop: Any) -> None:
        total = None if loop.hours else loop.epochs * loop.epoch_length
        more = {"total": total, "initial": loop.state.step, "unit": "step", "leave": True}
        self.bar = Progress(desc="training", quiet=self.quiet, **more)

    def after_evaluation(self, loop: Any) -> None:
        if not self.quiet:
            self.bar.update(loop.state.step - self.bar.n)

    def after_batch(self, loop: Any) -> None:
        if not self.quiet:
            self.bar.set_postfix_str(self._text(loop, -loop.state.epoch_cost), refresh=False)
            self.after_evaluation(loop)

    def after_epoch(self, loop: Any) -> None:
        if not (self.quiet or self.bar.terminal):
            note_line()
            row = loop.state.rows[-1]
            unit = loop.compiled.model.unit
            print(
                f"epoch {row['epoch']}{self._left(loop)}  step {row['step']}  {row['seconds']:.0f} s  K - L_null "
                f"train {row['train_K_minus_L_null']:.4f} test {row['test_K_minus_L_null']:.4f} {unit}"
                + (f"  skipped {row['skipped_steps']}" if row["skipped_steps"] else ""),
                flush=True,
            )

    def after_training(self, loop: Any) -> None:
        self.bar.close()

    def close(self, loop: Any) -> None:
        if self.bar is not None:
            self.bar.close()

    def _text(self, loop: Any, train: float) -> str:
        test = f" test {loop.state.rows[-1]['test_K']:.3f}" if loop.state.rows else ""
        skipped = f" skipped {loop.skipped_steps}" if loop.skipped_steps else ""
        K, epoch = train + bound.L_null(loop.compiled.model), min(loop.epoch + 1, loop.epochs)
        return f"epoch {epoch}{self._left(loop)} K {K:.3f}{test} {loop.compiled.model.unit}{skipped}"

    def _left(self, loop: Any) -> str:
        if not loop.hours:
            return f"/{loop.epochs}"
        return f", {max(0, 60 * loop.hours - loop.state.seconds / 60):.0f} min left,"


class WriteLog:
    """Write log.csv, one row per epoch; the file is replaced in one step each time."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "log.csv"

    def before_training(self, loop: Any) -> None:
        self.after_epoch(loop)

    def after_epoch(self, loop: Any) -> None:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(loop.state.rows[0]) if loop.state.rows else COLUMNS)
        writer.writeheader()
        writer.writerows(loop.state.rows)
        with report_failure("log.csv", loop, replaceable=True), atomic_write(self.path) as temporary:
            temporary.write_text(text.getvalue(), newline="")


class Checkpoint:
    """Write checkpoint.h5 after each epoch and at the end of training, and keep the last `keep` and the best.

    checkpoint_best.h5 is the one of the epoch with the highest test K.
    """

    def __init__(self, folder: Path, config: dict[str, Any], keep: int = 1) -> None:
        self.folder, self.config, self.keep = folder, config, keep
        self.saved: int | None = None
        self.present: int | None = None  # step of the checkpoint.h5 that exists

    def before_training(self, loop: Any) -> None:
        self.saved = None
        resumed = self.config["flags"]["resume_file"]
        self.present = loop.state.step if resumed and Path(resumed).name == NEWEST else None
        if self.present and self.present % loop.epoch_length == 0:
            self.mark_best(loop)  # the process may have been killed between saving and marking

    def after_epoch(self, loop: Any) -> None:
        self.save(loop, between_epochs=True)
        if self.saved == loop.state.step:
            self.mark_best(loop)

    def mark_best(self, loop: Any) -> None:
        """Make the checkpoint the best one if its epoch has the highest test K so far."""
        history = [row["test_K"] for row in loop.state.rows]
        if all(history[-1] >= K for K in history if np.isfinite(K)):
            with report_failure(BEST, loop, replaceable=True):
                mark_best(self.folder)

    def after_training(self, loop: Any) -> None:
        if self.saved != loop.state.step:
            self.save(loop)

    def save(self, loop: Any, between_epochs: bool = False) -> None:
        """Write the checkpoint, unless the model is not finite: a good file is never replaced by a bad one."""
        state = dict(vars(loop.state))
        if between_epochs:  # the sums are cleared after the extensions have run
            state |= {"cost_sum": 0.0, "weight_sum": 0.0}
        arrays = {f"/optimizer/{name}": value for name, value in loop.optimizer_state().items()}
        theta = loop.averaged_theta
        arrays |= {f"/parameters{path}": value for path, value in loop.compiled.layout.split(theta).items()}
        meta = {"config": self.config, "model": self.config["model"], "state": state}
        with report_failure(NEWEST, loop, replaceable=True):
            if not np.isfinite(theta).all():
                raise ValueError("parameters are not finite; the file stays as it was")
            if self.present != loop.state.step:
                keep_earlier(self.folder, self.present, self.keep - 1)
            checkpoint.save(self.folder / NEWEST, json.loads(json.dumps(meta)), arrays)
            self.saved = self.present = loop.state.step


class EveryN:
    """Run do(loop) of a plot every n epochs, at the end of training, and on request before it.

    A failing plot is a warning: plots never stop or change training. Its progress has the extension's attribute `what`
    as its name.
    """

    def __init__(self, extension: Any, n: int, before_training: bool = False) -> None:
        self.extension, self.n, self.before = extension, n, before_training
        self.done: int | None = None

    def before_training(self, loop: Any) -> None:
        if self.before and loop.state.step == 0:
            self.run(loop)

    def after_epoch(self, loop: Any) -> None:
        if loop.epoch % self.n == 0:
            self.run(loop)

    def after_training(self, loop: Any) -> None:
        if not loop.stopped and self.done != loop.state.step:
            self.run(loop)

    def run(self, loop: Any) -> None:
        """Run the plot and note the step."""
        self.done = loop.state.step
        name = type(self.extension).__name__
        what = getattr(self.extension, "what", name)
        with report_failure(name, loop), Progress(desc=what, quiet=loop.quiet):
            self.extension.do(loop)
