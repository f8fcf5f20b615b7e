"""`dpm reproduce`: make the paper's tables and figures, at the size that this machine can train."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpm.base.command_line import Parser, run_command
from dpm.base.errors import InputError
from dpm.cluster.address import parse_address
from dpm.reports.tables.rows import ROWS, TABLES, Row

if TYPE_CHECKING:
    from dpm.reports.tables.plan import Plan

PROG = "dpm reproduce"
BUDGET = 1.0
SAMPLES, SMALL_SAMPLES = 10_000, 20


def build_parser(prog: str = PROG) -> Parser:
    """Return the parser of the command."""
    top = Parser(
        prog=prog,
        description=str(__doc__).partition(": ")[2],
        examples=[
            ("table1 --rows heartbeat swissroll", "train both toy problems, and write docs/results/table1.md"),
            ("figures --small --runs new/runs --results new", "a miniature of the figures, in another folder"),
            ("table1 --cluster scheduler.json", "train the rows on the workers of a cluster, at the same time"),
        ],
    )
    pages = ("table1", "table2", "figures")
    top.add_argument("what", metavar="PAGE", choices=pages, help="table1, table2 or figures; it resumes where it was "
        "interrupted")  # fmt: skip
    add = top.group("what to make").add_argument
    add("--rows", nargs="+", metavar="NAME", help="make only these; the page shows what exists of the others (default: "
        "all rows of the page)")  # fmt: skip
    add(
        "--budget",
        type=float,
        metavar="HOURS",
        help=f"training of each row that does not end by itself (default: {BUDGET:g})",
    )
    add("--samples", type=int, metavar="N", help="table2: number of samples (default: 10,000, the paper's protocol)")
    add("--seed", type=int, default=0, help="seed of training and evaluation (default: %(default)s)")
    add("--small", action="store_true", help="a miniature of every row, which takes minutes and shows that it works")
    add = top.group("speed").add_argument
    add("--threads", type=int, metavar="N", help="microbatches computed in parallel (default: number of processors; "
        "with --cluster 1)")  # fmt: skip
    add("--cluster", metavar="ADDRESS", help="make the rows on the workers of a Dask cluster, which see the folder of "
        "the models: local[:N], tcp://HOST:PORT, tls://HOST:PORT or scheduler.json (docs/scaling.md)")  # fmt: skip
    add = top.group("output, in folders that are made if they do not exist").add_argument
    add("--runs", default="runs/paper", metavar="FOLDER", help="folder of the models (default: %(default)s)")
    add("--results", default="docs/results", metavar="FOLDER", help="folder of the page (default: %(default)s)")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    options = build_parser().parse_args(arguments)
    return run_command(PROG, lambda: reproduce(make_plan(options)))


def make_plan(options: argparse.Namespace) -> "Plan":
    """Return the checked options. Raises InputError for a value that is not accepted or would be ignored."""
    for name in options.rows or ():
        if name not in TABLES[options.what]:
            raise InputError(
                f"--rows: {name} is not a row of {options.what}; accepted: {', '.join(TABLES[options.what])}"
            )
    if options.budget is not None:
        if not 0 < options.budget < float("inf"):
            raise InputError(f"--budget: {options.budget} is not accepted; take a number of hours above 0")
        if options.small or end_by_themselves(options.what, options.rows):
            what = "a miniature" if options.small else " and ".join(options.rows)
            raise InputError(
                f"--budget {options.budget:g}: is not used for {what}, whose training ends by itself; leave it out"
            )
    if options.samples is not None and (options.what != "table2" or options.samples < 1):
        what = "is used for table2 only; leave it out" if options.what != "table2" else "take 1 or more"
        raise InputError(f"--samples {options.samples}: {what}")
    if options.seed < 0:
        raise InputError(f"--seed: {options.seed} is not accepted; take 0 or more")
    if options.threads is not None and options.threads < 1:
        raise InputError(f"--threads: {options.threads} is not accepted; take 1 or more")
    if options.cluster is not None:
        parse_address(options.cluster)
    from dpm.reports.tables.plan import Plan

    runs, results = (find_or_make_folder(f"--{name}", getattr(options, name)) for name in ("runs", "results"))
    return Plan(
        what=options.what,
        rows=options.rows,
        budget=options.budget or BUDGET,
        samples=options.samples,
        seed=options.seed,
        runs=runs,
        results=results,
        small=options.small,
        threads=options.threads,
        cluster=options.cluster,
    )


def find_or_make_folder(flag: str, name: str) -> Path:
    """Return a writable folder, made if it does not exist. Raises InputError, naming the flag, if it cannot be."""
    from dpm.base.atomic import writable_folder

    try:
        Path(name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{flag}: {name} cannot be made ({error.strerror}); give another folder") from None
    return writable_folder(flag, name)


def reproduce(plan: "Plan") -> int:
    """Make the rows and write the page; return 0, or 1 if a row failed."""
    from dpm.base.atomic import atomic_write
    from dpm.reports.tables.records import publish_records

    rows = [ROWS[name] for name in TABLES[plan.what]]
    records, failed, failures = [], False, make_on_workers(rows, plan)
    for i, row in enumerate(rows):
        print(f"row {i + 1} of {len(rows)}: {row.name}", flush=True)
        try:
            if row.name in failures:
                raise InputError(failures[row.name])
            record = find_or_make(row, plan)
        except InputError as error:
            record, failed = {"missing": f"failed: {error}"}, True
        if "missing" in record:
            print(record["missing"], file=sys.stderr)
        records.append(record)
    lines, complete = make_page(rows, records, plan)
    path = plan.results / f"{plan.what}.md"
    with atomic_write(path) as temporary:
        temporary.write_text("\n".join(lines).rstrip() + "\n")
    publish_records(rows, records, plan)
    print(f"written: {path}")
    return int(failed or not complete)


def make_on_workers(rows: list[Row], plan: "Plan") -> dict[str, str]:
    """Make the rows that were asked for and are left, if there is a cluster; return the errors of those that failed."""
    if plan.cluster is None:
        return {}
    from dpm.cluster.mapper import open_cluster_of
    from dpm.reports.tables import on_workers

    left = on_workers.choose_rows([row for row in rows if plan.requests(row)], plan)
    if not left:
        return {}
    with open_cluster_of(plan.cluster, quiet=False) as cluster:
        print(f"rows {', '.join(row.name for row in left)}: {on_workers.OUTPUT} in the folder of each has its output")
        return on_workers.make_rows(left, plan, cluster)


def find_or_make(row: Row, plan: "Plan") -> dict[str, Any]:
    """Return the record of a row, made if it was asked for; {"missing": why} if there is none."""
    from dpm.reports.tables import running
    from dpm.reports.tables.records import find_published, find_record

    if not plan.requests(row):
        return find_record(row, plan) or find_published(row, plan) or not_made(row, plan)
    if reason := running.missing_data(row):
        return {"missing": reason}
    return running.make_row(row, plan)


def not_made(row: Row, plan: "Plan") -> dict[str, Any]:
    """Return the record of a row that was neither made nor requested: the command that makes it."""
    return {"missing": f"not made: {format_page_command(plan, [row.name])}"}


def format_page_command(plan: "Plan", rows: Sequence[str] | None) -> str:
    """Return the command of this plan that makes the named rows, or all of the page."""
    from dpm.reports.tables import running

    words = [plan.what, *(["--rows", *rows] if rows else [])]
    usual = vars(build_parser().parse_args([plan.what])) | {"budget": BUDGET}
    if end_by_themselves(plan.what, rows):
        usual["budget"] = plan.budget  # is not accepted
    for name in ("budget", "samples", "seed", "threads", "cluster", "runs", "results"):
        if str(value := getattr(plan, name)) != str(usual[name]):
            words += [f"--{name}", f"{value:g}" if name == "budget" else str(value)]
    return running.format_command("reproduce", [*words, *(["--small"] if plan.small else [])])


def end_by_themselves(what: str, rows: Sequence[str] | None) -> bool:
    """Return True if training of all these rows, or of all rows of the page, needs no budget."""
    return all(ROWS[name].whole for name in rows or TABLES[what])


def make_page(rows: list[Row], records: list[dict[str, Any]], plan: "Plan") -> tuple[list[str], bool]:
    """Draw samples and figures; return the lines of the page, and whether all of it could be made."""
    from dpm.reports.tables import page
    from dpm.reports.tables.curves import make_curves
    from dpm.reports.tables.figures import FIGURES, make_figure

    command = format_page_command(plan, plan.rows)
    if plan.what == "table1":
        curves = make_curves(rows, records, plan)
        return page.make_table_1(rows, records, command, curves, plan.small), True
    if plan.what == "table2":
        windows = [add_parzen(row, record, plan) for row, record in zip(rows, records, strict=True)]
        return page.make_table_2(rows, windows, command, make_curves(rows, windows, plan), plan.small), True
    by_name = {row.name: (row, record) for row, record in zip(rows, records, strict=True)}
    figures = [make_figure(figure, *by_name[figure.row], plan) for figure in FIGURES]
    failed = any(file is None and reason.startswith("failed") for _, _, file, reason in figures)
    return page.make_figures(figures, records, rows, command, plan.small), not failed


def add_parzen(row: Row, record: dict[str, Any], plan: "Plan") -> dict[str, Any]:
    """Return the record with the Parzen window of its model, drawn again if the number of samples has changed.

    A row that was not asked for keeps the window that it has; without one it is missing.
    """
    from dpm.reports.tables import running
    from dpm.reports.tables.plan import row_folder
    from dpm.reports.tables.records import keep_record, read_result

    if not plan.requests(row):
        return record if "parzen" in record else not_made(row, plan)
    if "missing" in record:
        return record
    n = plan.samples or (SMALL_SAMPLES if plan.small else SAMPLES)
    if "parzen" not in record or record["parzen"]["samples"]["n"] != n:
        folder, flags = row_folder(row, plan), ("--n-samples", n)
        workers = () if plan.cluster is None else ("--cluster", plan.cluster)
        running.run("parzen", folder / record["checkpoint"], *flags, *workers, "--output-dir", folder)
        command = {"command": running.format_command("parzen", ("CHECKPOINT", *flags))}
        record = record | {"parzen": read_result(folder / "parzen.json") | command}
        keep_record(folder, record)
    return record
