"""Damaged and hostile data files neither crash the program nor keep it busy nor exhaust its memory.

Each file gives data or a one-line error with its name, within 2 s of processor time and 500 MB. Nothing is written.
"""

import os
import pickle
import subprocess
import sys
from contextlib import suppress

import pytest

from tests.helpers import hostile, mutants
from tests.helpers.hostile import HANDMADE
from tests.helpers.mutants import PIXELS, idx
from tests.helpers.readers import ROOT, ReaderProcess, excesses

SHARE, ALL = 25, 500
KINDS = (
    "idx", "idx.gz", "cifar.bin", "cifar.py", "cifar.bin.tar.gz", "cifar.py.tar.gz", "hdf5", "hdf5.ours", "npz", "npy",
    "png", "jpeg",
)  # fmt: skip


class Scratch(ReaderProcess):
    """The folders of a test, and the process that reads the files."""

    def __init__(self, root):
        self.root, self.place = root, root / "in"
        for name in ("home", "tmp", "cwd", "own", "in"):
            (root / name).mkdir()
        environment = os.environ | {
            "HOME": str(root / "home"), "TMPDIR": str(root / "tmp"), "PYTHONPATH": str(ROOT), "FUEL_DATA_PATH": "",
            "OPENBLAS_NUM_THREADS": "1",
        }  # fmt: skip
        super().__init__(["tests.helpers.mutants", str(root / "own")], environment, root / "cwd")

    def listing(self):
        """List all files except the mutant and the files of the reader: none of them may change."""
        own = (self.place, self.root / "own")
        return {
            str(path.relative_to(self.root)): (facts.st_size, facts.st_mtime_ns if path.is_file() else 0)
            for path in sorted(self.root.rglob("*"))
            if not any(path.is_relative_to(one) for one in own) and (facts := path.lstat())
        }

    def empty(self):
        for path in sorted(self.place.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()

    def read(self, kind, path, route=0, exact=False):
        """Read one file, check the properties that hold for all files, and return the answer."""
        contents = sorted(self.place.rglob("*"))
        answer = self.ask(kind=kind, path=str(path), route=route, exact=bool(exact))
        if "problem" in answer:
            return answer
        message = answer["message"]
        problems = [
            answer["outcome"] not in ("read", "refused") and f"{answer['outcome']}: {message}",
            answer["outcome"] == "refused"
            and (len(message.splitlines()) != 1 or len(message) > 1000 or path.name not in message)
            and f"not one short line with the name of the file: {message[:2000]!r}",
            *excesses(answer),
            sorted(self.place.rglob("*")) != contents and "wrote next to the file",
        ]
        return answer | {"problem": "; ".join(filter(None, problems))}

    def mutants(self, kind, contents, seeds):
        """Return the problems with the mutants of a kind."""
        before, problems = self.listing(), []
        for seed in seeds:
            self.empty()
            path, exact = mutants.mutant(kind, seed, self.place, contents)
            answer = self.read(kind, path, seed // 7, exact)
            if answer["problem"]:
                problems.append(f"{kind} {seed}: {answer['problem']}")
            else:
                self.table[kind].append(answer)
        if self.listing() != before:
            problems.append(f"{kind}: something was written to {set(self.listing().items()) ^ set(before.items())}")
        return problems

    def print_table(self):
        print(f"\n{'kind':18} {'mutants':>7} {'refused':>7} {'read':>7} {'worst s':>8} {'worst MB':>8}")
        for kind, answers in self.table.items():
            refused = sum(a["outcome"] == "refused" for a in answers)
            worst = [max(a[what] for a in answers) for what in ("seconds", "megabytes")]
            print(f"{kind:18} {len(answers):7} {refused:7} {len(answers) - refused:7} {worst[0]:8.2f} {worst[1]:8.0f}")


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    scratch = Scratch(tmp_path_factory.mktemp("mutants"))
    yield scratch
    scratch.end()
    scratch.print_table()


@pytest.fixture(scope="module")
def contents(scratch):
    return mutants.originals(scratch.root / "own")


@pytest.mark.parametrize("kind", KINDS)
def test_mutants_are_read_or_give_a_one_line_error(scratch, contents, kind):
    problems = scratch.mutants(kind, contents, range(SHARE))
    assert not problems, "\n".join(problems)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_mutants_are_read_or_give_a_one_line_error(scratch, contents, kind):
    problems = scratch.mutants(kind, contents, range(SHARE, ALL))
    assert not problems, "\n".join(problems)


def test_hostile_pickles_leave_a_trace_if_they_are_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (*(f"system{protocol}" for protocol in range(6)), "inst", "obj"):
        with suppress(Exception):
            pickle.loads(hostile.pickles()[name])
        (tmp_path / "ran").unlink()


def read_handmade(scratch, kind, chosen):
    """Return the problems with the files of a kind; chosen(i, number of readers) selects the readers of file i."""
    before, problems = scratch.listing(), []
    written = [(name, write) for (of, name), write in HANDMADE.items() if of == kind]
    for place, (name, write) in enumerate(written):
        scratch.empty()
        path = write(scratch.place)
        for route in chosen(place, len(mutants.routes(kind))):
            answer = scratch.read(kind, path, route)
            if answer["problem"].startswith("took"):  # repeat: other processes can only add time
                answer = scratch.read(kind, path, route)
            if answer["problem"]:
                problems.append(f"{kind}, {name}, route {route}: {answer['problem']}")
            else:
                scratch.table[f"{kind} by hand"].append(answer)
    if scratch.listing() != before:
        problems.append(f"{kind}: something was written to {set(scratch.listing().items()) ^ set(before.items())}")
    return problems


@pytest.mark.thorough
@pytest.mark.parametrize("kind", KINDS)
def test_hostile_files_are_read_or_give_a_one_line_error(scratch, kind):
    problems = read_handmade(scratch, kind, lambda place, n: [place % n])
    assert not problems, "\n".join(problems)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_hostile_files_are_safe_with_every_reader(scratch, kind):
    problems = read_handmade(scratch, kind, lambda place, n: range(n))
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(
    "kind", [kind if kind == "hdf5.ours" else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS]
)
def test_commands_give_a_one_line_error_and_write_nothing(scratch, contents, kind):
    scratch.empty()
    for seed in range(ALL):
        scratch.empty()
        path, _ = mutants.mutant(kind, seed, scratch.place, contents)
        if kind.startswith("idx"):
            path = path.rename(path.with_name("train-images-idx3-ubyte" + kind[3:]))
            path.with_name("t10k-images-idx3-ubyte").write_bytes(idx(PIXELS, 8))
        if scratch.read(kind, path)["outcome"] == "refused":
            break
    name, *size = {"npz": ["ARRAYS"], "npy": ["ARRAYS"], "png": ["IMAGES", "--size", "8"],
        "jpeg": ["IMAGES", "--size", "8"]}.get(kind, ["CIFAR10" if "cifar" in kind else "MNIST"])  # fmt: skip
    given, before, inside = str(path.parent if size else path), scratch.listing(), sorted(scratch.place.rglob("*"))
    convert = ["convert", name, *size, "--input", given, "--output", str(scratch.root / "cwd" / "out.hdf5")]
    for arguments in (["info", str(path)], convert):
        done = subprocess.run(
            [sys.executable, "-m", "dpm", "datasets", *arguments],
            capture_output=True, text=True, env=scratch.environment, cwd=scratch.root / "cwd",
        )  # fmt: skip
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
        assert path.name in done.stderr
        assert scratch.listing() == before
        assert sorted(scratch.place.rglob("*")) == inside
