"""Settings: consistency checks of flags, and their storage in a checkpoint."""

import json
import re

import pytest

from dpm.base.errors import InputError
from dpm.experiments.named import EXPERIMENTS
from dpm.experiments.toys import TOYS
from dpm.experiments.variants import CORRECTED, RELEASED
from dpm.runs.settings import UNLIMITED, Settings

SOLVED = {"experiment": "swissroll", "model_args": {"form": "paper"}}


@pytest.mark.parametrize("spelling", ["cifar10", "CIFAR-10", "cifar_10"])
def test_naming_the_data_of_an_experiment_is_accepted(spelling):
    given = {"experiment": "cifar10", "dataset": spelling, "model_args": {"n_hidden_conv": 7}}
    settings = Settings.from_arguments(**given)
    entry = EXPERIMENTS["cifar10"]
    assert settings.model_args == entry.model_args | entry.rates | {"n_hidden_conv": 7}
    assert settings.dataset == "CIFAR10"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"schedule": "log-snr", "beta_1": 1e-5}),
        ({"model_args": {"schedule": "released"}}, {"schedule": "released"}),
        ({"model_args": {"beta_1": 1e-4}}, {"beta_1": 1e-4}),
        ({"model_args": {"step1_beta": 0.01}}, {"step1_beta": 0.01}),
        ({"faithful": True}, {}),
    ],
)
def test_rates_of_an_experiment_are_replaced_as_a_whole(given, expected):
    """A schedule of one's own does not get the experiment's beta_1, and the release has its own rates."""
    arguments = Settings.from_arguments(experiment="deadleaves", **given).model_args
    assert {key: value for key, value in arguments.items() if key in ("schedule", "beta_1", "step1_beta")} == expected


def test_faithful_run_has_the_settings_of_2015():
    """The defaults of 2015's train.py, and of its README's command for CIFAR-10."""
    settings = Settings.from_arguments(faithful=True)
    assert (settings.optimizer, settings.batch_size, settings.lr) == ("rmsprop", 512, 1e-3)
    assert (settings.times, settings.objective, settings.lr_schedule) == ("stratified", "K", "release")
    assert (settings.warmup, settings.ema) == (0, 0)
    assert Settings.from_arguments(faithful=True, experiment="cifar10").batch_size == 200


@pytest.mark.parametrize("optimizer", ["sfo", "lbfgs"])
def test_optimizer_without_a_learning_rate_has_no_schedule_and_no_average(optimizer):
    settings = Settings.from_arguments(optimizer=optimizer)
    assert (settings.times, settings.lr_schedule, settings.warmup, settings.ema) == ("stratified", "release", 0, 0)


def test_clipping_is_for_adam_on_images():
    """RMSProp is the release's, and the toy problems were trained without; a checkpoint that had none goes on so."""
    chosen = [{}, {"optimizer": "rmsprop"}, {"optimizer": "sfo"}, {"faithful": True}, {"experiment": "heartbeat"}]
    assert [Settings.from_arguments(**given).clip_norm for given in chosen] == [2, 0, 0, 0, 0]
    assert Settings.from_arguments(experiment="swissroll", clip_norm=3.0).clip_norm == 3
    saved = {key: value for key, value in Settings.from_arguments().flags().items() if key != "clip_norm"}
    assert Settings.from_checkpoint({"flags": saved, "variant": "corrected"}, "x.h5").clip_norm == 0


@pytest.mark.parametrize(
    ("saved", "words"),
    [
        ({"lr": "fast"}, "its flag 'lr' is 'fast'"),
        ({"lr": None}, "its flag 'lr' is None"),
        ({"seed": True}, "its flag 'seed' is True"),
        ({"quiet": 1}, "its flag 'quiet' is 1"),
        ({"model_args": "n_scales=3"}, "its flag 'model_args' is 'n_scales=3'"),
        ({"__class__": 3}, "its flag '__class__' is 3"),
        ({"batch_size": 0}, "--batch-size: 0 is not accepted"),
        ({"lr": float("inf")}, "--lr: inf is not accepted"),
        ({"ema": 1.0}, "--ema: 1.0 is not accepted"),
        ({"warmup": -1}, "--warmup: -1 is not accepted"),
        ({"clip_norm": -1.0}, "--clip-norm: -1.0 is not accepted"),
        ({"clip_norm": float("nan")}, "--clip-norm: nan is not accepted"),
        ({"hours": 0.0}, "--hours: 0.0 is not accepted"),
        ({"hours": float("nan")}, "--hours: nan is not accepted"),
    ],
)
def test_flags_of_a_handmade_checkpoint_are_checked_like_the_command_line(saved, words):
    with pytest.raises(InputError, match=re.escape("checkpoint x.h5: " + words)):
        Settings.from_checkpoint({"flags": saved, "variant": "corrected"}, "x.h5")


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"experiment": "cifar10"},
        {"experiment": "bark", "small": True},
        {"experiment": "heartbeat", "small": True, "epochs": 3},
        {"n_subfunctions": 3, "optimizer": "sfo", "crop": 8},
        {"faithful": True, "hours": 0.5},
        {"times": "importance", "objective": "balanced-then-K", "lr_schedule": "cosine", "warmup": 9, "ema": 0.9},
        {"experiment": "swissroll", "objective": "balanced", "optimizer": "sfo"},
    ],
)
def test_settings_of_every_run_survive_its_checkpoint(given):
    """A round trip through the JSON of a checkpoint changes only the file that the run resumes from."""
    settings = Settings.from_arguments(**given)
    config = json.loads(json.dumps({"flags": settings.flags(), "variant": settings.variant.name}))
    assert Settings.from_checkpoint(config, "x.h5") == settings.replace(resume_file="x.h5")


