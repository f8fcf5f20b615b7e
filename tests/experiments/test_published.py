"""The printed numbers are consistent: the difference of the columns of Table 1 is L_null of the prior."""

import pytest

from dpm.experiments.published import TABLE_1


def test_L_null_of_table_1_is_the_prior_s():
    """A unit Gaussian has -log2(2 pi e) / 2 per dimension; 20 bits of rate 0.2 have -20 H(0.2)."""
    null = {key: row.L_null for key, row in TABLE_1.items()}
    assert null["swissroll"] == pytest.approx(2 * -2.0471, abs=0.01)
    assert null["heartbeat"] == pytest.approx(-14.4386, abs=0.001)
    assert null["BARK"] == pytest.approx(-2.0471, abs=0.05)  # printed with two digits
    assert null["DEAD_LEAVES"] == pytest.approx(-2.0471, abs=0.001)
    assert null["CIFAR10"] == pytest.approx(3 * -2.0471, abs=0.001)
