"""Checkpoints: exact, checked before they are believed, and never half written."""

import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from dpm import checkpoint
from dpm.backend import Engine
from dpm.cli import sample_main, train_main
from dpm.errors import InputError
from dpm.main_loop import TrainingState
from dpm.model import DiffusionModel
from dpm.objective import CompiledModel
from tests.graphs import TINY

META = {"config": {"flags": {"lr": 1e-3, "text": "µ \n"}, "rows": [1, 2.5, None, True]}, "model": {}, "state": {}}


def arrays(seed=0):
    rng = np.random.default_rng(seed)
    return {
        "/optimizer/mean_square": rng.random(50).astype(np.float32),
        "/optimizer/skipped_steps": np.array(3),
        "/parameters/diffusionmodel/MLP dense lower/linear_0.W": rng.standard_normal((3, 4)).astype(np.float32),
        "/parameters/diffusionmodel/MLP dense lower/linear_0.b": np.array([np.nan, np.inf, -0.0, 5e-324]),
        "/parameters/diffusionmodel/empty": np.empty((0, 2)),
    }


@pytest.fixture
def path(tmp_path):
    checkpoint.save(tmp_path / "checkpoint.h5", META, arrays())
    return tmp_path / "checkpoint.h5"


def equal(loaded, meta, expected):
    """Whether meta and arrays are the same, bit for bit, in type and in order."""
    if loaded[0] != meta or list(loaded[1]) != list(expected):
        return False
    pairs = [(loaded[1][name], np.asarray(expected[name])) for name in expected]
    return all((a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes()) for a, b in pairs)


def unseal(path):
    """Take the line away that guards the whole file, so that the checks behind it are seen."""
    with open(path, "r+b") as stream:
        stream.write(bytes(checkpoint.USER_BLOCK))


def test_round_trip(path):
    """Names, types, shapes and bits come back: also NaN, -0, subnormal numbers, scalars, empty arrays and meta."""
    assert equal(checkpoint.load(path), META, arrays())


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8", "bool", ">f4"])
def test_types_come_back(tmp_path, dtype):
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
    """It is plain HDF5: numbers under their Blocks paths, nothing of Python in it."""
    with h5py.File(path) as file:
        name = "parameters/diffusionmodel/MLP dense lower/linear_0.W"
        np.testing.assert_array_equal(file[name], arrays()[f"/{name}"])
        kinds = []
        file.visititems(lambda _, item: kinds.append(item.dtype.kind) if isinstance(item, h5py.Dataset) else None)
        assert sorted(kinds) == ["O", *"ffffi"]  # O: the text
    assert path.read_bytes().startswith(b"dpm checkpoint; SHA-256 of all after the first 512 bytes: ")


def mutated(content, rng):
    """The content with one bit flipped, or cut off, or with a byte more, a block of zeros or a page swapped."""
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


def test_damage_is_noticed_before_anything_is_believed(path):
    """200 mutations: each is refused, or the content is read as it was."""
    content, rng, refused = path.read_bytes(), np.random.default_rng(0), 0
    for _ in range(200):
        path.write_bytes(mutated(content, rng))
        try:
            assert equal(checkpoint.load(path), META, arrays())
        except InputError as error:
            assert str(error).startswith(f"checkpoint {path}: ")  # noqa: PT017
            assert "\n" not in str(error)  # noqa: PT017
            refused += 1
    assert refused > 150


def names(group):
    found: list = []
    group.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
    return found


def test_a_changed_number_is_noticed_in_each_array_by_its_own_checksum(path):
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
    """Put into the file what no checkpoint has."""
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
        ("raw file", "'x' lies in other files"),
        ("virtual", "'x' lies in other files"),
        ("a circle", "has two names"),
        ("a named type", "/parameters/x is not a plain array of numbers"),
        ("a bomb", "'x' says that it unpacks to 4398046511104 bytes"),
    ],
)
def test_what_no_checkpoint_has_is_refused(path, tmp_path, kind, words):
    elsewhere = tmp_path / "elsewhere.h5"
    elsewhere.write_bytes(path.read_bytes())
    with h5py.File(path, "r+") as file:
        hostile(kind, file, elsewhere)
    unseal(path)
    with pytest.raises(InputError, match=words):
        checkpoint.load(path)


