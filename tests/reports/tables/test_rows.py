"""Each row's commands are accepted, and every row that the paper's tables have is there."""

import shlex

import pytest

from dpm.commands.datasets import build_parser as datasets_parser
from dpm.commands.evaluate import check, parser
from dpm.commands.train import build_parser as train_parser
from dpm.experiments.published import TABLE_1
from dpm.reports.tables.page import PUBLISHED
from dpm.reports.tables.rows import ROWS, TABLES
from dpm.training.run import new_flags


def test_every_row_of_table_1_is_made():
    assert {PUBLISHED[name] for name in TABLES["table1"] if name in PUBLISHED} == set(TABLE_1)


@pytest.mark.parametrize("row", ROWS.values(), ids=lambda row: row.name)
@pytest.mark.parametrize("kind", ["train", "small", "full"])
def test_its_flags_of_training_are_accepted(row, kind):
    given = vars(train_parser().parse_args([*getattr(row, kind)]))
    flags, _ = new_flags(given)
    assert flags["experiment"] == (row.name if kind != "full" or row.full else None)


@pytest.mark.parametrize("row", ROWS.values(), ids=lambda row: row.name)
def test_its_flags_of_evaluation_are_accepted(row):
    for flags in (row.evaluate, row.small_evaluate):
        check(parser().parse_args(["checkpoint.h5", *flags]))


def test_a_row_that_does_not_end_by_itself_has_a_command_of_the_papers_size():
    for row in ROWS.values():
        assert bool(row.full) != row.whole
        assert not row.full or (shlex.join(row.full), row.pictures > 0) == (f"--experiment {row.name}", True)


@pytest.mark.parametrize("row", [row for row in ROWS.values() if row.full], ids=lambda row: row.name)
def test_the_command_that_gets_the_papers_data_is_accepted(row):
    words = shlex.split(row.data)
    assert words[:3] == ["python", "-m", "dpm", "datasets"]
    datasets_parser().parse_args(words[3:])
