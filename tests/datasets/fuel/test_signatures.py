"""Public callables have the signatures of Fuel 0.2.0; docs/fuel.md names what is missing."""

import ast
import importlib
import json
import re
import tarfile
from pathlib import Path

import pytest

from tests.datasets.fuel.archives import ROOT

PAGE = (ROOT / "docs" / "fuel.md").read_text()
#: {ending of the name: signature here}, where Fuel has **kwargs.
NAMED_KEYWORDS = {
    ".get_epoch_iterator": "(self, as_dict=False)",
    "ShuffledScheme": "(examples, batch_size, *, rng=None, sorted_indices=False)",
    "ShuffledExampleScheme": "(examples, *, rng=None)",
}


def rows():
    """{name in Fuel: (place here, note)} of the table of names."""
    found = {}
    for line in PAGE[PAGE.index("## Names") :].splitlines():
        if line.startswith("| `fuel"):
            names, place, note = (cell.strip() for cell in line.strip("|").split("|"))
            found |= dict.fromkeys(re.findall("`(.*?)`", names), (place.strip("`"), note))
    return found


@pytest.mark.thorough
def test_signatures_are_those_of_fuel(run_with_fuel):
    table = json.loads((run_with_fuel("tests.datasets.fuel.signatures", "table.json") / "table.json").read_text())
    compared = {name: both for name, both in table.items() if both[1] is not None}
    assert len(compared) > 400
    for name, (theirs, ours) in compared.items():
        named = [signature for ending, signature in NAMED_KEYWORDS.items() if name.endswith(ending)]
        if named and theirs != ours:
            assert "**kwargs" in theirs, name
        assert ours in (theirs, *named), name
    missing = {name.rpartition(".")[2] for name, (place, _) in rows().items() if place.startswith("missing")}
    for name, (_, ours) in table.items():
        assert ours is not None or missing & set(name.split(".")), f"{name} is missing, and the page does not say why"


@pytest.mark.thorough
def test_the_page_has_each_public_name_of_fuel(run_with_fuel, pytestconfig):
    """Names are the classes and functions at the top of Fuel's modules."""
    archive = Path(pytestconfig.cache.mkdir("fuel-0.2.0")) / "fuel-0.2.0.tar.gz"
    listed, names = rows(), set()
    with tarfile.open(archive) as files:
        for member in files:
            module = member.name.removeprefix("fuel-0.2.0/").removesuffix(".py").removesuffix("/__init__")
            if not module.startswith("fuel") or not member.name.endswith(".py"):
                continue
            for item in ast.parse(files.extractfile(member).read()).body:
                if isinstance(item, ast.ClassDef | ast.FunctionDef) and not item.name.startswith("_"):
                    names.add(f"{module.replace('/', '.')}.{item.name}")
    assert len(names) > 100
    wholes = tuple(row.removesuffix("*") for row in listed if row.endswith("*"))
    assert {name for name in names if name not in listed and not name.startswith(wholes)} == set()
    assert {row for row in listed if not row.endswith("*")} <= names | {"fuel.config_parser.config"}


def test_the_places_of_the_page_exist():
    for name, (place, note) in rows().items():
        if place.startswith("missing"):
            assert len(place) > len("missing: "), name
            continue
        assert hasattr(importlib.import_module(place), name.rpartition(".")[2]), name
        assert place == f"dpm.datasets.{name.rpartition('.')[0]}" or note, f"{name} is elsewhere, and nothing says why"
