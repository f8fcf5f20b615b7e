"""Damaged and hostile data files, and the process that reads them within limits for test_mutants.py.

A mutant is determined by its kind and seed. The process answers each file with a line of JSON: the outcome, its
processor time and that of the child that validates HDF5 files, and their memory.
"""

import gzip
import io
import os
import pickle
import struct
import sys
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from dpm.datasets import H5PYDataset, load, write_hdf5
from dpm.datasets.contents import open_sets, summarize
from dpm.datasets.formats import arrays, cifar10, folder
from dpm.datasets.fuel import probe
from tests.helpers import readers
from tests.helpers.pickles import BATCHES, LABELS, python2_pickle

GOLDEN = Path(__file__).parents[1] / "golden" / "fuel"
RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (30, 8, 8), np.uint8)
NAMES = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
FIELDS = (
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    bytes(4),
    b"\0\0\0\1",
    b"\xff" * 8,
    b"\x80" + bytes(7),
)


def saved(save, *args, **options):
    buffer = io.BytesIO()
    save(buffer, *args, **options)
    return buffer.getvalue()


def idx(array, code):
    return bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def batches(kind):
    """Return the files of one version of CIFAR-10."""
    if kind == "bin":
        return {
            f"{name}.bin": b"".join(bytes([label]) + row.tobytes() for label, row in zip(labels, pixels, strict=True))
            for name, pixels, labels in zip(NAMES, BATCHES, LABELS, strict=True)
        }
    forms = [python2_pickle, *(lambda p, t, v=v: pickle.dumps({"data": p, "labels": t}, v) for v in (2, 3, 4, 5))]
    return {name: forms[i % 5](BATCHES[i], LABELS[i]) for i, name in enumerate(NAMES)}


def ours(place):
    """Return the bytes of a file written by this program."""
    path = Path(place) / "ours.hdf5"
    sets = {"train": {"features": PIXELS[:20, None]}, "test": {"features": PIXELS[20:, None]}}
    write_hdf5(path, sets, {"features": ("batch", "channel", "height", "width")})
    data = path.read_bytes()
    path.unlink()
    return data


def originals(place):
    """Return the valid contents by kind of mutant; `place` is a folder for temporary files."""
    floats, signed = PIXELS[:3].astype(">f8"), PIXELS[:9].astype(">i2")
    named = {"x_train": PIXELS, "x_test": PIXELS[:4], "labels": np.arange(30), "flags": PIXELS > 99}
    image, color = Image.fromarray(PIXELS[0]).resize((20, 12)), Image.fromarray(PIXELS[:3, :, :6].transpose(1, 2, 0))
    rotated = Image.Exif()
    rotated[0x0112] = 6
    plain = [idx(PIXELS, 8), idx(signed, 11), idx(floats, 14)]
    return {
        "idx": plain,
        "idx.gz": plain,
        "cifar.bin": [batches("bin")],
        "cifar.py": [batches("py")],
        "cifar.bin.tar.gz": [batches("bin")],
        "cifar.py.tar.gz": [batches("py")],
        "hdf5": [(GOLDEN / f"{name}.hdf5").read_bytes() for name in ("mnist", "cifar10", "vlen", "custom_indices")],
        "hdf5.ours": [ours(place)],
        "npz": [saved(np.savez, **named), saved(np.savez_compressed, **named)],
        "npy": [saved(np.save, a) for a in (PIXELS, PIXELS > 99, floats, np.asfortranarray(signed))],
        "png": [
            saved(image.save, "PNG"),
            saved(color.save, "PNG", exif=rotated),
            saved(color.quantize(8).save, "PNG", transparency=3),
            saved(color.convert("RGBA").save, "PNG", optimize=True),
        ],
        "jpeg": [
            saved(image.save, "JPEG"),
            saved(color.save, "JPEG", exif=rotated),
            saved(color.save, "JPEG", progressive=True),
            saved(color.convert("CMYK").save, "JPEG"),
        ],
    }  # fmt: skip


