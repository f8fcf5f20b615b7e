"""The interface of a compiler; what it does by itself is the C engine."""

import numpy as np
import pytest

from dpm.engines.backend import Backend


def test_the_c_backend_adds_nothing_to_pytensors_function():
    backend = Backend()
    assert (backend.mode, backend.device, backend.memory) == ("CVM", "cpu", None)
    assert not backend.serializes
    assert not backend.loops
    assert backend.traceable(print) is print
    assert backend.finish(print, [], True, 1) is print
    array = np.zeros(2)
    with backend.float_type("float32"), backend.precision("float32"):
        assert backend.to_device(array) is array
        assert backend.to_host([array])[0] is array


def test_it_cannot_write_graphs():
    with pytest.raises(NotImplementedError):
        Backend().serialize(print, [])
    with pytest.raises(NotImplementedError):
        Backend().deserialize(b"")


def test_it_compiles_no_loops():
    with pytest.raises(NotImplementedError):
        Backend().loop(print, None, 1, 1)
