"""Programs of 2015 give the same results, bit by bit, under Fuel 0.2.0 and after their imports name dpm.datasets.fuel.

The programs follow the tasks of Fuel's documentation, in other words.
"""

import json
from pathlib import Path

import pytest

RUNNER = "tests.datasets.fuel.run_programs"
PROGRAMS = sorted(Path(__file__).with_name("programs").glob("*.py"))


@pytest.fixture(scope="module")
def results(run_with_fuel):
    """{package: {program: results}}; each package runs all programs in one process."""
    return {
        package: json.loads((run_with_fuel(RUNNER, package, "results.json", *PROGRAMS) / "results.json").read_text())
        for package in ("fuel", "dpm.datasets.fuel")
    }


@pytest.mark.thorough
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_program_gives_the_results_of_fuel(results, program):
    theirs, ours = results["fuel"][program.stem], results["dpm.datasets.fuel"][program.stem]
    assert len(theirs) >= 8
    for number, (expected, found) in enumerate(zip(theirs, ours, strict=True)):
        assert found == expected, f"result {number}"


DRAWN = """
import numpy
from fuel.schemes import ShuffledScheme

results = [list(ShuffledScheme(9, 9, rng=numpy.random.RandomState(s)).get_request_iterator()) for s in (1, 2)]
results += [numpy.float64([1.0]), numpy.nextafter(numpy.float64([1.0]), 2)]
"""


@pytest.mark.thorough
def test_results_tell_programs_that_differ_apart(run_with_fuel, tmp_path):
    """Orders from two seeds, and two neighboring numbers, are described differently."""
    (tmp_path / "drawn.py").write_text(DRAWN)
    folder = run_with_fuel(RUNNER, "dpm.datasets.fuel", "results.json", tmp_path / "drawn.py")
    first, second, one, more = json.loads((folder / "results.json").read_text())["drawn"]
    assert first != second
    assert one != more
