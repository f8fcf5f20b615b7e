"""The tests mirror the program: each module has a file of tests of its own."""

from pathlib import Path

import pytest

import dpm

ROOT = Path(dpm.__file__).parent
MODULES = sorted(p.relative_to(ROOT) for p in ROOT.rglob("*.py") if p.name != "__init__.py")


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_each_module_has_its_test_file(module):
    path = Path(__file__).parent / module.parent / f"test_{module.name}"
    assert path.is_file()
    assert "def test_" in path.read_text()
