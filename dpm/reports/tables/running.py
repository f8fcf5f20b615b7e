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

from dpm.base.atomic import write_json
from dpm.base.errors import InputError
from dpm.commands.train import build_parser as train_parser
from dpm.datasets.search import locate
from dpm.reports.html.runs import read_json
from dpm.runs import checkpoint
from dpm.runs.data import prepared_data
from dpm.runs.flags import TRAIN_FLAGS, check_numbers
from dpm.runs.folder import NEWEST
from dpm.training.run import new_flags

RECORD, SPEED = "row.json", "speed.json"
SCRIPTS = {"train": "train.py", "sample": "sample.py"}  # under these names at the root of the repository
SPEED_MODULE = "dpm.reports.tables.speed"


def run(program, *arguments):
    """Run one of our programs to its end; raises InputError where it fails. program: a command of dpm, or "speed".

    Its output goes where ours goes. A Ctrl-C is heard by both, and it is given the time to save what it has.
    """
    module = (SPEED_MODULE,) if program == "speed" else ("dpm", program)
    print("$", shown(program, arguments), flush=True)
    process = subprocess.Popen([sys.executable, "-m", *module, *map(str, arguments)])
    try:
        status = process.wait()
    except KeyboardInterrupt:
        process.wait()
        raise
    if status:
        raise InputError(f"`{shown(program, arguments)}` ended with status {status}; what it said is above")


def shown(program, arguments):
    """The command as a person would type it."""
    start = [SCRIPTS[program]] if program in SCRIPTS else ["-m", "dpm", program]
    return shlex.join(["python", *start, *map(str, arguments)])


def folder_of(row, options):
    """Where the row's runs and figures are kept."""
    return Path(options.runs) / f"{row.name}{'-small' if options.small else ''}-seed{options.seed}"


def flags_of(flags):
    """(all flags, face) of a new run of train.py with these flags. Raises InputError for what train.py refuses."""
    given = vars(train_parser().parse_args([*flags]))
    check_numbers(given)
    return new_flags(given)


def newest_checkpoint(folder):
    """The newest checkpoint.h5 of the runs in a folder, or None."""
    found = sorted(Path(folder).glob(f"*/{NEWEST}"), key=lambda path: path.stat().st_mtime_ns)
    return found[-1] if found else None


def trained(folder, flags, options, hours=None):
    """The checkpoint of a run in `folder`, trained until it ends or for so many hours in all, gone on with if begun.

    Raises InputError for a run of other flags, and where training was stopped before that: train.py saves what it has,
    and ends as if all were well.
    """
    begun = newest_checkpoint(folder)
    limit = () if hours is None else ("--hours", f"{hours:g}")
    if begun:
        check_flags(begun, (*flags, "--seed", str(options.seed)))
        run("train", "--resume-file", begun, *limit)
    else:
        run("train", *flags, *limit, "--seed", options.seed, "--output-dir", folder)
    path = newest_checkpoint(folder)
    meta, _ = checkpoint.load_run(path)
    state, epochs = meta["state"], meta["config"]["flags"]["epochs"]
    timed_out = hours is not None and state["seconds"] >= 3600 * float(f"{hours:g}")
    if not (timed_out or (state["rows"] and state["rows"][-1]["epoch"] >= epochs)):
        raise InputError(f"{path}: training was stopped at step {state['step']}; the same command goes on with it")
    return path


def check_flags(path, flags):
    """Raise InputError where the run of a checkpoint has other flags than these."""
    saved, expected = checkpoint.load_run(path)[0]["config"]["flags"], flags_of(flags)[0]
    # Those that a run may change without being another.
    free = {flag.key for flag in TRAIN_FLAGS if flag.on_resume and flag.key != "epochs"} | {"output_dir", "resume_file"}
    if others := [key for key in expected if key not in free and saved.get(key) != expected[key]]:
        raise InputError(
            f"{path}: is of other flags ({', '.join(others)}) than the row is now; {aside(path.parents[1])}"
        )


def aside(folder):
    """What to do with a row's folder that is not of this row."""
    return f"move {folder} away, or give another --runs, and the row is made anew"


