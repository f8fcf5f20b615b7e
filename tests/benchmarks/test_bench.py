"""Arithmetic and workers of the benchmark; no test depends on timing."""

import argparse
import json
import sys

import numpy as np
import pytest

from benchmarks import bench
from benchmarks.worker import Worker

ECHO = "from benchmarks.worker import serve; serve({'add': lambda a, b: print('noise') or int(a) + int(b)})"


def test_worker_answers_each_line_and_ignores_its_prints(capfd):
    with Worker("echo", [sys.executable, "-c", ECHO]) as worker:
        assert worker.ask("add", 2, 3) == 5
        assert worker.ask("add", 40, 2) == 42
    assert capfd.readouterr().err == "noise\nnoise\n"
    assert worker.process.returncode == 0


def test_error_names_the_worker_that_ended_and_the_question():
    with (
        Worker("short", [sys.executable, "-c", "pass"]) as worker,
        pytest.raises(RuntimeError, match="worker short ended at: step 128"),
    ):
        worker.ask("step", 128)


def test_exponent_of_a_square_root_is_one_half():
    values = np.array([32, 128, 512, 2048])
    assert bench.fit_exponent(values, 0.3 * np.sqrt(values)) == pytest.approx(0.5)


def test_exponents_omit_a_column_that_lacks_a_value():
    summary = {
        bench.growth_name(axis, value): {"jax": {"median": 2.0 * value}, "numba": {"median": 1.0}}
        for axis, (values, _) in bench.GROWTH.items()
        for value in values
    }
    del summary[bench.growth_name("batch", 32)]["numba"]
    found = bench.fit_exponents(summary)
    assert list(found) == [f"exponent of {axis}" for axis in bench.GROWTH]
    assert all(columns["jax"] == pytest.approx(1) for columns in found.values())
    assert found["exponent of n_scales"]["numba"] == pytest.approx(0)
    assert "numba" not in found["exponent of batch"]


NUMBERS = {
    "step, s": {"jax": [3.0, 1.0, 2.0], "torch, 1 thread": [4.0, 4.0, 9.0], "torch, 2 threads": [1.0, 5.0, 1.0]},
    "cold, s": {"jax": [7.0]},
}


def test_ratio_is_to_the_torch_variant_with_the_lowest_median():
    summary = bench.summarize(NUMBERS)
    assert summary["step, s"]["jax"] == {"median": 2.0, "least": 1.0, "largest": 3.0, "ratio": 2.0}
    assert summary["step, s"]["torch"] == {"median": 1.0, "least": 1.0, "largest": 5.0, "variant": "2 threads"}
    assert summary["cold, s"] == {"jax": {"median": 7.0, "least": 7.0, "largest": 7.0}}


def test_table_has_a_row_for_each_measure():
    summary = json.loads(json.dumps(bench.summarize(NUMBERS)))
    assert list(bench.format_table(summary, ["jax"])) == [
        "| | jax | torch |",
        "|---|---|---|",
        "| step, s | 2 (1, 3) = 2.00 torch | 1 (1, 5) 2 threads |",
        "| cold, s | 7 (7, 7) | - |",
    ]


def test_without_torch_the_table_says_so_and_has_no_ratio():
    summary = bench.summarize({"step, s": {"jax": [1.0], "numba": [2.0]}})
    lines = list(bench.format_table(summary, ["jax", "numba"]))
    assert lines[0] == "| | jax | numba | torch: not installed |"
    assert lines[2] == "| step, s | 1 (1, 1) | 2 (2, 2) | - |"


class Counter:
    """Column whose worker answers 0, 1, 2, ..., and a progress bar that counts its ticks."""

    def __init__(self, name, asked):
        self.name, self.asked, self.count = name, asked, -1

    def worker(self):
        return self

    def ask(self, *words):
        self.asked.append((self.name, *words))
        self.count += 1
        return self.count

    def update(self):
        pass

    def set_description(self, text):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass


def test_columns_alternate_and_the_first_answer_does_not_count():
    asked: list = []
    columns = [Counter("a", asked), Counter("b", asked)]
    measures = {"step": (("step", 128), 1), "sampling": (("sampling", 100), 10)}
    numbers = bench.measure(columns, measures, 2, columns[0])
    assert asked[:4] == [("a", "step", 128), ("b", "step", 128), ("a", "sampling", 100), ("b", "sampling", 100)]
    assert len(asked) == 12
    assert numbers["step"] == {"a": [2, 4], "b": [2, 4]}
    assert numbers["sampling"] == {"a": [30, 50], "b": [30, 50]}


def test_time_ends_at_the_given_line_and_not_at_the_end_of_the_program():
    code = "import time; print('before'); print('folder x', flush=True); time.sleep(60)"
    assert 0 < bench.time_command([sys.executable, "-c", code], until="folder") < 30


@pytest.mark.parametrize(("code", "until"), [("raise SystemExit(3)", None), ("print('else')", "folder")])
def test_program_that_fails_or_never_prints_the_line_is_an_error(code, until):
    with pytest.raises(RuntimeError, match="ended with status"):
        bench.time_command([sys.executable, "-c", code], until)


def test_torch_has_a_column_per_thread_count_and_memory_format_and_needs_an_interpreter():
    names = [column.name for column in bench.torch_columns("python", "case.npz")]
    assert len(set(names)) == 4
    assert all(column.is_torch for column in bench.torch_columns("python", "case.npz"))
    assert bench.torch_columns(None, "case.npz") == []
    assert not bench.own_column("jax").is_torch


def test_unknown_engine_is_an_error_that_lists_the_known_ones():
    assert bench.parse_engines("jax,c") == ["jax", "c"]
    with pytest.raises(argparse.ArgumentTypeError, match="'torch' is not an engine; accepted: jax, numba, c"):
        bench.parse_engines("jax,torch")
