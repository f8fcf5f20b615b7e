"""Make a row of a table: train, evaluate, and keep the result next to its runs."""

import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from signal import SIGHUP, SIGTERM
from typing import Any

from dpm.base.errors import InputError
from dpm.base.process import forward_signals
from dpm.datasets.search import locate
from dpm.likelihood.result import finite_or_none
from dpm.reports.html.runs import read_json
from dpm.reports.tables.plan import Plan, row_folder
from dpm.reports.tables.records import RECORD, advise_moving, find_record, keep_record, read_result, row_flags
from dpm.reports.tables.rows import Row
from dpm.runs import checkpoint
from dpm.runs.data import RunData, load_data
from dpm.runs.flags import parse_flags
from dpm.runs.folder import NEWEST
from dpm.runs.settings import CHANGEABLE, Settings, complete_saved
from dpm.training.building import build_recipe

SPEED = "speed.json"
SCRIPTS = {"train": "train.py", "sample": "sample.py"}  # under these names at the root of the repository
SPEED_MODULE = "dpm.reports.tables.speed"


def run(program: str, *arguments: object) -> None:
    """Run a program to its end; raise InputError if it fails.

    Its output goes where ours goes. Both receive a Ctrl-C, other signals that end this process are passed on, and the
    program is given the time to save its state.

    Args:
        program: a command of dpm, or "speed".
        *arguments: its arguments.
    """
    module = (SPEED_MODULE,) if program == "speed" else ("dpm", program)
    print("$", format_command(program, arguments), flush=True)
    process = subprocess.Popen([sys.executable, "-m", *module, *map(str, arguments)])
    try:
        with forward_signals(process.pid, SIGTERM, SIGHUP):
            status = process.wait()
    except KeyboardInterrupt:
        process.wait()
        raise
    if status:
        raise InputError(f"`{format_command(program, arguments)}` ended with status {status}; its output is above")


def format_command(program: str, arguments: Iterable[object]) -> str:
    """Return the command as a person would type it."""
    start = [SCRIPTS[program]] if program in SCRIPTS else ["-m", "dpm", program]
    return shlex.join(["python", *start, *map(str, arguments)])


def read_flags(flags: Iterable[str]) -> Settings:
    """Return the settings of a new run with these flags of train.py. Raises InputError as train.py does."""
    return Settings.from_arguments(**parse_flags([*flags]))


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the newest checkpoint.h5 of the runs in a folder, or None."""
    paths = sorted(Path(folder).glob(f"*/{NEWEST}"), key=lambda path: path.stat().st_mtime_ns)
    return paths[-1] if paths else None


def train(
    folder: Path, flags: tuple[str, ...], seed: int, hours: float | None = None, speed: tuple[str, ...] = ()
) -> Path:
    """Train a run in `folder`, or resume the one that is there; return its checkpoint.

    Args:
        folder: of the row.
        flags: of train.py.
        seed: of the run.
        hours: hours of training in all; None: until it ends.
        speed: further flags, which a resumed run may change.

    Raises:
        InputError: the run in the folder has other flags, or training was stopped: train.py then saves its state and
            ends with status 0.
    """
    present = newest_checkpoint(folder)
    limit = () if hours is None else ("--hours", f"{hours:g}")
    if present:
        meta, _ = checkpoint.load_run(present)
        check_flags(present, meta, (*flags, "--seed", str(seed)))
        run("train", "--resume-file", present, *limit, *speed, *begin_schedule(present, meta, hours))
    else:
        run("train", *flags, *limit, *speed, "--seed", seed, "--output-dir", folder)
    path = newest_checkpoint(folder)
    if path is None:
        raise InputError(f"{folder}: training left no {NEWEST}; its output is above")
    meta, _ = checkpoint.load_run(path)
    state, epochs = meta["state"], meta["config"]["flags"]["epochs"]
    timed_out = hours is not None and state["seconds"] >= 3600 * float(f"{hours:g}")
    if not (timed_out or (state["rows"] and state["rows"][-1]["epoch"] >= epochs)):
        raise InputError(f"{path}: training was stopped at step {state['step']}; the same command resumes it")
    return path


def begin_schedule(path: Path, meta: Any, hours: float | None) -> tuple[str, ...]:
    """Return the flags that restart the learning rate's schedule of a run that has used up its hours and gets more.

    Args:
        path, meta: checkpoint of the run.
        hours: hours of training in all, or None.
    """
    settings = Settings.from_checkpoint(meta["config"], path)
    if hours is None or settings.hours is None or hours <= settings.hours:
        return ()
    ended = build_recipe(settings).has_ended(0, None, meta["state"]["seconds"], settings.hours)
    return ("--lr-schedule", settings.lr_schedule) if ended else ()


def check_flags(path: Path, meta: Any, flags: tuple[str, ...]) -> None:
    """Raise InputError if the run of a checkpoint, with its meta, has other flags than these."""
    saved, expected = complete_saved(meta["config"]["flags"]), read_flags(flags).flags()
    # A run may change these and remain the same run. The source of the noise was chosen by the machine unless given.
    free = CHANGEABLE - {"epochs", "lr_schedule", "warmup"} | {"output_dir", "resume_file", "suffix"}
    free |= {"noise"} if expected["noise"] is None else set()
    if others := [key for key in expected if key not in free and saved[key] != expected[key]]:
        raise InputError(
            f"{path}: was made with different train flags ({', '.join(others)}); {advise_moving(path.parents[1])}"
        )


def missing_data(row: Row) -> str | None:
    """Return why the row cannot be made here, or None."""
    if not row.needs or locate(row.needs):
        return None
    return f"not made: {row.needs} is not here; python -m dpm datasets fetch {row.needs.lower()}"


def make_row(row: Row, plan: Plan) -> dict[str, Any]:
    """Return the record of a row: make it, resume it where it was interrupted, or read it if nothing is left to do."""
    folder, record = row_folder(row, plan), make_record(row, plan)
    if row.full and not plan.small and "full" not in record:
        try:
            record["full"] = estimate_full_size(row, folder)
            keep_record(folder, record)
        except InputError as error:  # the row is complete without it
            print(f"{row.name}: no estimate of the paper's size: {error}", file=sys.stderr)
    return record


def make_record(row: Row, plan: Plan) -> dict[str, Any]:
    """Return the record of a row as `make_row` does, without an estimate of the paper's size."""
    folder = row_folder(row, plan)
    folder.mkdir(parents=True, exist_ok=True)
    record = find_record(row, plan) or {}
    examples = describe_data(row, record, plan)
    if plan.threads is not None:
        # XLA reads it in the programs that are started: its sums depend on how many cores it sees.
        os.environ["NPROC"] = str(plan.threads)
    if is_complete(row, record, plan):
        print(f"{row.name}: is there already, {folder / RECORD}")
    else:
        record = train_and_evaluate(row, plan, hours_of(row, plan), record)
    record |= examples
    keep_record(folder, record)
    return record


