"""python -m dpm reproduce: the paper's tables and figures, at the size that this machine can train."""

import shlex
import sys
from pathlib import Path

from dpm.base.atomic import atomic_write, writable_folder
from dpm.base.command_line import Parser, run_command
from dpm.base.errors import InputError

PROG = "dpm reproduce"
BUDGET = 1.0
SAMPLES, SMALL_SAMPLES = 10_000, 20


def parser():
    """The options."""
    top = Parser(prog=PROG, description=__doc__.partition(": ")[2])
    add = top.add_argument
    add("what", choices=("table1", "table2", "figures"), help="which page to make; it goes on where it was interrupted")
    add("--rows", nargs="+", metavar="NAME", help="make these alone; of the others the page shows what there is "
        "(default: all of the page)")  # fmt: skip
    add("--budget", type=float, metavar="HOURS",
        help=f"training of each row that does not end by itself (default: {BUDGET:g})")  # fmt: skip
    add("--samples", type=int, metavar="N", help="table2: how many to draw (default: 10,000, as the paper's protocol)")
    add("--seed", type=int, default=0, help="of training and evaluation (default: %(default)s)")
    add("--runs", default="runs/paper", metavar="FOLDER", help="where the models are kept (default: %(default)s)")
    add("--results", default="docs/results", metavar="FOLDER", help="where the page is written (default: %(default)s)")
    add("--small", action="store_true", help="a miniature of every row, which shows that it can be made, in minutes")
    return top


def main(arguments=None):
    """Run the command; returns the exit status."""
    options = parser().parse_args(arguments)
    return run_command(PROG, lambda: reproduce(options))


def reproduce(options):
    """Make the rows and write the page; returns 0, or 1 where a row failed."""
    check(options)
    from dpm.reports.tables.rows import ROWS, TABLES

    rows = [ROWS[name] for name in TABLES[options.what]]
    records, failed = [], False
    for i, row in enumerate(rows):
        print(f"row {i + 1} of {len(rows)}: {row.name}", flush=True)
        try:
            record = found(row, options)
        except InputError as error:
            record, failed = {"missing": f"failed: {error}"}, True
        if "missing" in record:
            print(record["missing"], file=sys.stderr)
        records.append(record)
    lines, complete = written(rows, records, options)
    path = Path(options.results) / f"{options.what}.md"
    with atomic_write(path) as temporary:
        temporary.write_text("\n".join(lines).rstrip() + "\n")
    print(f"written: {path}")
    return int(failed or not complete)


def found(row, options):
    """The record of a row, made if it is to be; {"missing": why} where there is none."""
    from dpm.reports.tables import running

    if row.name not in (options.rows or [row.name]):
        record = running.known(row, options)
        return record or {"missing": f"not made: {command_of(row, options)}"}
    if reason := running.missing(row):
        return {"missing": reason}
    return running.made(row, options)


def command_of(row, options):
    """The command that makes a row as these options would."""
    words = ["python", "-m", "dpm", "reproduce", options.what, "--rows", row.name]
    top = parser()
    for name in ("seed", "runs", "results"):
        if getattr(options, name) != top.get_default(name):
            words += [f"--{name}", str(getattr(options, name))]
    return shlex.join([*words, *(["--small"] if options.small else [])])


def written(rows, records, options):
    """(the lines of the page, whether all of it could be made); draws samples and figures first."""
    from dpm.reports.tables import page
    from dpm.reports.tables.figures import FIGURES, drawn

    if options.what == "table1":
        return page.table_1(rows, records, options), True
    if options.what == "table2":
        (row,), (record,) = rows, records
        if "missing" in record:
            raise InputError(f"table2: its one row: {record['missing']}")
        return page.table_2(row, with_parzen(row, record, options), options), True
    by_name = {row.name: (row, record) for row, record in zip(rows, records, strict=True)}
    shown = [drawn(figure, *by_name[figure[2]], options) for figure in FIGURES]
    failed = any(file is None and told.startswith("failed") for _, _, file, told in shown)
    return page.figures(shown, records, rows, options), not failed


def with_parzen(row, record, options):
    """The record with the Parzen window of its model; drawn anew where the number of samples is another."""
    from dpm.reports.html.runs import read_json
    from dpm.reports.tables import running

    n = options.samples or (SMALL_SAMPLES if options.small else SAMPLES)
    if "parzen" not in record or record["parzen"]["samples"]["n"] != n:
        folder, flags = running.folder_of(row, options), ("--n-samples", n)
        running.run("parzen", folder / record["checkpoint"], *flags, "--output-dir", folder)
        command = {"command": running.shown("parzen", ("CHECKPOINT", *flags))}
        record = record | {"parzen": read_json(folder / "parzen.json") | command}
        running.keep(folder, record)
    return record


def check(options):
    """Raise InputError for a value that is not accepted or would be ignored; complete the others."""
    from dpm.reports.tables.rows import ROWS, TABLES

    for name in options.rows or ():
        if name not in TABLES[options.what]:
            raise InputError(f"--rows: {name} is no row of {options.what}; accepted: {', '.join(TABLES[options.what])}")
    if options.budget is not None:
        if not 0 < options.budget < float("inf"):
            raise InputError(f"--budget: {options.budget} is not accepted; take a number of hours above 0")
        if options.small or all(ROWS[name].whole for name in options.rows or TABLES[options.what]):
            what = "a miniature" if options.small else " and ".join(options.rows)
            raise InputError(f"--budget {options.budget:g}: has no meaning for {what}, whose training ends by itself; "
                             "leave it out")  # fmt: skip
    options.budget = options.budget or BUDGET
    if options.samples is not None and (options.what != "table2" or options.samples < 1):
        what = "has a meaning for table2 alone; leave it out" if options.what != "table2" else "take 1 or more"
        raise InputError(f"--samples {options.samples}: {what}")
    if options.seed < 0:
        raise InputError(f"--seed: {options.seed} is not accepted; take 0 or more")
    writable_folder("--results", options.results)
    try:
        Path(options.runs).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--runs: {options.runs} cannot be made ({error.strerror}); give another folder") from None
    writable_folder("--runs", options.runs)


if __name__ == "__main__":
    sys.exit(main())
