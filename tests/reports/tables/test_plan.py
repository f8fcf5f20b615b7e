"""A plan names the rows that are made, and the folder of each."""

from dpm.reports.tables.plan import name_row, row_folder
from dpm.reports.tables.rows import ROWS
from tests.reports.tables.test_running import options

MNIST = ROWS["mnist"]


def test_only_named_rows_are_made():
    """Without --rows all of them are."""
    assert options("x").requests(MNIST)
    assert options("x", rows=["mnist"]).requests(MNIST)
    assert not options("x", rows=["bark", "mnist-one-layer"]).requests(MNIST)


def test_threads_are_passed_on_only_if_they_were_given():
    assert options("x").speed == ()
    assert options("x", threads=1).speed == ("--threads", "1")


def test_seeds_and_miniatures_have_folders_of_their_own(tmp_path):
    """So one --runs holds them side by side."""
    assert name_row(MNIST, options(tmp_path)) == "mnist-seed3"
    assert row_folder(MNIST, options(tmp_path, small=True, seed=4)) == tmp_path / "mnist-small-seed4"
