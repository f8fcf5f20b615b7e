"""Arithmetic and words of the benchmark of an accelerator; no test depends on timing."""

import numpy as np
import pytest

from benchmarks import gpu
from benchmarks.bench import summarize

pytest.importorskip("jax")

from benchmarks.peer_device import Traffic, count_bytes, distance

FOUND = {
    "columns": ["dpm", "torch, eager"],
    "numbers": {
        "training step, batch 128, s": {"dpm": [0.001, 0.003, 0.002], "torch, eager": [0.004, 0.004, 0.008]},
        "cold, s": {"dpm": [12.0]},
    },
    "traffic": {"sent": 1536.0, "fetched": 8.0, "functions": 2},
}


def test_table_has_times_and_the_share_of_torchs():
    assert list(gpu.format_table(summarize(FOUND["numbers"]), FOUND["columns"])) == [
        "| | dpm | torch, eager |",
        "|---|---|---|",
        "| training step, batch 128, s | 0.002 (0.001, 0.003) | 0.004 (0.004, 0.008), dpm takes 0.50 of it |",
        "| cold, s | 12 (12, 12) | - |",
    ]


def test_report_names_traffic_and_precision():
    lines = list(gpu.report(FOUND))
    assert "a training step sends 1,536 bytes and fetches 8; functions compiled for it: 2" in lines
    assert lines[-1].endswith("not measured, as a CPU multiplies whole float32 numbers")
    changed = FOUND | {"precision": {"tf32": {"gradient": 0.0123, "K": 4e-5}}}
    assert list(gpu.report(changed))[-1] == "--precision tf32: the gradient changes by 1.2e-02 of it, K by 4.0e-05"


def test_measures_name_their_sizes():
    names = list(gpu.measures_of(gpu.FULL))
    assert names == [
        "training step, batch 128, s",
        "training step, batch 512, s",
        "K of 1,000 digits at every t, s",
        "10,000 samples of 1,000 steps, s",
    ]
    assert gpu.measures_of(gpu.FULL)[names[0]] == (("device_step", 128, 5, 4000), 1)


def test_torch_is_eager_and_compiled_and_needs_an_interpreter():
    assert gpu.torch_columns(None, "case.npz", False) == []
    eager, compiled = gpu.torch_columns("python", "case.npz", False)
    assert compiled.command == (*eager.command, "--compile")
    assert gpu.torch_columns("python", "case.npz", True) == [eager]


def test_distance_is_a_share():
    assert distance(np.array([3.0, 4.4]), np.array([3.0, 4.0])) == pytest.approx(0.4 / 5)


class Machine:
    """An engine that moves and compiles nothing."""

    def function(self):
        return "compiled"

    cached_function = loop = function

    def to_device(self, array):
        return array

    def to_host(self, arrays):
        return arrays


def test_traffic_counts_bytes_and_compilations():
    machine = Machine()
    traffic = Traffic(machine)
    assert machine.function() == machine.loop() == "compiled"
    machine.to_device(machine.to_device(np.zeros(3)))
    machine.to_host([np.zeros(2, np.float32), [np.zeros(1)]])
    assert (traffic.functions, traffic.sent, traffic.fetched) == (2, 48, 16)
    assert count_bytes(np.zeros((2, 3), np.uint8)) == 6
