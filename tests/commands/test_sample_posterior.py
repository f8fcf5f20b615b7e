"""sample.py --mode posterior: named r(x), samples and refusals; and vectors in all modes."""

import dataclasses
import itertools

import numpy as np
import pytest
from PIL import Image

from dpm.base.errors import InputError
from dpm.commands.sample import GUIDANCE
from dpm.commands.sample import main as sample_main
from dpm.commands.train import main as train_main
from dpm.datasets import Scaling
from dpm.experiments.toys import TOYS
from dpm.training import run as training
from dpm.training import toy_extensions
from dpm.training.monitoring import EveryN
from dpm.trajectories import potentials, products
from tests.helpers import runs

pytestmark = pytest.mark.usefixtures("quick_runs")

GAUSSIAN = "gaussian(mean=[0.5, None], sigma=0.1)"
MODELS = {
    "heartbeat": "trajectory_length=10,hidden=8",
    "swissroll": "trajectory_length=10,noise=0.3,hidden=8,start='zero',schedule='even_log_snr'",
}


@pytest.fixture(scope="session")
def toys(tmp_path_factory):
    """Return checkpoints of both toy problems after one short epoch each: dict of name to path."""
    made = {}
    for name, arguments in MODELS.items():
        with pytest.MonkeyPatch.context() as patch:
            short_toys(patch)
            folder = tmp_path_factory.mktemp(name)
            flags = {"experiment": name, "epochs": 1, "output-dir": folder, "model-args": arguments}
            given = [f"--{flag}={value}" for flag, value in flags.items()]
            assert train_main([*given, "--quiet", "--ext-every-n=1000"]) == 0
            made[name] = next(folder.glob("*/checkpoint.h5"))
    return made


def short_toys(patch):
    """Patch the toy problems to have few examples, and no bound or plots at the end."""
    for name, toy in TOYS.items():
        patch.setitem(TOYS, name, dataclasses.replace(toy, n_train=400, n_test=100, batch_size=100))
    everything = toy_extensions.toy_extensions
    patch.setattr(
        training, "toy_extensions", lambda *given: [e for e in everything(*given) if not isinstance(e, EveryN)]
    )


@pytest.fixture
def draw(tmp_path):
    """Return a function that runs sample.py and returns the arrays of samples.npz."""

    def run(model, *given, quiet=True):
        arguments = [str(a) for a in (model, "--output-dir", tmp_path, *given)]
        assert sample_main(arguments + ["--quiet"] * quiet) == 0
        with np.load(tmp_path / "samples.npz") as file:
            return dict(file)

    return run


# ------------------------------------------------------------------ vectors


@pytest.mark.thorough
@pytest.mark.parametrize(("name", "size"), [("heartbeat", 20), ("swissroll", 2)])
def test_samples_of_toy_checkpoints(toys, draw, tmp_path, name, size):
    """Samples (n, size) in data units, the same for any number of them, and a plot that can be opened."""
    X = draw(toys[name], "--n", 30)["X"]
    assert X.shape == (30, size)
    assert np.isfinite(X).all()
    if name == "heartbeat":
        assert set(np.unique(X)) <= {0.0, 1.0}
    with Image.open(tmp_path / "samples.png") as image:
        assert min(image.size) > 300
    np.testing.assert_allclose(draw(toys[name], "--n", 7)["X"], X[:7], atol=1e-5)
    states = draw(toys[name], "--n", 7, "--every", 5)
    assert list(states["t"]) == [10, 5, 0]
    np.testing.assert_array_equal(states["X_t"][-1], states["X"])


@pytest.mark.parametrize(
    "given", [("--mode", "inpaint", "--input", "x.npz"), ("--mode", "denoise", "--input", "x.npz")]
)
def test_modes_for_images_are_refused_for_vectors(toys, tmp_path, capsys, given):
    line = runs.refused(capsys, sample_main, toys["swissroll"], "--output-dir", tmp_path, *given)
    assert "take --mode posterior" in line


@pytest.mark.parametrize("name", ["swissroll", "heartbeat"])
def test_animation_of_vectors_has_a_frame_for_each_state(toys, draw, tmp_path, name):
    assert set(draw(toys[name], "--n", 30, "--animate")) == {"X"}
    with Image.open(tmp_path / "samples.gif") as image:
        assert (image.format, image.n_frames) == ("GIF", 10)  # t = 10..2, and 0
    assert list(draw(toys[name], "--n", 30, "--animate", "--every", 5)["t"]) == [10, 5, 0]
    with Image.open(tmp_path / "samples.gif") as image:
        assert image.n_frames == 3


# ------------------------------------------------------------------ the product


