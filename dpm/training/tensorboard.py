"""The log of a run for TensorBoard, by tensorboardX (extra `tensorboard`)."""

import importlib.util
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpm.base.errors import InputError
from dpm.runs.folder import report_failure

if TYPE_CHECKING:
    from dpm.training.loop import Loop


def check_installed() -> None:
    """Raise InputError if tensorboardX is not installed."""
    if importlib.util.find_spec("tensorboardX") is None:
        raise InputError("--tensorboard: tensorboardX is not installed; pip install '.[tensorboard]', or give "
                         "--tensorboard false")  # fmt: skip


class TensorBoard:
    """Write events.out.tfevents.* into the run folder: each column of the log as a curve over the steps.

    A resumed run writes another file, which replaces the points of the earlier file after its step.

    Args:
        folder: the run folder.
    """

    def __init__(self, folder: Path) -> None:
        check_installed()
        self.folder = folder
        self.writer: Any = None

    def before_training(self, loop: "Loop") -> None:
        """Open the event file."""
        from tensorboardX import SummaryWriter

        with report_failure("the log for TensorBoard", loop):
            self.writer = SummaryWriter(str(self.folder), purge_step=loop.state.step + 1)

    def after_epoch(self, loop: "Loop") -> None:
        """Write the last row of the log."""
        if self.writer is None:  # opening failed, which was reported
            return
        with report_failure("the log for TensorBoard", loop):
            row = loop.state.rows[-1]
            for name, value in row.items():
                if name != "step" and value is not None and math.isfinite(value):
                    self.writer.add_scalar(name, value, row["step"])
            self.writer.flush()

    def after_training(self, loop: "Loop") -> None:
        """Close the event file."""
        if self.writer is None:
            return
        with report_failure("the log for TensorBoard", loop):
            self.writer.close()
