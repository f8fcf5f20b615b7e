"""The comparison table: Table 1 of the paper, and each run below the row of its data."""

from collections.abc import Sequence
from typing import NamedTuple

from dpm.base.wording import count
from dpm.experiments.published import TABLE_1
from dpm.reports.html.runs import RunFiles

MNIST_NOTE = "Table 1 has no K for MNIST; Table 2 has Parzen window estimates (bits per image), which are not K."
NO_ROW_NOTE = "The paper has no K for these data."


class Line(NamedTuple):
    """One line of the table.

    Attributes:
        source: "paper, Table 1" or the name of a run.
        model: data set, size and length of training.
        K: bound, or None where it was not measured.
        error: standard error of K with the examples as a sample, or None.
        K_minus_L_null: bound less the log likelihood of the prior, or None.
        unit: of these numbers.
        note: the standard errors of K and how it was measured.
        published: whether it is a line of the paper.
    """

    source: str
    model: str
    K: float | None
    error: float | None
    K_minus_L_null: float | None
    unit: str
    note: str
    published: bool = False

    @property
    def L_null(self) -> float | None:
        """Return the log likelihood of the prior, or None."""
        return None if self.K is None or self.K_minus_L_null is None else self.K - self.K_minus_L_null


def compare_with_paper(runs: Sequence[RunFiles]) -> list[Line]:
    """Return the lines of the table: each data set of the paper once, followed by its runs; then all other runs."""
    keys = [
        run.config["flags"]["experiment"] if run.has_vectors else str(run.config["data"].get("name")) for run in runs
    ]
    lines = []
    for key in dict.fromkeys(sorted(keys, key=lambda key: key not in TABLE_1)):
        published = TABLE_1.get(key)
        if published:
            values = published.K, None, published.K_minus_L_null, published.unit
            lines.append(Line("paper, Table 1", published.name, *values, "as printed; the test set of 2015", True))
        note = "" if published else MNIST_NOTE if key == "MNIST" else NO_ROW_NOTE
        lines += [make_line(run, note) for run, own_key in zip(runs, keys, strict=True) if own_key == key]
    return lines


def make_line(run: RunFiles, note: str = "") -> Line:
    """Return the line of one run; `note` is appended to how its K was measured."""
    bound = run.bound()
    if bound is None:
        return Line(run.name, describe_size(run), None, None, None, run.unit, f"K not measured yet. {note}".strip())
    note = f"after epoch {bound.epoch:g}; {bound.note}. {note}".strip()
    numbers = bound.K, bound.standard_error, bound.K_minus_L_null
    return Line(run.name, describe_size(run), *numbers, run.unit, note)


def describe_size(run: RunFiles) -> str:
    """Describe a run in one line: data, T, epochs, steps."""
    flags = run.config["flags"]
    name = flags.get("experiment") or run.config["data"].get("name")
    parts = [f"{name}{' --small' if flags.get('small') else ''}"]
    parts.append(f"T = {run.config['model'].get('trajectory_length')}")
    if run.rows:
        last = run.rows[-1]
        parts.append(run.describe_epoch(last["epoch"]))
        if "step" in last:
            parts.append(count(last["step"], "step"))
    return ", ".join(parts)
