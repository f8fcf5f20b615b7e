"""Fuel 0.2.0 for the tests that compare with it."""

from pathlib import Path

import pytest

from tests.datasets.fuel import archives


@pytest.fixture(scope="session")
def run_with_fuel(pytestconfig, tmp_path_factory):
    """Function that runs a module of the tests in a process with Fuel, in a new folder with Fuel's golden files.

    It returns the folder. Fuel is downloaded once into pytest's cache.
    """
    try:
        path = archives.unpack(Path(pytestconfig.cache.mkdir("fuel-0.2.0")), tmp_path_factory.mktemp("fuel"))
    except archives.NotAvailableError as error:
        pytest.skip(str(error))

    def run(module, *arguments):
        folder = tmp_path_factory.mktemp("golden")
        done = archives.run_module(path, folder, module, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return folder

    return run
