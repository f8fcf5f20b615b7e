"""The 2015 checkpoint, read as a zip of npy members without opening its pickle."""

import json
import pickle
import zipfile

import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.model import DiffusionModel
from dpm.runs.blocks_checkpoint import infer_arguments, read_blocks_checkpoint


@pytest.fixture
def no_pickle(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a pickle was opened")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)


def test_parameters_equal_those_read_by_blocks(golden, no_pickle):
    arrays = read_blocks_checkpoint(golden / "checkpoint/model.pkl")
    with np.load(golden / "checkpoint/params.npz") as expected:
        assert len(expected.files) == 12
        for name in expected.files:
            np.testing.assert_array_equal(arrays[f"/{name}"], expected[name])


def test_arguments_are_inferred_from_the_arrays(golden, no_pickle):
    """A model built from the inferred arguments has exactly the parameters of the file; its stored config agrees."""
    arrays = read_blocks_checkpoint(golden / "checkpoint/model.pkl")
    arguments = infer_arguments(arrays)
    with np.load(golden / "checkpoint/eval.npz") as file:
        config = json.loads(str(file["config_json"]))
    assert {k: arguments[k] for k in config} == config
    assert arguments["step1_beta"] == pytest.approx(0.001)
    model = DiffusionModel(**arguments, dense_lower_depth="n_layers_conv")
    shapes = {p: v.shape for p, v in model.parameters().items() if not p.endswith("coefficients")}
    assert shapes == {n: a.shape for n, a in arrays.items() if n.startswith("/diffusionmodel/")}


def write_zip(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


@pytest.mark.parametrize("case", ["object array", "truncated", "no parameters", "not a zip", "missing"])
def test_hostile_and_damaged_files_are_refused(golden, tmp_path, case, no_pickle):
    path = tmp_path / "model.pkl"
    if case == "object array":
        header = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little")
        header += b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(117) + b"\n"
        write_zip(path, {"diffusionmodel-x.W": header + b"cos\nsystem\n(S'true'\ntR."})
    elif case == "truncated":
        path.write_bytes((golden / "checkpoint/model.pkl").read_bytes()[:100_000])
    elif case == "no parameters":
        write_zip(path, {"pkl": b"cos\nsystem\n(S'true'\ntR."})
    elif case == "not a zip":
        path.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(InputError, match=r"model\.pkl"):
        read_blocks_checkpoint(path)


def test_flipped_bytes_are_refused_or_change_nothing(golden, tmp_path):
    """200 single bit flips in the archive: the checksums of the zip detect each that changes an array."""
    content = (golden / "checkpoint/model.pkl").read_bytes()
    expected = read_blocks_checkpoint(golden / "checkpoint/model.pkl")
    rng, path, refused = np.random.default_rng(0), tmp_path / "model.pkl", 0
    for place in [*rng.integers(0, len(content), 100), *rng.integers(len(content) - 4000, len(content), 100)]:
        changed = bytearray(content)
        changed[place] ^= 1 << rng.integers(8)
        path.write_bytes(changed)
        try:
            arrays = read_blocks_checkpoint(path)
        except InputError:
            refused += 1
            continue
        for name in arrays.keys() & expected.keys():
            np.testing.assert_array_equal(arrays[name], expected[name])
    assert refused > 50
