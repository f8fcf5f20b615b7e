"""python -m dpm graph: the line that it prints, options and errors."""

import re

import pytest

from dpm.commands.graph import WHAT, build_parser, main
from dpm.reports.graphs.quantities import QUANTITIES
from tests.helpers import runs

TINY = f"spatial_width=8,{runs.MODEL}"


@pytest.fixture
def refused(capsys):
    """Return a function that runs the command, which must fail, and returns its error line."""

    def refused(*given):
        line = runs.refused(capsys, main, *given, progs=("dpm graph",))
        return line.removeprefix("dpm graph: error: ")

    return refused


@pytest.mark.parametrize("what", WHAT)
def test_one_line_says_what_was_written(tmp_path, capsys, what):
    path = tmp_path / "graph.html"
    assert main(["--what", what, "--model-args", TINY, "--html", str(path)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    pattern = (
        r"(.*) \(0\.\d MB\): (\d+) nodes in (\d+) groups, rewritten (\d+) nodes in (\d+) groups; open it in a browser"
    )
    name, *counts = re.fullmatch(pattern, line).groups()
    before, groups, after, groups_after = map(int, counts)
    assert name == str(path)
    assert before > after > 0
    assert before > groups > groups_after > 0
    assert "as built" in path.read_text()


def test_a_run_is_drawn_with_its_own_model(tmp_path, trained, capsys):
    path = tmp_path / "graph.html"
    assert main([str(trained.parent), "--html", str(path), "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    text = path.read_text()
    assert trained.parent.name in text
    assert f"float32 ({runs.BATCH}, 1, {runs.WIDTH}, {runs.WIDTH})" in text


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--what", "L"], "argument --what: invalid choice: 'L'"),
        (["--html", "nowhere/graph.html"], "--html: the folder nowhere does not exist"),
        (["--html", "graph.png"], "--html: graph.png is not accepted"),
        (["--experiment", "nothing"], "--experiment: 'nothing' is unknown"),
        (["--model", "nothing"], "--model: 'nothing' is unknown"),
        (["--model-args", "nothing=1"], "model argument 'nothing' is unknown"),
        (["--model-args", "n_scales=8"], "n_scales: 8 scales halve the images"),
        (["run", "--model", "paper-2015"], "--model: the run run has its own model; leave one out"),
        (["no-run"], "no such file"),
    ],
)
def test_a_mistake_is_one_line(refused, tmp_path, monkeypatch, given, message):
    monkeypatch.chdir(tmp_path)
    assert message in refused(*given)
    assert list(tmp_path.iterdir()) == []


def test_the_arguments_of_the_model_are_listed(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--model-args", "help", "--experiment", "swissroll"])
    assert not stop.value.code
    assert "learn_beta" in capsys.readouterr().out


def test_each_choice_is_a_quantity():
    assert tuple(QUANTITIES) == WHAT
    assert build_parser().parse_args([]).what == "K"