FEW_PAIRS = [*zip(GUIDANCE, itertools.cycle(MODELS), strict=False)]  # each guidance with one of the toys


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("guidance", "name"),
    [
        pair if pair in FEW_PAIRS else pytest.param(*pair, marks=pytest.mark.slow)
        for pair in itertools.product(GUIDANCE, MODELS)
    ],
)
def test_r_of_1_gives_the_plain_samples_of_the_seed(toys, draw, guidance, name):
    """r = 1 does not change a step (Eq. 21), and the noise is the same."""
    plain = draw(toys[name], "--n", 20)["X"]
    given = "--mode", "posterior", "--log-r", "linear(weights=0)", "--guidance", guidance
    np.testing.assert_allclose(draw(toys[name], "--n", 20, *given)["X"], plain, atol=2e-4)


def test_samples_are_near_an_observed_number_and_free_in_the_other(toys, draw):
    """Gaussian r of deviation 0.1 on the first of two numbers, with particles and without."""
    for more in ((), ("--particles", 500)):
        X = draw(toys["swissroll"], "--n", 300, "--mode", "posterior", "--log-r", GAUSSIAN, *more)["X"]
        assert X.shape == (300, 2)
        assert X[:, 0].mean() == pytest.approx(0.5, abs=0.05)
        assert 0.05 < X[:, 0].std() < 0.15
        assert X[:, 1].std() > 0.4


@pytest.mark.thorough
def test_output_of_particles(toys, draw, capsys):
    log_r = f"bits(known={[1] + [0] * 19}, value=1, error=0.01)"
    arrays = draw(toys["heartbeat"], "--mode", "posterior", "--log-r", log_r, "--particles", 64, quiet=False)
    assert arrays["X"].shape == (64, 20)
    assert set(arrays) == {"X", "log_Z", "log_Z_error", "effective"}
    assert arrays["effective"].shape == (10,)
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"log Z = {arrays['log_Z']:.4f} +- {arrays['log_Z_error']:.4f} nats; effective sample size")
    assert second.startswith("64 samples: ")
    again = draw(toys["heartbeat"], "--mode", "posterior", "--log-r", log_r, "--particles", 64)
    np.testing.assert_array_equal(arrays["X"], again["X"])


@pytest.mark.thorough
def test_images_are_multiplied_in_data_units(trained, draw):
    """A narrow Gaussian r around a value in [0, 1] gives that value; linear moves the mean in its direction."""
    gaussian = ("--mode", "posterior", "--log-r", "gaussian(mean=0.25, sigma=0.001)")
    for more in (("--n", 3), ("--particles", 4)):
        X = draw(trained, *gaussian, *more)["X"]
        np.testing.assert_allclose(X, 0.25, atol=0.01)
    plain = draw(trained, "--n", 3)["X"]
    tilted = draw(trained, "--n", 3, "--mode", "posterior", "--log-r", "linear(weights=1)")["X"]
    assert (tilted > plain).all()
    states = draw(trained, "--n", 2, *gaussian, "--guidance", "predicted", "--every", 3)
    assert list(states["t"]) == [10, 7, 4, 0]
    assert np.isfinite(states["X_t"]).all()


# ------------------------------------------------------------------ refusals

