"""Format the pages of docs/results: the paper's numbers as printed, and below them the ones computed here."""

from collections.abc import Iterable, Sequence
from typing import Any

from dpm.experiments.published import TABLE_1, TABLE_2_DEAD_LEAVES, TABLE_2_MNIST
from dpm.likelihood.result import format_bound
from dpm.reports.tables.rows import Row

Record = dict[str, Any]  # content of row.json, or {"missing": why the row was not made}

PUBLISHED = {"swissroll": "swissroll", "swissroll-paper": "swissroll", "heartbeat": "heartbeat",
             "heartbeat-paper": "heartbeat", "bark": "BARK", "texture": "BARK", "deadleaves": "DEAD_LEAVES",
             "cifar10": "CIFAR10", "cifar10-learned": "CIFAR10", "cifar10-log-snr": "CIFAR10",
             "cifar10-levels": "CIFAR10"}  # fmt: skip
TITLES = {"table1": "Table 1", "table2": "Table 2", "figures": "Figures 1 to 5 and App.1"}
UNITS = (
    "Images: bits/pixel, for data scaled to mean 0 and variance 1. Points and sequences: bits per point or sequence."
)
EMPTY = ""


def make_table_1(
    rows: Sequence[Row], records: Sequence[Record], command: str, curves: str | None, small: bool
) -> list[str]:
    """Return the lines of table1.md.

    Args:
        rows: rows of the table.
        records: their records.
        command: that makes the page.
        curves: name of the image of `make_curves`, or None.
        small: the page has miniatures.
    """
    lines = [
        *format_head("table1", records, command, small),
        UNITS,
        "",
        format_row("", "model", "K", "K - L_null", "standard error", "training"),
        format_row(*["---"] * 6),
    ]
    published = None
    for row, record in zip(rows, records, strict=True):
        before, published = published, TABLE_1.get(PUBLISHED.get(row.name, ""))
        if published is None:
            lines.append(format_row("*paper: MNIST*", "no K, see Table 2", *[EMPTY] * 4))
        elif published is not before:  # once above all rows for it
            K, gain = format_number(published.K), format_number(published.K_minus_L_null)
            lines.append(format_row(f"*paper: {published.name}*", "as printed", K, gain, EMPTY, EMPTY))
        if "missing" in record:
            lines.append(format_row(row.name, record["missing"], *[EMPTY] * 4))
            continue
        K, gain = (format_number(get_value(record, row, key)) for key in ("K", "K_minus_L_null"))
        error, model = format_number(get_standard_error(record, row)), describe_model(row, record)
        lines.append(format_row(row.name, model, K, gain, error, describe_training(record)))
    return [*lines, *show_curves(curves), *list_commands(rows, records)]


def make_table_2(
    rows: Sequence[Row], records: Sequence[Record], command: str, curves: str | None, small: bool
) -> list[str]:
    """Return the lines of table2.md.

    Args:
        rows: models of digits.
        records: their records, with the result of `dpm parzen` as "parzen", or with "missing".
        command: that makes the page.
        curves: name of the image of `make_curves`, or None.
        small: the page has miniatures.
    """
    lines = [
        *format_head("table2", records, command, small),
        "Parzen window log likelihood of digits, in nats per image (the paper says bits, but its code computes natural "
        "logarithms).",
        "",
        format_row("MNIST", "log likelihood", "standard error", "model"),
        format_row(*["---"] * 4),
        *(format_row(f"*paper: {name}*", *values, "as printed") for name, values in TABLE_2_MNIST.items()),
        *(format_parzen(row, record) for row, record in zip(rows, records, strict=True)),
        "",
        format_row("Dead leaves", "bits/pixel", "model"),
        format_row(*["---"] * 3),
        *(format_row(f"*paper: {name}*", value, "as printed") for name, value in TABLE_2_DEAD_LEAVES.items()),
        "",
        "Table 1 has the diffusion model's K on dead leaves generated here. The paper's images, on which MCGSM was "
        "measured, are not available.",
    ]
    return [*lines, *show_curves(curves), *list_commands(rows, [add_command(record) for record in records])]


def show_curves(name: str | None) -> list[str]:
    """Return the lines of an image of K over the time of training, or none."""
    if name is None:
        return []
    text = "K - L_null of the test examples after each epoch of training, estimated as in the log"
    return ["", f"{text}; the bands are two standard errors of the draws of t and noise:", "", f"![{text}]({name})"]


def format_parzen(row: Row, record: Record) -> str:
    """Return the line of Table 2 of a model of digits."""
    if "missing" in record:
        return format_row(row.name, record["missing"], *[EMPTY] * 2)
    parzen = record["parzen"]
    data = parzen["data"]
    model = (
        f"{row.description}; {parzen['samples']['n']:,} samples; width {parzen['sigma']:.3g}, chosen on "
        f"{data['n_valid']:,} of the training digits; {record['training_pictures']:,} training and {data['n_test']:,} "
        f"test digits of {data['path'].rpartition('/')[2]}; {describe_training(record)}; {describe_bound(record, row)}"
    )
    return format_row(row.name, format_number(parzen["value"], 1), format_number(parzen["standard_error"], 1), model)


