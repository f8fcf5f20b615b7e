"""numpy's files: valid ones are read as by numpy, damaged and hostile ones are refused, images are found by name."""

import io
import os
import pickle
import struct
import time
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as arrays_of

from dpm.base.errors import InputError
from dpm.datasets.formats import arrays as arrays_module
from dpm.datasets.formats.arrays import read_array, read_arrays, read_image_sets
from tests.helpers.pickles import Hostile

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 6, 6), np.uint8)
NUMBERS = [np.bool_, *(f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)), "f2", "f4", "f8"]


def npy(array, **options):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(array), **options)
    return buffer.getvalue()


def headed(descr, shape, data=b"", version=b"\1\0", fortran=False, length=None):
    """An .npy file with an arbitrary header and data."""
    text = f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}}}\n".encode()
    size = struct.pack("<H" if version == b"\1\0" else "<I", len(text) if length is None else length)
    return b"\x93NUMPY" + version + size + text + data


def npz(members, compression=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture
def save(tmp_path):
    """A function that writes bytes or arrays to a file and returns its path."""

    def write(content, name="file.npz", savez=np.savez_compressed):
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, dict):
            savez(path, **content)
        else:
            np.save(path, content)
        return path

    return write


@pytest.mark.parametrize("savez", [np.savez, np.savez_compressed])
def test_npz_is_read_as_written_by_numpy(save, savez):
    written = {str(np.dtype(dtype)): IMAGES.astype(dtype) for dtype in NUMBERS}
    found = read_arrays(save(written, savez=savez))
    assert list(found) == list(written)
    for name, array in written.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


@settings(deadline=None, max_examples=30)
@given(arrays_of.arrays(dtype=arrays_of.scalar_dtypes(), shape=arrays_of.array_shapes(min_dims=0, min_side=0)))
def test_npy_is_read_as_by_numpy_or_refused_for_its_type(tmp_path_factory, array):
    path = tmp_path_factory.getbasetemp() / "one.npy"
    for laid in (array, np.asfortranarray(array), array.T):
        np.save(path, laid)
        if array.dtype.kind in "biuf":
            (found,) = read_arrays(path).values()
            assert found.dtype == array.dtype.newbyteorder("=")
            assert found.dtype.isnative
            np.testing.assert_array_equal(found, np.load(path))
        else:
            with pytest.raises(InputError, match=r"arr_0: is of type .*; accepted are booleans, integers and floats"):
                read_arrays(path)


def test_array_of_an_npy_has_numpys_name_for_unnamed_arrays(save, tmp_path):
    np.savez(tmp_path / "unnamed.npz", IMAGES)
    assert list(read_arrays(save(IMAGES, "a.npy"))) == list(read_arrays(tmp_path / "unnamed.npz"))


@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_header_versions_1_and_2_and_python_2_headers_are_read(save, version):
    np.testing.assert_array_equal(read_arrays(save(npy(IMAGES, version=version)))["arr_0"], IMAGES)
    found = read_arrays(save(headed("'|u1'", "(5L, 6L, 6L)", IMAGES.tobytes())))["arr_0"]
    np.testing.assert_array_equal(found, IMAGES)


def test_booleans_stored_as_other_bytes_are_true(save):
    (found,) = read_arrays(save(headed("'|b1'", "(4,)", bytes([0, 1, 2, 255])))).values()
    assert found.view(np.uint8).tolist() == [0, 1, 1, 1]


def test_npz_is_detected_by_content_not_by_name(save):
    assert list(read_arrays(save({"X": IMAGES}).rename(save(b"", "a.npy")))) == ["X"]


def test_pickles_are_not_opened(save, tmp_path):
    made = tmp_path / "made"
    hostile = np.array([Hostile(os.mkdir, str(made))], dtype=object)
    for content in (npy(hostile), npz([("X.npy", npy(hostile))]), pickle.dumps(Hostile(os.mkdir, str(made)))):
        with pytest.raises(InputError, match=r"is of type object|begins with"):
            read_arrays(save(content))
    assert not made.exists()


