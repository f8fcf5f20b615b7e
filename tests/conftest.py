"""Fixtures that all tests share."""

import importlib.util
from pathlib import Path

import pytest
from pytensor import config

GOLDEN = Path(__file__).parent / "golden"


def installed_engines():
    """The engines that this machine can run."""
    names = ["numba"]
    if importlib.util.find_spec("jax"):
        names.insert(0, "jax")
    if config.cxx:
        names.append("c")
    return names


@pytest.fixture(params=installed_engines())
def engine_name(request):
    return request.param


@pytest.fixture
def golden():
    return GOLDEN
