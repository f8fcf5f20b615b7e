"""The Python API: the two examples of the README, models and data of the user's own, and what is refused."""

import contextlib
import copy
import inspect
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

import dpm
from tests.helpers import runs

ROOT = Path(__file__).parents[1]
TINY = {
    "trajectory_length": 10,
    "n_hidden_conv": 2,
    "n_layers_conv": 1,
    "n_hidden_dense_lower": 0,
    "n_layers_dense_upper": 1,
    "n_hidden_dense_upper": 2,
    "n_temporal_basis": 2,
}


@pytest.fixture(scope="module")
def data():
    return dpm.load((runs.pixels(60), runs.pixels(20, seed=1)))


@pytest.fixture(scope="module")
def run(data):
    model = dpm.DiffusionModel(spatial_width=runs.WIDTH, n_colors=1, **TINY)
    return dpm.train(model, data, epochs=2, batch_size=25, seed=0, quiet=True)


def test_every_public_name_exists_has_a_docstring_and_is_listed():
    for name in dpm.__all__:
        assert getattr(dpm, name).__doc__, name
        assert name in dir(dpm)
    with pytest.raises(AttributeError, match="module 'dpm' has no attribute 'tarin'"):
        _ = dpm.tarin


def test_importing_dpm_imports_nothing_heavy():
    code = "import sys, dpm; sys.exit(bool({'numpy', 'pytensor', 'jax', 'h5py', 'matplotlib'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_readmes_example(tmp_path, monkeypatch):
    """load, DiffusionModel, train, bound, sample and viz.save_images, with a smaller model and less of the data."""
    monkeypatch.chdir(tmp_path)
    digits = dpm.load("mnist")
    assert (digits.test.shape[1:], digits.name, digits.quantized) == ((1, 28, 28), "MNIST", True)
    data = dpm.RunData(**vars(digits) | {"train": digits.train[:100], "test": digits.test[:20]})
    model = dpm.DiffusionModel(spatial_width=28, n_colors=1, **TINY)
    run = dpm.train(model, data, epochs=1, seed=0, batch_size=50, quiet=True)
    bound = dpm.bound(run, data.test, t_per_example=3)
    assert str(bound).startswith("K = ")
    assert bound.unit == "bits/pixel"
    assert bound.K - bound.K_minus_L_null == pytest.approx(-np.log2(2 * np.pi * np.e) / 2)
    images = dpm.sample(run, n=4, seed=12345)
    dpm.viz.save_images(images, "samples")
    with np.load("samples.npz") as file:
        np.testing.assert_array_equal(file["X"], images)


@pytest.mark.thorough
@pytest.mark.parametrize("mode", ["JAX", "NUMBA", "CVM"])
def test_the_lecture_example_trains_as_the_flat_optimizer_does(data, mode):
    """`pytensor.function(inputs, cost, updates=...)` in float64 gives the numbers of dpm's optimizers to 1e-12."""
    n, steps = 10, 5
    double = pytest.importorskip("jax").enable_x64(True) if mode == "JAX" else contextlib.nullcontext()
    # PyTensor's C mode warns where it finds no BLAS to link to.
    with double, pytensor.config.change_flags(floatX="float64"), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        model = dpm.DiffusionModel(spatial_width=runs.WIDTH, n_colors=1, **TINY)
        x0, t, noise, u = model.inputs(n)
        gain = -model.cost_single_t(x0, t, noise, u)
        theta = model.shared(seed=0)
        gradients = pytensor.grad(gain.mean(), list(theta.values()))
        descent = [-g for g in gradients]
        step = pytensor.function(
            [x0, t, noise, u], gain.mean(), updates=dpm.optimizers.updates.rmsprop(theta, descent, 1e-3), mode=mode
        )
    rng = np.random.default_rng(0)
    inputs = [
        [
            data.train[:n].astype(float),
            2.0 + rng.integers(0, 9, n),
            rng.normal(size=(n, 1, 8, 8)),
            rng.random((n, 1, 8, 8)),
        ]
        for _ in range(steps)
    ]
    with pytest.importorskip("jax").enable_x64(True) if mode == "JAX" else contextlib.nullcontext():
        ours = [float(step(*arrays)) for arrays in inputs]

    engine = dpm.Engine("auto", "float64")
    from dpm.engines.compiled import CompiledModel

    compiled = CompiledModel(dpm.DiffusionModel(spatial_width=runs.WIDTH, n_colors=1, **TINY), engine)
    rule = dpm.optimizers.RMSProp(compiled.layout.size, "float64")
    flat = compiled.start(dpm.base.noise.generator(0, dpm.base.noise.START, 1))
    theirs = []
    for arrays in inputs:
        cost, gradient = compiled.objective(n)(flat, *arrays, np.ones(n))
        theirs.append(-float(cost))
        flat = rule.step(flat, gradient, 1e-3)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)
    for path, value in compiled.layout.split(flat).items():
        np.testing.assert_allclose(theta[path].get_value(), value, rtol=1e-11, atol=1e-12, err_msg=path)


