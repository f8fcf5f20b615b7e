"""python -m dpm checkpoint: verify, show, diff, export and their errors."""

import json
import os
import shutil
import struct
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from dpm.base.hashing import hash_array
from dpm.commands.checkpoint import main
from dpm.runs import checkpoint
from tests.helpers import runs

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests/golden_checkpoint/version2.h5"
TOP = "diffusionmodel/mlp_conv_dense/MLP dense upper/linear_1"


@pytest.fixture
def run(capsys):
    """Return a function that runs the command and returns (status, lines of stdout, lines of stderr)."""

    return partial(runs.outcome, capsys, main)


@pytest.fixture
def changed(tmp_path):
    """Return a function that writes the golden checkpoint after change(meta, arrays) and returns its path."""

    def write(change, name="changed.h5"):
        meta, arrays = checkpoint.load(GOLDEN)
        meta = json.loads(json.dumps(meta))
        change(meta, arrays)
        checkpoint.save(tmp_path / name, meta, arrays)
        return tmp_path / name

    return write


def test_module_is_the_command():
    command = [sys.executable, "-m", "dpm", "checkpoint", "verify", str(GOLDEN), "none.h5"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, len(done.stdout.splitlines())) == (2, 1)
    assert done.stderr.startswith("dpm checkpoint: error: checkpoint none.h5: no such file")


# ------------------------------------------------------------------ verify


def test_verify_continues_after_a_bad_file(run, tmp_path):
    bad = tmp_path / "bad.h5"
    bad.write_bytes(GOLDEN.read_bytes()[:-1])
    plain = tmp_path / "plain.h5"
    plain.write_bytes(bytes(512) + GOLDEN.read_bytes()[512:])
    assert run("verify", bad, GOLDEN, tmp_path, plain) == (
        2,
        [
            f"{GOLDEN}: ok: format version 2; checksums of the file, of meta and of 10 arrays (17,139 numbers)",
            f"{plain}: ok: format version 2; no checksum of the file; checksums of meta and of 10 arrays "
            "(17,139 numbers)",
        ],
        [
            f"dpm checkpoint: error: checkpoint {bad}: damaged or not an HDF5 file (its checksum does not agree)",
            f"dpm checkpoint: error: checkpoint {tmp_path / 'checkpoint.h5'}: no such file; give a run folder, or "
            "its checkpoint.h5",
        ],
    )
    assert run("verify", GOLDEN)[0] == 0


