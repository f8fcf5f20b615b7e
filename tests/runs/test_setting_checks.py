"""Checks of settings: one line names the flag, what it is and what is accepted or contradicts it."""

import re

import pytest

from dpm.base.errors import InputError
from dpm.runs.settings import Settings

SOLVED = {"experiment": "swissroll", "model_args": {"form": "paper"}}
ZERO = {"experiment": "swissroll", "model_args": {"start": "zero"}}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"times": "often"}, "--times: 'often' is not accepted; expected stratified, importance"),
        ({"objective": "k"}, "--objective: 'k' is not accepted; expected K, balanced, balanced-then-K"),
        ({"lr_schedule": "step"}, "--lr-schedule: 'step' is not accepted; expected release, constant"),
        ({"faithful": True, "times": "importance"}, "--times importance contradicts --faithful"),
        ({"faithful": True, "objective": "balanced"}, "--objective balanced contradicts --faithful"),
        ({"faithful": True, "lr_schedule": "cosine"}, "--lr-schedule cosine contradicts --faithful"),
        ({"faithful": True, "warmup": 5}, "--warmup 5 contradicts --faithful"),
        ({"faithful": True, "ema": 0.5}, "--ema 0.5 contradicts --faithful"),
        ({"optimizer": "sfo", "objective": "balanced-then-K"}, "--optimizer sfo minimizes a fixed function"),
        ({"optimizer": "lbfgs", "lr_schedule": "cosine"}, "--lr-schedule cosine is not used by --optimizer lbfgs"),
        ({"optimizer": "sfo", "warmup": 5}, "--warmup 5 is not used by --optimizer sfo"),
        ({"optimizer": "sfo", "ema": 0.5}, "--ema 0.5 is not used by --optimizer sfo"),
        ({"optimizer": "rmsprop", "clip_norm": 3.0}, "--clip-norm 3.0 is not used by --optimizer rmsprop"),
        ({"optimizer": "sfo", "clip_norm": 2.0}, "--clip-norm 2.0 is not used by --optimizer sfo, only by adam"),
        ({"start": "open"}, "--start: 'open' is not accepted; expected zero, closed-form"),
        ({"start": "zero"}, "--start zero: is for --experiment swissroll"),
        ({"start": "zero", "experiment": "mnist"}, "--start zero: is for --experiment swissroll"),
        ({"start": "zero", "experiment": "heartbeat"}, "--start zero: is for --experiment swissroll"),
        (SOLVED | {"start": "closed-form"}, "--start closed-form: has no effect with readouts='solved'"),
        (ZERO | {"start": "closed-form"}, "--start closed-form contradicts --model-args start='zero'"),
    ],
)
def test_choices_of_training_that_contradict_others_are_named(given, words):
    with pytest.raises(InputError, match=re.escape(words)):
        Settings.from_arguments(**given)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"n_scales": -1}, "--model-args n_scales: -1 is too small; accepted: 1 or more"),
        ({"trajectory_length": 10.5}, "--model-args trajectory_length: 10.5 is not a whole number"),
        ({"schedule": "sine"}, "--model-args schedule: 'sine' is not accepted"),
        ({"schedule": "linear", "step1_beta": 0.1}, "--model-args step1_beta=0.1 is not used by schedule='linear'"),
        ({"n_hiden_conv": 7}, "model argument 'n_hiden_conv' is unknown; did you mean n_hidden_conv?"),
    ],
)
def test_arguments_of_the_model_are_checked_before_data_are_read(arguments, words):
    """Settings read no data, so that an hour of reading is not followed by a refusal."""
    with pytest.raises(InputError, match=re.escape(words)):
        Settings.from_arguments(dataset="absent.hdf5", model_args=arguments)
