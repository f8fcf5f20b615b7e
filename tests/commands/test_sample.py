"""sample.py: samples by seed and input, in data units, and the files it writes."""

import json
import pickle
import sys

import numpy as np
import pytest
from PIL import Image

from dpm.base import noise
from dpm.commands.sample import main as sample_main
from dpm.runs import checkpoint, loading
from dpm.runs.blocks_checkpoint import read_blocks_checkpoint
from dpm.trajectories import draws
from tests.helpers import runs

N = 5
T, SHAPE = runs.T, (1, runs.WIDTH, runs.WIDTH)
KNOWN = runs.pixels(runs.TEST, seed=1)[2:7] / 255


@pytest.fixture(autouse=True)
def _shared(monkeypatch):
    runs.share_compiled(monkeypatch)


@pytest.fixture
def draw(trained, tmp_path):
    """Return a function that runs sample.py and returns the arrays of samples.npz."""

    def run(*given, model=trained):
        assert sample_main([str(a) for a in (model, "--output-dir", tmp_path, "--quiet", *given)]) == 0
        with np.load(tmp_path / "samples.npz") as file:
            return dict(file)

    return run


@pytest.fixture
def images(tmp_path):
    """Return an npz file of five test images in data units."""
    np.savez(tmp_path / "images.npz", X=KNOWN)
    return tmp_path / "images.npz"


def mask(tmp_path, values):
    np.savez(tmp_path / "mask.npz", values)
    return tmp_path / "mask.npz"


# ------------------------------------------------------------------ plain samples


@pytest.mark.thorough
def test_number_of_samples_and_independence_of_each_from_the_others(draw, monkeypatch):
    """--n 5 gives the first five of --n 7 for any split into batches, up to the last bits."""
    five = draw("--n", 5)["X"]
    assert five.shape == (5, *SHAPE)
    assert five.dtype == np.float64
    seven = draw("--n", 7)["X"]
    assert seven.shape == (7, *SHAPE)
    monkeypatch.setattr(draws, "IMAGES_PER_BATCH", 2)
    split = draw("--n", 5)["X"]
    np.testing.assert_allclose(seven[:5], five, rtol=0, atol=1e-6)
    np.testing.assert_allclose(split, five, rtol=0, atol=1e-6)
    assert len(np.unique(five.round(4), axis=0)) == 5


