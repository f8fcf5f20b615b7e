"""The examples in docstrings run, and every public function and class has one."""

import doctest
import importlib
import inspect
from pathlib import Path

import numpy as np
import pytest

import dpm
from tests.helpers import runs

ROOT = Path(dpm.__file__).parent
MODULES = sorted(
    ".".join(("dpm", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
    for path in ROOT.rglob("*.py")
    if ">>>" in path.read_text()
)
CALLABLE = [name for name in dpm.__all__ if not inspect.ismodule(getattr(dpm, name))]


@pytest.fixture(scope="module")
def names(base):
    """The names that examples may use besides their own: dpm, np, and a small run with its data and folder."""
    folder = runs.trained(base)
    run = dpm.open_run(folder)
    return {"dpm": dpm, "np": np, "run": run, "data": run.load_data(), "folder": folder}


@pytest.mark.parametrize("module", MODULES)
def test_examples_run(module, names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    holder = importlib.import_module(module)
    results = doctest.testmod(holder, extraglobs=names, optionflags=doctest.ELLIPSIS)
    assert results.attempted > 0
    assert results.failed == 0


@pytest.mark.parametrize("name", CALLABLE)
def test_every_public_name_has_an_example(name):
    assert ">>>" in getattr(dpm, name).__doc__


@pytest.mark.parametrize("name", CALLABLE)
def test_every_public_docstring_describes_its_arguments(name):
    """Args or Attributes, and for functions Returns or Raises too."""
    thing = getattr(dpm, name)
    if issubclass(thing, Exception) if inspect.isclass(thing) else False:
        return
    text = thing.__doc__
    assert "Args:" in text or "Attributes:" in text or "Make one with" in text
    if inspect.isfunction(thing):
        assert "Returns:" in text
        assert "Raises:" in text or name == "sample"
