"""Every row of the paper's tables exists, and its commands are accepted."""

import shlex

import pytest

from dpm.commands.datasets import build_parser as datasets_parser
from dpm.commands.evaluate import Options, build_parser, check_options
from dpm.experiments.published import TABLE_1
from dpm.reports.tables.page import PUBLISHED
from dpm.reports.tables.rows import ROWS, TABLES
from dpm.runs.flags import parse_flags
from dpm.runs.settings import Settings


def test_every_row_of_table_1_exists():
    assert {PUBLISHED[name] for name in TABLES["table1"] if name in PUBLISHED} == set(TABLE_1)


@pytest.mark.parametrize("row", ROWS.values(), ids=lambda row: row.name)
@pytest.mark.parametrize("kind", ["train", "small", "full"])
def test_training_flags_are_accepted(row, kind):
    settings = Settings.from_arguments(**parse_flags(getattr(row, kind)))
    assert settings.experiment == (row.name.partition("-")[0] if kind != "full" or row.full else None)


@pytest.mark.parametrize("row", ROWS.values(), ids=lambda row: row.name)
def test_evaluation_flags_are_accepted(row):
    for flags in (row.evaluate, row.small_evaluate):
        check_options(Options(**vars(build_parser().parse_args(["checkpoint.h5", *flags]))))


def test_row_with_a_budget_has_a_command_of_the_papers_size():
    for row in ROWS.values():
        assert bool(row.full) != row.whole
        assert not row.full or (row.full[:2], row.images > 0) == (("--experiment", row.name.partition("-")[0]), True)


def test_rows_of_one_data_set_have_the_same_arguments_at_every_size():
    """The rates of a row are those of its miniature and of the paper's size."""
    schedules = {
        "cifar10": "released",
        "cifar10-learned": "released-learned",
        "cifar10-log-snr": "log-snr",
        "cifar10-levels": "log-snr",
    }
    for name, schedule in schedules.items():
        row = ROWS[name]
        sizes = [Settings.from_arguments(**parse_flags(flags)) for flags in (row.train, row.small, row.full)]
        assert len({str({key: s.model_args.get(key) for key in ("schedule", "beta_1")}) for s in sizes}) == 1
        assert all(s.model_args["schedule"] == schedule for s in sizes)


@pytest.mark.parametrize("row", [row for row in ROWS.values() if row.full], ids=lambda row: row.name)
def test_data_command_is_accepted(row):
    words = shlex.split(row.data)
    assert words[:4] == ["python", "-m", "dpm", "datasets"]
    datasets_parser().parse_args(words[4:])
