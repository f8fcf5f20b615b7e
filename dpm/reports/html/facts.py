"""What was trained: a row for each property, a cell for each run."""

import json
import shlex

MODEL_ROWS = 40


def facts(runs):
    """(name, one text for each run, whether they differ) for each property, in the order of the page."""
    columns = [of_run(run) for run in runs]
    names = list(dict.fromkeys(name for column in columns for name in column))
    rows = [(name, [column.get(name, "") for column in columns]) for name in names]
    return [(name, cells, len(set(cells)) > 1) for name, cells in rows if any(cells)]


def of_run(run):
    """Property and text of one run."""
    flags, data, model = (run.config[part] for part in ("flags", "data", "model"))
    last = run.rows[-1] if run.rows else {}
    command = run.config.get("command", [])
    found = {
        "command": shlex.join(map(str, command)) if isinstance(command, list) else "",
        "data": f"{data.get('name')} ({data.get('path')})",
        "units": f"the model sees {data.get('scale')} x + {data.get('shift')}",
        "face": f"{run.config['face']} (docs/from-2015.md)",
        "optimizer": f"{flags.get('optimizer')}, batch size {flags.get('batch_size')}, lr {flags.get('lr')}",
        "float type": flags.get("dtype"),
        "seed": flags.get("seed"),
        "trained": f"{last['epoch']:g} of {flags.get('epochs')} epochs" if last else "no epoch yet",
        "steps": f"{last['step']:.0f}" if "step" in last else "",
        "seconds": f"{last['seconds']:.0f}" if "seconds" in last else "",
        "skipped steps": f"{last['skipped_steps']:.0f}" if last.get("skipped_steps") else "",
        "versions": ", ".join(f"{name} {number}" for name, number in run.config["versions"].items()),
        "model": "",
    }
    found |= {f"model: {name}": json.dumps(value) for name, value in list(model.items())[:MODEL_ROWS]}
    return {name: str(text) for name, text in found.items()}
