"""The table of settings: a row for each property, a cell for each run."""

import json
import shlex
from collections.abc import Sequence
from typing import NamedTuple

from dpm.reports.html.runs import RunFiles

MODEL_ROWS = 40  # model arguments shown


class Fact(NamedTuple):
    """One property of the runs.

    Attributes:
        name: of the property.
        cells: its value for each run, as text; empty where a run does not have it.
        differs: whether the runs have different values.
    """

    name: str
    cells: list[str]
    differs: bool


def collect_facts(runs: Sequence[RunFiles]) -> list[Fact]:
    """Return the properties of all runs, in the order of the page, without those that are empty for every run."""
    columns = [describe_run(run) for run in runs]
    names = list(dict.fromkeys(name for column in columns for name in column))
    rows = [(name, [column.get(name, "") for column in columns]) for name in names]
    return [Fact(name, cells, len(set(cells)) > 1) for name, cells in rows if any(cells)]


def describe_run(run: RunFiles) -> dict[str, str]:
    """Return the properties of one run as name: text."""
    flags, data, model = (run.config[part] for part in ("flags", "data", "model"))
    last = run.rows[-1] if run.rows else {}
    command = run.config.get("command", [])
    properties = {
        "command": shlex.join(map(str, command)) if isinstance(command, list) else "",
        "data": f"{data.get('name')} ({data.get('path')})",
        "scaling": f"the model's input is {data.get('scale')} x + {data.get('shift')}",
        "variant": f"{run.config['variant']} (docs/from-2015.md)",
        "optimizer": f"{flags.get('optimizer')}, minibatch size {flags.get('batch_size')}, lr {flags.get('lr')}",
        "float type": flags.get("dtype"),
        "seed": flags.get("seed"),
        "trained": run.describe_epoch(last["epoch"]) if last else "no epoch yet",
        "steps": f"{last['step']:.0f}" if "step" in last else "",
        "seconds": f"{last['seconds']:.0f}" if "seconds" in last else "",
        "skipped steps": f"{last['skipped_steps']:.0f}" if last.get("skipped_steps") else "",
        "versions": ", ".join(f"{name} {number}" for name, number in run.config["versions"].items()),
        "model": "",
    }
    properties |= {f"model: {name}": json.dumps(value) for name, value in list(model.items())[:MODEL_ROWS]}
    return {name: str(text) for name, text in properties.items()}