@pytest.mark.thorough
def test_the_readmes_examples_run_as_they_are_typed(tmp_path):
    """Both code blocks in one fresh process; only the numbers of epochs and of samples are smaller."""
    pytest.importorskip("jax")
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 2
    code = "\n".join(blocks).replace("epochs=6, seed=0", "epochs=1, batch_size=500, quiet=True").replace("n=49", "n=4")
    code += "\nimport numpy as np\nrng, n = np.random.default_rng(0), 4\n"
    code += "arrays = [data.train[:n], 2.0 + rng.integers(0, 999, n)]\n"
    code += "arrays += [rng.normal(size=(n, 1, 28, 28)), rng.random((n, 1, 28, 28))]\n"
    code += "before = float(step(*(a.astype(x0.dtype) for a in arrays)))\n"
    code += "after = float(step(*(a.astype(x0.dtype) for a in arrays)))\nassert after > before, (before, after)\n"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("K = ")
    assert (tmp_path / "samples.png").stat().st_size > 1000


def test_the_example_of_the_python_page_trains_its_own_network():
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(), re.DOTALL)
    names = {}
    exec(block, names)
    assert names["run"].epoch == 2
    listed = set(re.findall(r"`(\w+)`", (ROOT / "docs" / "python.md").read_text().partition("## A model")[0]))
    assert {"load", "train", "open_run", "bound", "sample", "Engine", "Settings"} <= listed & set(dpm.__all__)


def test_training_from_python_is_train_py_bit_by_bit(base):
    """The same data, model, seed and settings: the log of the command line's run."""
    data = dpm.load("MNIST", str(runs.data(base)))
    arguments = dict(part.split("=") for part in runs.MODEL.split(","))
    model = dpm.DiffusionModel(runs.WIDTH, 1, **{name: int(value) for name, value in arguments.items()})
    constant = {"lr_schedule": "constant", "warmup": 0}  # runs.CONSTANT_RATE
    run = dpm.train(model, data, epochs=2, batch_size=runs.BATCH, quiet=True, **constant)
    expected = runs.rows(runs.trained(base))
    assert [{k: v for k, v in row.items() if k != "seconds"} for row in run.log] == expected
    parameters = runs.parameters(runs.trained(base))
    assert all(np.array_equal(run.parameters[path], value) for path, value in parameters.items())
    assert model.uniform_noise == 0  # the user's model is not changed
    assert run.model.uniform_noise == pytest.approx(data.scaling.scale / 255)


@pytest.mark.thorough
def test_a_run_written_from_python_opens_again(data, tmp_path):
    model = dpm.DiffusionModel(spatial_width=runs.WIDTH, n_colors=1, **TINY)
    run = dpm.train(model, data, epochs=1, batch_size=25, output_dir=tmp_path, quiet=True, ext_every_n=10)
    opened = dpm.open_run(run.path)
    assert opened.epoch == 1
    np.testing.assert_array_equal(opened.theta, run.theta)
    np.testing.assert_array_equal(dpm.sample(opened, n=3), dpm.sample(run, n=3))
    folder = dpm.open_run(run.path.parent)
    np.testing.assert_array_equal(folder.theta, run.theta)


@pytest.mark.thorough
def test_in_painting_keeps_the_known_pixels_and_denoising_starts_at_the_input(run, data):
    images = data.scaling.inverse(data.test[:3].astype(float))
    known = np.zeros((8, 8), bool)
    known[:, 4:] = True
    filled = dpm.inpaint(run, images, known)
    np.testing.assert_array_equal(filled[..., 4:], images[..., 4:])
    assert (filled[..., :4] != images[..., :4]).all()
    np.testing.assert_allclose(dpm.denoise(run, images, sigma=1e-3), images, atol=2e-3)
    assert dpm.inpaint(run, images, known, n=5).shape == (5, 1, 8, 8)
    with pytest.raises(dpm.InputError, match=r"images: got shape \(3, 1, 4, 8\); expected \(n, 1, 8, 8\)"):
        dpm.denoise(run, images[:, :, :4])


