"""Detection of pixels in every form, their conversion to [0, 1], and the exact scaling."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dpm.base.errors import InputError
from dpm.datasets import Scaling, to_unit_range
from dpm.datasets import scaling as scaling_module

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (5, 1, 4, 4), np.uint8)


@settings(deadline=None)
@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=4)))
def test_equal_images_in_all_forms_give_equal_values(pixels):
    assume(pixels.max() > 1)
    assume(pixels.min() < pixels.max())
    expected = pixels / 255
    forms = [
        pixels,
        pixels.astype(np.int64),
        pixels.astype(np.float16),
        pixels.astype(np.float32),
        pixels.astype(np.float64),
        expected,
        expected.astype(np.float32),
        pixels.astype(np.float32) / np.float32(255),
        pixels.astype(np.float32) * np.float32(1 / 255),
        expected.astype(np.float16),
    ]
    for form in forms:
        found, quantized = to_unit_range(form)
        assert quantized
        assert found.dtype == np.float64
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int32, np.float32, np.float64])
def test_binary_images_stay_0_and_1(dtype):
    binary = RNG.integers(0, 2, (3, 1, 4, 4))
    found, quantized = to_unit_range(binary.astype(dtype))
    assert quantized
    np.testing.assert_array_equal(found, binary)


@pytest.mark.parametrize(
    "data",
    [
        np.array([-5.0, 0.0, 5.0]),
        np.array([-5.0, 0.5, 5.0]),
        np.array([0.0, 1.5, 200.25]),
        np.array([0.0, 0.3, 1.0]),
        np.array([0.0, 300.0]),
        np.array([0.0, 1e300]),
        PIXELS / 255 + RNG.uniform(0, 1 / 255, PIXELS.shape),
    ],
    ids=str,
)
def test_continuous_data_are_unchanged_and_not_quantized(data):
    found, quantized = to_unit_range(data)
    assert not quantized
    np.testing.assert_array_equal(found, data)


def test_tolerance_of_a_level_is_a_thousandth():
    data = np.array([0, 0.25, 100, 255]) / 255
    data[1] = (7 + 0.9e-3) / 255
    found, quantized = to_unit_range(data)
    assert quantized
    np.testing.assert_array_equal(found, np.array([0, 7, 100, 255]) / 255)
    data[1] = (7 + 1.1e-3) / 255
    assert not to_unit_range(data)[1]


def test_one_value_between_levels_makes_data_continuous(monkeypatch):
    monkeypatch.setattr(scaling_module, "CHUNK_VALUES", 16)
    data = PIXELS / 255
    assert to_unit_range(data)[1]
    data[-1, 0, 3, 3] = 0.5
    assert not to_unit_range(data)[1]


def test_result_has_the_requested_dtype():
    found, _ = to_unit_range(PIXELS, dtype="float32")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, (PIXELS / 255).astype(np.float32))


@pytest.mark.parametrize(("dtype", "data"), [("int16", [-1, 4]), ("uint16", [0, 65535]), ("int64", [0, 256])])
def test_integers_outside_8_bits_are_refused_with_their_range(dtype, data):
    with pytest.raises(InputError, match=rf"^scans: integers {data[0]}\.\.{data[1]};"):
        to_unit_range(np.array(data, dtype), "scans")


@pytest.mark.parametrize("use", [to_unit_range, Scaling.fit], ids=["to_unit_range", "fit"])
class TestUnusableData:
    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_error_has_the_index_of_the_first_bad_value(self, use, bad, monkeypatch):
        monkeypatch.setattr(scaling_module, "CHUNK_VALUES", 32)
        data = PIXELS / 255
        data[3, 0, 1, 2] = data[4, 0, 0, 0] = bad
        with pytest.raises(InputError, match=rf"^x: the value at index \(3, 0, 1, 2\) is {bad};"):
            use(data, "x")

    @pytest.mark.parametrize("value", [0, 7, 0.1, -2.5])
    def test_constant_data_are_refused_with_their_value(self, use, value):
        with pytest.raises(InputError, match=rf"^x: every value is {value};"):
            use(np.full((3, 1, 2, 2), value), "x")

    @pytest.mark.parametrize("shape", [(0,), (0, 1, 4, 4), (4, 0)])
    def test_empty_data_are_refused_with_their_shape(self, use, shape):
        with pytest.raises(InputError, match=r"^x: is empty, its shape is \("):
            use(np.zeros(shape), "x")

    @pytest.mark.parametrize("data", [np.array(3.0), np.array(["a", "b"]), np.array([1j, 2]), [{}, {}]], ids=str)
    def test_other_types_are_refused(self, use, data):
        with pytest.raises(InputError, match=r"^x: .*accepted are arrays of numbers"):
            use(data, "x")


@settings(deadline=None)
@given(hnp.arrays(np.float64, st.integers(2, 50), elements=st.floats(-1e6, 1e6)))
def test_scaling_gives_mean_0_and_variance_1_and_is_invertible(data):
    assume(np.ptp(data) > 1e-3)
    scaling = Scaling.fit(data)
    scaled = scaling.forward(data)
    size = 1 + np.abs(data).max() * scaling.scale
    assert abs(scaled.mean()) < 1e-12 * size
    assert abs(scaled.var() - 1) < 1e-9 * size
    np.testing.assert_allclose(scaling.inverse(scaled), data, rtol=1e-12, atol=1e-12 * np.abs(data).max())


def test_fit_is_float64_mean_and_deviation_over_chunks(monkeypatch):
    monkeypatch.setattr(scaling_module, "CHUNK_VALUES", 100)
    data = RNG.normal(3, 2, (77, 1, 4, 4)).astype(np.float32)
    scaling = Scaling.fit(data)
    exact = data.astype(np.float64)
    np.testing.assert_allclose(scaling.scale, 1 / exact.std(), rtol=1e-13)
    np.testing.assert_allclose(scaling.shift, -exact.mean() / exact.std(), rtol=1e-13)
    assert scaling.forward(data).dtype == np.float32


def test_variance_is_accurate_with_a_large_offset():
    data = 1e8 + np.tile([-1.0, 1.0], 1000)
    np.testing.assert_allclose(Scaling.fit(data).scale, 1, rtol=1e-12)


def test_fit_of_a_minibatch_standardizes_that_minibatch():
    batch = PIXELS[:2] / 255
    scaling = Scaling.fit(batch)
    np.testing.assert_allclose([scaling.forward(batch).mean(), scaling.forward(batch).var()], [0, 1], atol=1e-12)
    assert scaling != Scaling.fit(PIXELS / 255)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_8_bit_levels_survive_the_round_trip(dtype):
    levels = np.arange(256)
    data, _ = to_unit_range(levels, dtype=dtype)
    scaling = Scaling.fit(data)
    np.testing.assert_array_equal(np.rint(scaling.inverse(scaling.forward(data)) * 255), levels)


@pytest.mark.parametrize("data", [[0.0, 1e200], [0.0, 1e-200]], ids=str)
def test_variance_beyond_float64_is_refused(data):
    with pytest.raises(InputError, match="standard deviation"):
        Scaling.fit(data)


def test_no_second_copy_of_the_data_is_made():
    data = RNG.integers(0, 256, (4000, 1, 50, 50), np.uint8)
    tracemalloc.start()
    Scaling.fit(data)
    fit_peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    found, _ = to_unit_range(data, dtype="float32")
    convert_peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    chunk = 8 * scaling_module.CHUNK_VALUES
    assert fit_peak < 5 * chunk < data.size * 8
    assert convert_peak < found.nbytes + 5 * chunk
