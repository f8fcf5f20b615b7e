"""Charts as Bokeh's JSON: colors, and curves where the log has them."""

import json

import numpy as np

from dpm.reports.html import charts
from dpm.reports.html.model import Divergences
from dpm.reports.html.runs import read_run
from tests.helpers import report_folders as folders

# Okabe and Ito, "Color Universal Design" (2008): the palette's eight colors.
OKABE_ITO = {"#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"}


def test_the_colors_are_okabe_and_itos():
    assert set(charts.COLOURS) == OKABE_ITO
    assert len(charts.COLOURS) == 8


def test_training_and_test_curves_have_the_runs_color(tmp_path):
    runs = [read_run(folders.make(tmp_path / name)) for name in ("a", "b")]
    title, item = charts.curves(runs, [0, 3])
    text = json.dumps(item)
    assert title == "K - L_null, bits/pixel, and learning rate"
    assert {color for color in OKABE_ITO if color in text} == {charts.COLOURS[0], charts.COLOURS[3]}
    assert '"log0"' in text
    assert '"log3"' in text


def test_no_chart_of_a_rate_that_is_never_above_0(tmp_path):
    folder = folders.make(tmp_path / "a")
    (folder / "log.csv").write_text(f"{folders.HEADER}\n1,2,3,4,5,6,7,0,0\n")
    title, _ = charts.curves([read_run(folder)], [0])
    assert "rate" not in title


def test_bars_of_KL_t_end_at_the_standard_error_and_above_0(tmp_path):
    run = read_run(folders.make(tmp_path / "a"))
    t = np.array([2.0, 3.0])
    found = Divergences(t, t, t, np.array([1.0, 0.5]), np.array([0.25, 0.75]), -1.0, 0.1, 5)
    _, item = charts.divergence_chart([found], [run], [0])
    text = json.dumps(item)
    assert '["low", [0.75, 0.05]]' in text
    assert '["high", [1.25, 1.25]]' in text


def test_what_is_not_finite_is_none():
    assert charts.clean({"a": [1.0, float("nan"), float("inf")]}) == {"a": [1.0, None, None]}
