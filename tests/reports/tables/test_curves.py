"""The pages show K over the time of training, from the log of each row."""

import json
from types import SimpleNamespace

import numpy as np

from dpm.reports.tables import curves, running
from dpm.reports.tables.curves import Curve
from dpm.reports.tables.rows import ROWS
from dpm.runs import checkpoint
from tests.helpers import runs


def test_curve_of_a_row_is_the_log_of_its_run(base):
    path = runs.trained(base) / "checkpoint.h5"
    curve = curves.read_curve(ROWS["mnist"], running.describe_run(path))
    meta, _ = checkpoint.load_run(path)
    log = meta["state"]["rows"]
    assert (curve.title, curve.unit) == ("mnist", "bits/pixel")
    np.testing.assert_allclose(curve.minutes * 60, [row["seconds"] for row in log], atol=0.03)
    np.testing.assert_allclose(curve.values, [row["test_K_minus_L_null"] for row in log], atol=1e-6)
    np.testing.assert_allclose(curve.errors, [row["test_draws_error"] for row in log], atol=1e-6)


def test_values_that_are_not_finite_leave_a_gap():
    rows = enumerate(((1.0, 0.1), (np.nan, np.nan), (2.0, 0.3)), 1)
    log = [{"seconds": 30.0 * k, "test_K_minus_L_null": K, "test_draws_error": error} for k, (K, error) in rows]
    curve = curves.read_curve(ROWS["mnist"], json.loads(json.dumps({"curve": running.describe_curve(log)})))
    np.testing.assert_array_equal(curve.minutes, [0.5, 1.0, 1.5])
    np.testing.assert_array_equal(curve.values, [1.0, np.nan, 2.0])
    np.testing.assert_array_equal(curve.errors, [0.1, np.nan, 0.3])


def test_panel_shows_the_values_over_minutes():
    errors = np.array([0.05, 0.05, 0.01])
    shown = [Curve(name, "bits", np.array([1.0, 2.0, 4.0]), np.array([0.5, 0.8, 0.9]), errors) for name in "abcd"]
    panels = curves.draw_curves(shown).axes
    assert [panel.get_title() for panel in panels if panel.get_visible()] == [*"abcd"]
    (line,) = panels[3].lines
    np.testing.assert_array_equal(line.get_xydata(), [(1, 0.5), (2, 0.8), (4, 0.9)])
    (band,) = panels[3].collections
    corners = {(x, round(y, 6)) for x, y in band.get_paths()[0].vertices.tolist()}
    assert {(1, 0.4), (1, 0.6), (2, 0.7), (2, 0.9), (4, 0.88), (4, 0.92)} == corners


def test_rows_without_an_epoch_have_no_curve(tmp_path):
    """Neither a row that was not made nor one that trained for less than an epoch is an error."""
    plan = SimpleNamespace(what="table1", results=tmp_path)
    rows, records = [ROWS["mnist"], ROWS["bark"]], [{"missing": "not made"}, {"curve": running.describe_curve([])}]
    assert curves.make_curves(rows, records, plan) is None
    assert not (tmp_path / "table1_curves.png").exists()