# ------------------------------------------------------------------ writing


@pytest.mark.parametrize("where", ["fsync", "replace", "write"])
def test_a_failed_save_leaves_the_old_file_and_nothing_else(path, monkeypatch, where):
    def full(*arguments, **more):
        raise OSError(28, "No space left on device")

    if where == "write":
        monkeypatch.setattr(h5py.Group, "create_dataset", full)
    else:
        monkeypatch.setattr(os, where, full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(path, {"state": 2}, arrays(seed=1))
    monkeypatch.undo()
    assert list(path.parent.iterdir()) == [path]
    assert equal(checkpoint.load(path), META, arrays())


def test_the_file_is_on_the_disk_before_it_takes_the_place(path, monkeypatch):
    order = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, name=name, real=real: (order.append(name), real(*a))[1])
    checkpoint.save(path, META, arrays())
    assert order[:2] == ["fsync", "replace"]


WRITER = """
import os, signal, sys, time
import numpy as np
from dpm import checkpoint

path = sys.argv[1]
for number, seconds in enumerate(map(float, sys.argv[2:])):
    receive, send = os.pipe()
    child = os.fork()
    if not child:
        for n in range(10**9):
            checkpoint.save(path, {"n": n}, {"/parameters/a": np.full(30_000, n)})
            os.write(send, n.to_bytes(4, "little"))
    done = os.read(receive, 4)  # one file is there
    time.sleep(seconds)
    if number % 2:  # at an instant of writing, which is the lesser part of a save
        before = set(os.listdir(os.path.dirname(path)))
        while set(os.listdir(os.path.dirname(path))) <= before:
            pass
        time.sleep(seconds / 100)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(send)
    while last := os.read(receive, 4):
        done = last
    os.close(receive)
    meta, arrays = checkpoint.load(path)
    assert meta["n"] >= int.from_bytes(done, "little"), (meta, done)
    assert (arrays["/parameters/a"] == meta["n"]).all()
    left = len(os.listdir(os.path.dirname(path))) - 1
    assert left <= 1, "what the writer before left was removed"
    print(left)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("number", [40, pytest.param(200, marks=pytest.mark.slow)])
def test_whenever_the_writer_is_killed_the_newest_file_loads(tmp_path, number):
    """Writers in a tight loop, each killed at another moment: the last file that was told done, or a newer one.

    What a killed writer left half written is gone after the next one has saved.
    """
    path = tmp_path / "checkpoint.h5"
    moments = np.random.default_rng(0).uniform(0, 0.06, number)
    command = [sys.executable, "-c", WRITER, str(path), *map(str, moments)]
    root = Path(__file__).parent.parent
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    left = done.stdout.split()
    assert len(left) == number
    assert left.count("1") > number / 4, "many were killed while they wrote"
    checkpoint.save(path, META, arrays())
    assert list(tmp_path.iterdir()) == [path]


# ------------------------------------------------------------------ what is checked


def test_a_saved_file_of_any_seal_has_nothing_added_removed_or_renamed(path):
    """Version 2 lists its arrays, so that this is noticed where no checksum of the whole file tells it."""
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


def test_a_wrong_seal_is_refused_before_hdf5_opens_the_file(path, monkeypatch):
    monkeypatch.setattr(h5py, "File", None)
    monkeypatch.setattr(checkpoint.hdf5_probe, "fault", None)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(InputError, match="its checksum does not agree"):
        checkpoint.load(path)


def test_no_file_is_opened_that_another_process_could_not_read(path, monkeypatch):
    """Sealed or not: a seal can be made by anybody."""
    monkeypatch.setattr(h5py, "File", None)
    monkeypatch.setattr(checkpoint.hdf5_probe, "fault", lambda *given: "reading it crashes HDF5")
    for change in (lambda path: None, unseal):
        change(path)
        with pytest.raises(InputError, match="reading it crashes HDF5"):
            checkpoint.load(path)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf"), 1e-320, 2**70, True, None])
def test_numbers_of_meta_come_back(tmp_path, number):
    """Also those that JSON's standard lacks: the cost of a step may be anything."""
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
def test_what_load_would_refuse_is_not_saved(path, meta, given):
    with pytest.raises(ValueError, match=r"."):
        checkpoint.save(path, meta, given)
    assert list(path.parent.iterdir()) == [path]
    assert equal(checkpoint.load(path), META, arrays())


