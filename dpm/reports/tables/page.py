"""The pages of docs/results: what the paper prints, and below it what was made here, named as what it is."""

from dpm.experiments.published import TABLE_1, TABLE_2_DEAD_LEAVES, TABLE_2_MNIST

PUBLISHED = {"swissroll": "swissroll", "heartbeat": "heartbeat", "bark": "BARK",
             "deadleaves": "DEAD_LEAVES", "cifar10": "CIFAR10"}  # fmt: skip
TITLES = {"table1": "Table 1", "table2": "Table 2", "figures": "Figures 1 to 5"}
UNITS = "Pictures: bits/pixel, scaled to mean 0 and variance 1; points and sequences: bits each."
DASH = ""


def head(name, records, options):
    """The first lines of a page."""
    size = " --small" if options.small else ""
    lines = [
        f"# {TITLES[name]}",
        "",
        f"Made by `python -m dpm reproduce {name}{size} --seed {options.seed}`, each row by the commands below; made "
        "again with the same seed on the same machine, the figures are the same where a row trains for a number of "
        "steps, and others where it trains for a time (`--hours`). Rows named *paper* are as printed; the others are "
        "what they say.",
        "",
    ]
    if options.small:
        lines += ["**A miniature: it shows that every row can be made. Its figures mean nothing.**", ""]
    return lines + about(records)


def about(records):
    """Date, machine and versions of the records."""
    kinds = dict.fromkeys(f"{r['date']}, {r['machine']}; {versions(r)}" for r in records if "date" in r)
    return [f"- {kind}" for kind in kinds] + [""]


def versions(record):
    return ", ".join(f"{name} {number}" for name, number in record["versions"].items())


def trained(record):
    """How a row was trained, in words."""
    seconds = record["seconds"]
    time = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min" if seconds < 7200 else (
        f"{seconds / 3600:.1f} h")  # fmt: skip
    return f"{record['steps']:,} steps of {record['batch_size']}, {time}"


def table_row(*cells):
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def number(value, digits=3):
    return DASH if value is None else f"{value:.{digits}f}"


def measured(record, row, key="K"):
    """A figure of a record in the unit of the table."""
    return record["evaluation"]["scaled_units"][key][row.unit]


def standard_error(record, row):
    return next(iter(record["evaluation"]["errors"].values()))[row.unit]


def table_1(rows, records, options):
    """The lines of table1.md. records: those of the rows, or for a row that was not made {"missing": why}."""
    lines = [
        *head("table1", records, options),
        UNITS,
        "",
        table_row("", "what it is", "K", "K - L_null", "standard error", "training"),
        table_row(*["---"] * 6),
    ]
    for row, record in zip(rows, records, strict=True):
        published = TABLE_1.get(PUBLISHED.get(row.name, ""))
        if published:
            values = number(published.K), number(published.K_minus_L_null)
            lines.append(table_row(f"*paper: {published.name}*", "as printed", *values, DASH, DASH))
        else:
            lines.append(table_row("*paper: MNIST*", "no K, see Table 2", DASH, DASH, DASH, DASH))
        if "missing" in record:
            lines.append(table_row(row.name, record["missing"], DASH, DASH, DASH, DASH))
            continue
        K, gain = measured(record, row), measured(record, row, "K_minus_L_null")
        lines.append(
            table_row(row.name, what(row, record), number(K), number(gain), number(standard_error(record, row)),
                      trained(record))
        )  # fmt: skip
    return lines + commands(rows, records)


def what(row, record):
    """What a row's model and data were."""
    examples, _, place = record["evaluation"]["examples"].partition(" (")
    n = record.get("training_pictures")  # not of points and sequences
    trained_on = f"{n:,} training pictures; " if n else ""
    return (
        f"{row.what}; {trained_on}T = {record['trajectory_length']}, {record['parameters']:,} parameters; "
        f"K of {examples} ({place.rstrip(')').rpartition('/')[2]})"
    )


def commands(rows, records):
    """The commands of each row, and of the paper's size with the hours it would take."""
    lines = ["", "## Commands", ""]
    for row, record in zip(rows, records, strict=True):
        if "missing" in record:
            continue
        lines += [f"{row.name}:", "", "```", *record["commands"], "```", ""]
        if full := record.get("full"):
            lines += [f"Of the paper's size: `{row.data}`, `{full['command']}`, {estimate(row, full)}.", ""]
    return lines


def estimate(row, full):
    """How long the paper's size would take here, in words."""
    digits = 1 if full["hours"] < 10 else 0
    return (
        f"about {full['hours']:,.{digits}f} hours of this machine for {row.epochs} epochs of {row.pictures:,} pictures "
        f"or pieces, at the speed of its first minute ({full['parameters']:,} parameters; the paper does not say how "
        "long it trained)"
    )


def table_2(row, record, options):
    """The lines of table2.md. record: that of the digits, with its Parzen window."""
    parzen = record["parzen"]
    lines = [
        *head("table2", [record], options),
        "Parzen window log likelihood of digits, in nats an image (the paper says bits, but its code takes natural "
        "logarithms).",
        "",
        table_row("MNIST", "log likelihood", "standard error", "what it is"),
        table_row(*["---"] * 4),
    ]
    lines += [table_row(f"*paper: {name}*", *values, "as printed") for name, values in TABLE_2_MNIST.items()]
    data, samples = parzen["data"], parzen["samples"]
    lines += [
        table_row(
            "mnist", number(parzen["value"], 1), number(parzen["standard_error"], 1),
            f"{samples['n']:,} samples, width {parzen['sigma']:.3g} by {data['n_valid']:,} of the training digits; "
            f"{record['training_pictures']:,} training and {data['n_test']:,} test digits of "
            f"{data['path'].rpartition('/')[2]}; {trained(record)}",
        ),
        "",
        f"K - L_null of the same model: {number(measured(record, row, 'K_minus_L_null'))} bits/pixel.",
        "",
        table_row("Dead leaves", "bits/pixel", "what it is"),
        table_row(*["---"] * 3),
        *(table_row(f"*paper: {name}*", value, "as printed") for name, value in TABLE_2_DEAD_LEAVES.items()),
        "",
        "The diffusion model's K on dead leaves made here is in Table 1; the paper's own pictures, on which MCGSM was "
        "measured, are not to be had.",
    ]  # fmt: skip
    return lines + commands([row], [record | {"commands": [*record["commands"], parzen["command"]]}])


def figures(shown, records, rows, options):
    """The lines of figures.md. shown: (title, what it is, file name or None, commands or why there are none)."""
    lines = head("figures", records, options)
    for title, words, file, told in shown:
        lines += [f"## {title}", "", words, ""]
        if file is None:
            lines += [f"{told}.", ""]
        else:
            lines += [f"![{title}: {words}]({file})", "", "```", *told, "```", ""]
    return lines + commands(rows, records)