def hours_of(row: Row, plan: Plan) -> float | None:
    """Return the hours of training of a row, or None if it ends by itself."""
    return None if row.whole or plan.small else plan.budget


def is_complete(row: Row, record: dict[str, Any], plan: Plan) -> bool:
    """Return True if nothing is left to train or to evaluate."""
    hours = hours_of(row, plan)
    return "evaluation" in record and (hours is None or record["budget_hours"] >= hours)


def train_and_evaluate(row: Row, plan: Plan, hours: float | None, record: dict[str, Any]) -> dict[str, Any]:
    """Train and evaluate a row; return its new record. record: the earlier one, of a smaller budget, or {}."""
    folder, (flags, evaluate) = row_folder(row, plan), row.flags(plan.small)
    path = train(folder, flags, plan.seed, hours, plan.speed)
    run("evaluate", path, *evaluate, *plan.speed, "--seed", plan.seed, "--output-dir", folder)
    facts = describe_run(path)
    if hours and facts["seconds"] > 1.01 * 3600 * hours:  # of a larger budget, which was interrupted
        hours = max(hours, round(facts["seconds"] / 3600, 3))
    full = {"full": record["full"]} if "full" in record else {}
    limit = ("--hours", f"{hours:g}") if hours else ()
    new = {
        "row": row.name,
        "given": row_flags(row, plan),
        "budget_hours": hours,
        "seed": plan.seed,
        "date": f"{date.today():%Y-%m-%d}",
        "machine": describe_machine(),
        "commands": [
            format_command("train", (*flags, *limit, *plan.speed, "--seed", plan.seed)),
            format_command("evaluate", ("CHECKPOINT", *evaluate, *plan.speed, "--seed", plan.seed)),
        ],
        "checkpoint": str(path.relative_to(folder)),
        "evaluation": read_result(folder / "evaluation.json"),
    }
    return new | facts | full


def hash_data(row: Row, plan: Plan) -> str:
    """Return the hash of a row's data; "" for toy data, which are generated."""
    return "" if row.whole else str(load_row_data(row, plan).hash)


def load_row_data(row: Row, plan: Plan) -> RunData:
    """Return the data of a row of images."""
    return load_data(read_flags((*row.flags(plan.small)[0], "--quiet")))


def describe_data(row: Row, record: dict[str, Any], plan: Plan) -> dict[str, Any]:
    """Return the number of training images of a row; {} for toy data, which are generated.

    Raises InputError if the record was made with other data than those present now.
    """
    if row.whole:
        return {}
    data = load_row_data(row, plan)
    if record and data.hash != record["data"]:
        folder = row_folder(row, plan)
        raise InputError(f"{folder / RECORD}: was made with different data; {advise_moving(folder)}")
    return {"training_pictures": len(data.train)}


def describe_run(path: Path) -> dict[str, Any]:
    """Return facts about a checkpoint's training."""
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
        "curve": describe_curve(state["rows"]),
    }


def describe_curve(log: Iterable[Mapping[str, Any]]) -> dict[str, list[float | None]]:
    """Return minutes of training, K - L_null of the test examples and the error of its draws after each epoch.

    A value that is not finite is None.
    """
    rows = [finite_or_none(row) for row in log]
    columns = {"K_minus_L_null": "test_K_minus_L_null", "draws_error": "test_draws_error"}
    curve = {key: [row[name] for row in rows] for key, name in columns.items()}
    return {"minutes": [row["seconds"] / 60 for row in rows]} | curve


def estimate_full_size(row: Row, folder: Path) -> dict[str, Any]:
    """Return the command of the paper's size, and the hours that it would take at the speed of one minute of it.

    The paper does not say how long it trained; the hours are for the number of images and epochs that the row names.
    Raises InputError if it cannot be trained here.
    """
    run("speed", folder / SPEED, *row.full)
    speed = read_json(folder / SPEED)
    return {
        "command": format_command("train", (*row.full, "--epochs", row.epochs)),
        "hours": row.epochs * row.images * speed["seconds_a_picture"] / 3600,
        "parameters": speed["parameters"],
    }


def describe_machine() -> str:
    """Return the processor and how many cores may be used."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        models = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = models[0] if models else name
    n = len(os.sched_getaffinity(0))
    return f"{name}, {n} core{'s' * (n > 1)}"
