"""Fixtures shared by all tests."""

import collections
import functools
import importlib.util
import itertools
import signal
import sys
from pathlib import Path

import numpy as np
import pytensor
import pytest
from pytensor import config

from dpm.base import progress
from dpm.engines.engine import Engine
from tests.helpers import runs
from tests.helpers.browser import browser

GOLDEN = Path(__file__).parents[0] / "golden"


def installed_engines():
    """Return the engines that this machine can run."""
    names = ["numba"]
    if importlib.util.find_spec("jax"):
        names.insert(0, "jax")
    if config.cxx:
        names.append("c")
    return names


PARTS = ("all", "fast", "rest")
CASES_IN_FAST_PART = 1  # of each parametrized test


def pytest_addoption(parser):
    parser.addoption("--part", choices=PARTS, default="all", help="fast: the representative tests; rest: the others")


def pytest_collection_modifyitems(config, items):
    """Keep the part of the tests that --part names.

    The fast part has every test that is not marked thorough, and of a parametrized one the first case, or all cases if
    it is marked representative.
    """
    part = config.getoption("part")
    if part == "all":
        return
    seen = collections.Counter()
    kept, dropped = [], []
    for item in items:
        function = item.nodeid.partition("[")[0]
        seen[function] += 1
        few = seen[function] <= CASES_IN_FAST_PART or "representative" in item.keywords
        fast = few and "thorough" not in item.keywords
        (kept if fast == (part == "fast") else dropped).append(item)
    config.hook.pytest_deselected(items=dropped)
    items[:] = kept


def pytest_configure(config):
    """Let signals reach the programs of tests, and measure no coverage while PyTensor and JAX compile.

    A shell that starts pytest in the background lets it, and what it starts, ignore SIGINT; nohup lets them ignore
    SIGHUP. Compiling is half of all calls, none of them in dpm.
    """
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, handler)
    if getattr(config.option, "cov_source", None):
        pytensor.function = untraced(pytensor.function)
        pytensor.grad = untraced(pytensor.grad)
        Engine._finish = untraced(Engine._finish)
        Engine.loop = untraced(Engine.loop)


def untraced(function):
    """Return the function with tracing switched off during its calls."""

    @functools.wraps(function)
    def call(*arguments, **more):
        trace = sys.gettrace()
        sys.settrace(None)
        try:
            return function(*arguments, **more)
        finally:
            sys.settrace(trace)

    return call


@pytest.fixture(autouse=True)
def hidden_progress(monkeypatch):
    """Show no phase: which of them last long enough depends on the machine."""
    monkeypatch.setattr(progress, "DELAY", 1e9)


@pytest.fixture(params=installed_engines())
def engine_name(request):
    return request.param


@pytest.fixture
def golden():
    return GOLDEN


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """Return the temporary folder of the session, which holds the shared runs."""
    return tmp_path_factory.getbasetemp()


@pytest.fixture(scope="session")
def data(base):
    """Return the folder of the data of the shared runs."""
    return runs.data(base)


@pytest.fixture(scope="session")
def trained(base):
    """Return the checkpoint of the shared run without plots; do not write to it."""
    return runs.trained(base) / "checkpoint.h5"


@pytest.fixture
def quick_runs(monkeypatch):
    """Make commands share their compiled functions and skip plots."""
    runs.share_compiled(monkeypatch)
    runs.without_plots(monkeypatch)


@pytest.fixture
def train(base, tmp_path, quick_runs):
    """Return a function that trains without plots in a new folder and returns the folder."""
    numbers = itertools.count()
    return lambda *flags, status=0: runs.train(tmp_path / f"out{next(numbers)}", runs.data(base), *flags, status=status)


@pytest.fixture
def refused(tmp_path, capsys, data):
    """Return a function that runs a command, checks that it fails as it should, and returns its error line."""
    return functools.partial(runs.refused_into, tmp_path / "out", capsys, data)


@pytest.fixture(scope="module")
def chromium():
    """Return a browser for the pages of a module."""
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def device(host):
    """Return the model of the module's fixture `host` with noise from the device."""
    from tests.helpers.device_noise import on_device  # needs JAX

    return on_device(host)


@pytest.fixture(scope="module")
def theta(host):
    """Return random parameters of the model of the module's fixture `host`."""
    return 0.3 * np.random.default_rng(0).standard_normal(host.layout.size)
