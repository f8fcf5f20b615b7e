"""python -m dpm report: options, errors and imports."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from dpm.commands.report import main
from tests.helpers import report_folders as folders
from tests.helpers import runs

ROOT = Path(__file__).parents[2]


@pytest.fixture
def refused(capsys):
    """Return a function that runs the command, which must fail, and returns its error line."""

    def refused(*given):
        line = runs.refused(capsys, main, *given, progs=("dpm report",))
        return line.removeprefix("dpm report: error: ")

    return refused


def test_help_imports_nothing_heavy():
    script = (
        "import sys\nfrom dpm.commands.report import main\n"
        "try:\n main(['--help'])\nexcept SystemExit:\n pass\n"
        "print({'numpy', 'pytensor', 'jax', 'matplotlib', 'bokeh', 'jinja2'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.stderr == "set()\n"
    assert "--watch" in done.stdout


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "the following arguments are required: RUN"),
        (["--output", "a.txt"], "--output: a.txt is not accepted"),
        (["--output", "nowhere/a.html"], "--output: the folder nowhere does not exist"),
        (["--port", "1"], "--port 1 is for --watch"),
        (["--watch", "--port", "70000"], "--port: 70000 is not accepted"),
        (["--watch", "--output", "a.html"], "--output is not used by --watch"),
        (["--watch", "--backend", "c"], "--backend is not used by --watch"),
        (["--no-model", "--data-path", "x"], "--data-path is not used with --no-model"),
        (["--no-model", "--backend", "c"], "--backend is not used with --no-model"),
    ],
)
def test_options_that_contradict_are_one_line(refused, tmp_path, given, message):
    run = [folders.make(tmp_path / "run")] if given else []
    assert message in refused(*run, *given)


@pytest.mark.parametrize("package", ["bokeh", "jinja2"])
def test_missing_package_is_named_with_its_extra(refused, tmp_path, monkeypatch, package):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == package else find(name, *a))
    line = refused(folders.make(tmp_path / "run"))
    assert line == f"the package {package} is not installed; pip install '.[report]'"


def test_unloadable_model_is_reported_and_the_page_is_written(tmp_path, capsys):
    folder, output = folders.make(tmp_path / "run"), tmp_path / "report.html"
    assert main([str(folder), "--output", str(output)]) == 1
    printed = capsys.readouterr()
    assert "the model was not evaluated" in printed.err
    assert "holds no checkpoint.h5" in output.read_text()
    assert printed.out.startswith(f"1 run: {output} (")


def test_checkpoint_means_its_run_folder(tmp_path, capsys):
    folder, output = folders.make(tmp_path / "run"), tmp_path / "report.html"
    assert main([str(folder / "checkpoint.h5"), "--no-model", "--output", str(output)]) == 0
    assert capsys.readouterr().out.startswith(f"1 run: {output} (")


def test_failed_page_keeps_the_old_one(refused, tmp_path):
    folder, output = folders.make(tmp_path / "run"), tmp_path / "report.html"
    output.write_text("old")
    (folder / "samples_t0000_batch000001.npz").write_text("no archive")
    assert "samples_t0000" in refused(folder, "--no-model", "--output", output)
    assert output.read_text() == "old"


def test_the_page_of_other_runs_is_replaced_only_by_its_name(refused, tmp_path, monkeypatch):
    """A page of more runs may replace that of some of them."""
    monkeypatch.chdir(tmp_path)
    a, b = (str(folders.make(tmp_path / name)) for name in ("a", "b & c"))
    page = tmp_path / "report.html"
    for given in ([b], [b], [a, b]):
        assert main([*given, "--no-model", "--quiet"]) == 0
    before = page.read_bytes()
    assert "report.html: is the page of another run, a; give --output" in refused(b, "--no-model")
    assert page.read_bytes() == before
    assert main([b, "--no-model", "--quiet", "--output", "report.html"]) == 0
    assert page.read_bytes() != before
