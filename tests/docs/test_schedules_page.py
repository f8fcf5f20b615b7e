"""docs/schedules.md: its schedules are those of the code, its limits of K the closed form, its Python runs."""

import re
from contextlib import chdir

import numpy as np
import pytest

import dpm
from tests.docs.test_docs import page, table

PAGE = page("schedules.md")


def test_the_page_has_each_schedule():
    assert [row[0].strip("`") for row in table(PAGE, "schedule")] == list(dpm.schedules.NAMES)


def test_the_limits_of_K_are_the_closed_form():
    """K <= -c/2 log2(2 pi e beta_1) and K - L_null <= c/2 log2(1 / beta_1); the first two rates are rounded there."""
    rows = table(PAGE, "beta_1 limits K")
    default, smallest = (1e-6 + step1 + (1 - 1e-6 - step1 - 1e-5) / 1000 for step1 in (1e-3, 0.0))
    for row, beta_1 in zip(rows, (default, smallest, 1e-4, 1e-5, 1e-6), strict=True):
        assert float(row[0].partition(",")[0]) == pytest.approx(beta_1, rel=2e-3)
        K, gain = -np.log2(2 * np.pi * np.e * beta_1) / 2, np.log2(1 / beta_1) / 2
        assert [float(cell) for cell in row[1:]] == pytest.approx([K, 3 * K, gain, 3 * gain], abs=0.0051)
    (printed, needed) = re.search(
        r"K = ([0-9.]+) for CIFAR-10, which needs a beta_1 below ([0-9.e-]+) in", PAGE
    ).groups()
    assert -3 / 2 * np.log2(2 * np.pi * np.e * float(needed)) == pytest.approx(float(printed), abs=0.01)


def test_the_python_of_the_page_runs(tmp_path):
    """Models are built, and the digits become bits that the binomial kernel accepts."""
    names = {}
    with chdir(tmp_path):
        for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
            exec(block, names)
    assert names["bits"].kernel.base_rate == 0.13
    assert names["mine"].schedule is names["learned"]
    assert names["data"].units == "bool in [0, 1], bits; diffused as they are"
    assert 0.1 < names["data"].train.mean() < 0.16
