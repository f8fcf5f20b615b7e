"""Charts as Bokeh JSON: colors, curves of the log, and error bars."""

import json

import numpy as np

from dpm.likelihood.result import Bound
from dpm.reports.html import charts
from dpm.reports.html.model import Divergences
from dpm.reports.html.runs import read_run
from tests.helpers import report_folders as folders

# The eight colors of Okabe and Ito, "Color Universal Design" (2008).
OKABE_ITO = {"#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"}


def test_colors_are_the_palette_of_okabe_and_ito():
    assert set(charts.COLORS) == OKABE_ITO
    assert len(charts.COLORS) == 8


def labels(item):
    """Return the labels of the legends of a chart as JSON, one list for each."""
    found = []

    def search(node):
        if isinstance(node, dict):
            if node.get("name") == "Legend":
                found.append([i["attributes"]["label"]["value"] for i in node["attributes"]["items"]])
            for value in node.values():
                search(value)
        elif isinstance(node, list):
            for value in node:
                search(value)

    search(item)
    return found


def test_legends_name_the_kinds_of_curves_and_several_runs(tmp_path):
    one, two = (read_run(folders.make(tmp_path / name)) for name in ("a", "b"))
    _, item = charts.make_bound_chart([one], [0])
    assert labels(item) == [["test", "train, mean over the epoch"]]
    _, item = charts.make_bound_chart([one, two], [0, 1])
    assert labels(item) == [["test", "train, mean over the epoch", "a", "b"]]


def test_the_axis_of_the_bound_has_the_limits_of_the_files_and_its_note(tmp_path):
    """From -47 to 12 bits, of which the last half of 40 epochs is at 12."""
    folder = folders.make(tmp_path / "a")
    values = 12 - 59 * np.exp(-np.arange(1, 41) / 3)
    lines = [f"{e},{e},1,0,{v},0,{v},0.001,0" for e, v in enumerate(values, start=1)]
    (folder / "log.csv").write_text("\n".join([folders.HEADER, *lines]) + "\n")
    run = read_run(folder)
    low, high, note = charts.find_bound_limits([run])
    assert 11 < low < high < 13
    text = json.dumps(charts.make_bound_chart([run], [0])[1])
    assert note in text
    assert f'"start": {low}, "end": {high}' in text


def test_curves_have_the_color_of_their_run(tmp_path):
    runs = [read_run(folders.make(tmp_path / name)) for name in ("a", "b")]
    title, item = charts.make_bound_chart(runs, [0, 3])
    text = json.dumps(item)
    assert title == "K - L_null, bits/pixel, and learning rate"
    assert {color for color in OKABE_ITO - {"#000000"} if color in text} == {charts.COLORS[0], charts.COLORS[3]}
    assert '"log0"' in text
    assert '"log3"' in text


def test_learning_rate_that_is_never_above_0_has_no_chart(tmp_path):
    folder = folders.make(tmp_path / "a")
    (folder / "log.csv").write_text(f"{folders.HEADER}\n1,2,3,4,5,6,7,0,0\n")
    title, _ = charts.make_bound_chart([read_run(folder)], [0])
    assert "rate" not in title


def test_error_bars_of_KL_t_stay_above_0(tmp_path):
    run = read_run(folders.make(tmp_path / "a"))
    t = np.array([2.0, 3.0])
    bound = Bound(-1.0, 1.0, 0.1, 0.1, "bits/pixel", 5, 2, 2, 0)
    divergences = Divergences(t, t, t, np.array([1.0, 0.5]), np.array([0.25, 0.75]), bound)
    _, item = charts.make_divergence_chart([divergences], [run], [0])
    text = json.dumps(item)
    assert '["low", [0.75, 0.05]]' in text
    assert '["high", [1.25, 1.25]]' in text


def test_numbers_that_are_not_finite_become_none():
    assert charts.clean({"a": [1.0, float("nan"), float("inf")]}) == {"a": [1.0, None, None]}
