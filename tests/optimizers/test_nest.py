"""Test nested parameters: flatten, unflatten, and error messages."""

from typing import NamedTuple

import numpy as np
import pytest

from dpm.optimizers.nest import Nest


class Pair(NamedTuple):
    W: np.ndarray
    b: float


NESTS = {
    "array": np.arange(6.0).reshape(2, 3),
    "column": np.ones((4, 1)),
    "number": 3.0,
    "numpy number": np.float32(2),
    "no dimension": np.array(5.0),
    "list": [1.0, np.arange(3.0)],
    "tuple": (np.zeros((0, 2)), 2.0),
    "named": Pair(np.eye(2), 1.0),
    "deep": {"a": [1.0, {"b": (np.ones(2), 4)}], "c": np.zeros(1)},
}


def assert_same(a, b):
    """Check that two nests have equal structure and values."""
    assert type(a) is type(b) or np.isscalar(b)
    if isinstance(b, dict):
        assert list(a) == list(b)
        for key in b:
            assert_same(a[key], b[key])
    elif isinstance(b, list | tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    else:
        assert np.shape(a) == np.shape(b)
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("theta", NESTS.values(), ids=NESTS)
def test_unflatten_inverts_flatten(theta):
    nest = Nest(theta)
    vector = nest.flatten(theta)
    assert vector.shape == (nest.size,)
    assert_same(nest.unflatten(vector), theta)


def test_the_float_type_is_the_widest_and_integers_are_float64():
    assert Nest([np.zeros(2, "float32"), np.zeros(1, "float16")]).dtype == np.float32
    assert Nest([np.zeros(2, "float32"), np.zeros(1)]).dtype == np.float64
    assert Nest([np.zeros(2, "float32"), 1]).dtype == np.float64
    assert Nest(np.arange(3)).dtype == np.float64


def test_a_flat_vector_is_a_copy_by_default():
    theta = np.ones(3)
    assert not np.shares_memory(Nest(theta).flatten(theta), theta)
    assert np.shares_memory(Nest(theta).flatten(theta, copy=False), theta)


@pytest.mark.parametrize(
    ("theta", "other", "message"),
    [
        ([1.0, 2.0], [1.0], r"gradient: got \[1.0\]; expected a list of length 2"),
        ({"a": 1.0}, {"b": 1.0}, r"gradient: got \{'b': 1.0\}; expected a dict with the keys \['a'\]"),
        ({"a": [1.0]}, {"a": [np.ones(2)]}, r"gradient\['a'\]\[0\]: got shape \(2,\); expected \(\), as in theta"),
        (np.ones(2), [1.0, [2.0]], "gradient: got .* of type list; expected real numbers"),
    ],
)
def test_another_structure_raises_an_error(theta, other, message):
    with pytest.raises(ValueError, match=message):
        Nest(theta).flatten(other, "gradient")


def test_a_number_may_be_an_array_of_one_element():
    assert Nest(1.0).flatten(np.array([2.0])) == [2]
