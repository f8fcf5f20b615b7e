"""Pickles are read without execution: plain values as by pickle, everything else is refused with its opcode."""

import os
import pickle

import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.datasets.formats.pickled import read_plain_pickle
from tests.helpers.pickles import BATCHES, LABELS, RNG, Hostile, python2_pickle


def test_python_2_pickle_of_the_helpers_is_valid():
    batch = pickle.loads(python2_pickle(BATCHES[0], LABELS[0]), encoding="bytes")
    np.testing.assert_array_equal(batch[b"data"], BATCHES[0])
    assert batch[b"labels"] == LABELS[0]


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_are_read_as_by_pickle(protocol):
    value = {"a": [1, -2, 2**40, 2**80, 1.5, True, None], 3: ("x", (), (1,), [2, {}], "é" * 300)}
    assert read_plain_pickle(pickle.dumps(value, protocol), "test") == value


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("protocol", range(2, 6))
def test_arrays_keep_shape_and_order(protocol, order):
    array = np.asarray(RNG.integers(0, 256, (4, 5), np.uint8), order=order)
    np.testing.assert_array_equal(read_plain_pickle(pickle.dumps(array, protocol), "test"), array)


@pytest.mark.parametrize("protocol", range(6))
def test_pickle_that_calls_os_system_is_refused_and_not_run(tmp_path, protocol):
    trace = tmp_path / "ran"
    hostile = pickle.dumps({"data": Hostile(os.system, f"touch {trace}")}, protocol)
    with pytest.raises(InputError, match=r"GLOBAL asks for '(posix|nt)\.system'"):
        read_plain_pickle(hostile, "test")
    assert not trace.exists()
    pickle.loads(hostile)
    assert trace.exists(), "the pickle is harmless, so the test shows nothing"


@pytest.mark.parametrize(
    ("data", "opcode"),
    [
        (b"(S'touch x'\nios\nsystem\n.", "INST"),
        (b"(cos\nsystem\nS'touch x'\no.", "GLOBAL"),
        (b"(NS'touch x'\no.", "OBJ"),
        (b"\x80\x02cnumpy\nndarray\n)\x81.", "NEWOBJ"),
        (b"\x80\x02cbuiltins\neval\n.", "GLOBAL"),
        (b"\x80\x02cnumpy\nndarray\n)R.", "REDUCE"),
        (b"\x80\x02N)R.", "REDUCE"),
        (b"\x80\x02}}b.", "BUILD"),
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"P1\n.", "PERSID"),
        (pickle.dumps({1, 2}, 4), "EMPTY_SET"),
        (pickle.dumps(np.arange(3.0), 4), "REDUCE"),
        (pickle.dumps(np.array([{}]), 2), "REDUCE"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_opcodes_are_refused_by_name(data, opcode):
    with pytest.raises(InputError, match=rf"refused, its pickle opcode {opcode} "):
        read_plain_pickle(data, "test")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b".",
        b"K\x01",
        b"K\x01K\x02.",
        b"\x86.",
        b"e.",
        b"h\x07.",
        b"NNs.",
        b"}" + b"(" + b"Nt" + b"Ns.",
        b"}(K\x01u.",
        b"\x8e" + b"\xff" * 8 + b"x.",
        python2_pickle(BATCHES[0], LABELS[0])[:500],
        python2_pickle(BATCHES[0], LABELS[0]).replace(b"M\x00\x0c\x86", b"M\x00\x0d\x86"),
    ],
    ids=repr,
)
def test_damaged_pickle_is_refused(data):
    with pytest.raises(InputError, match="damaged or incomplete pickle"):
        read_plain_pickle(data, "test")


def test_deeply_nested_key_does_not_overflow_the_stack():
    nested = b"\x80\x02}" + b")" + b"\x85" * 1_000_000 + b"Ns."
    with pytest.raises(InputError, match="damaged or incomplete pickle"):
        read_plain_pickle(nested, "test")
