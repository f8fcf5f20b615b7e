"""Calls of Fuel give here what they give in Fuel 0.2.0, except for requests that only Fuel refuses (docs/fuel.md)."""

from pathlib import Path

import pytest

from tests.datasets.fuel.archives import ROOT

COMMITTED = Path(__file__).with_name("fuel-calls.txt")


def words(text):
    """[(word, call)] of the paragraphs, such as ("SAME", "ds.axis_labels")."""
    return [tuple(line[1:].split("] ", 1)) for line in text.splitlines() if line.startswith("[")]


@pytest.mark.thorough
def test_no_call_differs(run_with_fuel):
    found = (run_with_fuel("tests.datasets.fuel.calls", "calls.txt", "here") / "calls.txt").read_text()
    assert len(words(found)) > 150
    assert [(word, call) for word, call in words(found) if "DIFF" in word] == []
    assert {word for word, _ in words(found) if word.startswith("mix")} == {"mix SAME"}
    assert words(found) == words(COMMITTED.read_text()), "python -m tests.datasets.fuel.calls makes it again"


def test_the_page_lists_what_only_fuel_refuses():
    page = (ROOT / "docs" / "fuel.md").read_text()
    block = page[page.index("## Accepted here, refused by Fuel") :].split("```")[1]
    listed = [line.partition("  #")[0] for line in block.splitlines()[1:]]
    assert listed == [call for word, call in words(COMMITTED.read_text()) if word == "MORE"]
