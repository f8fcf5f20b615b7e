"""Reading run folders: numbers as written, files of earlier versions, and errors."""

import json
import math

import pytest

from dpm.base.errors import InputError
from dpm.likelihood.result import Bound
from dpm.reports.html.runs import MAX_POINTS, read_config, read_run, read_runs
from tests.helpers import report_folders as folders


def test_numbers_match_the_files(tmp_path):
    run = read_run(folders.make(tmp_path / "a", n=4))
    assert run.bound() == (0.4 - 2, 0.4, None, 4, "as last logged, one t per test example")
    assert run.columns()["train_K_minus_L_null"] == [e / 10 - 0.1 for e in (1, 2, 3, 4)]
    assert (run.unit, run.has_vectors) == ("bits/pixel", False)


def test_result_json_takes_precedence_over_the_log(tmp_path):
    folder = folders.make(tmp_path / "a", settings=folders.config("swissroll", "swissroll"))
    result = {"K": 2.5, "K_minus_L_null": 6.6, "standard_error": 0.01, "epoch": 3}
    (folder / "result.json").write_text(json.dumps(result))
    run = read_run(folder)
    assert run.bound() == (2.5, 6.6, 0.01, 3, "sum over all t")
    assert run.unit == "bits/example"


def test_result_json_of_today_says_how_K_was_evaluated(tmp_path):
    folder = folders.make(tmp_path / "a")
    found = Bound(2.5, 6.6, 0.01, 0.02, "bits/pixel", 20, 2, 9, 0, "test")
    (folder / "result.json").write_text(json.dumps({"epoch": 3} | found.as_json()))
    assert read_run(folder).bound() == (2.5, 6.6, 0.02, 3, found.describe_errors())


@pytest.mark.parametrize("evaluation", [3, {}, {"split": "test", "n_examples": "many"}])
def test_result_json_with_another_evaluation_is_refused(tmp_path, evaluation):
    folder = folders.make(tmp_path / "a")
    content = Bound(2.5, 6.6, 0.01, 0.02, "bits/pixel", 20, 2, 9, 0).as_json() | {"epoch": 3, "evaluation": evaluation}
    (folder / "result.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"result\.json: was not written by dpm train"):
        read_run(folder)


def test_exact_log_likelihood_and_ceiling_are_relative_to_L_null(tmp_path):
    folder = folders.make(tmp_path / "a", n=0)
    line = folders.rows(1)[0]
    (folder / "log.csv").write_text(f"{folders.HEADER},truth,ceiling\n{line},3,2.5\n")
    columns = read_run(folder).columns()
    assert columns["truth"] == pytest.approx([5])  # L_null is -2
    assert columns["ceiling"] == pytest.approx([4.5])


def test_bound_is_that_of_the_last_finite_row(tmp_path):
    folder = folders.make(tmp_path / "a", n=2)
    with (folder / "log.csv").open("a") as log:
        log.write("3,21,3.5,nan,nan,nan,nan,0.1,0\n")
    assert read_run(folder).bound()[3] == 2
    assert math.isnan(read_run(folder).columns()["test_K_minus_L_null"][-1])


def test_bound_of_the_log_has_its_standard_errors(tmp_path):
    folder = folders.make(tmp_path / "a", n=1)
    columns = folders.HEADER + ",test_draws_error,test_standard_error"
    (folder / "log.csv").write_text(f"{columns}\n{folders.rows(1)[0]},0.01,0.02\n")
    note = "standard error 0.0100 of the draws of t and noise, 0.0200 with the examples as a sample; as last logged"
    *numbers, found = read_run(folder).bound()
    assert numbers == pytest.approx([-1.9, 0.1, 0.02, 1])
    assert found == note


def test_run_that_ends_by_its_hours_has_no_number_of_epochs(tmp_path):
    """The log of a limited one says how many there will be."""
    for epochs, text in ((9, "epoch 3 of 9"), (10**6, "epoch 3")):
        settings = folders.config("bark", "BARK", epochs=epochs, hours=1.0)
        assert read_run(folders.make(tmp_path / f"{epochs}", settings=settings)).describe_epoch(3.0) == text


def test_long_log_is_thinned_and_keeps_its_last_row(tmp_path):
    epochs = read_run(folders.make(tmp_path / "a", n=2 * MAX_POINTS + 1)).columns()["epoch"]
    assert len(epochs) <= MAX_POINTS
    assert epochs[-1] == 2 * MAX_POINTS + 1


def test_run_without_a_log_has_no_bound(tmp_path):
    folder = folders.make(tmp_path / "a")
    (folder / "log.csv").unlink()
    assert read_run(folder).bound() is None


@pytest.mark.parametrize("name", ["corrected", "released"])
def test_config_of_an_earlier_version_is_read_under_todays_names(tmp_path, name):
    now = folders.config() | {"variant": name}
    earlier = folders.earlier_config() | {"face": {"corrected": "exact"}.get(name, name)}
    assert "variant" not in earlier
    assert "quantized" not in earlier["data"]
    for settings in (now, earlier):
        (tmp_path / "config.json").write_text(json.dumps(settings))
        assert read_config(tmp_path / "config.json") == now


def test_run_of_an_earlier_version_is_shown_like_one_of_today(tmp_path):
    earlier = read_run(folders.make(tmp_path / "a", settings=folders.earlier_config()))
    assert earlier.config == read_run(folders.make(tmp_path / "b")).config


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("config.json", "{", "is not JSON"),
        ("config.json", "[" * 100_000, "is not JSON"),
        ("config.json", "[]", "is not a JSON object"),
        ("config.json", '{"flags": {}}', "has no object 'data'; it was not written by dpm train"),
        ("config.json", json.dumps(folders.config() | {"variant": "x"}), "variant 'x' is unknown"),
        ("config.json", json.dumps(folders.config() | {"variant": None}), "variant None is unknown"),
        ("config.json", b"\xff\xfe", "config.json: is not a text file"),
        ("log.csv", "epoch,step\n1,2\n", "has no column test_K"),
        ("log.csv", folders.HEADER + "\n1,2,x,4,5,6,7,8,9\n", "line 2 is not a row of numbers"),
        ("log.csv", folders.HEADER + "\n1,2,3,4,5,6,7,8,9,10\n", "line 2 is not a row of numbers"),
        ("result.json", '{"K": "1"}', "K is '1'; expected a number"),
    ],
)
def test_invalid_file_is_named_in_the_error(tmp_path, name, text, message):
    folder = folders.make(tmp_path / "a")
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=message) as error:
        read_run(folder)
    assert name in str(error.value)


def test_invalid_folders_are_errors(tmp_path):
    a = folders.make(tmp_path / "a")
    for given, message in (([tmp_path], "no config.json"), ([tmp_path / "x"], "not a folder"), ([a, a], "given twice")):
        with pytest.raises(InputError, match=message):
            read_runs(given)
    with pytest.raises(InputError, match="got 9 folders; expected at most 8"):
        read_runs([a] * 9)