POSTERIOR = ("--mode", "posterior", "--log-r")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--mode", "posterior"), ("--mode posterior needs --log-r", "gaussian(")),
        (("--log-r", GAUSSIAN), ("--log-r is not used by --mode sample", "posterior")),
        (("--guidance", "end"), ("--guidance is not used by --mode sample",)),
        (("--particles", "8"), ("--particles is not used by --mode sample",)),
        ((*POSTERIOR, GAUSSIAN, "--guidance", "best"), ("--guidance", "best", "predicted")),
        ((*POSTERIOR, GAUSSIAN, "--particles", "1"), ("--particles: 1", "2 or more")),
        ((*POSTERIOR, GAUSSIAN, "--particles", "0"), ("--particles: 0", "2 or more")),
        ((*POSTERIOR, GAUSSIAN, "--particles", "many"), ("--particles", "many")),
        ((*POSTERIOR, GAUSSIAN, "--particles", "8", "--n", "9"), ("--n: 9", "--particles 8")),
        ((*POSTERIOR, GAUSSIAN, "--particles", "8", "--every", "2"), ("--every is not used with --particles",)),
        ((*POSTERIOR, GAUSSIAN, "--sigma", "1"), ("--sigma is not used by --mode posterior",)),
        ((*POSTERIOR, GAUSSIAN, "--input", "x.npz"), ("--input is not used by --mode posterior",)),
        ((*POSTERIOR, "normal(mean=0)"), ("--log-r: 'normal(mean=0)'", "gaussian(mean, sigma)", "linear(weights)")),
        ((*POSTERIOR, "gaussian"), ("--log-r: 'gaussian'", "gaussian(mean, sigma)")),
        ((*POSTERIOR, "gaussian(mean=0)"), ("sigma is missing",)),
        ((*POSTERIOR, "gaussian(mean=0, sigma=1, width=2)"), ("width is unknown", "gaussian(mean, sigma)")),
        ((*POSTERIOR, "gaussian(0, 1)"), ("only name=value pairs",)),
        ((*POSTERIOR, "gaussian(mean=x, sigma=1)"), ("is not a list of literals",)),
        ((*POSTERIOR, "gaussian(mean=0, sigma=1) or bits()"), ("is not a list of literals",)),
        ((*POSTERIOR, "gaussian(mean=[0, 1, 2], sigma=1)"), ("mean has shape (3,)", "shape (2,)")),
        ((*POSTERIOR, "gaussian(mean=[0, [1]], sigma=1)"), ("mean=[0, [1]] is not accepted", "None where")),
        ((*POSTERIOR, "gaussian(mean='a', sigma=1)"), ("mean='a' is not accepted",)),
        ((*POSTERIOR, "gaussian(mean=True, sigma=1)"), ("mean=True is not accepted",)),
        ((*POSTERIOR, "gaussian(mean=1e999, sigma=1)"), ("mean=inf is not accepted",)),
        ((*POSTERIOR, f"gaussian(mean={10**400}, sigma=1)"), ("is not accepted",)),
        ((*POSTERIOR, "gaussian(mean=0, sigma=0)"), ("sigma=0 is not accepted", "a number from")),
        ((*POSTERIOR, "gaussian(mean=0, sigma=-1)"), ("sigma=-1 is not accepted",)),
        ((*POSTERIOR, "gaussian(mean=0, sigma=None)"), ("sigma=None is not accepted",)),
        ((*POSTERIOR, "gaussian(mean=0, sigma={})"), ("sigma={} is not accepted",)),
        ((*POSTERIOR, "linear(weights=None)"), ("weights=None is not accepted",)),
        ((*POSTERIOR, "bits(known=1, value=1)"), ("data are not bits", "gaussian(mean, sigma)")),
    ],
)
def test_wrong_options_are_refused_in_one_line(toys, tmp_path, capsys, given, words):
    out = tmp_path / "out"
    out.mkdir()
    line = runs.refused(capsys, sample_main, toys["swissroll"], "--output-dir", out, *given)
    assert all(word in line for word in words), line
    assert list(out.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("known=2, value=1", ("known=2 is not accepted", "0 or 1")),
        ("known=1, value=0.5", ("value=0.5 is not accepted", "0 or 1")),
        ("known=1, value=[1, 0]", ("value has shape (2,)", "(20,)")),
        ("known=1, value=1, error=0.5", ("error=0.5 is not accepted", "below 0.5")),
        ("known=1, value=1, error=[0.1, 0.1]", ("error has shape (2,)",)),
    ],
)
def test_wrong_arguments_of_bits_are_refused_in_one_line(toys, tmp_path, capsys, arguments, words):
    given = ("--output-dir", tmp_path, *POSTERIOR, f"bits({arguments})")
    line = runs.refused(capsys, sample_main, toys["heartbeat"], *given)
    assert all(word in line for word in words), line


def test_command_accepts_all_guidance_schedules():
    assert GUIDANCE == products.GUIDANCE


def test_named_functions_are_in_data_units():
    """log r of x in data units equals the built function of x scale + shift."""
    scaling, x = Scaling(2.0, -0.5), np.array([[0.1, 0.7], [0.3, -1.0]])
    r = potentials.build(*potentials.read("gaussian(mean=[0.5, None], sigma=0.1)"), (2,), scaling, False)
    np.testing.assert_allclose(r(scaling.forward(x)), -0.5 * ((x[:, 0] - 0.5) / 0.1) ** 2, rtol=1e-12)
    r = potentials.build(*potentials.read("linear(weights=[1, -3])"), (2,), scaling, False)
    np.testing.assert_allclose(r(scaling.forward(x)), x @ [1, -3], rtol=1e-12)


def test_r_of_0_everywhere_is_refused_in_one_line(toys, tmp_path, capsys):
    """Numbers outside the float type are refused instead of giving NaN samples."""
    given = (*POSTERIOR, "gaussian(mean=1e30, sigma=1e-15)", "--particles", "8")
    line = runs.refused(capsys, sample_main, toys["swissroll"], "--output-dir", tmp_path, *given)
    assert "log r" in line


def test_arrays_of_gray_images_may_omit_the_channel_axis():
    r = potentials.build(*potentials.read("linear(weights=[[1, 2], [3, 4]])"), (1, 2, 2), Scaling(1.0, 0.0), False)
    assert r(np.ones((1, 1, 2, 2))) == pytest.approx([10])
    with pytest.raises(InputError, match=r"shape \(2,\)"):
        potentials.build(*potentials.read("linear(weights=[1, 2])"), (1, 2, 2), Scaling(1.0, 0.0), False)