@pytest.mark.thorough
def test_the_bound_is_that_of_the_evaluation(run, data):
    bound, evaluation = dpm.bound(run, data.test, None), dpm.evaluate(run, data.test)
    assert pytest.approx(evaluation.bits("K")) == bound.K
    assert bound.n_examples == 20
    assert bound.standard_error > bound.draws_error > 0
    assert pytest.approx(dpm.bound(run, data.test).K) == dpm.bound(run).K


@pytest.mark.parametrize("name", ["train", "bound", "evaluate", "sample", "inpaint", "denoise"])
def test_long_work_shows_its_progress_unless_it_is_quiet(name):
    assert inspect.signature(getattr(dpm, name)).parameters["quiet"].default is False


class Shrinker(dpm.bricks.Brick):
    """A network of the user's own: one parameter, by which the mean of the forward kernel is moved."""

    def __init__(self):
        super().__init__("shrinker")
        self.slope = self.add_parameter("slope", (1,), dpm.bricks.WEIGHT, dpm.bricks.Constant(0.0))

    def reverse(self, kernel, X_noisy, t, rates):
        beta = rates[0]
        mean = X_noisy * (pt.sqrt(1 - beta) + beta * self.slope.reshape((1,) * X_noisy.ndim))
        return type(kernel.forward_step(X_noisy, beta))(mean, pt.sqrt(beta))


@pytest.mark.parametrize("shape", [(2,), (3, 5, 5)])
def test_a_network_a_schedule_and_data_of_the_users_own_train(shape):
    """White data: the best slope is 0 under an N(0, 1) prior, where K = L_null; starting from 0 K - L_null stays 0."""
    X = np.random.default_rng(0).normal(size=(2200, *shape))  # 2,000 to test: K varies by a bit per number
    schedule = dpm.schedules.FixedSchedule(dpm.schedules.linear(20, 0.01, 0.3))
    model = dpm.VectorDiffusion(shape, dpm.GaussianKernel(), schedule, Shrinker())
    run = dpm.train(model, dpm.load((X[:200], X[200:])), epochs=3, lr=1e-3, batch_size=50, optimizer="adam", quiet=True)
    assert abs(run.log[-1]["test_K_minus_L_null"]) < 0.1 * np.prod(shape)
    assert np.isfinite(run.theta).all()
    assert dpm.sample(run, n=4).shape == (4, *shape)


class WiderKernel(dpm.GaussianKernel):
    """A kernel of the user's own: of the methods of GaussianKernel one is replaced."""

    def sample(self, p, N):
        return super().sample(p, 2 * N)


def test_a_kernel_of_the_users_own_is_used():
    schedule = dpm.schedules.FixedSchedule(dpm.schedules.linear(5, 0.1, 0.3))
    model = dpm.VectorDiffusion(2, WiderKernel(), schedule, Shrinker())
    run = dpm.train(model, dpm.load(np.random.default_rng(0).normal(size=(50, 2))), epochs=1, quiet=True, batch_size=10)
    plain = dpm.VectorDiffusion(2, dpm.GaussianKernel(), schedule, Shrinker())
    other = dpm.train(
        plain, dpm.load(np.random.default_rng(0).normal(size=(50, 2))), epochs=1, quiet=True, batch_size=10
    )
    assert run.log[-1]["train_K"] < other.log[-1]["train_K"] - 0.1


@pytest.mark.thorough
def test_a_model_serves_both_float_types_and_can_be_copied(data):
    """Built once, outside an engine; its graphs take the float type of the engine that compiles them."""
    model = dpm.DiffusionModel(spatial_width=runs.WIDTH, n_colors=1, **TINY)
    ends = [
        dpm.train(copy.copy(model), data, epochs=1, batch_size=25, dtype=dtype, quiet=True)
        for dtype in ("float32", "float64")
    ]
    assert [run.theta.dtype for run in ends] == ["float32", "float64"]
    np.testing.assert_allclose(ends[0].theta, ends[1].theta, atol=1e-4)


