"""Test images, trajectories, parameters and training curves: pixels, files and error messages."""

import numpy as np
import pytest
from PIL import Image

from dpm import viz
from dpm.base.errors import InputError
from dpm.plots.charts import BLUE, DARK, ORANGE

ROWS = [
    {"epoch": 1, "train_K_minus_L_null": -0.5, "test_K_minus_L_null": "", "learning_rate": 1e-3},
    {"epoch": 2, "train_K_minus_L_null": 0.4, "test_K_minus_L_null": 0.3, "learning_rate": 9e-4},
    {"epoch": 3, "train_K_minus_L_null": float("nan"), "learning_rate": "0.0008", "skipped_steps": 7},
]


def uniform(*shape, seed=0):
    return np.random.default_rng(seed).uniform(size=shape)


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def has_color(path, color):
    return (pixels(path)[..., :3] == color).all(axis=-1).any()


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (784, True),
        (3072, True),
        (1, True),
        (3, True),
        (np.int64(12), True),
        (10**30, True),
        (500, False),
        (2, False),
        (0, False),
        (-4, False),
        (10**30 + 1, False),
    ],
)
def test_is_square(number, expected):
    assert viz.is_square(number) is expected


# ---- image files ----


def test_a_sheet_of_digits_is_enlarged_exactly(tmp_path):
    images = uniform(49, 1, 28, 28)
    path = viz.plot_images(images, tmp_path / "x.png", title="49 samples, β = 0.001")
    shown = pixels(path)
    assert shown.shape == (816, 816)
    np.testing.assert_array_equal(shown, np.kron(viz.image_grid(images), np.ones((4, 4), np.uint8)))
    with Image.open(path) as image:
        assert image.text == {"Title": "49 samples, β = 0.001"}


