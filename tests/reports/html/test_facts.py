"""What was trained, a row for each property."""

from dpm.reports.html.facts import facts
from dpm.reports.html.runs import read_run
from tests.helpers import report_folders as folders


def test_runs_stand_side_by_side_and_differences_are_marked(tmp_path):
    settings = [folders.config(lr=lr) for lr in (0.1, 0.2)]
    runs = [read_run(folders.make(tmp_path / f"r{i}", settings=s)) for i, s in enumerate(settings)]
    rows = {name: (cells, differ) for name, cells, differ in facts(runs)}
    assert rows["optimizer"] == (["adam, batch size 5, lr 0.1", "adam, batch size 5, lr 0.2"], True)
    assert rows["model: trajectory_length"] == (["10", "10"], False)
    assert rows["trained"] == (["3 of 9 epochs"] * 2, False)
    assert rows["versions"][0][0] == "dpm 0.1.0"
    assert "skipped steps" not in rows


def test_the_command_can_be_typed_again(tmp_path):
    run = read_run(folders.make(tmp_path / "a", settings=folders.config(suffix="two words")))
    assert facts([run])[0][1] == ["train.py --suffix 'two words'"]
