"""Checkpoints are exact, validated before use, and never partially written."""

import errno
import fcntl
import os

import h5py
import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.runs import checkpoint
from dpm.training.state import TrainingState
from tests.helpers.checkpoints import META, arrays, equal, unseal


@pytest.fixture
def path(tmp_path):
    checkpoint.save(tmp_path / "checkpoint.h5", META, arrays())
    return tmp_path / "checkpoint.h5"


def test_round_trip(path):
    """Names, types, shapes and bits are preserved, also for NaN, -0, subnormals, scalars, empty arrays and meta."""
    assert equal(checkpoint.load(path), META, arrays())


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8", "bool", ">f4"])
def test_types_are_preserved(tmp_path, dtype):
    value = np.array([[0, 1], [1, 1]], dtype)
    checkpoint.save(tmp_path / "x.h5", {}, {"/parameters/a": value})
    loaded = checkpoint.load(tmp_path / "x.h5")[1]["/parameters/a"]
    assert loaded.dtype == value.dtype
    np.testing.assert_array_equal(loaded, value)


def test_split_by_part():
    parameters, optimizer = checkpoint.split(arrays())
    assert list(parameters) == [
        "/diffusionmodel/MLP dense lower/linear_0.W",
        "/diffusionmodel/MLP dense lower/linear_0.b",
        "/diffusionmodel/empty",
    ]
    assert list(optimizer) == ["mean_square", "skipped_steps"]


def test_other_programs_can_read_the_file(path):
    """It is plain HDF5: numbers under their Blocks paths, no Python objects."""
    with h5py.File(path) as file:
        name = "parameters/diffusionmodel/MLP dense lower/linear_0.W"
        np.testing.assert_array_equal(file[name], arrays()[f"/{name}"])
        kinds = []
        file.visititems(lambda _, item: kinds.append(item.dtype.kind) if isinstance(item, h5py.Dataset) else None)
        assert sorted(kinds) == ["O", *"ffffi"]  # O: the JSON text
    assert path.read_bytes().startswith(b"dpm checkpoint; SHA-256 of all after the first 512 bytes: ")


def mutate(content, rng):
    """Return the content with one bit flipped, cut off, with a byte inserted or a block of zeros."""
    content, kind = bytearray(content), rng.integers(6)
    at = int(rng.integers(len(content)))
    if kind <= 2:
        content[at] ^= 1 << int(rng.integers(8))
    elif kind == 3:
        del content[at:]
    elif kind == 4:
        content[at : at + 64] = bytes(len(content[at : at + 64]))
    else:
        content[at:at] = b"x"
    return bytes(content)


def test_damaged_file_is_refused_or_read_unchanged(path):
    """Each of 200 mutations is refused, or the content is read unchanged."""
    content, rng, refused = path.read_bytes(), np.random.default_rng(0), 0
    for _ in range(200):
        path.write_bytes(mutate(content, rng))
        try:
            assert equal(checkpoint.load(path), META, arrays())
        except InputError as error:
            assert str(error).startswith(f"checkpoint {path}: ")  # noqa: PT017
            assert "\n" not in str(error)  # noqa: PT017
            refused += 1
    assert refused > 150


def names(group):
    """Return the names of all data sets in a group."""
    found: list = []
    group.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
    return found


def test_changed_number_fails_the_checksum_of_its_array(path):
    content = path.read_bytes()
    with h5py.File(path) as file:
        targets = [name for name in names(file) if name != "meta" and file[name].size]
    for name in targets:
        path.write_bytes(content)
        with h5py.File(path, "r+") as file:
            value = file[name][()]
            file[name][()] = np.nextafter(value, 2) if value.dtype.kind == "f" else value + 1
        unseal(path)
        with pytest.raises(InputError, match=f"the checksum of /{name} does not agree"):
            checkpoint.load(path)
    assert len(targets) == 4


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file.attrs.__setitem__("sha256", "0" * 64),
        lambda file: file.attrs.__setitem__("format", "other"),
        lambda file: file.attrs.__setitem__("format_version", 1),
        lambda file: file.attrs.__setitem__("format_version", 3),
        lambda file: file.attrs.__delitem__("format_version"),
        lambda file: file.__delitem__("meta"),
    ],
)
@pytest.mark.parametrize("sealed", [True, False])
def test_changed_attributes_are_refused(path, change, sealed):
    with h5py.File(path, "r+") as file:
        change(file)
    if not sealed:
        unseal(path)
    with pytest.raises(InputError, match=r"checkpoint\.h5: "):
        checkpoint.load(path)


