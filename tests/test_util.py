"""The functions of util.py."""

import re

import numpy as np
from scipy.special import logit

import dpm.util
from tests.helpers.graphs import constant, value


def test_logit_is_scipys():
    p = np.array([1e-12, 0.3, 0.5, 1 - 1e-9])
    np.testing.assert_allclose(value(dpm.util.logit(constant(p))), logit(p), rtol=1e-12)


def test_a_run_folder_is_new_and_named_by_the_time(tmp_path):
    """Two runs in one second get two folders, named as in 2015, with the suffix yymmddTHHMMSS."""
    one, two = (dpm.util.create_log_dir(tmp_path, "DiffusionModel_MNIST_x") for _ in range(2))
    assert one != two
    assert re.fullmatch(r"DiffusionModel_MNIST_x-\d{6}T\d{6}", one.name)
    assert one.is_dir()
    assert two.is_dir()