def test_as_many_arrays_as_are_accepted_load(tmp_path):
    many = {f"/parameters/{i:04}": i for i in range(checkpoint.MOST_ARRAYS)}
    checkpoint.save(tmp_path / "x.h5", {}, many)
    assert equal(checkpoint.load(tmp_path / "x.h5"), {}, many)


@pytest.fixture
def usual_depth():
    """A function that sets Python's own limit on recursion, which PyTensor raises, until the test ends."""
    limit = sys.getrecursionlimit()
    yield lambda: sys.setrecursionlimit(1000)
    sys.setrecursionlimit(limit)


def test_a_deep_model_is_saved_at_the_usual_depth_of_calls(tmp_path, usual_depth):
    """60 layers of convolutions; the 2015 code had to raise Python's limit on recursion for its pickles."""
    engine = Engine("auto", "float32")
    with engine:
        model = DiffusionModel(**TINY | {"n_layers_conv": 60, "n_hidden_conv": 2}, trajectory_length=8)
        layout = CompiledModel(model, engine).layout
    theta = np.random.default_rng(0).standard_normal(layout.size).astype("float32")
    saved = {f"/parameters{name}": value for name, value in layout.split(theta).items()}
    assert len(saved) > 120
    usual_depth()
    checkpoint.save(tmp_path / "x.h5", {"model": model.arguments}, saved)
    meta, found = checkpoint.load(tmp_path / "x.h5")
    assert meta["model"]["n_layers_conv"] == 60
    np.testing.assert_array_equal(layout.flatten(checkpoint.split(found)[0], "float32"), theta)


@pytest.mark.parametrize(
    ("part", "value", "words"),
    [
        ("config", [], "'config' is of another kind"),
        ("model", None, "'model' is of another kind"),
        ("state", {"step": "3"}, "'step' is of another kind"),
        ("state", {"step": -1}, "'step' is of another kind"),
        ("state", {"seconds": float("nan")}, "'seconds' is of another kind"),
        ("state", {"__class__": 1}, "'__class__' is of another kind"),
        ("state", {"rows": [1]}, "'rows' is of another kind"),
        ("config", {"flags": 3}, "'flags' is of another kind"),
        ("config", {"data": []}, "'data' is of another kind"),
    ],
)
def test_a_run_has_parts_of_the_right_kind(path, part, value, words):
    checkpoint.save(path, META | {part: value}, {})
    checkpoint.load(path)
    with pytest.raises(InputError, match=words):
        checkpoint.load_run(path)


def test_the_state_of_every_run_is_of_the_right_kind(path):
    """Whatever fields it has, at their start and after a step of negative cost."""
    for more in ({}, {"cost_sum": -2.5, "step": 1, "rows": [{"test_K": float("nan")}]}):
        state = vars(TrainingState()) | more
        checkpoint.save(path, META | {"state": state}, {})
        assert checkpoint.load_run(path)[0]["state"].keys() == state.keys()


def test_what_a_run_lacks_is_named_when_it_is_asked_for(path):
    meta, _ = checkpoint.load_run(path)
    with pytest.raises(InputError, match=f"checkpoint {path}: holds no data"):
        meta["config"]["data"]
    assert meta["config"].get("data") is None


# ------------------------------------------------------------------ files of old

GOLDEN = Path(__file__).parent / "golden_checkpoint"
VERSIONS = pytest.mark.parametrize("version", [1, 2])
TOP = "/parameters/diffusionmodel/mlp_conv_dense/MLP dense upper"