def hostile(kind, file, elsewhere):
    """Add an HDF5 object to the file that no checkpoint contains."""
    if kind == "soft link":
        file["parameters/x"] = h5py.SoftLink("/optimizer/mean_square")
    elif kind == "external link":
        file["parameters/x"] = h5py.ExternalLink(str(elsewhere), "/optimizer/mean_square")
    elif kind == "meta elsewhere":
        del file["meta"]
        file["meta"] = h5py.ExternalLink(str(elsewhere), "/meta")
    elif kind == "objects":
        file.create_dataset("parameters/x", data=["a", "b"], dtype=h5py.string_dtype())
    elif kind == "records":
        file.create_dataset("parameters/x", data=np.zeros(2, [("a", "f4"), ("b", "i4")]))
    elif kind == "references":
        file.create_dataset("parameters/x", data=[file["optimizer"].ref], dtype=h5py.ref_dtype)
    elif kind == "a circle":
        file["parameters/x"] = file["parameters"]
    elif kind == "a named type":
        file["parameters/x"] = np.dtype("f8")
    elif kind == "raw file":
        file.create_dataset("parameters/x", (4,), "u1", external=[(str(elsewhere), 0, 4)])
    elif kind == "virtual":
        layout = h5py.VirtualLayout((50,), "f4")
        layout[:] = h5py.VirtualSource(str(elsewhere), "optimizer/mean_square", (50,))
        file.create_virtual_dataset("parameters/x", layout)
    else:
        file.create_dataset("parameters/x", (2**40,), "f4", chunks=(1024,), compression="gzip")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("soft link", "'x' is a link"),
        ("external link", "'x' is a link"),
        ("meta elsewhere", "'meta' is a link"),
        ("objects", "/parameters/x is not a plain array of numbers"),
        ("records", "/parameters/x is not a plain array of numbers"),
        ("references", "/parameters/x is not a plain array of numbers"),
        ("raw file", "'x' is stored in other files"),
        ("virtual", "'x' is stored in other files"),
        ("a circle", "has two names"),
        ("a named type", "/parameters/x is not a plain array of numbers"),
        ("a bomb", "'x' decompresses to 4398046511104 bytes"),
    ],
)
def test_unexpected_hdf5_objects_are_refused(path, tmp_path, kind, words):
    elsewhere = tmp_path / "elsewhere.h5"
    elsewhere.write_bytes(path.read_bytes())
    with h5py.File(path, "r+") as file:
        hostile(kind, file, elsewhere)
    unseal(path)
    with pytest.raises(InputError, match=words):
        checkpoint.load(path)


# ------------------------------------------------------------------ what is checked


def test_added_removed_or_renamed_arrays_are_refused_without_a_file_checksum(path):
    """Version 2 lists its arrays, so this is detected without a checksum of the whole file."""
    content = path.read_bytes()
    changes = {
        "/parameters/new is not among the arrays that meta lists": lambda f: f.create_dataset("parameters/new", data=1),
        "'/optimizer/mean_square' is missing": lambda f: f.__delitem__("optimizer/mean_square"),
        "/optimizer/square is not among": lambda f: f.move("optimizer/mean_square", "optimizer/square"),
    }
    for words, change in changes.items():
        path.write_bytes(content)
        with h5py.File(path, "r+") as file:
            change(file)
        unseal(path)
        with pytest.raises(InputError, match=words):
            checkpoint.load(path)
    path.write_bytes(content)
    unseal(path)
    assert equal(checkpoint.load(path), META, arrays())


def test_wrong_file_checksum_is_refused_before_hdf5_opens_the_file(path, monkeypatch):
    monkeypatch.setattr(h5py, "File", None)
    monkeypatch.setattr(checkpoint.probe, "find_fault", None)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(InputError, match="its checksum does not agree"):
        checkpoint.load(path)


def test_file_that_the_validating_process_cannot_read_is_not_opened(path, monkeypatch):
    """With and without a file checksum: anybody can compute one."""
    monkeypatch.setattr(h5py, "File", None)
    monkeypatch.setattr(checkpoint.probe, "find_fault", lambda *given: "reading it crashes HDF5")
    for change in (lambda path: None, unseal):
        change(path)
        with pytest.raises(InputError, match="reading it crashes HDF5"):
            checkpoint.load(path)


