"""A row of a table made: trained, evaluated, and what came out kept beside its runs."""

import hashlib
import json
import os
import platform
import shlex
import subprocess
import sys
from datetime import date
from pathlib import Path

from dpm import checkpoint
from dpm.cli import train_parser
from dpm.datasets.search import located
from dpm.errors import InputError
from dpm.files import write_json
from dpm.report.runs import read_json
from dpm.run_folder import NEWEST
from dpm.training import compile_functions, new_flags, prepared_loop
from dpm.training_data import prepared_data

RECORD = "row.json"
PROBE_HOURS = 1 / 60
TRAIN = ("-c", "import sys; from dpm.cli import train_main; sys.exit(train_main())")
SAMPLE = ("-c", "import sys; from dpm.cli import sample_main; sys.exit(sample_main())")


def run(program, *arguments):
    """Run one of our programs to its end; raises InputError where it fails. program: a tuple for Python, or a module.

    Its output goes where ours goes. A Ctrl-C is heard by both, and it is given the time to save what it has.
    """
    given = (*program, *map(str, arguments)) if isinstance(program, tuple) else ("-m", program, *map(str, arguments))
    print("$", shown(program, arguments), flush=True)
    process = subprocess.Popen([sys.executable, *given])
    try:
        status = process.wait()
    except KeyboardInterrupt:
        process.wait()
        raise
    if status:
        raise InputError(f"`{shown(program, arguments)}` ended with status {status}; what it said is above")


def shown(program, arguments):
    """The command as a person would type it."""
    names = {TRAIN: "train.py", SAMPLE: "sample.py"}
    return shlex.join(["python", *([names[program]] if program in names else ["-m", program]), *map(str, arguments)])


def folder_of(row, options):
    """Where the row's runs and figures are kept."""
    return Path(options.runs) / f"{row.name}{'-small' if options.small else ''}-seed{options.seed}"


def flags_of(flags):
    """(all flags, face) of a new run of train.py with these flags."""
    return new_flags(vars(train_parser().parse_args([*flags])))


def newest_checkpoint(folder):
    """The newest checkpoint.h5 of the runs in a folder, or None."""
    found = sorted(Path(folder).glob(f"*/{NEWEST}"), key=lambda path: path.stat().st_mtime_ns)
    return found[-1] if found else None


def trained(folder, flags, options, hours=None):
    """The checkpoint of a run in `folder`, trained until it ends or for so many hours in all, gone on with if begun.

    Raises InputError where it was stopped before that: train.py saves what it has, and ends as if all were well.
    """
    begun = newest_checkpoint(folder)
    limit = () if hours is None else ("--hours", f"{hours:g}")
    if begun:
        run(TRAIN, "--resume-file", begun, *limit)
    else:
        run(TRAIN, *flags, *limit, "--seed", options.seed, "--output-dir", folder)
    path = newest_checkpoint(folder)
    meta, _ = checkpoint.load_run(path)
    state, epochs = meta["state"], meta["config"]["flags"]["epochs"]
    timed_out = hours is not None and state["seconds"] >= 3600 * float(f"{hours:g}")
    if not (timed_out or (state["rows"] and state["rows"][-1]["epoch"] >= epochs)):
        raise InputError(f"{path}: training was stopped at step {state['step']}; the same command goes on with it")
    return path


def missing(row):
    """Why the row cannot be made here, or None."""
    if not row.needs or located(row.needs):
        return None
    return f"not made: {row.needs} is not here; python -m dpm.datasets fetch {row.needs.lower()}"


