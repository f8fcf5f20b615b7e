"""python -m dpm.reproduce: the paper's tables and figures, at the size that this machine can train."""

import sys
from pathlib import Path

from dpm.cli import Parser, command
from dpm.errors import InputError
from dpm.files import replacing, writable_folder

PROG = "python -m dpm.reproduce"
SMALL_SAMPLES = 20


def parser():
    """The options."""
    top = Parser(prog=PROG, description=__doc__.partition(": ")[2], allow_abbrev=False)
    add = top.add_argument
    add("what", choices=("table1", "table2", "figures"), help="which page to make; it goes on where it was interrupted")
    add("--rows", nargs="+", metavar="NAME", help="these rows alone (default: all of the page)")
    add("--budget", type=float, default=1.0, metavar="HOURS",
        help="training of each row that does not end by itself (default: %(default)g)")  # fmt: skip
    add("--samples", type=int, metavar="N", help="table2: how many to draw (default: 10,000, as the paper's protocol)")
    add("--seed", type=int, default=0, help="of training and evaluation (default: %(default)s)")
    add("--runs", default="runs/paper", metavar="FOLDER", help="where the models are kept (default: %(default)s)")
    add("--results", default="docs/results", metavar="FOLDER", help="where the page is written (default: %(default)s)")
    add("--small", action="store_true", help="a miniature of every row, which shows that it can be made, in minutes")
    return top


def main(arguments=None):
    """Run the command; returns the exit status."""
    options = parser().parse_args(arguments)
    return command(PROG, lambda: reproduce(options))


def reproduce(options):
    """Make the rows and write the page; returns 0, or 1 where a row failed."""
    check(options)
    from dpm.reproduce import running
    from dpm.reproduce.rows import ROWS, TABLES

    rows = [ROWS[name] for name in TABLES[options.what] if name in (options.rows or ROWS)]
    records, failed = [], False
    for i, row in enumerate(rows):
        print(f"row {i + 1} of {len(rows)}: {row.name}", flush=True)
        reason = running.missing(row)
        if reason is None:
            try:
                records.append(running.made(row, options))
                continue
            except InputError as error:
                reason, failed = f"failed: {error}", True
        print(reason, file=sys.stderr)
        records.append({"missing": reason})
    lines = written(rows, records, options)
    path = Path(options.results) / f"{options.what}.md"
    with replacing(path) as temporary:
        temporary.write_text("\n".join(lines).rstrip() + "\n")
    print(f"written: {path}")
    return int(failed)


def written(rows, records, options):
    """The lines of the page; draws samples and figures first."""
    from dpm.reproduce import page
    from dpm.reproduce.figures import FIGURES, drawn

    if options.what == "table1":
        return page.table_1(rows, records, options)
    if options.what == "table2":
        if "missing" in records[0]:
            raise InputError(f"table2: its one row {records[0]['missing']}")
        return page.table_2(rows, records, parzen(rows[0], records[0], options), options)
    by_name = {row.name: (row, record) for row, record in zip(rows, records, strict=True)}
    found = [drawn(figure, *by_name[figure[2]], options) for figure in FIGURES if figure[2] in by_name]
    return page.figures(found, records, rows, options)


def parzen(row, record, options):
    """parzen.json of the row's model; drawn anew where the model is newer or the number of samples another."""
    from dpm.report.runs import read_json
    from dpm.reproduce import running

    folder = running.folder_of(row, options)
    checkpoint, n = folder / record["checkpoint"], options.samples or (SMALL_SAMPLES if options.small else 10_000)
    path = folder / "parzen.json"
    known = read_json(path) if path.is_file() else {"samples": {"n": 0}}
    if known["samples"]["n"] != n or path.stat().st_mtime_ns < checkpoint.stat().st_mtime_ns:
        running.run("dpm.parzen", checkpoint, "--n-samples", n, "--output-dir", folder)
        known = read_json(path)
    return known


def check(options):
    """Raise InputError for a value that is not accepted or would be ignored."""
    from dpm.reproduce.rows import TABLES

    for name in options.rows or ():
        if name not in TABLES[options.what]:
            raise InputError(f"--rows: {name} is no row of {options.what}; accepted: {', '.join(TABLES[options.what])}")
    if not 0 < options.budget < float("inf"):
        raise InputError(f"--budget: {options.budget} is not accepted; take a number of hours above 0")
    if options.samples is not None and (options.what != "table2" or options.samples < 1):
        what = "has a meaning for table2 alone; leave it out" if options.what != "table2" else "take 1 or more"
        raise InputError(f"--samples {options.samples}: {what}")
    if options.seed < 0:
        raise InputError(f"--seed: {options.seed} is not accepted; take 0 or more")
    Path(options.runs).mkdir(parents=True, exist_ok=True)
    writable_folder("--results", options.results)


if __name__ == "__main__":
    sys.exit(main())