def changed(data, other, rng, header=4096):
    """Return the bytes with one to three changes, half of them near the beginning or the end."""
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        n = len(data)
        near = min(n, int(rng.choice([64, header])))
        at = int(rng.integers(n + 1) if rng.random() < 0.5 else abs(int(rng.integers(near + 1)) - rng.choice([0, n])))
        kind = rng.integers(7)
        if kind == 0:
            for place in rng.integers(0, max(n, 1), rng.integers(1, 9)) if n else ():
                data[place] = rng.integers(256)
        elif kind == 1:
            data[at : at + 1] = bytes([1 << int(rng.integers(8)) ^ b for b in data[at : at + 1]])
        elif kind == 2:
            field = FIELDS[rng.integers(len(FIELDS))]
            data[at : at + len(field)] = field
        elif kind == 3:
            data[at:at] = rng.integers(0, 256, rng.integers(1, 600), np.uint8).tobytes()
        elif kind == 4:
            del data[at : at + int(rng.integers(1, 600))]
        elif kind == 5:
            data[at:] = other[int(rng.integers(len(other))) :]
        elif rng.random() < 0.5:
            del data[at:]
    return bytes(data)


def tar_of(members):
    """Return a tar archive of pairs (name or header, content)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, content in members:
            member = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def cifar_tar(files, kind):
    return tar_of([(f"cifar-10-batches-{kind}/{name}", content) for name, content in files.items()])


def with_checksums(data):
    """Return a changed tar archive with corrected checksums of its headers."""
    data = bytearray(data)
    for start in range(0, len(data) - 511, 512):
        if data[start + 257 : start + 262] == b"ustar":
            total = sum(data[start : start + 148]) + 256 + sum(data[start + 156 : start + 512])
            data[start + 148 : start + 156] = b"%06o\0 " % total
    return bytes(data)


def with_crcs(data):
    """Return a changed PNG with corrected checksums of its chunks."""
    data, at = bytearray(data), 8
    while at + 12 <= len(data):
        length = struct.unpack(">I", data[at : at + 4])[0]
        end = at + 8 + length
        if end + 4 > len(data):
            break
        data[end : end + 4] = struct.pack(">I", zlib.crc32(data[at + 4 : end]))
        at = end + 4
    return bytes(data)


def zipped(members, level=None):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def mutant(kind, seed, place, contents):
    """Write the mutant into the folder `place`; return its path, and True if a checksum of the format covers it."""
    rng = np.random.default_rng([seed, sorted(contents).index(kind)])
    original = contents[kind][seed % len(contents[kind])]
    others = [c for group in contents.values() for c in group if isinstance(c, bytes)]
    other = others[rng.integers(len(others))] if rng.random() < 0.5 else contents[kind][-1]
    inside = bool(rng.integers(2))
    if kind.startswith("cifar"):
        return mutant_cifar(kind.split(".")[1], kind.endswith("gz"), original, place, rng, inside)
    path = place / {"hdf5.ours": "ours.hdf5", "png": "a.png", "jpeg": "a.jpg"}.get(kind, f"mutant.{kind}")
    if kind == "idx.gz":
        packed = gzip.compress(original, mtime=0)
        data = gzip.compress(changed(original, other, rng), mtime=0) if inside else changed(packed, other, rng)
    elif kind == "npz" and inside:
        with zipfile.ZipFile(io.BytesIO(original)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        victim = list(members)[rng.integers(len(members))]
        data = zipped((members | {victim: changed(members[victim], other, rng, 128)}).items())
    else:
        data = changed(original, other, rng)
        data = with_crcs(data) if kind == "png" and inside else data
    path.write_bytes(data)
    return path, not inside and kind in ("idx.gz", "npz", "png", "hdf5.ours")


def mutant_cifar(kind, packed, files, place, rng, inside):
    victim = list(files)[rng.integers(6)]
    damaged = files | {
        victim: changed(files[victim], files[NAMES[0] + victim.removeprefix(victim.removesuffix(".bin"))], rng)
    }
    if not packed:
        for name, content in damaged.items():
            (place / name).write_bytes(content)
        return place, False
    path = place / f"cifar-10-{'binary' if kind == 'bin' else 'python'}.tar.gz"
    good = cifar_tar(files, kind)
    outside = not inside and bool(rng.integers(2))
    if outside:
        path.write_bytes(changed(gzip.compress(good, mtime=0), good, rng))
    else:
        data = cifar_tar(damaged, kind) if inside else with_checksums(changed(good, good, rng, 512))
        path.write_bytes(gzip.compress(data, 1, mtime=0))
    return path, outside


def routes(kind):
    """Return the public readers of a kind, functions from a path to its arrays."""

    def summary(path):
        summarize(open_sets(path))
        return []

    def arrays_of(path):
        return [array[:] for members in open_sets(path).values() for array in members.values()]

    def hdf5(in_memory):
        def read(path):
            sets = [H5PYDataset(path, (which,), load_in_memory=in_memory) for which in ("train", "test")]
            found = [array for one in sets for array in one.get_data(request=slice(None))]
            for one in sets:
                one.close(None)
            return found

        return read

    def loaded(name):
        def read(path):
            found = load(name or str(path), path if name else None)
            return [found.train[:], found.test[:]]

        return read

    images = [lambda path: [folder.read_images(folder.image_files(path.parent), 8)]]
    by_arrays = [
        lambda path: list(arrays.read_arrays(path).values()),
        lambda path: list(arrays.read_image_sets(path).values()),
    ]
    return {
        "cifar": [arrays_of, summary, cifar10.read_cifar10, loaded("CIFAR10")],
        "hdf5": [arrays_of, summary, hdf5(True), hdf5(False), loaded(None)],
        "npz": [arrays_of, summary, *by_arrays],
        "npy": [arrays_of, summary, *by_arrays],
        "png": images,
        "jpeg": images,
        "idx": [arrays_of, summary],
    }[kind.split(".")[0]]


def rows_of(array):
    """Return the bytes of each example, or of the whole array if it has none."""
    return [np.ascontiguousarray(row).tobytes() for row in np.atleast_1d(array)]


class Reader:
    """Reads one file after another within the memory limit, and reports the outcome."""

    def __init__(self, scratch):
        self.good, self.serial = Path(scratch) / "good.hdf5", 0
        contents = originals(scratch)
        self.good.write_bytes(contents["hdf5.ours"][0])
        self.known = {}
        for kind in ("idx.gz", "npz", "png", "hdf5.ours", "cifar.bin.tar.gz", "cifar.py.tar.gz"):
            for content in contents[kind]:
                path = Path(scratch) / (
                    "cifar-10.tar.gz" if "cifar" in kind else "ours.hdf5" if "ours" in kind else "a.png"
                )
                packed = cifar_tar(content, kind.split(".")[1]) if "cifar" in kind else content
                path.write_bytes(packed)
                for read in routes(kind):
                    path = path.rename(path.with_name(f"a.{kind}")) if kind in ("idx.gz", "npz") else path
                    self.known.setdefault(kind, set()).update(row for array in read(path) for row in rows_of(array))
                path.unlink()

    def child(self):
        """Return the running child that validates HDF5 files, so that its start is not measured with a file."""
        self.serial += 1
        os.utime(self.good, ns=(self.serial, self.serial))
        probe.check_file(self.good)
        return probe._child.pid

    def read(self, kind, path, route, exact):
        """Read one file and return the answer."""
        path, child = Path(path), self.child() if kind.startswith("hdf5") else 0
        read = routes(kind)[route % len(routes(kind))]
        answer, found = readers.measure(child, lambda: read(path))
        if answer["outcome"] == "read" and (wrong := self.find_error(kind, path, found, exact)):
            answer |= {"outcome": "wrong", "message": wrong}
        return answer

    def find_error(self, kind, path, found, exact):
        """Return the reason why the arrays cannot be right; "" if there is none."""
        files = [path] if path.is_file() else list(path.iterdir())
        allowed = 1100 * sum(file.stat().st_size for file in files) + 4096
        for array in found:
            numbers = array.dtype.kind in ("biufSO" if "hdf5" in kind else "biuf")
            if not isinstance(array, np.ndarray) or not numbers or array.nbytes > allowed or array.ndim > 32:
                return f"{array.dtype} {array.shape}"
            cifar = "cifar" in kind and not (array.shape[1:] == (3, 32, 32) and len(array) and array.dtype == np.uint8)
            if cifar or (kind in ("png", "jpeg") and array.shape not in ((1, 1, 8, 8), (1, 3, 8, 8))):
                return f"{array.dtype} {array.shape}"
            if exact and not self.known[kind].issuperset(rows_of(array)):
                return "other values than were written, although the checksum is right"
        return ""


if __name__ == "__main__":
    readers.serve(Reader(sys.argv[1]).read)
