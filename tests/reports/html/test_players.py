"""Players: a frame for each t, from the arrays that training saved in either layout of the run folder."""

import base64
import io

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from dpm.base.errors import InputError
from dpm.plots.charts import ORANGE
from dpm.reports.html.players import (
    MAX_IMAGES,
    MIN_IMAGES,
    Panel,
    Player,
    compute_stamp,
    images_per_frame,
    load_players,
    render_player,
)
from tests.helpers import report_folders as folders

LAYOUTS = {"arrays/": False, "flat": True}


def pixels(uri):
    kind, _, content = uri.partition(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("L"))


@pytest.mark.parametrize("flat", LAYOUTS.values(), ids=LAYOUTS)
def test_frames_are_the_saved_states_from_T_to_x_1(tmp_path, flat):
    """The files number the sample 0, as in 2015; it is x_1."""
    samples, inpaint = load_players(folders.make(tmp_path / "a", samples=True, flat=flat))
    assert (samples.title, samples.times) == ("Samples", [10, 6, 1])
    assert [len(panel.states) for panel in inpaint.panels] == [1, 1, 3]
    middles = [np.median(pixels(frame)) for frame in render_player(samples, "a")["panels"][0]["frames"]]
    assert middles == [255, 153, 0]  # t / 10 of 255


def test_the_drawn_half_of_an_inpainting_is_outlined(tmp_path):
    """The released mask: of 8 columns 0 to 3 are drawn. With one image, the grid has a gap of 1 and is enlarged 24x."""
    hole = np.arange(8) < 4
    player = Player("a", "b", [0], [Panel("c", [np.zeros((1, 1, 8, 8))], hole)])
    (frame,) = render_player(player, "run")["panels"][0]["frames"]
    _, _, content = frame.partition(",")
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))
    rows, columns = np.nonzero((image == np.rint(255 * np.array(to_rgb(ORANGE)))).all(axis=2))
    factor = image.shape[0] // 10
    assert (columns.min(), columns.max()) == (factor, 5 * factor - 1)
    assert (rows.min(), rows.max()) == (factor, 9 * factor - 1)
    assert len(rows) == 2 * 4 * factor + 2 * 8 * factor - 4, "one pixel wide"


@pytest.mark.parametrize("flat", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("newest_flat", LAYOUTS.values(), ids=LAYOUTS)
def test_newest_samples_are_shown_wherever_they_are(tmp_path, flat, newest_flat):
    """A run that a newer version resumed has arrays in both places."""
    folder = folders.make(tmp_path / "a", samples=True, flat=flat)
    np.savez(folders.array_path(folder, "samples_t0000_batch000999.npz", newest_flat), X=np.ones((1, 1, 8, 8)))
    (player,) = load_players(folder)
    assert player.times == [1]
    assert "999 steps" in player.caption


def test_arrays_folder_takes_precedence(tmp_path):
    folder = folders.make(tmp_path / "a")
    for flat in LAYOUTS.values():
        path = folders.array_path(folder, "samples_t0000_batch000001.npz", flat)
        np.savez(path, X=np.full((1, 1, 8, 8), float(not flat)))
    (player,) = load_players(folder)
    assert player.panels[0].states[0].min() == 1


@pytest.mark.parametrize("flat", LAYOUTS.values(), ids=LAYOUTS)
def test_stamp_changes_with_new_samples_and_results(tmp_path, flat):
    folder = folders.make(tmp_path / "a", samples=True, flat=flat)
    first = compute_stamp(folder)
    assert compute_stamp(folder) == first
    folders.write_log(folder, 8)
    assert compute_stamp(folder) == first
    folders.write_samples(folder, 99, flat=flat)
    second = compute_stamp(folder)
    (folder / "result.json").write_text("{}")
    assert len({first, second, compute_stamp(folder)}) == 3


@pytest.mark.parametrize("flat", LAYOUTS.values(), ids=LAYOUTS)
def test_vectors_become_points_and_rows_on_one_scale(tmp_path, flat):
    rng = np.random.default_rng(0)
    for size in (2, 20):
        folder = folders.make(tmp_path / f"v{size}")
        path = folders.array_path(folder, "trajectory_batch000021.npz", flat)
        np.savez(path, times=[0, 20, 40], x_40=rng.random((50, size)),
            x_20=rng.random((50, size)), x_0=np.zeros((50, size)))  # fmt: skip
        (player,) = load_players(folder)
        assert player.times == [40, 20, 1]
        frames = [pixels(frame) for frame in render_player(player, "v")["panels"][0]["frames"]]
        dark = [(frame < 200).sum() for frame in frames]
        assert dark[2] < dark[0], "points at one place cover less; 0 is white"


def test_panels_of_a_player_share_one_scale():
    narrow, wide = np.zeros((30, 2)), np.random.default_rng(0).normal(size=(30, 2)) * 5
    single = render_player(Player("a", "b", [0], [Panel("c", [narrow])]), "v")["panels"][0]["frames"][0]
    both = render_player(Player("a", "b", [0], [Panel("c", [narrow]), Panel("d", [wide])]), "v")["panels"][0]["frames"][
        0
    ]
    assert single != both


def test_run_without_samples_has_no_players(tmp_path):
    assert load_players(folders.make(tmp_path / "a")) == []


@pytest.mark.parametrize(
    ("name", "arrays", "message"),
    [
        ("samples_t0000_batch000001.npz", {"X": np.zeros((2, 5, 3, 3))}, "5 colors"),
        ("samples_t0000_batch000001.npz", {"X": np.zeros(3)}, "4 axes"),
        ("samples_t0000_batch000001.npz", {"Y": np.zeros(3)}, "4 axes"),
        ("trajectory_batch000001.npz", {"times": np.zeros(3)}, "no array x_t"),
    ],
)
def test_invalid_array_is_named_in_the_error(tmp_path, name, arrays, message):
    folder = folders.make(tmp_path / "a")
    np.savez(folders.array_path(folder, name), **arrays)
    with pytest.raises(InputError, match=message) as error:
        load_players(folder)
    assert name in str(error.value)


def test_frame_has_fewer_large_images():
    assert (images_per_frame(28 * 28), images_per_frame(3 * 64 * 64)) == (MAX_IMAGES, MIN_IMAGES)


def test_alternative_text_names_the_run():
    player = render_player(Player("a", "b", [1, 0], [Panel("c", [np.zeros((1, 1, 2, 2))] * 2)], plays=True), "the run")
    assert player["panels"][0]["alt"] == "c, of the run"
    assert player["plays"]
