"""Complete toy runs: their files, the bound with truth and ceiling, and resuming after a stop."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from dpm.base import progress
from dpm.commands.evaluate import main as evaluate
from dpm.commands.train import main as train_main
from dpm.experiments import exact, toys
from dpm.runs import checkpoint
from dpm.training import bernoulli_readouts, toy_extensions, variable_projection
from dpm.training import least_squares as refit
from tests.helpers import runs
from tests.training.test_resume import Stop

HEARTBEAT = "trajectory_length=12,hidden=6,layers=1"
PAPER_HEARTBEAT = f"form='paper',{HEARTBEAT}"
SWISSROLL = "trajectory_length=6,hidden=8,noise=0.1,schedule='even_log_snr'"
WITHOUT_PLOTS = ("--plots", "none")
PAPER_SWISSROLL = "form='paper',trajectory_length=6,hidden=8,noise=0.1"


@pytest.fixture(scope="module")
def made():
    """Return the folders of runs that were not stopped, by name, arguments and flags; do not write to them."""
    return {}


@pytest.fixture
def train(made, tmp_path_factory, monkeypatch):
    """Return a function that trains a small toy, once for the same flags, and returns its folder; stop: extension."""
    monkeypatch.setattr(refit, "EXAMPLES", 2000)
    monkeypatch.setattr(bernoulli_readouts, "EXAMPLES", 2000)
    monkeypatch.setattr(variable_projection, "EXAMPLES", 500)
    runs.share_compiled(monkeypatch)
    standard = toy_extensions.toy_extensions

    def run(name, arguments, *flags, stop=None):
        key = (name, arguments, *flags)
        if stop is None and key in made:
            return made[key]
        monkeypatch.setitem(toys.TOYS, name, replace(toys.TOYS[name], n_train=4000, n_test=500))
        monkeypatch.setattr(
            "dpm.training.run.toy_extensions", lambda *more: [*standard(*more), *([stop] if stop else [])]
        )
        out = tmp_path_factory.mktemp("out")
        words = "--experiment", name, "--model-args", arguments, "--batch-size", 1000, "--epochs", 2, "--quiet", *flags
        assert train_main([str(word) for word in (*words, "--output-dir", out)]) == 0
        (folder,) = out.iterdir()
        if stop is None:
            made[key] = folder
        return folder

    return run


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "arguments"), [("heartbeat", HEARTBEAT), ("heartbeat", PAPER_HEARTBEAT), ("swissroll", SWISSROLL)]
)
def test_run_writes_log_result_and_figure(train, name, arguments):
    folder = train(name, arguments)
    result = json.loads((folder / "result.json").read_text())
    assert result["unit"] == "bits/example"
    assert result["epoch"] == 2
    null = exact.heartbeat.L_null() if name == "heartbeat" else exact.swiss_roll.L_null()
    assert result["K"] - result["K_minus_L_null"] == pytest.approx(null, abs=1e-4)
    if name == "heartbeat":
        known = exact.heartbeat.log_likelihood()
    else:
        known, _ = exact.swiss_roll.log_likelihood(0.1, np.random.default_rng(0))
    assert result["truth"] == pytest.approx(known)
    assert result["K"] < result["ceiling"] + 4 * result["standard_error"]
    assert result["ceiling"] < result["truth"]
    rows = runs.rows(folder)
    assert [row["epoch"] for row in rows] == [1, 2]
    for row in rows:
        assert row["truth"] == pytest.approx(result["truth"])
        assert row["ceiling"] == pytest.approx(result["ceiling"])
    assert (folder / "plots/trajectories/trajectory_batch000008.png").stat().st_size > 10_000
    with np.load(folder / "arrays/entropies_batch000008.npz") as file:
        assert (file["lower"] < file["upper"]).all()
    with np.load(folder / "arrays/trajectory_batch000008.npz") as file:
        T = 12 if name == "heartbeat" else 6
        assert sorted(file) == sorted(["times", "x_0", f"x_{T // 2}", f"x_{T}"])
        assert file["x_0"].shape == (500, 20 if name == "heartbeat" else 2)
        if name == "heartbeat":
            assert set(np.unique(file["x_0"])) <= {0, 1}


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "arguments", "step"),
    [
        ("heartbeat", HEARTBEAT, 3),
        pytest.param("heartbeat", PAPER_HEARTBEAT, 3, marks=pytest.mark.slow),
        pytest.param("heartbeat", PAPER_HEARTBEAT, 4, marks=pytest.mark.slow),
        ("heartbeat", PAPER_HEARTBEAT, 6),  # the last epoch, steps 5 to 8, solves for the readouts
        pytest.param("swissroll", f"{SWISSROLL},learn_beta=True", 3, marks=pytest.mark.slow),
        ("swissroll", PAPER_SWISSROLL, 3),
    ],
)
def test_stopped_run_resumes_like_an_uninterrupted_run(train, monkeypatch, name, arguments, step):
    """Parameters, optimizer state and log agree bit for bit; the closed-form start is not repeated."""
    expected = train(name, arguments, *WITHOUT_PLOTS)
    folder = train(name, arguments, *WITHOUT_PLOTS, stop=Stop(step))
    assert checkpoint.load(folder / "checkpoint.h5")[0]["state"]["step"] == step
    monkeypatch.setattr("dpm.training.run.toy_extensions", toy_extensions.toy_extensions)
    assert train_main(["--resume-file", str(folder / "checkpoint.h5"), "--quiet"]) == 0
    (meta, arrays), (meta_expected, arrays_expected) = (
        checkpoint.load(f / "checkpoint.h5") for f in (folder, expected)
    )
    assert list(arrays) == list(arrays_expected)
    for path, array in arrays_expected.items():
        np.testing.assert_array_equal(arrays[path], array, err_msg=path)
    for state in (meta["state"], meta_expected["state"]):
        state["rows"] = [{k: str(v) for k, v in row.items() if k != "seconds"} for row in state["rows"]]  # NaN too
        del state["seconds"]
    assert meta["state"] == meta_expected["state"]


@pytest.mark.thorough
def test_each_phase_of_a_run_says_what_it_does(train, monkeypatch, capsys):
    """So no phase is silent, however long it lasts (tests/base/test_progress.py). The closed form states its effect."""
    monkeypatch.setattr(progress, "DELAY", 0.0)
    monkeypatch.setattr(progress, "LINE_INTERVAL", 0.0)
    train("swissroll", SWISSROLL, "--quiet", "false")
    printed = capsys.readouterr()
    assert "\r" not in printed.err
    phases = list(dict.fromkeys(line.partition(":")[0] for line in printed.err.splitlines()))
    assert phases == [
        "loading the program",
        "preparing data and model",
        "compiling",
        "exact log likelihood",
        "readouts in closed form",
        "training",
        "K of the test data",
        "ceiling of K under this schedule",
        "plot of the trajectories",
        "entropies of the reverse steps",
        "plot of the schedule",
        "plot of the log",
    ]
    (line,) = (line for line in printed.out.splitlines() if line.startswith("readouts solved in closed form"))
    before, after = (float(number) for number in re.findall(r"-?\d+\.\d+", line))
    assert before < 0.1 < after


@pytest.mark.thorough
def test_start_zero_leaves_the_readouts_to_training(train):
    """The first epoch begins at K of the readouts 0, below that of the closed form, and rises."""
    rows = {
        start: runs.rows(train("swissroll", SWISSROLL, *WITHOUT_PLOTS, "--start", start, "--ext-every-n", 1))
        for start in ("zero", "closed-form")
    }
    zero, solved = ([row["test_K"] for row in rows[start]] for start in ("zero", "closed-form"))
    assert zero[0] < zero[1] < solved[0]
    assert abs(solved[1] - solved[0]) < 0.1


@pytest.mark.thorough
def test_reported_epochs_have_more_draws_and_one_K_in_log_and_result(train):
    """Few times of each example at the epoch in between, 50 at the last one, which result.json states."""
    folder = train("heartbeat", HEARTBEAT, *WITHOUT_PLOTS)
    result, (first, last) = json.loads((folder / "result.json").read_text()), runs.rows(folder)
    assert result["evaluation"]["times_per_example"] == 50
    assert result["K"] == last["test_K"]
    assert result["draws_error"] == last["test_draws_error"] < first["test_draws_error"] / 3


@pytest.mark.thorough
def test_learned_schedule_has_the_ceiling_of_its_rates(train):
    folder = train("swissroll", f"{SWISSROLL},learn_beta=True", *WITHOUT_PLOTS, "--lr", 0.05, "--ext-every-n", 1)
    ceilings = [row["ceiling"] for row in runs.rows(folder)]
    assert ceilings[0] != ceilings[1]


@pytest.mark.thorough
def test_ceiling_of_a_learned_schedule_is_that_of_the_end(train):
    """It takes seconds, so the epochs between have NaN."""
    folder = train("swissroll", PAPER_SWISSROLL, *WITHOUT_PLOTS)
    first, last = (row["ceiling"] for row in runs.rows(folder))
    assert np.isnan(first)
    assert last == json.loads((folder / "result.json").read_text())["ceiling"]


@pytest.mark.thorough
def test_signal_during_the_closed_form_start_exits_at_once(train, monkeypatch, tmp_path, capsys):
    """There is no checkpoint to resume from yet: status 130, one line."""
    fit = refit.fit_step

    def interrupted(*arguments):
        Stop(0).after_batch(type("Loop", (), {"state": type("State", (), {"step": 0})}))
        return fit(*arguments)

    monkeypatch.setattr(refit, "fit_step", interrupted)
    (tmp_path / "out").mkdir()
    arguments = [
        "--experiment",
        "swissroll",
        "--model-args",
        SWISSROLL,
        "--output-dir",
        str(tmp_path / "out"),
        "--quiet",
    ]
    assert train_main(arguments) == 130
    assert capsys.readouterr().err == "dpm train: stopped\n"


def test_ceiling_and_truth_are_printed_with_their_unit_by_evaluate(train, tmp_path, capsys):
    folder = train("heartbeat", HEARTBEAT, *WITHOUT_PLOTS)
    result = json.loads((folder / "result.json").read_text())
    exact = (
        f"ceiling of K {result['ceiling']:.4f} bits/example; exact log likelihood {result['truth']:.4f} bits/example"
    )
    assert evaluate([str(folder), "--output-dir", str(tmp_path)]) == 0
    assert exact in capsys.readouterr().out.splitlines()
    written = json.loads((tmp_path / "evaluation.json").read_text())
    assert [written[name] for name in ("truth", "ceiling", "unit")] == [
        pytest.approx(result["truth"]), pytest.approx(result["ceiling"]), "bits/example"]  # fmt: skip