def test_seed_determines_the_samples(draw):
    first, again, other = (draw("--n", N, "--seed", seed)["X"] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()


def test_samples_are_in_the_units_of_the_data(draw, trained):
    """x_T is unit noise in the model's units, recovered with the scale and shift of the checkpoint."""
    data = checkpoint.load(trained)[0]["config"]["data"]
    states = draw("--n", N, "--every", 1)["X_t"]
    start = states[0] * data["scale"] + data["shift"]
    draws = [noise.generator(12345, noise.SAMPLING, i).standard_normal(SHAPE) for i in range(N)]
    np.testing.assert_allclose(start, draws, atol=1e-5)


def test_intermediate_states_and_their_times(draw):
    arrays = draw("--n", N, "--every", 3)
    assert list(arrays["t"]) == [10, 7, 4, 0]
    assert arrays["X_t"].shape == (4, N, *SHAPE)
    np.testing.assert_array_equal(arrays["X_t"][-1], arrays["X"])
    all_states = draw("--n", N, "--every", 1)
    assert list(all_states["t"]) == [10, 9, 8, 7, 6, 5, 4, 3, 2, 0]
    np.testing.assert_array_equal(all_states["X_t"][[0, 3, 6, 9]], arrays["X_t"])
    assert set(draw("--n", N)) == {"X"}
    assert list(draw("--n", N, "--every", 1000)["t"]) == [10, 0]


@pytest.mark.thorough
def test_states_of_several_batches_are_joined(draw, monkeypatch):
    whole = draw("--n", N, "--every", 3)["X_t"]
    monkeypatch.setattr(draws, "IMAGES_PER_BATCH", 2)
    np.testing.assert_allclose(draw("--n", N, "--every", 3)["X_t"], whole, rtol=0, atol=1e-6)


def test_animation_has_a_frame_for_each_state(draw, tmp_path):
    draw("--n", N, "--animate", "--every", 3)
    with Image.open(tmp_path / "samples.gif") as image:
        assert (image.format, image.n_frames) == ("GIF", 4)
    draw("--n", N, "--animate")
    with Image.open(tmp_path / "samples.gif") as image:
        assert image.n_frames == T
    with np.load(tmp_path / "samples.npz") as file:
        assert file.files == ["X"]


def test_files_and_printed_line(trained, tmp_path, capsys):
    arguments = [str(trained), "--output-dir", str(tmp_path), "--n", str(N)]
    assert sample_main(arguments) == 0
    expected = f"5 samples: {tmp_path / 'samples.npz'} and {tmp_path / 'samples.png'}\n"
    assert capsys.readouterr().out == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["samples.npz", "samples.png"]
    assert sample_main([*arguments, "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_full_disk_is_one_line_and_leaves_no_partial_file(trained, tmp_path, monkeypatch, capsys):
    def full(*arguments, **more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    assert sample_main([str(trained), "--output-dir", str(tmp_path), "--n", str(N), "--quiet"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------ in-painting


def test_inpainting_with_all_pixels_known_returns_the_input(draw, images, tmp_path, capsys):
    X = draw("--mode", "inpaint", "--input", images, "--mask", mask(tmp_path, np.zeros(SHAPE)))["X"]
    np.testing.assert_array_equal(X, KNOWN)
    assert "mask.npz: marks no pixel, so the samples are the input" in capsys.readouterr().err


def test_inpainting_with_no_pixel_known_is_the_plain_sample(draw, images, tmp_path, capsys):
    plain = draw("--n", N)["X"]
    X = draw("--mode", "inpaint", "--input", images, "--mask", mask(tmp_path, np.ones(SHAPE)))["X"]
    np.testing.assert_array_equal(X, plain)
    assert "mask.npz: marks every pixel" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "region"),
    [("left", np.s_[..., :4]), ("top", np.s_[..., :4, :]), ("center", np.s_[..., 2:6, 2:6])],
)
def test_only_the_named_region_is_drawn(draw, images, name, region):
    X = draw("--mode", "inpaint", "--input", images, "--mask", name)["X"]
    drawn = np.zeros(X.shape, bool)
    drawn[region] = True
    np.testing.assert_array_equal(X[~drawn], KNOWN[~drawn])
    assert (X[drawn] != KNOWN[drawn]).all()


def test_left_half_is_drawn_by_default_as_in_2015(draw, images):
    named = draw("--mode", "inpaint", "--input", images, "--mask", "left")["X"]
    np.testing.assert_array_equal(draw("--mode", "inpaint", "--input", images)["X"], named)


@pytest.mark.thorough
def test_more_samples_than_images_reuse_the_images(draw, images, tmp_path):
    """Samples use the images cyclically; fewer samples use the first images."""
    known = mask(tmp_path, np.zeros(SHAPE))
    X = draw("--mode", "inpaint", "--input", images, "--mask", known, "--n", 7)["X"]
    np.testing.assert_array_equal(X, KNOWN[[0, 1, 2, 3, 4, 0, 1]])


def test_part_of_the_data_set_is_the_input(draw, data, images):
    """FILE.hdf5:SPLIT:A-B selects the images A to B - 1, in data units."""
    X = draw("--mode", "inpaint", "--input", f"{data / 'mnist.hdf5'}:test:2-7")["X"]
    np.testing.assert_array_equal(X, draw("--mode", "inpaint", "--input", images)["X"])


def test_samples_can_be_used_as_input(draw, tmp_path):
    """Samples written in data units are read unchanged, although some are outside [0, 1]."""
    first = draw("--n", N)["X"]
    assert first.min() < 0
    known = mask(tmp_path, np.zeros(SHAPE))
    X = draw("--mode", "inpaint", "--input", tmp_path / "samples.npz", "--mask", known)["X"]
    np.testing.assert_array_equal(X, first)


# ------------------------------------------------------------------ denoising


def test_noise_is_added_on_request_and_depends_on_the_seed(draw, images):
    given = ("--mode", "denoise", "--input", images, "--every", T)
    plain, noisy, again, other = (
        draw(*given, *more) for more in ((), ("--add-noise",), ("--add-noise",), ("--add-noise", "--seed", 3))
    )
    np.testing.assert_allclose(plain["X_t"][0], KNOWN, atol=1e-6)
    np.testing.assert_array_equal(noisy["X"], again["X"])
    for first, second in ((plain, noisy), (noisy, other)):
        assert (first["X"] != second["X"]).all()
        assert (first["X_t"][0] != second["X_t"][0]).all()


@pytest.mark.parametrize("sigma", [0.5, 2.0])
def test_noise_has_width_sigma_in_standard_deviations_of_the_data(draw, images, trained, sigma):
    scale = checkpoint.load(trained)[0]["config"]["data"]["scale"]
    start = draw("--mode", "denoise", "--input", images, "--add-noise", "--sigma", sigma, "--every", T)["X_t"][0]
    assert (start - KNOWN).std() * scale == pytest.approx(sigma, rel=0.15)


def test_denoising_at_small_sigma_returns_the_input(draw, images):
    X = draw("--mode", "denoise", "--input", images, "--sigma", 1e-3)["X"]
    np.testing.assert_allclose(X, KNOWN, atol=2e-3)
    assert np.abs(draw("--mode", "denoise", "--input", images)["X"] - KNOWN).max() > 0.02


# ------------------------------------------------------------------ checkpoints


def test_checkpoint_is_sufficient_without_run_folder_and_data(trained, draw, tmp_path):
    """A copy elsewhere draws the same samples without the data."""
    expected = draw("--n", N)["X"]
    moved = tmp_path / "anything.h5"
    moved.write_bytes(trained.read_bytes())
    np.testing.assert_array_equal(draw("--n", N, model=moved)["X"], expected)


def test_2015_checkpoint_is_sampled_without_opening_its_pickle(golden, draw, monkeypatch):
    """T = 50; the model's units are scale x + shift, so other units are an affine map of the same images."""

    def refused(real):
        def refuse(*arguments, **more):
            # Numba stores its compiled code as pickles in the user's cache.
            assert sys._getframe(1).f_globals["__name__"].startswith("numba."), "a pickle was opened"
            return real(*arguments, **more)

        return refuse

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refused(getattr(pickle, name)))
    model = golden / "checkpoint/model.pkl"
    arrays = draw("--n", 1, "--every", 49, model=model)
    assert list(arrays["t"]) == [50, 0]
    assert arrays["X"].shape == (1, 1, 28, 28)
    assert np.isfinite(arrays["X"]).all()
    scaled = draw("--n", 1, "--scale", 3.25, "--shift", -0.4, model=model)["X"]
    np.testing.assert_allclose(scaled * 3.25 - 0.4, arrays["X"], atol=1e-6)
    shifted = draw("--n", 1, "--shift", 0.5, model=model)["X"]
    np.testing.assert_allclose(shifted + 0.5, arrays["X"], atol=1e-6)


def test_samples_of_a_2015_checkpoint_depend_on_its_arrays(golden, draw, monkeypatch):
    """Changing one parameter changes the samples, so the arrays of the file are in use."""
    model = golden / "checkpoint/model.pkl"
    expected = draw("--n", 1, model=model)["X"]
    changed = read_blocks_checkpoint(model)
    name = next(n for n in changed if n.endswith("MLP dense upper/linear_1.b"))
    changed[name] = changed[name] + 1
    monkeypatch.setattr(loading, "read_blocks_checkpoint", lambda path: changed)
    assert np.abs(draw("--n", 1, model=model)["X"] - expected).max() > 0.1


@pytest.mark.thorough
def test_float_type_follows_the_run(trained, tmp_path, draw, monkeypatch):
    meta, arrays = checkpoint.load(trained)
    meta = json.loads(json.dumps(meta))
    meta["config"]["flags"]["dtype"] = "float64"
    checkpoint.save(tmp_path / "double.h5", meta, arrays)
    engines, engine = [], loading.Engine

    def spy(*arguments, **more):
        engines.append(engine(*arguments, **more))
        return engines[-1]

    monkeypatch.setattr(loading, "Engine", spy)
    single, double = (draw("--n", N, model=m)["X"] for m in (trained, tmp_path / "double.h5"))
    assert [e.dtype for e in engines] == ["float32", "float64"]
    np.testing.assert_allclose(single, double, atol=1e-4)
    assert (single != double).any()


def test_checkpoint_without_a_run_is_refused(tmp_path, capsys):
    """A valid checkpoint file that train.py did not write: one line names what is missing."""
    checkpoint.save(tmp_path / "x.h5", {"model": {}}, {"/parameters/a": np.zeros(2)})
    assert sample_main([str(tmp_path / "x.h5"), "--output-dir", str(tmp_path)]) == 2
    assert "holds no config" in capsys.readouterr().err
