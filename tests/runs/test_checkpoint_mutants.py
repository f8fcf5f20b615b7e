"""Damaged and hostile checkpoints cannot crash, block, exhaust or deceive the program.

Each file gives a one-line error that names it, or its saved content bit for bit, within 2 s of CPU time and 500 MB.
"""

import os

import numpy as np
import pytest

from dpm.runs import checkpoint
from tests.helpers import checkpoint_mutants as mutants
from tests.helpers.readers import ROOT, ReaderProcess, excesses

SHARE, ALL = 200, 2000


class Scratch(ReaderProcess):
    """Folder for the mutants, and the process that loads them."""

    def __init__(self, place):
        self.place = place
        (place / "own").mkdir()
        self.contents = mutants.originals(place / "own")
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        super().__init__(["tests.helpers.checkpoint_mutants", str(place / "own")], environment, ROOT)

    def read(self, kind, path):
        """Return the problem with the answer for one file; empty if there is none."""
        answer = self.ask(path=str(path))
        if "problem" in answer:
            return answer["problem"]
        self.table[kind].append(answer)
        message = answer["message"]
        plain = message.isprintable() and len(message) < 1000 and message.startswith(f"checkpoint {path}: ")
        problems = [
            answer["outcome"] in ("wrong", "traceback") and f"{answer['outcome']}: {message}",
            answer["outcome"] == "refused" and not plain and f"not one short line: {message[:2000]!r}",
            *excesses(answer),
        ]
        return "; ".join(filter(None, problems))

    def mutants(self, seeds):
        """Return the problems of the mutants of these seeds."""
        problems, path = {}, self.place / "checkpoint.h5"
        for seed in seeds:
            kind = mutants.mutant(seed, path, self.contents)
            problems[seed] = self.read(kind, path)
        return {seed: problem for seed, problem in problems.items() if problem}

    def print_table(self):
        print(f"\n{'kind':22} {'mutants':>7} {'refused':>7} {'as saved':>8} {'worst s':>8} {'worst MB':>8}")
        for kind, answers in sorted(self.table.items()):
            refused, read = (sum(a["outcome"] == what for a in answers) for what in ("refused", "read"))
            worst = [max(a[what] for a in answers) for what in ("seconds", "megabytes")]
            print(f"{kind:22} {len(answers):7} {refused:7} {read:8} {worst[0]:8.2f} {worst[1]:8.0f}")


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    scratch = Scratch(tmp_path_factory.mktemp("mutants"))
    yield scratch
    scratch.end()
    scratch.print_table()


@pytest.mark.thorough
def test_mutants_are_refused_in_one_line_or_read_as_saved(scratch):
    assert scratch.mutants(range(SHARE)) == {}
    outcomes = [answer["outcome"] for answers in scratch.table.values() for answer in answers]
    assert min(outcomes.count("refused"), outcomes.count("read")) >= 5, "both ends occur"


@pytest.mark.slow
def test_many_mutants_are_refused_in_one_line_or_read_as_saved(scratch):
    assert scratch.mutants(range(SHARE, ALL)) == {}


@pytest.mark.parametrize("seal", ["right seal", pytest.param("no seal", marks=pytest.mark.slow)])
@pytest.mark.parametrize("what", [*mutants.CHANGES, *mutants.LARGE_CHANGES])
def test_each_change_inside_is_refused_with_and_without_a_file_checksum(scratch, what, seal):
    """The other checks detect every change, because anybody can compute the file checksum."""
    path, change = scratch.place / "checkpoint.h5", (mutants.CHANGES | mutants.LARGE_CHANGES)[what]
    path.write_bytes(scratch.contents["saved"])
    with mutants.h5py.File(path, "r+") as file:
        change(file, mutants.FIRST, np.random.default_rng(0))
    path.write_bytes(mutants.SEALS[seal](path.read_bytes()))
    assert scratch.read("each change", path) == ""
    assert scratch.table["each change"][-1]["outcome"] == "refused"


@pytest.mark.parametrize("kind", ["saved", "packed"])
@pytest.mark.parametrize("seal", [mutants.reseal, lambda content: content])
def test_unchanged_originals_load(scratch, kind, seal):
    """Unchanged originals load: with gzip, with a file checksum and without one."""
    path = scratch.place / "checkpoint.h5"
    path.write_bytes(seal(scratch.contents[kind]))
    meta, found = checkpoint.load(path)
    assert meta == mutants.META
    assert found.keys() == mutants.arrays().keys()
