"""The comparison table keeps the lines of the paper and of the runs apart."""

import pytest

from dpm.reports.html import paper
from dpm.reports.html.runs import read_run
from tests.helpers import report_folders as folders


@pytest.mark.parametrize(
    ("experiment", "name", "row"),
    [("swissroll", "swissroll", "Swiss Roll"), ("bark", "BARK", "Bark"), (None, "CIFAR10", "CIFAR-10")],
)
def test_run_has_its_own_line_below_the_paper_s(tmp_path, experiment, name, row):
    settings = folders.config(experiment, name, small=True)
    run = read_run(folders.make(tmp_path / "mine", settings=settings))
    first, second = paper.compare_with_paper([run])
    assert (first.source, first.model, first.published) == ("paper, Table 1", row, True)
    assert (second.source, second.published) == ("mine", False)
    assert second.model == f"{experiment or name} --small, T = 10, epoch 3 of 9, 21 steps"
    assert (second.K, second.L_null) == pytest.approx((0.3 - 2, -2))


@pytest.mark.parametrize(
    ("name", "note"), [("MNIST", "Table 2 has Parzen window estimates"), ("BARK_LIKE", "no K for these data")]
)
def test_data_that_the_paper_does_not_have_get_no_paper_line(tmp_path, name, note):
    (line,) = paper.compare_with_paper([read_run(folders.make(tmp_path / "mine", settings=folders.config(None, name)))])
    assert not line.published
    assert note in line.note


def test_runs_on_the_same_data_share_one_paper_line(tmp_path):
    settings = folders.config("heartbeat", "heartbeat")
    runs = [read_run(folders.make(tmp_path / name, n, settings)) for name, n in (("a", 1), ("b", 0))]
    lines = paper.compare_with_paper(runs)
    assert [line.source for line in lines] == ["paper, Table 1", "a", "b"]
    assert lines[2].K is None
    assert "K not measured yet" in lines[2].note