@pytest.mark.parametrize("name", ["../../x", "/etc/x", "a/b", "C:\\x", "\u202ex", "x" * 60_000])
def test_names_are_keys_and_nothing_is_extracted(save, tmp_path, name):
    found = read_arrays(save(npz([(f"{name}.npy", npy(IMAGES))])))
    np.testing.assert_array_equal(found[name], IMAGES)
    assert os.listdir(tmp_path) == ["file.npz"]
    with pytest.raises(InputError, match="--key NAME") as caught:
        read_image_sets(tmp_path / "file.npz")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "begins with b''; accepted are .npz and .npy"),
        (b"<html>", "begins with b'<html>'"),
        (b"PK", "damaged"),
        (b"PK\5\6" + b"\xff" * 18, ""),
        (npy(IMAGES)[:-1], "says (5, 6, 6) of uint8, but 179 bytes follow"),
        (npy(IMAGES) + b"\0", "181 bytes follow"),
        (npy(IMAGES)[:20], "no header"),
        (headed("'|u1'", "(-1, -4)", bytes(4)), "says (-1, -4)"),
        (headed("'<f8'", "(10**9, 10**9)"), "no header"),
        (headed("'<f8'", "(1000000000, 1000000000)"), "but 0 bytes follow"),
        (headed("'<f8'", "(9223372036854775807, 9223372036854775807, 0)"), "damaged"),
        (headed("'|u1'", f"({'9' * 4000},)"), "says (999"),
        (headed("'|u1'", f"(0x{'f' * 3900},)"), "damaged"),
        (headed("'|u1'", "(" + "1, " * 90 + ")", b"\0"), "damaged"),
        (headed("'|u1'", "(2.0,)"), "no header"),
        (headed("'|u1'", "(" * 900), "no header"),
        (headed("'|u1'", "-" * 3900 + "1"), "no header"),
        (headed("'|u1'", "(1,)" + " " * 5000, b"\0"), "no header"),
        (headed("'|u1'", "(1,)", b"\0", b"\2\0", length=2**32 - 1), "no header"),
        (headed("'|u1'", "(1,)", b"\0", b"\3\0"), "version (3, 0)"),
        (headed("'|u1'", "(1,)", b"\0", b"\xff\xff"), "version"),
        (headed("[('a', '<f8'), ('b', '<f8')]", "(1,)", bytes(16)), "is of type"),
        (headed("('<f8', (2,))", "(1,)", bytes(16)), "is of type"),
        (headed("'|V0'", "(10,)"), "is of type"),
        (headed("'|S999999999'", "(0,)"), "is of type"),
        (headed("'nonsense'", "(1,)"), "no header"),
        (headed("__import__('os')", "(1,)"), "no header"),
        (npz([("X.npy", npy(IMAGES)), ("X", npy(IMAGES))]), "has the array X more than once"),
        (npz([("X.npy", npy(IMAGES))], zipfile.ZIP_LZMA), "not compressed as by numpy"),
        (npz([("X.npy", npy(IMAGES))], zipfile.ZIP_BZIP2), "not compressed as by numpy"),
        (npz([("read.me", b"hello")]), "read.me: has no header"),
        (npz([("X.npy", npy(IMAGES))])[:-30], "damaged"),
    ],
    ids=range(32),
)
def test_damaged_or_hostile_file_is_a_short_one_line_error(save, content, said):
    with pytest.raises(InputError, match=r"file\.npz: ") as caught:
        read_arrays(save(content))
    message = str(caught.value)
    assert said in message
    assert message.isprintable()
    assert len(message) < 600


def directory_field(content, offset, format_, value):
    """The archive with one field of its first directory entry changed."""
    data = bytearray(content)
    struct.pack_into(format_, data, content.index(b"PK\1\2") + offset, value)
    return bytes(data)


