"""Test what all writers of dpm.viz share: equal bytes, failures, paths, and memory."""

import gc
import io
import subprocess
import sys
import zipfile

import pytest
from matplotlib.figure import Figure
from PIL import Image

from dpm import viz
from dpm.base.errors import InputError
from tests.test_viz import ROWS, uniform

# Each writer by name: (call with a folder, the files it writes).
WRITERS = {
    "plot_images": (lambda d: viz.plot_images(uniform(5, 1, 4, 4), d / "a.png", "title"), ["a.png"]),
    "save_images": (
        lambda d: viz.save_images(uniform(5, 3, 4, 4), d / "s_t0010.5"),
        ["s_t0010.5.npz", "s_t0010.5.png"],
    ),
    "plot_trajectory": (
        lambda d: viz.plot_trajectory([uniform(3, 1, 4, 4)] * 2, [0, 1000], d / "t.png"),
        ["t.png"],
    ),
    "show_receptive_fields": (
        lambda d: viz.show_receptive_fields(uniform(16, 5) - 0.5, d / "rf.png"),
        ["rf.png"],
    ),
    "plot_parameter": (
        lambda d: viz.plot_parameter(uniform(16, 5) - 0.5, d / "params-W", "W"),
        ["params-W_raw.png", "params-W_rf.png"],
    ),
    "plot_monitors": (lambda d: viz.plot_monitors(ROWS, d / "m.png"), ["m.png"]),
    "animate": (
        lambda d: viz.animate([uniform(3, 1, 4, 4, seed=s) for s in (0, 1)], d / "a.gif", 5),
        ["a.gif"],
    ),
}
each_writer = pytest.mark.parametrize(("write", "files"), WRITERS.values(), ids=WRITERS)


@each_writer
def test_same_input_same_bytes(tmp_path, write, files):
    first, second = tmp_path / "1", tmp_path / "2"
    for folder in (first, second):
        folder.mkdir()
        write(folder)
        assert sorted(p.name for p in folder.iterdir()) == files
    for name in files:
        data = (first / name).read_bytes()
        assert data == (second / name).read_bytes()
        if name.endswith(".npz"):
            dates = {entry.date_time for entry in zipfile.ZipFile(io.BytesIO(data)).infolist()}
            assert dates == {(1980, 1, 1, 0, 0, 0)}, "no clock in the file"
        else:
            with Image.open(io.BytesIO(data)) as image:
                assert set(getattr(image, "text", {})) <= {"Title"}


@each_writer
@pytest.mark.parametrize("step", ["os.replace", "pathlib.Path.write_bytes"])
def test_a_failure_keeps_old_files_and_leaves_no_new_ones(tmp_path, monkeypatch, write, files, step):
    (tmp_path / files[-1]).write_text("old")
    real = viz.Path.write_bytes

    def fail(first, second):
        if step != "os.replace":
            real(first, second[: len(second) // 2])
        raise OSError("disk full")

    monkeypatch.setattr(step, fail)
    with pytest.raises(OSError, match="disk full"):
        write(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [files[-1]]
    assert (tmp_path / files[-1]).read_text() == "old"


@each_writer
def test_a_missing_folder_is_named(tmp_path, write, files):
    with pytest.raises(InputError, match=r"folder .*absent does not exist"):
        write(tmp_path / "absent")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["x.pdf", "x", "folder.png"])
def test_paths_that_are_not_images_raise_an_error(tmp_path, name):
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(InputError, match=name):
        viz.plot_images(uniform(1, 1, 2, 2), tmp_path / name)


def test_files_have_the_usual_permissions(tmp_path):
    (tmp_path / "plain").touch()
    path = viz.plot_images(uniform(1, 1, 2, 2), tmp_path / "x.png")
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.thorough
def test_a_hundred_plots_do_not_use_more_memory(tmp_path):
    def some(number):
        for index in range(number):
            chosen = "plot_trajectory" if index % 20 else ("plot_parameter", "plot_monitors")[index // 20 % 2]
            WRITERS[chosen][0](tmp_path)
        gc.collect()
        objects = gc.get_objects()
        return len(objects), sum(type(o) is Figure for o in objects)  # isinstance fails on dead weak proxies

    before, _ = some(22)  # the first calls fill caches
    after, figures = some(100)
    assert figures == 0
    assert after - before < 100


def test_pyplot_is_not_imported():
    code = "import sys, dpm.viz; sys.exit('matplotlib.pyplot' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