def test_checkpoint_that_is_in_use_or_not_readable_is_not_called_damaged(path, monkeypatch):
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # as HDF5 does while it writes
        with pytest.raises(InputError, match="another process has it open for writing") as caught:
            checkpoint.load(path)
    assert "damaged" not in str(caught.value)
    monkeypatch.setattr(checkpoint, "_check_seal", refuse)
    with pytest.raises(InputError, match=r"Permission denied.*make it readable") as caught:
        checkpoint.load(path)
    assert "damaged" not in str(caught.value)


def refuse(path):
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf"), 1e-320, 2**70, True, None])
def test_numbers_of_meta_are_preserved(tmp_path, number):
    """Including NaN and infinity, which standard JSON lacks: the cost of a step may be either."""
    checkpoint.save(tmp_path / "x.h5", {"rows": [number]}, {})
    found = checkpoint.load(tmp_path / "x.h5")[0]["rows"][0]
    assert type(found) is type(number)
    np.testing.assert_equal(found, number)


def nested(levels):
    value: list = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("meta", "given"),
    [
        ({}, {"parameters/a": 1}),
        ({}, {"/other/a": 1}),
        ({}, {"/parameters/../a": 1}),
        ({}, {"/parameters//a": 1}),
        ({}, {"/parameters/a\n": 1}),
        ({}, {"/parameters/" + "a" * 200: 1}),
        ({}, {"/parameters/a": "text"}),
        ({}, {"/parameters/a": 1j}),
        ({}, {"/parameters/a": np.broadcast_to(np.float32(0), (2**30,))}),
        ({}, {f"/parameters/{i}": 0 for i in range(checkpoint.MOST_ARRAYS + 1)}),
        ({"arrays": 1}, {}),
        ({"x": nested(30)}, {}),
        ({"x": [0] * (checkpoint.MOST_VALUES + 2)}, {}),
        ({"x": "x" * checkpoint.LARGEST_META}, {}),
        ([], {}),
    ],
)
def test_content_that_load_would_refuse_is_not_saved(path, meta, given):
    with pytest.raises(ValueError, match=r"."):
        checkpoint.save(path, meta, given)
    assert list(path.parent.iterdir()) == [path]
    assert equal(checkpoint.load(path), META, arrays())


def test_failed_save_keeps_no_view_of_its_buffer(tmp_path):
    """Python 3.13 reported it when the stream was freed: Existing exports of data."""
    with pytest.raises(OSError, match="No such file") as caught:
        checkpoint.save(tmp_path / "absent" / "checkpoint.h5", META, arrays())
    frames = [frame.frame.f_locals for frame in caught.traceback]
    (stream,) = [names["stream"] for names in frames if "stream" in names]
    stream.truncate(0)


def test_maximum_number_of_arrays_loads(tmp_path):
    many = {f"/parameters/{i:04}": i for i in range(checkpoint.MOST_ARRAYS)}
    checkpoint.save(tmp_path / "x.h5", {}, many)
    assert equal(checkpoint.load(tmp_path / "x.h5"), {}, many)


@pytest.mark.parametrize(
    ("part", "value", "words"),
    [
        ("config", [], "'config' has another type"),
        ("model", None, "'model' has another type"),
        ("state", {"step": "3"}, "'step' has another type"),
        ("state", {"step": -1}, "'step' has another type"),
        ("state", {"seconds": float("nan")}, "'seconds' has another type"),
        ("state", {"__class__": 1}, "'__class__' has another type"),
        ("state", {"rows": [1]}, "'rows' has another type"),
        ("config", {"flags": 3}, "'flags' has another type"),
        ("config", {"data": []}, "'data' has another type"),
    ],
)
def test_run_with_parts_of_a_wrong_type_is_refused(path, part, value, words):
    checkpoint.save(path, META | {part: value}, {})
    checkpoint.load(path)
    with pytest.raises(InputError, match=words):
        checkpoint.load_run(path)


def test_training_state_passes_the_type_check(path):
    """All fields, initially and after a step of negative cost."""
    for more in ({}, {"cost_sum": -2.5, "step": 1, "rows": [{"test_K": float("nan")}]}):
        state = vars(TrainingState()) | more
        checkpoint.save(path, META | {"state": state}, {})
        assert checkpoint.load_run(path)[0]["state"].keys() == state.keys()


def test_missing_part_of_a_run_is_named(path):
    meta, _ = checkpoint.load_run(path)
    with pytest.raises(InputError, match=f"checkpoint {path}: holds no data"):
        meta["config"]["data"]
    assert meta["config"].get("data") is None