def missing(row):
    """Why the row cannot be made here, or None."""
    if not row.needs or locate(row.needs):
        return None
    return f"not made: {row.needs} is not here; python -m dpm datasets fetch {row.needs.lower()}"


def made(row, options):
    """The record of a row: made, gone on with where it was interrupted, or as it was where there is nothing to do."""
    folder, (flags, evaluate) = folder_of(row, options), row.flags(options.small)
    folder.mkdir(parents=True, exist_ok=True)
    hours = None if row.whole or options.small else options.budget
    record = known(row, options) or {}
    examples = of_data(row, record, options)
    if "evaluation" in record and (hours is None or record["budget_hours"] >= hours):
        print(f"{row.name}: is there already, {folder / RECORD}")
    else:
        path = trained(folder, flags, options, hours)
        run("evaluate", path, *evaluate, "--seed", options.seed, "--output-dir", folder)
        facts = of_run(path)
        if hours and facts["seconds"] > 1.01 * 3600 * hours:  # of a larger budget, which was interrupted
            hours = max(hours, round(facts["seconds"] / 3600, 3))
        full = {"full": record["full"]} if "full" in record else {}
        record = {
            "row": row.name,
            "given": given(row, options),
            "budget_hours": hours,
            "seed": options.seed,
            "date": f"{date.today():%Y-%m-%d}",
            "machine": machine(),
            "commands": [
                shown("train", (*flags, *(("--hours", f"{hours:g}") if hours else ()), "--seed", options.seed)),
                shown("evaluate", ("CHECKPOINT", *evaluate, "--seed", options.seed)),
            ],
            "checkpoint": str(path.relative_to(folder)),
            "evaluation": read_json(folder / "evaluation.json"),
        }
        record |= facts | full
    record |= examples
    keep(folder, record)
    if row.full and not options.small and "full" not in record:
        try:
            record["full"] = full_size(row, folder)
            keep(folder, record)
        except InputError as error:  # the row is made all the same
            print(f"{row.name}: no estimate of the paper's size: {error}", file=sys.stderr)
    return record


def given(row, options):
    """The flags that a row is made of now."""
    flags, evaluate = row.flags(options.small)
    return {"train": [*flags], "evaluate": [*evaluate]}


def known(row, options):
    """What is on record of a row, or None. Raises InputError where it was made of other flags."""
    folder = folder_of(row, options)
    record, now = read_record(folder), given(row, options)
    if record and (others := [name for name in now if record["given"].get(name) != now[name]]):
        raise InputError(f"{folder / RECORD}: is of other flags of {' and '.join(others)} than now; {aside(folder)}")
    return record


def of_data(row, record, options):
    """What the row's data tell: how many training pictures; {} for points and sequences, drawn as they are needed.

    Raises InputError where the record is of other data than those that are there now.
    """
    if row.whole:
        return {}
    flags, variant = flags_of((*row.flags(options.small)[0], "--quiet"))
    data = prepared_data(flags, variant, None)
    if record and data["hash"] != record["data"]:
        folder = folder_of(row, options)
        raise InputError(f"{folder / RECORD}: is of other data than are there now; {aside(folder)}")
    return {"training_pictures": len(data["train"])}


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
        raise InputError(f"{path}: is damaged or was changed by hand; remove it, and the row is evaluated anew, or "
                         f"{aside(folder)}")  # fmt: skip
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
        "data": config["data"]["hash"],
        "parameters": sum(value.size for value in parameters.values()),
        "trajectory_length": config["model"]["trajectory_length"],
        "batch_size": config["flags"]["batch_size"],
    }


def full_size(row, folder):
    """The command of the paper's size, and the hours it would take at the speed of one minute of it.

    The paper does not say how long it trained; the hours are for so many pictures and epochs as the row names.
    Raises InputError where it cannot be trained here.
    """
    run("speed", folder / SPEED, *row.full)
    speed = read_json(folder / SPEED)
    return {
        "command": shown("train", (*row.full, "--epochs", row.epochs)),
        "hours": row.epochs * row.pictures * speed["seconds_a_picture"] / 3600,
        "parameters": speed["parameters"],
    }


def machine():
    """The processor and how many cores may be used."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        models = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = models[0] if models else name
    return f"{name}, {len(os.sched_getaffinity(0))} cores"
