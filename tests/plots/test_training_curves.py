"""Test training curves: names and styles of the lines, and limits that keep the last half readable."""

import numpy as np
import pytest

from dpm.plots.training_curves import CURVES, draw_training_curves, find_limits

EPOCHS = np.arange(1.0, 41)
# The heartbeat: from -47 to 12 bits, with truth and ceiling 0.05 bits apart at the end.
LEARNED = 12.0 - 59 * np.exp(-EPOCHS / 3)
HEARTBEAT = {
    "train_K_minus_L_null": LEARNED + 0.01,
    "test_K_minus_L_null": LEARNED,
    "ceiling": np.full(40, 12.1),
    "truth": np.full(40, 12.15),
}


def test_limits_fit_the_last_half_with_ceiling_and_truth_and_the_rest_is_counted():
    low, high, note = find_limits([(EPOCHS, HEARTBEAT)])
    last = LEARNED[20:]
    assert low < last.min()
    assert high > 12.15
    assert high - low == pytest.approx(1.1 * (12.15 - last.min()))
    below = sum((y < low).sum() for y in HEARTBEAT.values())
    assert 30 < below < 45
    assert note == f"earlier values off the axis: {below} below"


def test_limits_of_two_runs_fit_the_last_half_of_both():
    """A short run and a long one: each has its own last half."""
    short = {"test_K_minus_L_null": LEARNED[:10] - 1}
    low, high, _ = find_limits([(EPOCHS, HEARTBEAT), (EPOCHS[:10], short)])
    assert low < short["test_K_minus_L_null"][5]
    assert low > short["test_K_minus_L_null"][3]
    assert high > 12.15


def test_few_epochs_are_shown_as_a_whole():
    assert find_limits([(EPOCHS[:4], {"test_K_minus_L_null": LEARNED[:4]})]).low < LEARNED[0]


def test_a_curve_of_similar_height_is_shown_as_a_whole():
    straight = find_limits([(EPOCHS, {"test_K_minus_L_null": EPOCHS})])
    assert (straight.low < 1, straight.high > 40, straight.note) == (True, True, "")


@pytest.mark.parametrize("values", [[], [np.nan], [3.0], [3.0, 3.0], [-np.inf, 2.0]])
def test_any_values_have_limits(values):
    low, high, _ = find_limits([(np.arange(len(values)) + 1.0, {"test_K_minus_L_null": np.array(values)})])
    assert np.isfinite([low, high]).all()
    assert low < high


def rows(n):
    null = -14.4
    return [
        {"epoch": e, "learning_rate": 1e-3, "test_K": HEARTBEAT["test_K_minus_L_null"][i] + null}
        | {name: y[i] + (null if name in ("truth", "ceiling") else 0) for name, y in HEARTBEAT.items()}
        for i, e in enumerate(EPOCHS[:n])
    ]


def test_lines_are_named_and_drawn_as_in_the_report():
    figure = draw_training_curves(rows(40), "bits/example")
    bound = figure.axes[0]
    assert [(line.get_label(), line.get_linestyle()) for line in bound.lines] == [
        ("test", "-"),
        ("train, mean over the epoch", "--"),
        ("ceiling of K", ":"),
        ("exact log likelihood", "-."),
    ]
    assert [text.get_text() for text in bound.get_legend().get_texts()] == [label for label, _ in CURVES.values()]
    assert bound.texts[0].get_text().startswith("earlier values off the axis: ")
    np.testing.assert_allclose(bound.lines[3].get_ydata(), 12.15)
    assert bound.get_ylim() == pytest.approx(find_limits([(EPOCHS, HEARTBEAT)])[:2])


def test_without_truth_and_ceiling_there_are_two_lines():
    plain = [{k: v for k, v in row.items() if k not in ("truth", "ceiling")} for row in rows(3)]
    assert len(draw_training_curves(plain, "bits/pixel").axes[0].lines) == 2


@pytest.mark.parametrize(
    ("rates", "scale"),
    [
        ([1e-2, 1e-3, 1e-4, 1e-5], "log"),
        ([1e-2, 5e-3, 1e-4, 0.0], "linear"),
        ([1e-3, 9e-4], "linear"),
        ([0.0], "linear"),
    ],
)
def test_every_learning_rate_is_on_the_axis(rates, scale):
    """A cosine ends at 0, which a log axis would leave out; of one epoch it is the only rate."""
    logged = [row | {"learning_rate": value} for row, value in zip(rows(len(rates)), rates, strict=True)]
    axes = draw_training_curves(logged, "bits/pixel").axes[1]
    low, high = axes.get_ylim()
    assert axes.get_yscale() == scale
    assert low < min(rates) <= max(rates) < high
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), rates)