class TestHostileArchives:
    content = npz([("X.npy", npy(IMAGES))])

    @pytest.mark.parametrize("size", [10, 307, 309, 10_000_000])
    def test_false_unpacked_size(self, save, size):
        """The correct size is 308: 128 bytes of header, 180 of images."""
        with pytest.raises(InputError, match=r"file\.npz"):
            read_arrays(save(directory_field(self.content, 24, "<I", size)))

    def test_false_checksum(self, save):
        with pytest.raises(InputError, match="damaged"):
            read_arrays(save(directory_field(self.content, 16, "<I", 1)))

    def test_encryption(self, save):
        with pytest.raises(InputError, match="X is encrypted"):
            read_arrays(save(directory_field(self.content, 8, "<H", 1)))

    def test_bomb_is_refused_without_decompression(self, save, monkeypatch):
        """Deflate compresses zeros by a factor of 1000."""
        path = save(npz([("X.npy", npy(np.zeros(3_000_000, np.uint8)))]))
        assert len(read_arrays(path)["X"]) == 3_000_000
        monkeypatch.setattr(arrays_module, "SMALL_BYTES", 1_000_000)
        tracemalloc.start()
        with pytest.raises(InputError, match=r"unpack to 3000128; accepted are 1000000; save fewer images, or unc"):
            read_arrays(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1 << 20

    def test_limit_applies_to_all_arrays_together(self, save, monkeypatch):
        monkeypatch.setattr(arrays_module, "SMALL_BYTES", 3000)
        members = [(f"{i}.npy", npy(np.zeros(1000, np.uint8))) for i in range(3)]
        monkeypatch.setattr(arrays_module, "MAX_RATIO", 1)
        assert len(read_arrays(save(npz(members[:2])))) == 2
        with pytest.raises(InputError, match="unpack to 3384"):
            read_arrays(save(npz(members)))

    def test_huge_directory_is_not_read(self, save):
        end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 65535, 65535, 50 << 20, 0, 0)
        path = save(b"PK\1\2" + bytes((50 << 20) - 4) + end)
        tracemalloc.start()
        with pytest.raises(InputError, match="a directory of 52428800 bytes; accepted are"):
            read_arrays(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1 << 20

    def test_npy_with_a_false_shape_allocates_only_its_data(self, save):
        path = save(headed("'<f8'", "(500000000,)", bytes(1000)))
        tracemalloc.start()
        with pytest.raises(InputError, match="but 1000 bytes follow"):
            read_arrays(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1 << 20


def test_large_npy_is_refused_by_its_size(save, monkeypatch):
    monkeypatch.setattr(arrays_module, "MAX_BYTES", 100)
    with pytest.raises(InputError, match=r"file\.npz: 308 bytes; accepted are 100; save fewer images"):
        read_arrays(save(npy(IMAGES)))


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo], ids=["folder", "pipe"])
def test_folder_and_pipe_are_refused_without_waiting(tmp_path, make):
    make(tmp_path / "x.npz")
    with pytest.raises(InputError, match=r"x\.npz: is not a regular file"):
        read_arrays(tmp_path / "x.npz")


def test_missing_file_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"none\.npz: cannot be read \(No such file"):
        read_arrays(tmp_path / "none.npz")