def made(row, options):
    """The record of a row: made, gone on with where it was interrupted, or as it was where there is nothing to do."""
    folder, (flags, evaluate) = folder_of(row, options), row.flags(options.small)
    folder.mkdir(parents=True, exist_ok=True)
    hours = None if row.whole or options.small else options.budget
    record = known(row, options)
    if "evaluation" in record and (hours is None or record["budget_hours"] >= hours):
        print(f"{row.name}: is there already, {folder / RECORD}")
    else:
        begun = {key: record[key] for key in ("given", "full") if key in record}
        keep(folder, begun)  # whatever is found in the folder from now on was made of these
        path = trained(folder, flags, options, hours)
        run("dpm.evaluate", path, *evaluate, "--seed", options.seed, "--output-dir", folder)
        record = (
            begun
            | {
                "row": row.name,
                "budget_hours": hours,
                "seed": options.seed,
                "date": f"{date.today():%Y-%m-%d}",
                "machine": machine(),
                "commands": [
                    shown(TRAIN, (*flags, *(("--hours", f"{hours:g}") if hours else ()), "--seed", options.seed)),
                    shown("dpm.evaluate", ("CHECKPOINT", *evaluate, "--seed", options.seed)),
                ],
                "checkpoint": str(path.relative_to(folder)),
                "evaluation": read_json(folder / "evaluation.json"),
            }
            | of_run(path)
        )
        keep(folder, record)
    if row.full and not options.small and "full" not in record:
        record["full"] = full_size(row)
        keep(folder, record)
    return record


def known(row, options):
    """What is on record of a row: {"given": what it is made of} alone where it has not been made to its end.

    Raises InputError where the record was made of something else: other flags, other data.
    """
    flags, evaluate = row.flags(options.small)
    all_flags, face = flags_of((*flags, "--quiet"))
    data = None if row.whole else prepared_data(all_flags, face, None)["hash"]
    given = {"train": [*flags], "evaluate": [*evaluate], "data": data}
    folder = folder_of(row, options)
    record = read_record(folder) or {"given": given}
    if others := [name for name in given if record["given"].get(name) != given[name]]:
        raise InputError(
            f"{folder / RECORD}: was made with other {' and '.join(others)} than it would be now; move {folder} away, "
            "or give another --runs, and the row is made anew"
        )
    return record


def keep(folder, record):
    """Write a row's record, with what tells whether it was changed."""
    write_json(folder / RECORD, record | {"sha256": digest(record)})


def read_record(folder):
    """What `keep` wrote in the folder, or None. Raises InputError where it was changed since."""
    path = Path(folder) / RECORD
    if not path.is_file():
        return None
    record = read_json(path)
    if record.pop("sha256", None) != digest(record):
        raise InputError(f"{path}: is damaged or was changed by hand; remove it, and the row is evaluated anew")
    return record


def digest(record):
    """SHA-256 of a record as JSON."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def of_run(path):
    """What a checkpoint tells of its training."""
    meta, arrays = checkpoint.load_run(path)
    state, config = meta["state"], meta["config"]
    parameters, _ = checkpoint.split(arrays)
    return {
        "seconds": state["seconds"],
        "steps": state["step"],
        "versions": config["versions"],
        "parameters": sum(value.size for value in parameters.values()),
        "trajectory_length": config["model"]["trajectory_length"],
        "batch_size": config["flags"]["batch_size"],
    }


def full_size(row):
    """The command of the paper's size, and the hours it would take at the speed of one minute of it.

    The paper does not say how long it trained; the hours are for so many pictures and epochs as the row names.
    """
    command = shown(TRAIN, (*row.full, "--epochs", row.epochs))
    print(f"{row.name}: one minute of `{command}`, to estimate its hours", flush=True)
    flags, face = flags_of((*row.full, "--quiet"))
    loop, data = prepared_loop(flags, face)
    compile_functions(loop, data["test"], flags)
    loop.hours = PROBE_HOURS
    if not loop.run():
        raise KeyboardInterrupt
    seconds = loop.state.seconds / (loop.state.step * loop.batch_size)
    hours = row.epochs * row.pictures * seconds / 3600
    return {"command": command, "hours": hours, "parameters": loop.compiled.layout.size}


def machine():
    """The processor and how many cores may be used."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        models = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = models[0] if models else name
    return f"{name}, {len(os.sched_getaffinity(0))} cores"
