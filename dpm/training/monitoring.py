"""Main-loop extensions that watch and keep a run: the log, progress, checkpoints, and plots every few epochs."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dpm.base.atomic import atomic_write, write_json
from dpm.base.progress import Progress, note_line
from dpm.likelihood.bound import L_null, default_times, estimate_bound
from dpm.likelihood.result import Bound, finite_or_none, format_bound
from dpm.runs import checkpoint
from dpm.runs.folder import BEST, NEWEST, keep_earlier, mark_best, report_failure

FEW_TIMES = 2  # of each example, at epochs in between
COLUMNS = (
    "epoch",
    "step",
    "seconds",
    "train_K",
    "train_K_minus_L_null",
    "test_K",
    "test_K_minus_L_null",
    "test_draws_error",
    "test_standard_error",
    "learning_rate",
    "skipped_steps",
)


class HeldOutBound:
    """K of the test data at the present step, computed once for all that print, store or plot it.

    Training evaluates at bound.default_times of each example every n epochs and where it ends, and at FEW_TIMES at most
    after the other epochs. Times and noise are the same at every epoch.

    Args:
        X: scaled test examples.
        every: n.
    """

    def __init__(self, X: np.ndarray, every: int = 1) -> None:
        self.X, self.every = X, every
        self._step: int | None = None
        self._bound: Bound

    def __call__(self, loop: Any) -> Bound:
        """Return K of a loop's averaged parameters."""
        if self._step != loop.state.step:
            times = self.times_per_example(loop)
            total, theta = len(self.X) * times, loop.averaged_theta
            with Progress(
                total=total, unit="term", unit_scale=True, desc="K of the test data", quiet=loop.quiet
            ) as bar:
                self._bound = estimate_bound(loop.compiled, theta, self.X, loop.seed, times, "test", bar.update)
            self._step = loop.state.step
        return self._bound

    def times_per_example(self, loop: Any) -> int:
        """Return the number of times t of each example at the present step."""
        times, in_between = default_times(loop.compiled.model), loop.epoch % self.every and not loop.has_ended
        return min(times, FEW_TIMES) if in_between and loop.state.step % loop.epoch_length == 0 else times


class Monitoring:
    """Append a log row after each epoch: K and K - L_null of training and test data, in bits per pixel.

    Training: the mean over the epoch's minibatches, each before its step. Test: every example, with standard errors.

    Args:
        held_out: K of the test examples.
        reference: function of the loop that returns further columns, such as the true log likelihood.
    """

    def __init__(self, held_out: HeldOutBound, reference: Callable[[Any], dict[str, float]] | None = None) -> None:
        self.held_out, self.reference = held_out, reference

    def after_epoch(self, loop: Any) -> None:
        test, train = self.held_out(loop), -loop.state.epoch_cost
        values = (
            loop.epoch,
            loop.state.step,
            round(loop.state.seconds, 3),
            train + test.L_null,
            train,
            test.K,
            test.K_minus_L_null,
            test.draws_error,
            test.standard_error,
            loop.learning_rate,
            loop.skipped_steps,
        )
        row = dict(zip(COLUMNS, values, strict=True))
        loop.state.rows.append(row | (self.reference(loop) if self.reference else {}))


class WriteResult:
    """Write result.json: K of the test data and how it was evaluated, after each epoch and where training ends.

    Args:
        folder: the run folder; None to evaluate without writing, as all processes of a run but the first do.
        held_out: K of the test examples, which the log has too.
        facts: further entries, such as versions.
        reference: as in Monitoring.
    """

    def __init__(
        self,
        folder: Path | None,
        held_out: HeldOutBound,
        facts: dict[str, Any],
        reference: Callable[[Any], dict[str, float]] | None = None,
    ) -> None:
        self.path = folder and folder / "result.json"
        self.held_out, self.facts, self.reference = held_out, facts, reference
        self.step: int | None = None

    def after_epoch(self, loop: Any) -> None:
        self.step = loop.state.step
        result = {"epoch": loop.epoch, "step": loop.state.step} | self.held_out(loop).as_json() | self.facts
        if self.path is None:
            return
        with report_failure("result.json", loop, replaceable=True):
            write_json(self.path, result | finite_or_none(self.reference(loop) if self.reference else {}))

    def after_training(self, loop: Any) -> None:
        if not loop.stopped and self.step != loop.state.step and not loop.diverged:
            self.after_epoch(loop)


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
            test = (row[f"test_{name}"] for name in ("draws_error", "standard_error"))
            print(
                f"epoch {row['epoch']}{self._left(loop)}  step {row['step']}  {row['seconds']:.0f} s  test "
                f"{format_bound(row['test_K'], row['test_K_minus_L_null'], unit, *test)}; train K - L_null = "
                f"{row['train_K_minus_L_null']:.4f}"
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
        K, epoch = train + L_null(loop.compiled.model), min(loop.epoch + 1, loop.epochs)
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
        # The first rows of a resumed run may be of a version with fewer columns.
        columns = dict.fromkeys(name for row in loop.state.rows for name in row)
        writer = csv.DictWriter(text, list(columns) or COLUMNS)
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
        loop.saved_step = loop.state.step
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
            self.saved = self.present = loop.saved_step = loop.state.step


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
