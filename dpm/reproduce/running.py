"""A row of a table made: trained, evaluated, and what came out kept beside its runs."""

import os
import platform
import shlex
import subprocess
import sys
from datetime import date
from pathlib import Path

from dpm import checkpoint
from dpm.datasets.search import located
from dpm.errors import InputError
from dpm.files import write_json
from dpm.report.runs import read_json
from dpm.reproduce.rows import FOREVER
from dpm.run_folder import NEWEST

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
    """Where the row's runs and figures are kept; made if need be."""
    folder = Path(options.runs) / f"{row.name}{'-small' if options.small else ''}-seed{options.seed}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def newest_checkpoint(folder):
    """The newest checkpoint.h5 of the runs in a folder, or None."""
    found = sorted(Path(folder).glob(f"*/{NEWEST}"), key=lambda path: path.stat().st_mtime_ns)
    return found[-1] if found else None


def trained(folder, flags, options, hours=None):
    """The checkpoint of a run in `folder`, trained until it ends or for so many hours in all, gone on with if begun."""
    begun = newest_checkpoint(folder)
    limit = () if hours is None else ("--hours", f"{hours:g}")
    if begun:
        run(TRAIN, "--resume-file", begun, *limit)
    else:
        run(TRAIN, *flags, *limit, "--seed", options.seed, "--output-dir", folder)
    return newest_checkpoint(folder)


def missing(row):
    """Why the row cannot be made here, or None."""
    if not row.needs or located(row.needs):
        return None
    return f"not made: {row.needs} is not here; python -m dpm.datasets fetch {row.needs.lower()}"


def made(row, options):
    """The record of a row: made, gone on with where it was interrupted, or as it was where there is nothing to do."""
    folder = folder_of(row, options)
    hours = None if row.whole or options.small else options.budget
    record = read_record(folder)
    if record and (hours is None or record["budget_hours"] >= hours):
        print(f"{row.name}: is there already, {folder / RECORD}")
        return record
    flags = row.small if options.small else row.train
    path = trained(folder, flags, options, hours)
    evaluate = row.small_evaluate if options.small else row.evaluate
    run("dpm.evaluate", path, *evaluate, "--seed", options.seed, "--output-dir", folder)
    record = {
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
        "full": full_size(row, folder, options) if row.full and not options.small else None,
    } | of_run(path)
    write_json(folder / RECORD, record)
    return record


def read_record(folder):
    """What `made` kept in the folder, or None."""
    path = Path(folder) / RECORD
    return read_json(path) if path.is_file() else None


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


def full_size(row, folder, options):
    """The command of the paper's size, and the hours it would take at the speed of one minute of it.

    The paper does not say how long it trained; the hours are for so many pictures and epochs as the row names.
    """
    command = shown(TRAIN, (*row.full, "--epochs", row.epochs))
    place = folder / "full"
    place.mkdir(exist_ok=True)
    facts = of_run(newest_checkpoint(place) or trained(place, (*row.full, *FOREVER), options, PROBE_HOURS))
    seconds = facts["seconds"] / (facts["steps"] * facts["batch_size"])
    return {"command": command, "hours": row.epochs * row.pictures * seconds / 3600, "parameters": facts["parameters"]}


def machine():
    """The processor and how many cores may be used."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        models = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = models[0] if models else name
    return f"{name}, {len(os.sched_getaffinity(0))} cores"