class TestImageSets:
    @pytest.mark.parametrize(
        ("train", "test"),
        [
            ("x_train", "x_test"),
            ("X_train", "X_test"),
            ("train", "test"),
            ("train_images", "test_images"),
            ("trainX", "testX"),
            ("train-data", "test-data"),
        ],
    )
    def test_usual_names_are_found_next_to_labels_and_objects(self, save, train, test):
        labels = {"y_train": np.arange(5), "val_images": IMAGES[:2], "class_names": np.array(["a"], dtype=object)}
        found = read_image_sets(save({**labels, train: IMAGES, test: 255 - IMAGES}))
        assert list(found) == ["train", "test"]
        np.testing.assert_array_equal(found["train"], IMAGES)
        np.testing.assert_array_equal(found["test"], 255 - IMAGES)
        assert list(read_image_sets(save({**labels, train: IMAGES}))) == ["train"]

    @pytest.mark.parametrize("name", ["features", "X", "x", "images", "imgs", "data", "arr_0"])
    def test_single_array_of_images_is_training_data(self, save, name):
        found = read_image_sets(save({"targets": np.arange(5), name: IMAGES}))
        assert list(found) == ["train"]
        np.testing.assert_array_equal(found["train"], IMAGES)

    def test_npy_is_training_data(self, save):
        np.testing.assert_array_equal(read_image_sets(save(IMAGES, "a.npy"))["train"], IMAGES)

    @pytest.mark.parametrize(
        "arrays",
        [
            {"photos": IMAGES, "y": np.arange(5)},
            {"x_test": IMAGES},
            {"X": IMAGES, "images": IMAGES},
            {"x_train": IMAGES, "train_images": IMAGES},
            {"x_train": IMAGES, "test": IMAGES, "x_test": IMAGES},
        ],
        ids=" ".join,
    )
    def test_ambiguous_names_are_an_error_that_lists_all_arrays(self, save, arrays):
        with pytest.raises(InputError, match=r"file\.npz: its names .*; name one with --key NAME") as caught:
            read_image_sets(save(arrays))
        for name, array in arrays.items():
            assert f"{name} {array.shape} {array.dtype}" in str(caught.value)

    def test_one_array_is_read_next_to_others_of_any_type(self, save):
        """Labels as texts, and metadata as a pickled object, as in published data sets."""
        path = save(
            {"imgs": IMAGES, "names": np.array(["a"]), "metadata": np.array([{}]), "fourier": np.ones(3, complex)}
        )
        np.testing.assert_array_equal(read_array(path, lambda names: names[0]), IMAGES)
        np.testing.assert_array_equal(read_image_sets(path)["train"], IMAGES)
        with pytest.raises(InputError, match="metadata: is of type object"):
            read_array(path, lambda names: names[2])

    def test_key_selects_the_training_data(self, save):
        path = save({"photos": IMAGES, "x_train": 255 - IMAGES, "x_test": IMAGES})
        found = read_image_sets(path, "photos")
        assert list(found) == ["train"]
        np.testing.assert_array_equal(found["train"], IMAGES)

    def test_unknown_key_is_an_error_that_lists_all_arrays(self, save):
        with pytest.raises(InputError, match=r"has no array Y; it has X \(5, 6, 6\) uint8; name one"):
            read_image_sets(save({"X": IMAGES}), "Y")

    def test_error_lists_some_of_many_arrays_and_their_number(self, save):
        with pytest.raises(InputError, match=r"a19 \(\) int64, 30 more; name one"):
            read_image_sets(save({f"a{i}": np.int64(i) for i in range(50)}))

    def test_archive_without_arrays_is_an_error(self, save):
        with pytest.raises(InputError, match="it has no arrays"):
            read_image_sets(save(npz([])))


CONTENTS = {
    "npy": [npy(IMAGES), npy(IMAGES.astype(">f4")), npy(np.asfortranarray(IMAGES), version=(2, 0))],
    "npz": [
        npz([("x_train.npy", npy(IMAGES)), ("x_test.npy", npy(IMAGES[:2]))], compression)
        for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    ],
}


def mutant(content, rng):
    """Return the content with bytes changed, removed or inserted, or with a field of 4 bytes overwritten."""
    data = bytearray(content)
    kind = rng.integers(5)
    place = int(rng.integers(len(data)))
    if kind == 0:
        for at in rng.integers(0, len(data), rng.integers(1, 6)):
            data[at] = rng.integers(256)
    elif kind == 1:
        data[int(rng.integers(min(200, len(data))))] ^= 1 << int(rng.integers(8))
    elif kind == 2:
        del data[place:]
    elif kind == 3:
        data[place : place + 4] = [b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", bytes(4)][rng.integers(3)]
    else:
        data[place:place] = rng.integers(0, 256, rng.integers(1, 40), np.uint8).tobytes()
    return bytes(data)


def survive(kind, path, seeds):
    """Return the share of mutants that are refused; check that the others give small arrays of numbers."""
    contents, refused = CONTENTS[kind], 0
    tracemalloc.start()
    for seed in seeds:
        path.write_bytes(mutant(contents[seed % len(contents)], np.random.default_rng(seed)))
        start = time.process_time()
        try:
            for array in (read_arrays, read_image_sets)[seed // 8 % 2](path).values():
                assert array.nbytes < 2000
                assert array.dtype.kind in "biuf"
        except InputError as error:
            assert str(error).isprintable()  # noqa: PT017
            assert len(str(error)) < 1000  # noqa: PT017
            refused += 1
        assert time.process_time() - start < 2
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 << 20
    return refused / len(seeds)


@pytest.mark.parametrize("kind", CONTENTS)
def test_mutants_of_arrays_are_refused_or_read(tmp_path, kind):
    assert 0.3 < survive(kind, tmp_path / "a.npz", range(200)) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", CONTENTS)
def test_many_mutants_of_arrays_are_refused_or_read(tmp_path, kind):
    assert 0.3 < survive(kind, tmp_path / "a.npz", range(200, 20_000)) <= 1
