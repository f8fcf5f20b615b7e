"""Training on a sum of subfunctions with frozen noise, and runs of SFO and L-BFGS."""

import itertools
import signal

import numpy as np
import pytest

from dpm.base import noise
from dpm.commands.train import main as train_main
from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.experiments.variants import CORRECTED
from dpm.model import DiffusionModel
from dpm.optimizers import SFO
from dpm.runs import checkpoint
from dpm.runs.setting_checks import FROZEN
from dpm.training.frozen_loop import SubfunctionLoop, default_number
from tests.helpers import runs
from tests.training.test_resume import Stop, assert_same

N = 4  # subfunctions of 15 images


@pytest.mark.parametrize(
    ("n", "expected"), [(400_000, 63), (50_000, 22), (40_000, 20), (4_000, 20), (1_500, 15), (100, 1), (60, 1), (1, 1)]
)
def test_default_number_of_subfunctions(n, expected):
    """sqrt(n) / 10, but at least 20 if each then has 100 examples."""
    assert default_number(n) == expected


@pytest.fixture(scope="module")
def loop():
    """Return a new float64 loop over 61 images in 7 subfunctions."""
    model = DiffusionModel(
        spatial_width=4,
        n_colors=1,
        trajectory_length=5,
        n_hidden_conv=2,
        n_layers_conv=1,
        n_hidden_dense_lower=0,
        n_hidden_dense_upper=3,
        n_temporal_basis=2,
        n_scales=1,
        n_t_per_minibatch=2,
    )
    compiled = CompiledModel(model, Engine("auto", "float64"))
    X = np.random.default_rng(0).standard_normal((61, 1, 4, 4))
    theta = compiled.start(np.random.default_rng(1))
    return SubfunctionLoop(compiled, theta, SFO, X, CORRECTED, 7, 2, seed=3)


def test_no_example_is_left_out(loop):
    assert sorted(np.concatenate(loop.parts)) == list(range(61))
    assert {len(part) for part in loop.parts} == {8, 9}


def test_subfunctions_are_deterministic(loop):
    theta = loop.theta + 0.1
    first = [loop.subfunction(theta, i) for i in range(7)]
    for i in reversed(range(7)):
        value, gradient, _ = loop.subfunction(theta.copy(), i)
        assert value == first[i][0]
        np.testing.assert_array_equal(gradient, first[i][1])


def test_each_subfunction_and_refresh_has_different_noise(loop, monkeypatch):
    drawn = []
    objective = loop.compiled.objective(18)

    def record(theta, *inputs):
        drawn.append(inputs)
        return objective(theta, *inputs)

    monkeypatch.setattr(loop.compiled, "objective", lambda size: record)
    for refresh in (0, 1):
        monkeypatch.setattr(loop.state, "refresh", refresh)
        for i in range(7):
            loop.subfunction(loop.theta, i)
    for place in (1, 2, 3):  # times, Gaussian noise and uniform noise
        for a, b in itertools.combinations([inputs[place][:8] for inputs in drawn], 2):
            assert not np.array_equal(a, b)


def test_sum_of_subfunctions_is_the_mean_cost_of_all_examples(loop):
    """sum of f_i / N is the mean cost over examples, each with n_t_per_minibatch times and their noise."""
    values = [loop.subfunction(loop.theta, i)[0] for i in range(7)]
    costs = []
    for i, part in enumerate(loop.parts):
        rng = noise.generator(3, noise.SUBFUNCTION, 0, i)
        t, N, U = (np.concatenate(a) for a in zip(*(draw(rng, (len(part), 1, 4, 4)) for _ in range(2)), strict=True))
        costs.append(loop.compiled.costs(18)(loop.theta, np.concatenate([loop.features[part]] * 2), t, N, U))
    assert np.sum(values) / 7 == pytest.approx(np.concatenate(costs).mean(), rel=1e-10)


def draw(rng, shape):
    return noise.minibatch_noise(rng, shape, 5, "normal")


@pytest.mark.thorough
def test_gradients_match_central_differences(loop):
    optimizer = SFO(lambda theta, i: loop.subfunction(theta, i)[:2], loop.theta, range(7))
    assert abs(optimizer.check_grad(small_diff=1e-7)).max() < 1e-6  # a short step, because the leaky ReLU has a kink


class Idle:
    """Optimizer that finds no lower value."""

    skipped_steps = 0

    def __init__(self, f_df, theta, references, rng, f_dfs):
        self.theta, self.sum = theta, self
        self.evaluations = 0

    def vector(self):
        return self.theta

    def step(self):
        pass


def test_converged_optimizer_ends_training(loop):
    idle = SubfunctionLoop(loop.compiled, loop.theta, Idle, loop.features, CORRECTED, 7, 2, seed=3)
    assert idle.run()
    assert idle.ended_by_itself == "Idle finds no lower point"
    assert idle.state.step == 0


