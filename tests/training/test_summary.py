"""The lines that a run prints before training and at its end."""

from types import SimpleNamespace

import numpy as np
import pytest

from dpm.base.arguments import parse_literals
from dpm.model import DiffusionModel
from dpm.runs.settings import Settings
from dpm.training import summary
from dpm.training.building import prepare_loop
from tests.helpers import runs


def test_argument_without_effect_is_said():
    """A dense path of one layer maps pixels to outputs: there is no hidden layer for n_hidden_dense_lower."""
    arguments = {"spatial_width": 8, "n_colors": 1, "n_hidden_dense_lower": 4, "n_layers_dense_lower": 1}
    (line,) = summary.describe_unused(DiffusionModel(**arguments))
    assert "n_hidden_dense_lower has no effect" in line
    for change in ({"n_layers_dense_lower": 2}, {"n_hidden_dense_lower": 0}):
        assert summary.describe_unused(DiffusionModel(**arguments | change)) == []


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({}, "objective K, importance times"),
        ({"times": "stratified"}, "objective K, stratified times"),
        ({"objective": "balanced"}, "objective balanced, importance times"),
        ({"optimizer": "sfo"}, "objective K, stratified times"),
        ({"faithful": True}, "objective K, one time for each minibatch, as released"),
        (
            {"experiment": "swissroll", "small": True, "model_args": {"form": "paper"}},
            "objective K, all times of each example",
        ),
    ],
)
def test_objective_and_times_are_named(base, given, line):
    """Also where they are the plain ones, which are not the defaults."""
    if "experiment" not in given:
        given = given | {"data_path": str(runs.data(base)), "model_args": parse_literals(runs.MODEL)}
    loop, _ = prepare_loop(Settings.from_arguments(**given, quiet=True))
    assert summary.describe_objective(loop).partition(" (docs/")[0] == f"         {line}"


@pytest.mark.parametrize(
    ("given", "length"),
    [
        ({}, "100 epochs"),
        ({"epochs": 1}, "1 epoch"),
        ({"hours": 0.5}, "0.5 hours"),
        ({"hours": 1}, "1 hour"),
        ({"hours": 1, "epochs": 7}, "7 epochs or 1 hour"),
    ],
)
def test_length_is_that_of_epochs_or_of_hours(given, length):
    settings = Settings.from_arguments(**given)
    assert summary.describe_length(SimpleNamespace(hours=settings.hours, epochs=settings.epochs)) == length


def test_terms_that_were_not_finite_are_reported_at_the_end(base, train, monkeypatch, capsys):
    """They are left out of p(t), and counted."""
    from dpm.training.times import TimeWeights

    evaluate, number = TimeWeights.evaluate, iter(range(100))

    def with_one_infinite(*arguments):
        found = evaluate(*arguments)
        return found._replace(terms=np.where(np.arange(len(found.terms)) == next(number), np.inf, found.terms))

    assert "finite" not in _printed(train, capsys)
    monkeypatch.setattr(TimeWeights, "evaluate", with_one_infinite)
    assert "6 terms of K were not finite and left out of their sizes" in _printed(train, capsys)


def _printed(train, capsys):
    train()
    return capsys.readouterr().out
