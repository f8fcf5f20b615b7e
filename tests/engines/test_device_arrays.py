"""Rows, padding, keys and cuts of device loops."""

from types import SimpleNamespace

import numpy as np
import pytest

from dpm.engines import device_arrays
from dpm.engines.device_arrays import choose_rows, cut_by_time, make_keys
from dpm.engines.peers import Peers

GIB = 2**30


def model(memory, shape=(1, 28, 28), dtype="float32", noise="device"):
    """What choose_rows reads of a compiled model."""
    engine = SimpleNamespace(memory=memory, dtype=dtype, noise=noise)
    return SimpleNamespace(engine=engine, model=SimpleNamespace(example_shape=shape))


def test_a_cpu_and_noise_of_the_host_take_the_rows_they_are_given():
    assert choose_rows(model(None), 10_000, 100) == 100
    assert choose_rows(model(80 * GIB, noise="host"), 10_000, 100) == 100
    assert choose_rows(model(None), 7, 100) == 7


@pytest.mark.parametrize(
    ("memory", "shape", "dtype", "n", "rows"),
    [
        (16 * GIB, (1, 28, 28), "float32", 10_000, 1250),  # 1,369 have room, in 8 equal batches
        (80 * GIB, (1, 28, 28), "float32", 10_000, 5000),
        (80 * GIB, (1, 28, 28), "float64", 10_000, 3334),
        (80 * GIB, (2,), "float32", 100_000, 10_000),
        (80 * GIB, (3, 32, 32), "float32", 49, 49),
        (1000, (1, 28, 28), "float32", 5, 1),
    ],
)
def test_rows_have_room_in_a_quarter_of_the_memory(memory, shape, dtype, n, rows):
    found = choose_rows(model(memory, shape, dtype), n, 100)
    assert found == rows
    numbers = max(20_000, 1000 * int(np.prod(shape)))
    assert found == 1 or found * numbers * np.dtype(dtype).itemsize <= memory / 4


def test_keys_are_of_the_types_that_a_loop_takes():
    keys = make_keys(np.zeros(2, np.uint32), range(5, 2, -1), range(4))
    assert [k.dtype for k in keys] == [np.uint32, *[np.int32] * 3]
    assert [k.tolist() for k in keys[1:]] == [[5, 4, 3], [0, 1, 2, 3], [4, 4, 4]]


def cuts(n, seconds_per_step, monkeypatch):
    """The steps of each call, with a clock that calls of this length move."""
    now = [0.0]
    monkeypatch.setattr(device_arrays.time, "monotonic", lambda: now[0])
    found = []
    for begin, end in cut_by_time(n, Peers()):
        assert begin == sum(found)
        now[0] += (end - begin) * seconds_per_step
        found.append(end - begin)
    assert sum(found) == n
    return found


def test_calls_grow_to_half_a_second(monkeypatch):
    assert cuts(1000, 1e-6, monkeypatch) == [1, 8, 64, 512, 415]
    assert cuts(200, 1 / 128, monkeypatch) == [1, 8, 64, 64, 63]
    assert cuts(3, 10.0, monkeypatch) == [1, 1, 1]
    assert cuts(0, 1.0, monkeypatch) == []
