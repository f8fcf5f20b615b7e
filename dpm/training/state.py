"""The position of a run, which a checkpoint keeps."""

from dataclasses import dataclass, field


@dataclass
class TrainingState:
    """The position of a run: what a checkpoint keeps besides parameters and optimizer.

    Attributes:
        step: completed minibatches.
        refresh: with frozen noise: how often it was drawn again.
        refresh_step: with frozen noise: the step at which it was.
        skipped_steps: with frozen noise: steps that earlier optimizers skipped.
        skipped_in_a_row: skipped steps directly before this one.
        cost_sum, weight_sum: sums over the present epoch.
        seconds: of training, from its start to the end of the last step, with evaluations and plots in between.
        schedule_step, schedule_seconds: step and seconds at which the schedule of the learning rate began.
        rows: the log, one dict per epoch.
    """

    step: int = 0
    refresh: int = 0
    refresh_step: int = 0
    skipped_steps: int = 0
    skipped_in_a_row: int = 0
    cost_sum: float = 0.0
    weight_sum: float = 0.0
    seconds: float = 0.0
    schedule_step: int = 0
    schedule_seconds: float = 0.0
    rows: list = field(default_factory=list)

    @property
    def epoch_cost(self) -> float:
        """The mean cost of the epoch so far, in bits per pixel."""
        return self.cost_sum / self.weight_sum if self.weight_sum else float("nan")