def test_arrays_become_data():
    pixels = runs.pixels(40)
    whole = dpm.load(pixels, test_fraction=0.25)
    assert (len(whole.train), len(whole.test), whole.quantized) == (30, 10, True)
    assert whole.train.std() == pytest.approx(1, abs=1e-4)
    np.testing.assert_array_equal(dpm.load(pixels[:, 0], test_fraction=0.25).train, whole.train)
    bits = dpm.load(np.eye(6))
    assert (bits.scaling.scale, bits.test.shape) == (1.0, (1, 6))
    vectors = dpm.load((np.arange(20.0).reshape(10, 2), np.ones((3, 2))))
    assert vectors.train.mean() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("source", "more", "words"),
    [
        ("mnits", {}, "did you mean MNIST"),
        (np.zeros((1, 4)), {}, "test_fraction: 0.1 of 1 example;"),
        (np.zeros((5, 4)), {"test_fraction": 1.5}, "test_fraction: 1.5"),
        ((np.zeros((5, 4)), np.zeros((5, 3))), {}, r"vectors: got shapes \(5, 4\) and \(5, 3\)"),
        (np.zeros(3), {}, "vectors|images"),
    ],
)
def test_data_that_are_not_accepted_are_named(source, more, words):
    with pytest.raises(dpm.InputError, match=words):
        dpm.load(source, **more)


WITHOUT_EFFECT = {
    "dataset": "data from dpm.load",
    "data_path": "data from dpm.load",
    "in_memory": "data from dpm.load",
    "model_args": "a model",
    "backend": "engine=",
    "resume_file": "--resume-file",
    "tensorboard": "extensions",
}


def test_settings_and_shapes_that_do_not_fit_are_named(data):
    model = dpm.DiffusionModel(spatial_width=4, n_colors=1, **TINY)
    with pytest.raises(dpm.InputError, match=r"data: examples of shape \(1, 8, 8\); expected \(1, 4, 4\)"):
        dpm.train(model, data)
    model = dpm.DiffusionModel(spatial_width=8, n_colors=1, **TINY)
    with pytest.raises(dpm.InputError, match="setting 'epoch' is unknown"):
        dpm.train(model, data, epoch=3)
    with pytest.raises(dpm.InputError, match="--backend: 'theano' is not an engine"):
        dpm.train(model, data, engine="theano")
    for setting, words in WITHOUT_EFFECT.items():
        with pytest.raises(dpm.InputError, match=f"^{setting}: dpm.train takes .*{words}.*; leave {setting} out"):
            dpm.train(model, data, **{setting: True})
    for setting, value in {"suffix": "a", "ext_every_n": 2, "keep": 3, "plots": "all"}.items():
        with pytest.raises(dpm.InputError, match=f"^{setting}: {value!r} is for a run folder; give output_dir, or"):
            dpm.train(model, data, **{setting: value})
    engine = dpm.Engine("auto", "float32", threads=1)
    for setting, value in {"dtype": "float64", "threads": 2, "precision": "tf32", "noise": "device"}.items():
        with pytest.raises(dpm.InputError, match=f"{setting}: {value!r} contradicts the given engine, which has"):
            dpm.train(model, data, engine=engine, **{setting: value})


class Slower(dpm.DiffusionModel):
    """A released model whose schedule is the user's."""

    def generate_beta_arr(self):
        return pt.constant(np.linspace(0.01, 0.3, self.trajectory_length).astype(pytensor.config.floatX))


@pytest.mark.thorough
def test_a_run_of_the_users_own_class_opens_with_a_model_of_it_only(data, tmp_path):
    model = Slower(spatial_width=runs.WIDTH, n_colors=1, **TINY)
    run = dpm.train(model, data, epochs=1, batch_size=25, output_dir=tmp_path, quiet=True, ext_every_n=10)
    with pytest.raises(dpm.InputError, match=r"of your own, which a .* give open_run\(..., model=...\)"):
        dpm.open_run(run.path)
    opened = dpm.open_run(run.path, model=Slower(spatial_width=runs.WIDTH, n_colors=1, **TINY))
    assert float(opened.compiled.beta(opened.theta)[0]) == pytest.approx(0.01)
    np.testing.assert_array_equal(opened.theta, run.theta)
