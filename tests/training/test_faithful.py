"""The two variants in training: `released` (--faithful) reproduces the 2015 code, `corrected` is the default."""

import zipfile

import numpy as np
import pytest

from dpm.datasets import Scaling
from dpm.runs.flags import parse_flags
from dpm.runs.settings import Settings
from dpm.training.building import prepare_loop
from dpm.training.loop import MainLoop
from tests.helpers import runs


def build(data_path, *more):
    """Return (settings, data, loop) of a command line, as train.py makes them before compiling."""
    settings = Settings.from_arguments(**parse_flags(runs.arguments(data_path, data_path, *more)))
    loop, data = prepare_loop(settings)
    return settings, data, loop


@pytest.fixture(scope="module")
def faithful(data):
    return build(data, "--faithful")


@pytest.fixture(scope="module")
def corrected(data):
    """The corrections alone: with the optimizer, times and rates of the release."""
    plain = ("--optimizer", "rmsprop", "--times", "stratified", "--lr-schedule", "release", "--warmup", 0)
    return build(data, *plain)


def rate(loop, step):
    """Return the learning rate at a step."""
    loop.state.step = step
    return loop.learning_rate


def bare_loop(variant, lr):
    """Return a loop without a model, for its learning rate only."""
    return MainLoop(None, None, None, np.zeros((60, 1)), variant, batch_size=25, lr=lr, epochs=1, seed=0)


def test_epoch_is_500_batches_or_one_pass(faithful, corrected):
    assert faithful[2].epoch_length == 500
    assert corrected[2].epoch_length == runs.STEPS
    for loop, length in ((faithful[2], 500), (corrected[2], runs.STEPS)):
        epochs = []
        for loop.state.step in (0, length - 1, length, 2 * length):
            epochs.append(loop.epoch)
        loop.state.step = 0
        assert epochs == [0, 0, 1, 2]


def test_default_number_of_epochs():
    """Released: 100,001 epochs of 500 batches; corrected: 100 passes over the data."""
    for more, expected in ((["--faithful"], 100_001), ([], 100)):
        assert Settings.from_arguments(**parse_flags(more)).epochs == expected


def test_times_of_a_minibatch(faithful, corrected):
    """Released: one time for all images; corrected: times spread evenly over 2..T."""
    seen = set()
    for loop in (faithful[2], corrected[2]):
        for step in range(40):
            t = loop.inputs(loop.stream.features[: loop.batch_size], step)[1]
            assert set(t) <= set(range(2, runs.T + 1))
            if loop is faithful[2]:
                assert len(set(t)) == 1
                seen.add(t[0])
            else:
                counts = np.bincount(t.astype(int), minlength=runs.T + 1)[2:]
                assert counts.min() >= 2  # 25 images, 9 times: 2.8 each
                assert counts.max() <= 4
    assert seen == set(range(2, runs.T + 1))


def test_width_of_the_dequantization_noise(faithful, corrected):
    """Released: (1/255)/scale; corrected: one gray level in the model's units, scale/255."""
    for (_, data, loop), width in ((faithful, lambda scale: 1 / 255 / scale), (corrected, lambda scale: scale / 255)):
        assert loop.compiled.model.uniform_noise == width(data.scaling.scale)


def test_data_other_than_pixels_get_no_noise(tmp_path):
    sets = {part: np.random.default_rng(i).normal(size=(30, 1, 8, 8)) for i, part in enumerate(("train", "test"))}
    runs.write_data(tmp_path, **sets)
    for more in ([], ["--faithful"]):
        assert build(tmp_path, *more)[2].compiled.model.uniform_noise == 0


def test_scale_and_shift_come_from_one_minibatch_or_all_training_data(faithful, corrected, data):
    unit = (runs.pixels(runs.TRAIN) / np.float64(255)).astype(np.float32)
    assert corrected[1].scaling == Scaling.fit(unit)
    scaling = faithful[1].scaling
    assert scaling != corrected[1].scaling
    # With all images in one batch, both variants agree.
    assert build(data, "--faithful", "--batch-size", 60)[1].scaling.scale == pytest.approx(
        corrected[1].scaling.scale, rel=1e-6
    )
    # 25 images are a sample of the same distribution.
    assert scaling.scale == pytest.approx(corrected[1].scaling.scale, rel=0.05)


def test_scaled_training_data_have_mean_0_and_variance_1(corrected):
    train = corrected[1].train.astype(np.float64)
    assert train.mean() == pytest.approx(0, abs=1e-6)
    assert train.var() == pytest.approx(1, abs=1e-5)


def test_default_arguments_of_the_model(faithful, corrected):
    model = faithful[2].compiled.model
    assert (model.kl_terms, model.dense_lower_depth, model.constants) == ("T", "n_layers_conv", "float32")
    model = corrected[2].compiled.model
    assert (model.kl_terms, model.dense_lower_depth, model.constants) == ("T-1", "n_layers_dense_lower", "float64")


def test_non_finite_gradient_skips_the_step(faithful, corrected):
    """Released: only its parameter is not updated; corrected: the whole step is skipped."""
    for (_, _, loop), others_move in ((faithful, True), (corrected, False)):
        layout, theta = loop.compiled.layout, loop.theta
        gradient = np.ones_like(theta)
        bad = next(iter(layout.slices.values()))
        gradient[bad.start] = np.inf
        after = loop.rule.step(theta, gradient, 1e-3)
        np.testing.assert_array_equal(after[bad], theta[bad])
        rest = np.ones(layout.size, bool)
        rest[bad] = False
        assert (after[rest] != theta[rest]).all() == others_move
        assert (after[rest] == theta[rest]).all() != others_move
        assert loop.rule.skipped_steps == 1


@pytest.mark.parametrize("k", [0, 1, 2, 10, 999])
def test_learning_rate_drops_every_500_steps(faithful, corrected, k):
    for _, _, loop in (faithful, corrected):
        for step in (500 * k, 500 * k + 499):
            assert rate(loop, step) == pytest.approx(1e-3 * 10 ** (-k / 1000), rel=1e-12)
        loop.state.step = 0


def test_learning_rate_after_two_drops_equals_the_2015_checkpoint(corrected, golden):
    with zipfile.ZipFile(golden / "checkpoint/model.pkl") as archive, archive.open("learning_rate") as stream:
        saved = np.lib.format.read_array(stream, allow_pickle=False)
    assert float(saved) == pytest.approx(0.0009954055, rel=1e-7)
    assert rate(corrected[2], 1000) == pytest.approx(float(saved), rel=1e-7)
    corrected[2].state.step = 0


@pytest.mark.parametrize("lr", [1e-3, 1e-5])
def test_learning_rate_has_a_floor(faithful, corrected, lr):
    """The floor is 1e-4. Released: a smaller initial rate is raised to it at the first drop; corrected: it stays."""
    released, ours = (bare_loop(loop.variant, lr) for _, _, loop in (faithful, corrected))
    assert rate(released, 0) == rate(ours, 0) == lr
    assert rate(released, 500) == max(lr * 10**-0.001, 1e-4)
    assert rate(ours, 500) == max(lr * 10**-0.001, min(lr, 1e-4))
    assert rate(released, 500 * 5000) == 1e-4
    assert rate(ours, 500 * 5000) == min(lr, 1e-4)


def test_both_variants_share_initial_parameters_and_noise(faithful, corrected):
    """The same seed gives both variants the same initial parameters and the same noise for an image."""
    first, second = (loop.compiled.layout.split(loop.theta) for _, _, loop in (faithful, corrected))
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
