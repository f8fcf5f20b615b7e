"""Table 1 of the paper, and runs beside it."""

from typing import NamedTuple

from dpm.experiments.published import TABLE_1

MNIST = "Table 1 has no K for MNIST: it refers to Table 2, whose Parzen window estimates (bits an image) are no K."
ABSENT = "The paper has no K for these data."


class Line(NamedTuple):
    """A line of the table: whose value it is, and what it is of; numbers are None where there are none."""

    source: str
    what: str
    K: float | None
    error: float | None
    K_minus_L_null: float | None
    unit: str
    note: str
    published: bool = False

    @property
    def L_null(self):
        return None if self.K is None or self.K_minus_L_null is None else self.K - self.K_minus_L_null


def compared(runs):
    """The table's lines: each data set of the paper once, and behind it the runs on these data; then all others."""
    keys = [run.config["flags"]["experiment"] if run.vectors else str(run.config["data"].get("name")) for run in runs]
    lines = []
    for key in dict.fromkeys(sorted(keys, key=lambda key: key not in TABLE_1)):
        published = TABLE_1.get(key)
        if published:
            values = published.K, None, published.K_minus_L_null, published.unit
            lines.append(Line("paper, Table 1", published.name, *values, "as printed; the hold-out set of 2015", True))
        note = "" if published else MNIST if key == "MNIST" else ABSENT
        lines += [line(run, note) for run, of in zip(runs, keys, strict=True) if of == key]
    return lines


def line(run, note=""):
    """The line of one run, with what it really was."""
    bound = run.bound()
    if bound is None:
        return Line(run.name, size(run), None, None, None, run.unit, f"no bound measured yet. {note}".strip())
    K, improvement, error, epoch = bound
    how = "sum over all t" if run.result else "as last logged, each test example at one time"
    return Line(run.name, size(run), K, error, improvement, run.unit, f"after epoch {epoch:g}, {how}. {note}".strip())


def size(run):
    """What a run was, in a line: data, size, time trained."""
    flags = run.config["flags"]
    name = flags.get("experiment") or run.config["data"].get("name")
    parts = [f"{name}{' --small' if flags.get('small') else ''}"]
    parts.append(f"T = {run.config['model'].get('trajectory_length')}")
    if run.rows:
        last = run.rows[-1]
        parts.append(f"epoch {last['epoch']:g} of {flags.get('epochs')}")
        if "step" in last:
            parts.append(f"{last['step']:.0f} steps")
    return ", ".join(parts)