def test_refresh_restarts_from_the_accepted_parameters(loop):
    """After each pass the noise is redrawn, the optimizer loses its history, and the accepted parameters stay."""
    seen = []

    class Look:
        def after_batch(self, loop):
            seen.append((loop.state.step, loop.state.refresh, loop.optimizer_state() == {}))

    run = SubfunctionLoop(loop.compiled, loop.theta, SFO, loop.features, CORRECTED, 7, 3, 3, refresh_noise=1)
    run.extensions = [Look()]
    run.run()
    assert seen == [(k, k // 7, k % 7 == 0) for k in range(1, 22)]


# ---------------------------------------------------------------------- by train.py


class StopWithin(Stop):
    """Extension that sends its signal right after an evaluation, before the optimizer receives the result."""

    def after_evaluation(self, loop):
        super().after_batch(loop)

    def after_batch(self, loop):
        pass


@pytest.fixture
def train(data, tmp_path, monkeypatch):
    """Return a function that trains three epochs in a new folder and returns the folder."""
    runs.share_compiled(monkeypatch)
    numbers = itertools.count()

    def run(*flags, stop=None):
        runs.without_plots(monkeypatch, *([stop] if stop else []))
        out = tmp_path / f"out{next(numbers)}"
        out.mkdir()
        base = ["--data-path", data, "--output-dir", out, "--model-args", runs.MODEL, "--epochs", 3, "--quiet"]
        assert train_main([str(a) for a in (*base, *flags)]) == 0
        (folder,) = out.iterdir()
        return folder

    return run


@pytest.mark.thorough
@pytest.mark.parametrize("optimizer", ["sfo", "lbfgs", "adam", "rmsprop"])
def test_training_improves_the_bound_with_each_optimizer(train, tmp_path, optimizer):
    """Constant images: the bound of the test data rises; its noise is the same at each epoch."""
    train_data, test_data = (
        np.broadcast_to(runs.pixels(n, seed, 1), (n, 1, runs.WIDTH, runs.WIDTH)) for n, seed in ((60, 0), (20, 1))
    )
    (tmp_path / "gray").mkdir()
    runs.write_data(tmp_path / "gray", train_data, test_data)
    more = ["--n-subfunctions", N] if optimizer in FROZEN else ["--batch-size", 15, "--lr", 0.01, *runs.CONSTANT_RATE]
    folder = train("--optimizer", optimizer, "--epochs", 8, "--data-path", tmp_path / "gray", *more)
    _, arrays = checkpoint.load(folder / "checkpoint.h5")
    log = (folder / "log.csv").read_text().splitlines()
    names = log[0].split(",")
    bounds = [float(line.split(",")[names.index("test_K_minus_L_null")]) for line in log[1:]]
    assert bounds[-1] > bounds[0] + 0.1
    assert any(name.startswith("/optimizer/") for name in arrays)
    rates = {line.split(",")[names.index("learning_rate")] for line in log[1:]}
    assert rates == ({""} if optimizer in FROZEN else {"0.01"})


@pytest.mark.thorough
@pytest.mark.parametrize("optimizer", FROZEN)
def test_checkpoint_holds_the_accepted_parameters(train, optimizer):
    """The parameters of the optimizer's state, not those of the last evaluation."""
    folder = train("--optimizer", optimizer, "--n-subfunctions", N)
    parameters, state = checkpoint.split(checkpoint.load(folder / "checkpoint.h5")[1])
    theta = np.concatenate([parameters[name].ravel() for name in sorted(parameters)])
    if optimizer == "lbfgs":
        reached = state["best"]
    else:
        k = len(state["basis"])
        weights = np.linalg.solve(state["basis_factor"][:k, :k].T, state["at"][:k])
        reached = state["origin"] + weights @ state["basis"]
    np.testing.assert_allclose(np.sort(theta), np.sort(reached), atol=1e-5)


@pytest.mark.thorough
@pytest.mark.parametrize("optimizer", FROZEN)
@pytest.mark.parametrize(("step", "refresh"), [(1, 0), (4, 0), (7, 0), (9, 1), (8, 2), (8, 1)])
def test_stopped_run_resumes_like_an_uninterrupted_run(train, monkeypatch, optimizer, step, refresh):
    """Stops in the first pass, at its end, within a later pass, after and at a refresh; L-BFGS repeats its pass."""
    flags = ["--optimizer", optimizer, "--n-subfunctions", N, "--refresh-noise", refresh]
    expected = train(*flags)
    stop = StopWithin(step)
    folder = train(*flags, stop=stop)
    reached = checkpoint.load_run(folder / "checkpoint.h5")[0]["state"]["step"]
    assert reached == (step if optimizer == "sfo" or step % N == 0 else step // N * N)
    runs.without_plots(monkeypatch)
    assert train_main(["--resume-file", str(folder / "checkpoint.h5")]) == 0
    assert_same(folder, expected)


@pytest.mark.parametrize("step", [3, 7, 8])
def test_a_run_with_subfunctions_ahead_resumes_like_an_uninterrupted_run(train, monkeypatch, step):
    """A signal within a step undoes it, with its random choices."""
    flags = ["--optimizer", "sfo", "--n-subfunctions", N, "--subfunctions-ahead", 3]
    expected = train(*flags)
    folder = train(*flags, stop=StopWithin(step))
    runs.without_plots(monkeypatch)
    assert train_main(["--resume-file", str(folder / "checkpoint.h5")]) == 0
    assert_same(folder, expected)


def test_same_seed_gives_the_same_run(train):
    first, second = (train("--optimizer", "sfo", "--n-subfunctions", N, "--seed", 5) for _ in range(2))
    assert_same(first, second)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--optimizer", "sfo", "--lr", "0.1"], ["--lr 0.1", "--optimizer sfo", "rmsprop and adam"]),
        (["--optimizer", "lbfgs", "--batch-size", "8"], ["--batch-size 8", "--optimizer lbfgs"]),
        (["--optimizer", "sfo", "--dropout-rate", "0.1"], ["--dropout-rate 0.1", "--optimizer sfo"]),
        (["--n-subfunctions", "8"], ["--n-subfunctions 8", "--optimizer adam", "sfo and lbfgs"]),
        (["--optimizer", "adam", "--refresh-noise", "2"], ["--refresh-noise 2", "--optimizer adam"]),
        (["--optimizer", "sfo", "--faithful"], ["--optimizer sfo", "--faithful", "rmsprop"]),
        (["--optimizer", "newton"], ["--optimizer", "newton", "sfo", "lbfgs", "rmsprop", "adam"]),
        (["--optimizer", "sfo", "--n-subfunctions", "0"], ["--n-subfunctions", "0", "1 or more"]),
        (["--optimizer", "sfo", "--n-subfunctions", "61"], ["--n-subfunctions", "61", "60 training examples"]),
        (["--optimizer", "sfo", "--refresh-noise", "-1"], ["--refresh-noise", "-1", "0, for never"]),
        (["--optimizer", "sfo", "--subfunctions-ahead", "0"], ["--subfunctions-ahead", "0", "1 or more"]),
        (["--optimizer", "lbfgs", "--subfunctions-ahead", "2"], ["--subfunctions-ahead 2", "lbfgs", "only by sfo"]),
        (
            ["--optimizer", "sfo", "--n-subfunctions", "3", "--subfunctions-ahead", "4"],
            ["--subfunctions-ahead: 4", "3 subfunctions", "take fewer"],
        ),
    ],
)
def test_flags_that_do_not_apply_are_refused(data, tmp_path, capsys, flags, words):
    out = tmp_path / "out"
    out.mkdir()
    base = ["--data-path", data, "--output-dir", out, "--model-args", runs.MODEL, "--quiet"]
    line = runs.refused(capsys, train_main, *base, *flags)
    assert all(word in line for word in words)
    assert list(out.iterdir()) == []


@pytest.mark.parametrize(("optimizer", "advice"), [("sfo", "--n-subfunctions up to"), ("lbfgs", "--refresh-noise or")])
def test_optimizer_state_too_large_for_a_checkpoint_is_refused_at_start(
    data, tmp_path, capsys, monkeypatch, optimizer, advice
):
    monkeypatch.setattr(checkpoint, "LARGEST_ARRAY", 100_000)
    base = ["--data-path", data, "--output-dir", tmp_path, "--model-args", runs.MODEL, "--n-subfunctions", 60]
    line = runs.refused(capsys, train_main, *base, "--optimizer", optimizer, "--quiet", "--epochs", 100)
    assert advice in line


@pytest.mark.parametrize("optimizer", FROZEN)
def test_non_finite_initial_cost_is_one_line(train, monkeypatch, capsys, optimizer):
    real = SubfunctionLoop.subfunction

    def broken(loop, theta, i):
        value, gradient, K_cost = real(loop, theta, i)
        return np.nan * value, gradient, K_cost

    monkeypatch.setattr(SubfunctionLoop, "subfunction", broken)
    with pytest.raises(AssertionError):
        train("--optimizer", optimizer, "--n-subfunctions", N)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("dpm train: error: training cannot begin: ")
    assert "not finite" in line


def test_second_signal_ends_lbfgs_at_once(train, monkeypatch, capsys):
    stop = StopWithin(2, signal.SIGINT, times=2)
    with pytest.raises(AssertionError):
        train("--optimizer", "lbfgs", "--n-subfunctions", N, stop=stop)
    assert "stopped" in capsys.readouterr().err