def test_hours_alone_determine_the_length():
    """Of images, of toy problems and of runs as released; a given number of epochs ends a run too."""
    for given in ({}, {"experiment": "cifar10"}, {"experiment": "swissroll"}, {"faithful": True}):
        assert Settings.from_arguments(hours=0.5, **given).epochs == UNLIMITED
        assert Settings.from_arguments(hours=0.5, epochs=None, **given).epochs == UNLIMITED
        assert Settings.from_arguments(hours=0.5, epochs=7, **given).epochs == 7
        assert Settings.from_arguments(**given).epochs < UNLIMITED


def test_resumed_run_may_change_its_length_but_not_its_data():
    config = {"flags": Settings.from_arguments(seed=3).flags(), "variant": "corrected"}
    settings = Settings.from_checkpoint(config, "x.h5", epochs=7, seed=3, threads=1)
    assert (settings.epochs, settings.seed, settings.threads) == (7, 3, 1)
    with pytest.raises(InputError, match="--seed 4 contradicts --resume-file, whose run has 3"):
        Settings.from_checkpoint(config, "x.h5", seed=4)


@pytest.mark.parametrize(("name", "faithful"), [("exact", False), ("released", True)])
def test_variant_of_an_earlier_version_has_another_key_and_name(name, faithful):
    config = {"flags": Settings.from_arguments(faithful=faithful).flags(), "face": name}
    assert Settings.from_checkpoint(config, "x.h5").variant is (RELEASED if faithful else CORRECTED)


@pytest.mark.parametrize(
    "config", [{"variant": "modern"}, {"variant": 3}, {}, {"variant": "released"}, {"face": ["exact"]}]
)
def test_unknown_variant_in_a_checkpoint_is_refused(config):
    """Also "released" if --faithful was not given."""
    with pytest.raises(InputError, match=r"checkpoint x\.h5: variant .* (is unknown; expected corrected|contradicts)"):
        Settings.from_checkpoint(config | {"flags": {}}, "x.h5")


def test_unknown_setting_is_named_with_those_that_are_known():
    with pytest.raises(InputError, match="setting 'epoch' is unknown; accepted: batch_size, lr, resume_file"):
        Settings.from_arguments(epoch=3)


def test_settings_name_their_experiment_or_toy():
    assert Settings.from_arguments(experiment="bark", small=True).entry == EXPERIMENTS["bark"].select_size(True)
    assert Settings.from_arguments(experiment="swissroll").toy is TOYS["swissroll"]
    assert (Settings.from_arguments().entry, Settings.from_arguments().toy) == (None, None)


@pytest.mark.parametrize("start", ["zero", "closed-form"])
def test_start_is_a_flag_or_the_model_argument_of_earlier_versions(start):
    """Both give the same settings; the closed form is the default, with a rate that hardly moves what it found."""
    by_flag = Settings.from_arguments(experiment="swissroll", start=start)
    value = {"zero": "zero", "closed-form": "least_squares"}[start]
    by_argument = Settings.from_arguments(experiment="swissroll", model_args={"start": value})
    assert by_flag == by_argument
    assert (Settings.from_arguments(experiment="swissroll").start == start) == (start == "closed-form")
    assert (by_flag.lr == 1e-5) == (start == "closed-form")
    assert Settings.from_arguments(**SOLVED).start is None


@pytest.mark.parametrize(
    ("experiment", "name"), [(None, "release"), ("mnist", "release"), ("swissroll", "late-linear")]
)
def test_run_of_an_earlier_version_keeps_how_it_trained(experiment, name):
    """It did not know the choices of training: toy problems had a constant rate, then a linear one."""
    saved = {"flags": {"experiment": experiment}, "variant": "corrected"}
    settings = Settings.from_checkpoint(saved, "x.h5")
    assert (settings.times, settings.objective, settings.lr_schedule) == ("stratified", "K", name)
    assert (settings.warmup, settings.ema) == (0, 0)
