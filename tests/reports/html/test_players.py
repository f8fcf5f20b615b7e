"""Players: the pictures of each t, and what training saved."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from dpm.base.errors import InputError
from dpm.reports.html.players import LEAST, MOST, Panel, Player, number, saved_players, shown
from tests.helpers import report_folders as folders


def pixels(uri):
    kind, _, content = uri.partition(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("L"))


def test_frames_are_the_saved_states_from_T_to_0(tmp_path):
    samples, inpaint = saved_players(folders.make(tmp_path / "a", pictures=True))
    assert (samples.title, samples.times) == ("Samples", [10, 6, 0])
    assert [len(panel.states) for panel in inpaint.panels] == [1, 3]
    middles = [np.median(pixels(frame)) for frame in shown(samples, "a")["panels"][0]["frames"]]
    assert middles == [255, 153, 0]  # t / 10 of 255


def test_the_newest_pictures_are_taken(tmp_path):
    folder = folders.make(tmp_path / "a", pictures=True)
    np.savez(folder / "samples_t0000_batch000999.npz", X=np.ones((1, 1, 8, 8)))
    (player,) = saved_players(folder)
    assert player.times == [0]
    assert "999 steps" in player.caption


def test_vectors_become_points_and_rows_on_one_scale(tmp_path):
    rng = np.random.default_rng(0)
    for size in (2, 20):
        folder = folders.make(tmp_path / f"v{size}")
        np.savez(folder / "trajectory_batch000021.npz", times=[0, 20, 40], x_40=rng.random((50, size)),
            x_20=rng.random((50, size)), x_0=np.zeros((50, size)))  # fmt: skip
        (player,) = saved_players(folder)
        assert player.times == [40, 20, 0]
        frames = [pixels(frame) for frame in shown(player, "v")["panels"][0]["frames"]]
        dark = [(frame < 200).sum() for frame in frames]
        assert dark[2] < dark[0], "points at one place cover less, and 0 is white"


def test_panels_of_a_player_have_one_scale():
    narrow, wide = np.zeros((30, 2)), np.random.default_rng(0).normal(size=(30, 2)) * 5
    alone = shown(Player("a", "b", [0], [Panel("c", [narrow])]), "v")["panels"][0]["frames"][0]
    beside = shown(Player("a", "b", [0], [Panel("c", [narrow]), Panel("d", [wide])]), "v")["panels"][0]["frames"][0]
    assert alone != beside


def test_a_folder_without_pictures_has_no_players(tmp_path):
    assert saved_players(folders.make(tmp_path / "a")) == []


@pytest.mark.parametrize(
    ("name", "arrays", "told"),
    [
        ("samples_t0000_batch000001.npz", {"X": np.zeros((2, 5, 3, 3))}, "5 colors"),
        ("samples_t0000_batch000001.npz", {"X": np.zeros(3)}, "4 axes"),
        ("samples_t0000_batch000001.npz", {"Y": np.zeros(3)}, "4 axes"),
        ("trajectory_batch000001.npz", {"times": np.zeros(3)}, "no x_t"),
    ],
)
def test_arrays_of_another_kind_are_refused(tmp_path, name, arrays, told):
    folder = folders.make(tmp_path / "a")
    np.savez(folder / name, **arrays)
    with pytest.raises(InputError, match=told) as refusal:
        saved_players(folder)
    assert name in str(refusal.value)


def test_large_pictures_are_shown_in_small_numbers():
    assert (number(28 * 28), number(3 * 64 * 64)) == (MOST, LEAST)


def test_each_frame_of_a_player_tells_whose_it_is():
    player = shown(Player("a", "b", [1, 0], [Panel("c", [np.zeros((1, 1, 2, 2))] * 2)], plays=True), "the run")
    assert player["panels"][0]["alt"] == "c, of the run"
    assert player["plays"]
