"""The table of settings: a row for each property, a cell for each run."""

from dpm.reports.html.facts import collect_facts
from dpm.reports.html.runs import read_run
from tests.helpers import report_folders as folders


def test_differences_between_runs_are_marked(tmp_path):
    settings = [folders.config(lr=lr) for lr in (0.1, 0.2)]
    runs = [read_run(folders.make(tmp_path / f"r{i}", settings=s)) for i, s in enumerate(settings)]
    rows = {name: (cells, differs) for name, cells, differs in collect_facts(runs)}
    assert rows["optimizer"] == (["adam, minibatch size 5, lr 0.1", "adam, minibatch size 5, lr 0.2"], True)
    assert rows["model: trajectory_length"] == (["10", "10"], False)
    assert rows["trained"] == (["epoch 3 of 9"] * 2, False)
    assert rows["versions"][0][0] == "dpm 0.1.0"
    assert rows["variant"] == (["corrected (docs/from-2015.md)"] * 2, False)
    assert "skipped steps" not in rows


def test_command_is_quoted_for_a_shell(tmp_path):
    run = read_run(folders.make(tmp_path / "a", settings=folders.config(suffix="two words")))
    assert collect_facts([run])[0][1] == ["train.py --suffix 'two words'"]