def add_command(record: Record) -> Record:
    """Return a record with the command of its Parzen window, if it has one."""
    if "parzen" not in record:
        return record
    return record | {"commands": [*record["commands"], record["parzen"]["command"]]}


def make_figures(
    figures: Iterable[tuple[str, str, str | None, Any]],
    records: Sequence[Record],
    rows: Sequence[Row],
    command: str,
    small: bool,
) -> list[str]:
    """Return the lines of figures.md.

    Args:
        figures: of each figure the title, the caption, the name of its file and the commands that made it; or None
            for the name and the reason in place of the commands.
        records: records of the rows.
        rows: rows of the figures.
        command: that makes the page.
        small: the page has miniatures.
    """
    lines = [
        *format_head("figures", records, command, small),
        "The samples are not selected. `sample.py` uses its default seed, 12345. CHECKPOINT stands for the checkpoint "
        "of the row named in the caption.",
        "",
    ]
    for title, caption, file, commands in figures:
        lines += [f"## {title}", "", caption, ""]
        if file is None:
            lines += [f"{commands}.", ""]
        else:
            lines += [f"![{title}: {caption}]({file})", "", "```", *commands, "```", ""]
    return lines[:-1] + list_commands(rows, records)


def format_head(name: str, records: Sequence[Record], command: str, small: bool) -> list[str]:
    """Return the first lines of a page: title, command, machines and versions."""
    lines = [
        f"# {TITLES[name]}",
        "",
        f"Written by `{command}`, the last of the commands that made it; every row has its own below. Rows named "
        "*paper* are as printed; the description of every other row says what it is.",
        "",
        "The same seed on the same machine gives the same numbers, except in rows that train for a time (`--hours`).",
        "",
    ]
    if small:
        lines += ["**A miniature: it shows that every row can be made. Its numbers mean nothing.**", ""]
    origins = dict.fromkeys(
        f"{record['date']}, {record['machine']}; {format_versions(record)}" for record in records if "date" in record
    )
    return [*lines, *(f"- {origin}" for origin in origins), ""]


def format_versions(record: Record) -> str:
    """Return the versions of the packages in one line."""
    return ", ".join(f"{name} {number}" for name, number in record["versions"].items())


def format_row(*cells: object) -> str:
    """Return a row of a Markdown table."""
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def format_number(value: float | None, digits: int = 3) -> str:
    """Return a number with the given decimals, or an empty cell for None."""
    return EMPTY if value is None else f"{value:.{digits}f}"


def get_value(record: Record, row: Row, key: str = "K") -> float:
    """Return K or K - L_null of a record, in the unit of its row."""
    return record["evaluation"]["scaled_units"][key][row.unit]


def get_standard_error(record: Record, row: Row) -> float:
    """Return the standard error of K, in the unit of its row."""
    return next(iter(record["evaluation"]["errors"].values()))[row.unit]


def describe_bound(record: Record, row: Row) -> str:
    """Return K and K - L_null of a record with their unit and standard error."""
    K, gain = (get_value(record, row, key) for key in ("K", "K_minus_L_null"))
    return format_bound(K, gain, row.unit, None, get_standard_error(record, row))


def describe_training(record: Record) -> str:
    """Describe the steps, the minibatch size and the time of training."""
    seconds = record["seconds"]
    time = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min" if seconds < 7200 else (
        f"{seconds / 3600:.1f} h")  # fmt: skip
    return f"{record['steps']:,} steps of {record['batch_size']}, {time}"


def describe_model(row: Row, record: Record) -> str:
    """Describe the data and the model of a row."""
    examples, _, place = record["evaluation"]["examples"].partition(" (")
    n = record.get("training_pictures")  # points and sequences are generated, not counted
    trained_on = f"{n:,} training images; " if n else ""
    levels = record["evaluation"].get("bits_per_dimension_of_8_bit_levels")
    coded = f"; {levels:.3f} bits/dimension of 8-bit levels" if levels is not None else ""
    return (
        f"{row.description}; {trained_on}T = {record['trajectory_length']}, {record['parameters']:,} parameters; "
        f"K of {examples} ({place.rstrip(')').rpartition('/')[2]}){coded}"
    )


def list_commands(rows: Sequence[Row], records: Sequence[Record]) -> list[str]:
    """Return the section with the commands of each row, and of the paper's size with an estimate of its hours."""
    lines = ["", "## Commands", ""]
    for row, record in zip(rows, records, strict=True):
        if "missing" in record:
            continue
        lines += [f"{row.name}:", "", "```", *record["commands"], "```", ""]
        if full := record.get("full"):
            lines += [f"At the paper's size: `{row.data}`, `{full['command']}`, {describe_hours(row, full)}.", ""]
    return lines


def describe_hours(row: Row, full: dict[str, Any]) -> str:
    """Describe how long training at the paper's size would take on this machine."""
    digits = 1 if full["hours"] < 10 else 0
    return (
        f"about {full['hours']:,.{digits}f} hours on this machine for {row.epochs} epochs of {row.images:,} images or "
        f"crops, at the speed of its first minute ({full['parameters']:,} parameters; the paper does not state how "
        "long it trained)"
    )
