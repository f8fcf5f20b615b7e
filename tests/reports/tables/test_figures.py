"""Each figure of the paper that shows a model has an entry, made from a row trained for it."""

from types import SimpleNamespace

import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.datasets import Scaling
from dpm.reports.tables import figures, running
from dpm.reports.tables.figures import FIGURES
from dpm.reports.tables.rows import ROWS, TABLES
from tests.reports.tables.test_running import options


def test_figures_1_to_5_and_app_1_use_the_rows_of_their_page():
    papers = [f"Figure {number}" for number in range(1, 6)]
    assert [title for title, *_ in FIGURES] == [*papers, "Figure 5 of photographs", "Figure App.1"]
    assert {name for _, _, name, _ in FIGURES} == set(TABLES["figures"])


def test_figures_3_and_4_show_training_data_next_to_samples_in_data_units(tmp_path, monkeypatch):
    """Panels (a) and (b) of the paper's Figures 3 and 4."""
    images = np.random.default_rng(0).random((6, 1, 4, 4))
    scaling = Scaling(2.0, -1.0)
    plan = SimpleNamespace(small=True)
    row = SimpleNamespace(flags=lambda small: (("--dataset", "X"), ()))
    monkeypatch.setattr(running, "run", lambda *a: np.savez(tmp_path / "samples.npz", X=1 - images[:4]))
    monkeypatch.setattr(running, "read_flags", lambda flags: flags)
    monkeypatch.setattr(figures, "load_data", lambda f: SimpleNamespace(train=scaling.forward(images), scaling=scaling))
    seen = []
    monkeypatch.setattr(figures, "plot_panels", lambda panels, path: seen.extend(panels) or path)
    path, commands = figures.samples(row, tmp_path, tmp_path / "checkpoint.h5", plan)
    assert path == tmp_path / "panels.png"
    assert commands == ["python sample.py CHECKPOINT --n 4"]
    assert [panel.title for panel in seen] == ["(a) training data", "(b) samples of the model"]
    np.testing.assert_allclose(seen[0].images, images[:4])
    np.testing.assert_allclose(seen[1].images, 1 - images[:4])


def test_photographs_are_in_painted_where_they_are_now(tmp_path, monkeypatch):
    """The page has a command without the folders of this machine; photographs that are gone are named."""
    ran = []
    monkeypatch.setattr(running, "run", lambda *words: ran.append(words))
    monkeypatch.setattr(figures, "locate", lambda name: tmp_path / "texture.hdf5")
    row, plan = ROWS["texture"], SimpleNamespace(small=False)
    path, commands = figures.in_painting_of_photographs(row, tmp_path, tmp_path / "checkpoint.h5", plan)
    assert path == tmp_path / "inpaint.png"
    assert f"{tmp_path}/texture.hdf5:test:0-3" in ran[0]
    flags = "--size 256 --mode inpaint --mask center:100 --input texture.hdf5:test:0-3"
    assert commands == [f"python sample.py CHECKPOINT {flags}"]
    monkeypatch.setattr(figures, "locate", lambda name: None)
    with pytest.raises(InputError, match="TEXTURE: is not here any more; python -m dpm datasets convert TEXTURE"):
        figures.in_painting_of_photographs(row, tmp_path, tmp_path / "checkpoint.h5", plan)


def test_figure_of_a_model_on_another_machine_is_not_drawn(tmp_path):
    """The page names the checkpoint that is missing; an image that was drawn there stays."""
    plan = options(tmp_path, rows=["bark"])
    figure, row = FIGURES[-1], ROWS["mnist-one-layer"]
    record = {"checkpoint": "run/checkpoint.h5"}
    _, _, file, reason = figures.make_figure(figure, row, record, plan)
    assert (file, reason) == (None, f"not drawn: {tmp_path}/mnist-one-layer-seed3/run/checkpoint.h5 is not there")
    (tmp_path / "figure_app.1.png").touch()
    _, _, file, commands = figures.make_figure(figure, row, record | {"figure": ["python sample.py"]}, plan)
    assert (file, commands) == ("figure_app.1.png", ["python sample.py"])