@VERSIONS
def test_a_file_of_old_has_the_numbers_it_was_written_with(version):
    """Two files of one run of two epochs, each with the program of its format version."""
    meta, found, facts = checkpoint.load_with_facts(GOLDEN / f"version{version}.h5")
    assert facts == {"format_version": version, "sealed": True}
    assert {name: len(meta[name]) for name in meta} == {"config": 6, "model": 20, "state": 9}
    assert meta["config"]["flags"]["optimizer"] == "rmsprop"
    assert meta["config"]["data"]["hash"] == "251ea12671d3b8cd-13bc43593b8f21b2"
    scaling = {name: meta["config"]["data"][name] for name in ("scale", "shift")}
    assert scaling == {"scale": 3.4010568262049103, "shift": -1.6927621447290429}
    assert (meta["model"]["trajectory_length"], meta["model"]["uniform_noise"]) == (10, 0.013337477749823178)
    assert (meta["state"]["step"], meta["state"]["weight_sum"]) == (6, 0.0)
    assert [row["test_K"] for row in meta["state"]["rows"]] == [-1.914642561398641, -1.9082758172733791]
    assert {array.dtype.str for array in found.values()} == {"<f4", "<i8"}
    assert len(found) == 10
    assert sum(array.size for array in found.values()) == 17139
    np.testing.assert_array_equal(
        found[f"{TOP}/linear_1.W"],
        np.array(
            [
                [0.7674441337585449, -0.3768170475959778, 0.06593939661979675, -0.5131707787513733],
                [-0.3843442499637604, -0.5546051263809204, 0.7184283137321472, -0.037674810737371445],
                [-0.49795961380004883, -0.38422930240631104, -0.587778627872467, -0.5257517695426941],
            ],
            "f4",
        ),
    )
    assert found["/optimizer/skipped_steps"] == 0
    assert found["/optimizer/mean_square"].sum(dtype=np.float64) == 0.1954455340351493


@VERSIONS
def test_a_run_of_old_goes_on(version, tmp_path, data, quick_runs):
    """The third epoch is, up to rounding, the one that followed when the file was written."""
    path = tmp_path / "checkpoint.h5"
    shutil.copy(GOLDEN / f"version{version}.h5", path)
    before = checkpoint.load(path)[0]["state"]["rows"]
    assert train_main(["--resume-file", str(path), "--epochs", "3", "--data-path", str(data)]) == 0
    meta, _, facts = checkpoint.load_with_facts(path)
    assert facts["format_version"] == checkpoint.FORMAT_VERSION
    assert meta["state"]["step"] == 9
    assert meta["state"]["rows"][:2] == before
    assert meta["state"]["rows"][2]["test_K"] == pytest.approx(-1.904178334338785, abs=1e-4)


@VERSIONS
def test_a_model_of_old_draws_the_samples_it_drew(version, tmp_path, quick_runs):
    given = [str(GOLDEN / f"version{version}.h5"), "--n", "3", "--output-dir", str(tmp_path), "--quiet"]
    assert sample_main(given) == 0
    X = np.load(tmp_path / "samples.npz")["X"]
    assert X.shape == (3, 1, 8, 8)
    np.testing.assert_allclose(X.mean(axis=(1, 2, 3)), [0.48237897, 0.37728858, 0.5180652], atol=1e-3)


def test_version_1_without_its_seal_is_refused(tmp_path):
    """Nothing else in it tells that an array was renamed."""
    shutil.copy(GOLDEN / "version1.h5", tmp_path / "x.h5")
    with h5py.File(tmp_path / "x.h5", "r+") as file:
        file.move("optimizer/mean_square", "optimizer/square")
    unseal(tmp_path / "x.h5")
    with pytest.raises(InputError, match="the checksum of all of it, is gone"):
        checkpoint.load(tmp_path / "x.h5")


# ------------------------------------------------------------------ float types


def test_parameters_of_one_float_type_load_into_a_model_of_the_other(tmp_path):
    """float32 to float64 and back is exact; float64 to float32 rounds once."""
    thetas = {}
    for dtype in ("float32", "float64"):
        engine = Engine("auto", dtype)
        with engine:
            layout = CompiledModel(DiffusionModel(**TINY, trajectory_length=8), engine).layout
        start = np.random.default_rng(0).standard_normal(layout.size).astype(dtype)
        thetas[dtype] = (layout, start)
    for first, second in itertools.permutations(thetas):
        layout, theta = thetas[first]
        saved = {f"/parameters{name}": value for name, value in layout.split(theta).items()}
        checkpoint.save(tmp_path / "x.h5", {}, saved)
        values = checkpoint.split(checkpoint.load(tmp_path / "x.h5")[1])[0]
        assert all(value.dtype == first for value in values.values())
        other = thetas[second][0].flatten(values, second)
        assert other.dtype == second
        np.testing.assert_array_equal(other, theta.astype(second))
        if first == "float32":
            np.testing.assert_array_equal(other.astype(first), theta)
