"""python -m dpm reproduce: errors, and a miniature of each page."""

import re
from pathlib import Path

import pytest

from dpm.base.errors import InputError
from dpm.commands.reproduce import PROG, build_parser, main, make_plan
from dpm.reports.tables import running
from tests.helpers import runs
from tests.helpers.reproduce_here import here


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["table3"], "table3"),
        (["table2", "--rows", "bark"], "--rows: bark is not a row of table2; accepted: mnist, mnist-one-layer"),
        (["table1", "--budget", "0"], "--budget: 0.0"),
        (["table1", "--samples", "5"], "--samples 5: is used for table2 only"),
        (["table2", "--samples", "0"], "--samples 0: take 1 or more"),
        (["table1", "--seed", "-1"], "--seed: -1"),
        (["table1", "--budget", "2", "--small"], "--budget 2: is not used for a miniature"),
        (["table1", "--budget", "2", "--rows", "heartbeat", "swissroll"], "is not used for heartbeat and swissroll"),
        (["table1", "--results", ".", "--runs", "a-file"], "--runs: a-file cannot be made"),
        (["table1", "--results", "a-file/x"], "--results: a-file/x cannot be made"),
    ],
)
def test_invalid_options_are_refused_in_one_line(given, named, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-file").touch()
    (tmp_path / "docs" / "results").mkdir(parents=True)
    assert named in runs.refused(capsys, main, *given, progs=(PROG,))


def test_folders_of_runs_and_results_are_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = make_plan(build_parser().parse_args(["table1", "--results", "new/results", "--runs", "new/runs"]))
    assert (plan.results, plan.runs) == (Path("new/results"), Path("new/runs"))
    assert plan.results.is_dir()
    assert plan.runs.is_dir()


def test_help_imports_nothing_heavy():
    runs.check_help("reproduce", "--budget")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder of all three pages; its models train without plots."""
    with pytest.MonkeyPatch.context() as patch:
        runs.share_compiled(patch)
        runs.without_plots(patch)
        here(patch)
        yield tmp_path_factory.mktemp("reproduce")


SHORT = ("heartbeat-paper", "mnist", "deadleaves")
LONG = ("heartbeat", "swissroll", "swissroll-paper", "bark", "cifar10")


def miniature(place, what, *flags):
    """Return the text of a miniature page; any failed row fails the test."""
    assert main([what, "--small", *flags, "--runs", str(place / "runs"), "--results", str(place)]) == 0
    return (place / f"{what}.md").read_text()


@pytest.mark.thorough
@pytest.mark.parametrize("names", [SHORT, pytest.param(LONG, marks=pytest.mark.slow)])
def test_table_1_has_a_miniature_of_every_row(place, names):
    text = miniature(place, "table1", "--rows", *names)
    assert "](table1_curves.png)" in text
    assert (place / "table1_curves.png").read_bytes().startswith(b"\x89PNG")
    for name in names:
        (line,) = re.findall(rf"^\| {name} \|.*", text, re.MULTILINE)
        assert re.search(r"\| -?\d+\.\d{3} \| -?\d+\.\d{3} \| \d+\.\d{3} \|", line) or "is not here" in line


def test_missing_row_is_named_with_its_command(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "make_row", lambda row, plan: {"missing": "nothing is trained here"})
    given = ["--small", "--seed", "3", "--runs", str(tmp_path), "--results", str(tmp_path)]
    assert main(["table1", "--rows", "bark", *given]) == 0
    text = (tmp_path / "table1.md").read_text()
    expected = f"python -m dpm reproduce table1 --rows mnist --seed 3 --runs {tmp_path} --results {tmp_path} --small"
    assert f"| mnist | not made: {expected} |" in text


def test_failed_row_is_reported_on_the_page_and_the_others_are_made(tmp_path, monkeypatch, capsys):
    def fail_one(row, plan):
        if row.name == "bark":
            raise InputError("`python train.py` ended with status 2")
        return {"missing": "nothing is trained here"}

    monkeypatch.setattr(running, "make_row", fail_one)
    assert main(["table1", "--small", "--runs", str(tmp_path), "--results", str(tmp_path)]) == 1
    text = (tmp_path / "table1.md").read_text()
    assert "| bark | failed: `python train.py` ended with status 2 |" in text
    assert text.count("nothing is trained here") >= 4


@pytest.mark.thorough
def test_table_2_uses_the_same_model(place):
    text = miniature(place, "table2", "--rows", "mnist")
    assert re.search(r"\| mnist \| -?\d+\.\d \| \d+\.\d \| .*; 20 samples", text)
    assert "| mnist-one-layer | not made: python -m dpm reproduce table2 --rows mnist-one-layer" in text


@pytest.mark.thorough
def test_page_shows_the_rows_of_another_machine(place, tmp_path, monkeypatch):
    """Rows whose models are not here come from their records next to the page, number by number."""
    monkeypatch.setattr(running, "make_row", lambda row, plan: {"missing": "nothing is trained here"})
    before = (place / "table1.md").read_text().splitlines()
    assert main(["table1", "--rows", "bark", "--small", "--runs", str(tmp_path), "--results", str(place)]) == 0
    after = (place / "table1.md").read_text().splitlines()
    for name in SHORT:
        (line,) = [line for line in before if line.startswith(f"| {name} |")]
        assert line in after
    assert "](table1_curves.png)" in "".join(after)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("rows", "numbers"), [(SHORT[::2], (2, 4)), pytest.param(LONG[2:4], (1, 2, 4, 5), marks=pytest.mark.slow)]
)
def test_figures_use_the_same_models(place, rows, numbers):
    text = miniature(place, "figures", "--rows", *rows)
    for number in numbers:
        assert f"](figure_{number}.png)" in text
        assert (place / f"figure_{number}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.thorough
def test_rows_not_requested_keep_their_place_on_the_page(place, monkeypatch):
    """Existing figures stay as they are, even if their data are no longer available."""
    given = ["--small", "--runs", str(place / "runs"), "--results", str(place)]
    before = (place / "figures.md").read_text().splitlines()
    drawn = []
    monkeypatch.setattr(running, "run", lambda *words: drawn.append(running.format_command(words[0], words[1:])))
    monkeypatch.setattr(running, "locate", lambda name: None)
    (place / "figure_4.png").unlink()
    assert main(["figures", "--rows", "deadleaves", *given]) == 0
    after = (place / "figures.md").read_text().splitlines()
    assert [line for line in after if "](figure_" in line] == [line for line in before if "](figure_" in line]
    assert len(drawn) == 1
    assert "deadleaves-small-seed0" in drawn[0]
    assert (place / "figure_4.png").exists()


@pytest.mark.thorough
def test_failed_figure_is_reported_and_the_others_are_drawn(place, monkeypatch, capsys):
    """The status is 1, and the page is written."""

    def fails(program, *words):
        raise InputError("`python sample.py` ended with status 2")

    monkeypatch.setattr(running, "run", fails)
    given = ["--small", "--runs", str(place / "runs"), "--results", str(place)]
    assert main(["figures", "--rows", "deadleaves", *given]) == 1
    text = (place / "figures.md").read_text()
    assert "failed: `python sample.py` ended with status 2." in text
    assert "](figure_2.png)" in text
