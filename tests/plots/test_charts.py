"""Test the toolbox of the plots: targets, all-or-nothing writes, and values that are not finite."""

import io

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from dpm.base.errors import InputError
from dpm.plots import charts


@pytest.fixture
def axes():
    return charts.make_figure(4, 3, 1, 1)[1]


def pixels(figure):
    with Image.open(io.BytesIO(charts.render_png(figure))) as image:
        return np.asarray(image)[..., :3]


def test_a_figure_is_rendered_at_its_size_and_twice_to_the_same_bytes():
    figures = [charts.make_figure(4, 3, 2, 1)[0] for _ in range(2)]
    assert pixels(figures[0]).shape == (3 * charts.DPI, 4 * charts.DPI, 3)
    assert charts.render_png(figures[0]) == charts.render_png(figures[1])


def test_a_target_is_a_path_in_a_folder_that_exists(tmp_path):
    assert charts.check_target(str(tmp_path / "a.PNG"), ".png") == tmp_path / "a.PNG"
    (tmp_path / "folder.png").mkdir()
    for name, message in [
        ("a.gif", r"a\.gif: got the ending '\.gif'; expected '\.png'"),
        ("absent/a.png", "the folder .*absent does not exist; make it first"),
        ("folder.png", r"folder\.png: got a folder; expected the name of a file"),
    ]:
        with pytest.raises(InputError, match=message):
            charts.check_target(tmp_path / name, ".png")


def test_files_are_written_all_or_none(tmp_path, monkeypatch):
    files = {tmp_path / "a": b"first", tmp_path / "b": b"second"}
    charts.write_files(files)
    assert {path.read_bytes() for path in files} == {b"first", b"second"}
    real = type(tmp_path).write_bytes

    def fail_at_the_second(path, content):
        if content == b"new second":
            raise OSError("disk full")
        return real(path, content)

    monkeypatch.setattr("pathlib.Path.write_bytes", fail_at_the_second)
    with pytest.raises(OSError, match="disk full"):
        charts.write_files({tmp_path / "a": b"new first", tmp_path / "b": b"new second"})
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {b"first", b"second"}


@pytest.mark.parametrize(("n", "markers"), [(30, ("o",)), (31, ("", "None"))])
def test_a_curve_has_markers_up_to_thirty_points_and_skips_values_that_are_not_finite(axes, n, markers):
    x, y = np.arange(n + 3.0), np.ones(n + 3)
    x[1], y[2], y[5] = np.nan, np.inf, np.nan
    charts.plot_curve(axes, x, y, color=charts.BLUE)
    (line,) = axes.lines
    assert line.get_marker() in markers
    np.testing.assert_array_equal(line.get_xdata(), np.delete(np.arange(n + 3), [1, 2, 5]))


def test_a_matrix_is_colored_symmetrically_about_zero(axes):
    charts.plot_matrix(axes, np.array([[1.0, -3.0], [np.nan, 2.0]]))
    assert axes.images[0].get_clim() == (-3, 3)
    assert axes.images[0].get_array().mask.tolist() == [[False, False], [True, False]]
    assert axes.lines[0].get_xydata().tolist() == [[0, 1]]
    assert (pixels(axes.figure) == np.rint(255 * np.array(to_rgb("magenta")))).all(axis=2).any()


@pytest.mark.parametrize("values", [[], [0.0], [2.0, 2.0], [1e-300, -1e-300], [-1.0, 4.0]])
def test_a_histogram_counts_all_values_whatever_their_range(axes, values):
    charts.plot_histogram(axes, np.array(values))
    assert len(axes.patches) == 50
    assert sum(patch.get_height() for patch in axes.patches) == len(values)
    low, high = axes.patches[0].get_x(), axes.patches[-1].get_x() + axes.patches[-1].get_width()
    assert low < high
    assert all(low <= value <= high for value in values)


def test_ticks_are_whole_numbers():
    ticks = charts.integer_ticks().tick_values(0, 37)
    assert 5 < len(ticks) <= 10
    np.testing.assert_array_equal(ticks, np.round(ticks))


def test_columns_are_floats_with_nan_for_what_is_absent():
    rows = [{"a": "1.5"}, {"a": ""}, {"a": None}, {}, {"a": 2}]
    np.testing.assert_array_equal(charts.column_values(rows, "a"), [1.5, np.nan, np.nan, np.nan, 2])
