"""python -m dpm evaluate: errors before any file is read, and quick help."""

import json
import subprocess
import sys

import pytest

from dpm.commands.evaluate import PROG, check_earlier, main


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["--n-examples", "0"], "--n-examples: 0"),
        (["--t-per-example", "-1"], "--t-per-example: -1"),
        (["--seed", "-1"], "--seed: -1"),
        (["--batch-size", "201"], "--batch-size: 201"),
        (["--draws", "5"], "--draws 5"),
        (["--trajectories", "5", "--t-per-example", "2"], "--t-per-example 2"),
        (["--trajectories", "5", "--estimator", "exact"], "--estimator exact"),
        (["--estimator", "reference-2015", "--t-per-example", "2"], "--t-per-example 2"),
        (["--input", "a.npz", "--split", "train"], "--split train"),
        (["--input", "a.npz", "--data-path", "b"], "--data-path b"),
        (["--estimator", "2015"], "2015"),
        (["--n-examples", "few"], "few"),
    ],
)
def test_ignored_or_invalid_options_are_refused_in_one_line(given, named, capsys):
    try:
        status = main(["x.h5", *given])
    except SystemExit as stop:
        status = stop.code
    (line,) = capsys.readouterr().err.splitlines()
    assert (status, line.startswith(f"{PROG}: error: ")) == (2, True)
    assert named in line


def test_missing_file_is_one_line(capsys, tmp_path):
    assert main([str(tmp_path / "x.h5"), "--output-dir", str(tmp_path)]) == 2
    assert "no such file" in capsys.readouterr().err
    assert main([str(tmp_path / "x.h5"), "--output-dir", str(tmp_path / "absent")]) == 2
    assert "not a folder" in capsys.readouterr().err


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from dpm.commands import evaluate; evaluate.build_parser().format_help(); "
        "print([m for m in ('numpy', 'pytensor', 'jax', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_evaluation_of_another_checkpoint_is_not_replaced(capsys, tmp_path):
    """One of the same checkpoint is, and so is a file that is no evaluation."""
    written, mine = tmp_path / "evaluation.json", tmp_path / "mine.h5"
    written.write_text(json.dumps({"path": "/other/checkpoint.h5"}))
    assert main([str(mine), "--output-dir", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"--output-dir: {written} is the evaluation of another checkpoint, /other/checkpoint.h5; give" in line
    assert check_earlier(tmp_path / "log_likelihood.json", str(mine)) == str(mine)
    for text in (json.dumps({"path": str(mine)}), "{}", "[]", "no JSON"):
        written.write_text(text)
        assert check_earlier(written, str(mine)) == str(mine)
