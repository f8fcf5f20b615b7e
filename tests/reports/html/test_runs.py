"""Run folders read: numbers as written, and what is refused."""

import json
import math

import pytest

from dpm.base.errors import InputError
from dpm.reports.html.runs import MOST_POINTS, read_run, read_runs
from tests.helpers import report_folders as folders


def test_the_numbers_are_those_of_the_files(tmp_path):
    run = read_run(folders.make(tmp_path / "a", n=4))
    assert run.bound() == (0.4 - 2, 0.4, None, 4)
    assert run.columns()["train_K_minus_L_null"] == [e / 10 - 0.1 for e in (1, 2, 3, 4)]
    assert (run.unit, run.vectors) == ("bits/pixel", False)


def test_a_bound_of_all_t_goes_before_the_log(tmp_path):
    folder = folders.make(tmp_path / "a", settings=folders.config("swissroll", "swissroll"))
    result = {"K": 2.5, "K_minus_L_null": 6.6, "standard_error": 0.01, "epoch": 3}
    (folder / "result.json").write_text(json.dumps(result))
    run = read_run(folder)
    assert run.bound() == (2.5, 6.6, 0.01, 3)
    assert run.unit == "bits/example"


def test_truth_and_ceiling_are_shown_less_L_null(tmp_path):
    folder = folders.make(tmp_path / "a", n=0)
    line = folders.rows(1)[0]
    (folder / "log.csv").write_text(f"{folders.HEADER},truth,ceiling\n{line},3,2.5\n")
    columns = read_run(folder).columns()
    assert columns["truth"] == pytest.approx([5])  # L_null is -2
    assert columns["ceiling"] == pytest.approx([4.5])


def test_a_bound_that_is_not_finite_is_passed_over(tmp_path):
    folder = folders.make(tmp_path / "a", n=2)
    with (folder / "log.csv").open("a") as log:
        log.write("3,21,3.5,nan,nan,nan,nan,0.1,0\n")
    assert read_run(folder).bound()[3] == 2
    assert math.isnan(read_run(folder).columns()["test_K_minus_L_null"][-1])


def test_a_long_log_is_thinned_and_keeps_its_last_row(tmp_path):
    epochs = read_run(folders.make(tmp_path / "a", n=2 * MOST_POINTS + 1)).columns()["epoch"]
    assert len(epochs) <= MOST_POINTS
    assert epochs[-1] == 2 * MOST_POINTS + 1


def test_a_run_without_a_log_has_no_rows(tmp_path):
    folder = folders.make(tmp_path / "a")
    (folder / "log.csv").unlink()
    assert read_run(folder).bound() is None


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("config.json", "{", "is not JSON"),
        ("config.json", "[" * 100_000, "is not JSON"),
        ("config.json", "[]", "no list of names"),
        ("config.json", '{"flags": {}}', "was not written by train.py"),
        ("config.json", b"\xff\xfe", "is not a text"),
        ("log.csv", "epoch,step\n1,2\n", "has no column test_K"),
        ("log.csv", folders.HEADER + "\n1,2,x,4,5,6,7,8,9\n", "line 2 is not a row of numbers"),
        ("log.csv", folders.HEADER + "\n1,2,3,4,5,6,7,8,9,10\n", "line 2 is not a row of numbers"),
        ("result.json", '{"K": "1"}', "its K is '1'"),
    ],
)
def test_a_file_of_another_kind_is_named(tmp_path, name, text, told):
    folder = folders.make(tmp_path / "a")
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=told) as refusal:
        read_run(folder)
    assert name in str(refusal.value)


def test_folders_that_are_none_and_too_many_are_refused(tmp_path):
    a = folders.make(tmp_path / "a")
    for given, told in (([tmp_path], "no config.json"), ([tmp_path / "x"], "not a folder"), ([a, a], "given twice")):
        with pytest.raises(InputError, match=told):
            read_runs(given)
    with pytest.raises(InputError, match="9 folders given; up to 8"):
        read_runs([a] * 9)
