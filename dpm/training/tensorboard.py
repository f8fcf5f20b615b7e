"""The log of a run for TensorBoard, by tensorboardX (extra `tensorboard`)."""

import importlib.util
import math

from dpm.base.errors import InputError
from dpm.runs.folder import report_failure


def check_installed():
    """Raise InputError if tensorboardX is not installed."""
    if importlib.util.find_spec("tensorboardX") is None:
        raise InputError("--tensorboard: tensorboardX is not installed; pip install '.[tensorboard]', or give "
                         "--tensorboard false")  # fmt: skip


class TensorBoard:
    """Write events.out.tfevents.* into the run folder: each column of the log as a curve over the steps.

    A resumed run writes another file, which replaces what the earlier file has after its step.
    """

    def __init__(self, folder):
        self.folder, self.writer = folder, None

    def before_training(self, loop):
        from tensorboardX import SummaryWriter

        with report_failure("the log for TensorBoard", loop):
            self.writer = SummaryWriter(str(self.folder), purge_step=loop.state.step + 1)

    def after_epoch(self, loop):
        if self.writer is None:  # it could not be opened, which was reported
            return
        with report_failure("the log for TensorBoard", loop):
            row = loop.state.rows[-1]
            for name, value in row.items():
                if name != "step" and value is not None and math.isfinite(value):
                    self.writer.add_scalar(name, value, row["step"])
            self.writer.flush()

    def after_training(self, loop):
        if self.writer is None:
            return
        with report_failure("the log for TensorBoard", loop):
            self.writer.close()
