"""Table 1 of the paper, and that a run is never taken for it."""

import pytest

from dpm.reports.html import paper
from dpm.reports.html.runs import read_run
from tests.helpers import report_folders as folders


@pytest.mark.parametrize(
    ("experiment", "name", "row"),
    [("swissroll", "swissroll", "Swiss Roll"), ("bark", "BARK", "Bark"), (None, "CIFAR10", "CIFAR-10")],
)
def test_a_run_has_a_line_of_its_own_with_its_size(tmp_path, experiment, name, row):
    settings = folders.config(experiment, name, small=True)
    run = read_run(folders.make(tmp_path / "mine", settings=settings))
    first, second = paper.compared([run])
    assert (first.source, first.what, first.published) == ("paper, Table 1", row, True)
    assert (second.source, second.published) == ("mine", False)
    assert second.what == f"{experiment or name} --small, T = 10, epoch 3 of 9, 21 steps"
    assert (second.K, second.L_null) == pytest.approx((0.3 - 2, -2))


@pytest.mark.parametrize(("name", "note"), [("MNIST", "refers to Table 2"), ("BARK_LIKE", "no K for these data")])
def test_other_data_have_no_line_of_the_paper(tmp_path, name, note):
    (line,) = paper.compared([read_run(folders.make(tmp_path / "mine", settings=folders.config(None, name)))])
    assert not line.published
    assert note in line.note


def test_runs_on_the_same_data_stand_below_one_line(tmp_path):
    settings = folders.config("heartbeat", "heartbeat")
    runs = [read_run(folders.make(tmp_path / name, n, settings)) for name, n in (("a", 1), ("b", 0))]
    lines = paper.compared(runs)
    assert [line.source for line in lines] == ["paper, Table 1", "a", "b"]
    assert lines[2].K is None
    assert "no bound measured yet" in lines[2].note