def test_scale_can_be_chosen(tmp_path):
    images = uniform(2, 3, 5, 4)
    np.testing.assert_array_equal(
        pixels(viz.plot_images(images, str(tmp_path / "x.png"), scale=1)), viz.image_grid(images)
    )
    with pytest.raises(InputError, match="scale: got 0"):
        viz.plot_images(images, tmp_path / "y.png", scale=0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_saved_images_are_exact(tmp_path, dtype):
    images = (uniform(5, 1, 3, 3) * 4 - 2).astype(dtype)
    images[0, 0, 0, 0] = np.nan
    arrays, sheet = viz.save_images(images, tmp_path / "samples_t0010.5_batch000001")
    assert [p.name for p in (arrays, sheet)] == [f"samples_t0010.5_batch000001.{e}" for e in ("npz", "png")]
    with np.load(arrays) as saved:
        assert saved.files == ["X"]
        assert saved["X"].dtype == dtype
        np.testing.assert_array_equal(saved["X"], images)
    assert has_color(sheet, viz.MAGENTA)


@pytest.mark.parametrize(("width", "columns"), [(1, 4), (2, 4), (7, 4), (16, 6)])
def test_a_trajectory_shows_the_first_images_of_each_time_unblurred(tmp_path, width, columns):
    states = [uniform(12, 1, 2, width, seed=s) for s in range(3)]
    shown = pixels(viz.plot_trajectory(states, [1000, 500, 0], tmp_path / "t.png", columns))[..., :3]
    grid = viz.image_grid(np.concatenate([s[:columns] for s in states]), rows=3)
    scale = round(800 / max(grid.shape))
    height, right = grid.shape[0] * scale, grid.shape[1] * scale
    assert shown.shape[:2] == (height + 16, 96 + right + 8)
    exact = np.kron(grid, np.ones((scale, scale), np.uint8))
    np.testing.assert_array_equal(shown[8:-8, -right - 8 : -8], np.stack([exact] * 3, axis=-1))
    labels = (shown[:, : -right - 8] < 128).all(axis=2)
    assert not labels[:, :4].any(), "the longest label reaches the edge"
    thirds = [part.any() for part in np.array_split(labels, 3)]
    assert thirds == [True] * 3


def test_labels_of_many_low_rows_do_not_overlap(tmp_path):
    states = [np.full((1, 1, 1, 1), 0.5)] * 300
    shown = pixels(viz.plot_trajectory(states, range(300), tmp_path / "t.png"))[..., :3]
    inked = (shown[:, :60] < 128).all(axis=2).any(axis=1)
    runs = np.flatnonzero(np.diff(inked.astype(int)) == 1)
    assert 10 < len(runs) < 300
    assert np.diff(runs).min() >= 12


@pytest.mark.parametrize(
    ("states", "times", "message"),
    [
        ([], [], "states"),
        ([np.zeros((1, 1, 2, 2)), np.zeros((1, 1, 2, 3))], [0, 1], r"\(1, 1, 2, 3\)"),
        ([np.zeros((1, 1, 2, 2))], [0, 1], "times: got 2 for 1 states"),
    ],
)
def test_invalid_trajectories_raise_an_error(tmp_path, states, times, message):
    with pytest.raises(InputError, match=message):
        viz.plot_trajectory(states, times, tmp_path / "t.png")


# ---- animation ----


@pytest.mark.parametrize("channels", [1, 3])
def test_an_animation_shows_every_frame_for_its_duration(tmp_path, channels):
    states = [uniform(4, channels, 5, 5, seed=s) for s in range(6)]
    with Image.open(viz.animate(states, tmp_path / "a.gif", fps=8)) as gif:
        assert gif.n_frames == 6
        assert gif.info["loop"] == 0
        durations = []
        for index, state in enumerate(states):
            gif.seek(index)
            durations.append(gif.info["duration"])
            grid = viz.image_grid(state)
            exact = grid.repeat(round(400 / 13), axis=0).repeat(round(400 / 13), axis=1)
            shown = np.asarray(gif.convert("L" if channels == 1 else "RGB"))
            np.testing.assert_allclose(shown.astype(int), exact, atol=0 if channels == 1 else 8)
    assert durations == [120] * 5 + [2000]


@pytest.mark.parametrize("channels", [1, 3])
def test_the_time_of_a_frame_is_written_above_it(tmp_path, channels):
    """Below the text the frame is as without it; the same state at another time has another text."""
    state = uniform(4, channels, 5, 5)
    with Image.open(viz.animate([state, state], tmp_path / "a.gif", times=[20, 1])) as gif:
        shown = []
        for index in range(2):
            gif.seek(index)
            shown.append(np.asarray(gif.convert("L" if channels == 1 else "RGB")).astype(int))
    with Image.open(viz.animate([state], tmp_path / "b.gif")) as gif:
        plain = np.asarray(gif.convert("L" if channels == 1 else "RGB")).astype(int)
    for frame in shown:
        np.testing.assert_allclose(frame[viz.BAND :], plain, atol=0 if channels == 1 else 8)
        assert frame[: viz.BAND].min() < 100 < 240 < frame[0, 0].min()
    assert (shown[0][: viz.BAND] != shown[1][: viz.BAND]).any()
    with pytest.raises(InputError, match="times: got 1 for 2 states"):
        viz.animate([state, state], tmp_path / "a.gif", times=[1])


def test_an_animation_of_one_frame_and_of_frames_with_nan(tmp_path):
    state = uniform(1, 1, 3, 3)
    with Image.open(viz.animate([state], tmp_path / "one.gif")) as gif:
        assert (gif.n_frames, gif.info["duration"]) == (1, 2000)
    bad = state.copy()
    bad[0, 0, 1, 1] = np.nan
    with Image.open(viz.animate([state, bad], tmp_path / "nan.gif")) as gif:
        gif.seek(1)
        center = np.array(gif.convert("RGB").getpixel((gif.width // 2, gif.height // 2)))
    assert np.abs(center - viz.MAGENTA).max() <= 8


@pytest.mark.parametrize("fps", [0, -1, 51, float("nan")])
def test_invalid_frame_rates_raise_an_error(tmp_path, fps):
    with pytest.raises(InputError, match="fps"):
        viz.animate([uniform(1, 1, 3, 3)], tmp_path / "a.gif", fps)


# ---- parameters ----


@pytest.mark.parametrize("shape", [(500, 20), (9,), (4, 1, 3, 5), (2, 2, 2), (9, 0)])
def test_weights_of_other_shapes_raise_an_error(tmp_path, shape):
    with pytest.raises(InputError, match=r"weights: .*\(" + str(shape)[1:-1]):
        viz.show_receptive_fields(np.zeros(shape), tmp_path / "rf.png")


@pytest.mark.parametrize(
    ("shape", "endings"),
    [
        ((16, 3), ["raw", "rf"]),
        ((6, 20, 3, 3), ["raw", "rf"]),
        ((12,), ["raw"]),
        ((), ["raw"]),
        ((500, 4), ["raw"]),
        ((3, 9), ["raw"]),
        ((5, 20, 1, 1), ["raw"]),
        ((2, 3, 4, 5, 6), ["raw"]),
    ],
)
def test_a_parameter_has_the_plots_that_fit_its_shape(tmp_path, shape, endings):
    paths = viz.plot_parameter(uniform(*shape), tmp_path / "params-a.b", "/mlp/linear_0.W $x_{$")
    assert [p.name for p in paths] == [f"params-a.b_{e}.png" for e in endings]
    for path in paths:
        assert min(pixels(path).shape[:2]) > 200


@pytest.mark.parametrize(
    "value",
    [
        [0.1] * 5,
        np.zeros((5, 5)),
        [1, 1 + 2.3e-16],
        [3e38, -3e38],
        [[1.7e308, -1.7e308]],
        [5e-324, 0],
        [[np.nan, np.inf]],
        [np.nan],
        [[True, False]],
        np.arange(5),
    ],
    ids=str,
)
def test_any_numbers_can_be_drawn(tmp_path, value):
    (path,) = viz.plot_parameter(value, tmp_path / "p", "p")
    bad = not (np.abs(np.asarray(value, float)) < 1e150).all()
    assert has_color(path, (255, 0, 255)) == bad


def test_one_nan_in_a_large_matrix_is_visible(tmp_path):
    matrix = uniform(784, 500)
    matrix[400, 300] = np.nan
    for path in viz.plot_parameter(matrix[:, 250:350], tmp_path / "p", "p"):
        assert has_color(path, viz.MAGENTA)


@pytest.mark.parametrize("value", [[], ["a"], [1j]])
def test_empty_or_non_numeric_parameters_raise_an_error(tmp_path, value):
    with pytest.raises(InputError, match=r"parameter: .* real"):
        viz.plot_parameter(value, tmp_path / "p", "p")


# ---- monitors ----


def color(code):
    return tuple(bytes.fromhex(code[1:]))


@pytest.mark.parametrize("rows", [ROWS, ROWS[1:2]], ids=["many", "one"])
def test_training_curves_are_all_visible(tmp_path, rows):
    path = viz.plot_monitors(rows, tmp_path / "m.png")
    for code in (BLUE, ORANGE, DARK):
        assert has_color(path, color(code))


def test_one_logged_epoch_is_a_visible_dot(tmp_path):
    def ink(row):
        return (pixels(viz.plot_monitors([row], tmp_path / "m.png"))[..., :3] == color(BLUE)).all(axis=2).sum()

    assert ink(ROWS[1]) > ink({"epoch": 2, "train_K_minus_L_null": None}) + 10  # more than in the legend


@pytest.mark.parametrize("rows", [[], [{}], [{"epoch": "", "learning_rate": 1e-3}]])
def test_training_curves_without_an_epoch_raise_an_error(tmp_path, rows):
    with pytest.raises(InputError, match=f"got no epoch in {len(rows)} rows"):
        viz.plot_monitors(rows, tmp_path / "m.png")