def test_a_run_folder_means_its_newest_checkpoint(run, tmp_path, monkeypatch):
    """In every subcommand a folder gives the output of its checkpoint.h5."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    shutil.copy(GOLDEN, tmp_path / "run" / "checkpoint.h5")
    for words in (("verify", "{}"), ("show", "{}"), ("diff", "{}", GOLDEN), ("export", "{}", "--output", "x.npz")):
        by_folder, by_file = (
            run(*(str(word).format(path) for word in words)) for path in ("run", Path("run", "checkpoint.h5"))
        )
        assert by_folder == by_file
        assert by_folder[0] == 0


# ------------------------------------------------------------------ show


def test_show_prints_the_contents_of_a_checkpoint(run):
    status, lines, errors = run("show", GOLDEN)
    assert (status, errors) == (0, [])
    facts = {line[:10].strip(): line[11:] for line in lines[1:9]}
    assert lines[0] == f"{GOLDEN}: format version 2, {GOLDEN.stat().st_size:,} bytes"
    assert facts["model"].startswith("reference-2015: spatial_width=8, n_colors=1, trajectory_length=10, ")
    assert "name=MNIST, path=data/mnist.hdf5, hash=251ea12671d3b8cd-13bc43593b8f21b2, dtype=uint8" in facts["data"]
    assert facts["units"].endswith("scale=3.4010568262049103, shift=-1.6927621447290429")
    assert facts["state"] == "epoch=2, step=6, seed=0"
    assert facts["optimizer"] == "optimizer=rmsprop, lr=0.001, batch_size=25, dtype=float32"
    assert "pytensor=3.0.7" in facts["versions"]
    assert "test_K=-1.9082758172733791" in facts["last row"]
    assert facts["command"].startswith("train.py --data-path data ")
    values = checkpoint.load(GOLDEN)[1][f"/parameters/{TOP}.b"]
    (row,) = [line.split("  ") for line in lines if line.startswith(f"/{TOP}.b ")]
    assert [cell.strip() for cell in row if cell] == [
        f"/{TOP}.b", "4", "float32", hash_array(values)[:8], f"{min(values):.5g}..{max(values):.5g}",
        f"{sum(map(float, values)) / 4:.5g}", "0",
    ]  # fmt: skip
    assert sum(line.startswith("/diffusionmodel/") for line in lines) == 8
    assert [line.split()[:3] for line in lines[-2:]] == [
        ["mean_square", "8569", "float32"],
        ["skipped_steps", "1", "int64"],
    ]


def test_non_finite_numbers_are_counted(run, changed):
    def change(meta, arrays):
        arrays[f"/parameters/{TOP}.b"] = np.array([np.nan, 1, np.inf, 3], "f4")
        arrays["/optimizer/mean_square"] = np.full(3, np.nan)
        arrays["/optimizer/empty"] = np.empty((0, 2))
        meta["state"]["rows"] = []

    _, lines, _ = run("show", changed(change))
    cells = {line.split("  ")[0]: line.split()[-3:] for line in lines}
    assert cells[f"/{TOP}.b"] == ["1..3", "2", "2"]
    assert cells["mean_square"] == ["none", "none", "3"]
    assert cells["empty"] == ["none", "none", "0"]
    assert "state      epoch=0, step=6, seed=0" in lines


def test_texts_of_a_file_are_escaped_before_printing(run, changed):
    def change(meta, arrays):
        meta["config"]["data"]["name"] = "\x1b[2J\nerror"

    status, lines, _ = run("show", changed(change))
    assert status == 0
    assert all(line.isprintable() for line in lines)
    assert any(r'name="\u001b[2J\nerror"' in line for line in lines)


def test_checkpoint_without_a_run_is_refused(run, tmp_path):
    checkpoint.save(tmp_path / "x.h5", {"config": {}, "model": {}, "state": {}}, {})
    line = f"dpm checkpoint: error: checkpoint {tmp_path / 'x.h5'}: holds no flags; it was not written by"
    status, _, errors = run("show", tmp_path / "x.h5")
    assert (status, len(errors)) == (2, 1)
    assert errors[0].startswith(line)


# ------------------------------------------------------------------ diff


def test_file_does_not_differ_from_itself(run, changed):
    def change(meta, arrays):
        meta["state"]["rows"][0]["test_K"] = float("nan")
        arrays["/optimizer/mean_square"] = np.array([np.nan, np.inf])

    path = changed(change)
    assert run("diff", path, path) == (0, [], [])


def test_differences_are_printed_with_place_and_size(run, changed):
    def change(meta, arrays):
        meta["config"]["flags"]["epochs"] = 3
        del meta["model"]["n_scales"]
        meta["state"]["rows"][1]["test_K"] = 0.5
        arrays[f"/parameters/{TOP}.b"] = arrays[f"/parameters/{TOP}.b"] * np.array([1, 1.25, 1, 2], "f4")
        arrays["/parameters/new"] = arrays.pop("/optimizer/skipped_steps")

    path = changed(change)
    b = checkpoint.load(GOLDEN)[1][f"/parameters/{TOP}.b"].astype(float)
    status, lines, errors = run("diff", GOLDEN, path)
    assert (status, errors) == (1, [])
    assert lines[:3] == [
        "config.flags.epochs: 2 | 3",
        "model.n_scales: 1 | (absent)",
        "state.rows[1].test_K: -1.9082758172733791 | 0.5",
    ]
    assert lines[3:5] == [f"/optimizer/skipped_steps: only in {GOLDEN}", f"/parameters/new: only in {path}"]
    absolute = max(0.25 * abs(b[1]), abs(b[3]))
    cells = [cell.strip() for cell in lines[6].split("  ") if cell]
    assert cells == [f"/parameters/{TOP}.b", f"{absolute:.3g}", "0.5", "2 of 4"]
    assert len(lines) == 7


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.array([1, 2, 3, np.nan]), ["inf", "inf", "1 of 4"]),
        (np.array([1, 2, 3, -np.inf]), ["inf", "inf", "1 of 4"]),
        (np.array([1, 2, 3, 0.0]), ["4", "1", "1 of 4"]),
        (np.arange(1, 5, dtype="f4"), ["type float64 | float32"]),
        (np.arange(1, 6.0), ["shape (4,) | (5,)"]),
        (np.array([True] * 4), ["3", "0.75", "3 of 4"]),
    ],
)
def test_every_kind_of_difference_is_detected(run, tmp_path, value, words):
    for name, array in (("a.h5", np.arange(1, 5.0)), ("b.h5", value)):
        checkpoint.save(tmp_path / name, {}, {"/parameters/a": array})
    status, lines, _ = run("diff", tmp_path / "a.h5", tmp_path / "b.h5")
    assert status == 1
    assert [cell.strip() for cell in lines[1].split("  ") if cell] == ["/parameters/a", *words]


def test_bad_file_is_an_error_not_a_difference(run, tmp_path):
    status, lines, errors = run("diff", GOLDEN, tmp_path / "none.h5")
    assert (status, lines, len(errors)) == (2, [], 1)


# ------------------------------------------------------------------ export


@pytest.fixture
def numbers(tmp_path):
    """Return a checkpoint with arrays of every type, and its parameters and optimizer arrays by name."""
    values = {f"/p/{kind}": np.array([[0, 1, 2]], kind) for kind in ("f2", "f4", "f8", "i1", "u2", "i4", "u8", "b1")}
    values |= {"/p/large first": np.array([1.5, -2], ">f8"), "/p/empty": np.empty((0, 3)), "/p/one": np.array(7)}
    values |= {"/file": np.ones(2), "/allow_pickle": np.zeros(1)}
    optimizer = {"mean": np.arange(3.0)}
    saved = {f"/parameters{name}": array for name, array in values.items()}
    saved |= {f"/optimizer/{name}": array for name, array in optimizer.items()}
    checkpoint.save(tmp_path / "x.h5", {}, saved)
    return (
        tmp_path / "x.h5",
        {name[1:]: array for name, array in values.items()},
        {f"optimizer/{name}": array for name, array in optimizer.items()},
    )


def read_safetensors(path):
    return pytest.importorskip("safetensors.numpy").load_file(path)


def read_npz(path):
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].shape == array.shape
        assert found[name].dtype == array.dtype.newbyteorder("=") or found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize(("kind", "read"), [("npz", read_npz), ("safetensors", read_safetensors)])
def test_numpy_and_safetensors_read_the_exported_arrays(run, numbers, tmp_path, kind, read):
    path, parameters, optimizer = numbers
    target = tmp_path / f"out.{kind}"
    for more, expected in (([], parameters), (["--all"], parameters | optimizer)):
        status, lines, _ = run("export", path, "--to", kind, "--output", target, *more)
        assert (status, lines) == (0, [f"{target}: {len(expected)} arrays"])
        assert_equal(read(target), expected)
    assert sorted(file.name for file in tmp_path.iterdir()) == [target.name, "x.h5"]


def test_safetensors_file_follows_its_format(run, numbers, tmp_path):
    """8 bytes of length, a JSON header, and contiguous arrays, each aligned to the size of its type."""
    run("export", numbers[0], "--to", "safetensors", "--output", tmp_path / "out.safetensors")
    content = (tmp_path / "out.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header, end = json.loads(content[8 : 8 + length]), 0
    assert length % 8 == 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        start, stop = entry["data_offsets"]
        assert start == end
        assert start % numbers[1][name].itemsize == 0
        assert entry["shape"] == list(numbers[1][name].shape)
        assert (
            content[8 + length + start : 8 + length + stop]
            == numbers[1][name].astype(numbers[1][name].dtype.newbyteorder("<")).tobytes()
        )
        end = stop
    assert 8 + length + end == len(content)


def test_export_is_named_after_the_checkpoint_in_the_working_folder(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("export", GOLDEN) == (0, ["version2.npz: 8 arrays"], [])
    assert f"{TOP}.b" in read_npz("version2.npz")


def test_checkpoint_is_never_overwritten(run, tmp_path):
    """Neither by its name, nor by another path to it, nor by a link."""
    path = tmp_path / "x.npz"
    path.write_bytes(GOLDEN.read_bytes())
    os.link(path, tmp_path / "best.npz")
    (tmp_path / "link.npz").symlink_to(path)
    for name in ("x.npz", "best.npz", "link.npz"):
        status, _, errors = run("export", path, "--output", tmp_path / name)
        assert (status, len(errors)) == (2, 1)
        assert "is the checkpoint itself" in errors[0]
    assert "does not end in .npz" in run("export", GOLDEN, "--output", tmp_path / "checkpoint.h5")[2][0]
    assert path.read_bytes() == GOLDEN.read_bytes()
    assert len(list(tmp_path.iterdir())) == 3


def test_failed_export_leaves_no_file(run, tmp_path):
    for given in (
        ("export", GOLDEN, "--output", tmp_path / "nowhere/x.npz"),
        ("export", tmp_path / "none.h5", "--output", tmp_path / "x.npz"),
        ("export", GOLDEN, "--to", "pickle"),
        ("export",),
        ("verify",),
        (),
        ("other", GOLDEN),
    ):
        status, lines, errors = run(*given)
        assert (status, lines, len(errors)) == (2, [], 1)
        assert errors[0].startswith("dpm checkpoint")
    assert list(tmp_path.iterdir()) == []


def test_ambiguous_names_are_refused(run, tmp_path):
    for arrays in ({"/parameters/__metadata__": 1}, {"/parameters/optimizer/m": 1, "/optimizer/m": 2}):
        checkpoint.save(tmp_path / "x.h5", {}, arrays)
        status, _, errors = run("export", tmp_path / "x.h5", "--all", "--output", tmp_path / "x.npz")
        assert (status, len(errors)) == (2, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["x.h5"]
