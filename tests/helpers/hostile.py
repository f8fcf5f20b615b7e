"""Data files that try to crash a reader, keep it busy, exhaust its memory, run a command or read other files.

HANDMADE maps the kind and name of each file to the function that writes it to a folder and returns its path.
"""

import gzip
import io
import os
import pickle
import struct
import tarfile
import zipfile
import zlib

import h5py
import numpy as np
from PIL import Image

from tests.helpers import mutants
from tests.helpers.mutants import PIXELS, batches, cifar_tar, idx, saved, tar_of, zipped
from tests.helpers.pickles import Hostile


def zeros(megabytes):
    """Return gzip-compressed zeros of this size."""
    return gzip.compress(bytes(1 << 20), mtime=0) * megabytes


def many_gigabytes(place):
    path = place / "bomb.idx.gz"
    path.write_bytes(gzip.compress(struct.pack(">4BI", 0, 0, 8, 1, 2000 << 20)) + zeros(2000))
    return path


def doubles_that_must_be_swapped(place):
    path = place / "bomb.idx.gz"
    path.write_bytes(gzip.compress(struct.pack(">4BI", 0, 0, 14, 1, 250 << 17)) + zeros(250))
    return path


def archive(content):
    def write(place):
        path = place / "cifar-10-python.tar.gz"
        data = content() if callable(content) else content
        path.write_bytes(data if data[:2] == b"\x1f\x8b" else gzip.compress(data, 1))
        return path

    return write


def batch(content):
    """The Python version of CIFAR-10 with another first batch."""
    return archive(
        lambda: cifar_tar(batches("py") | {"data_batch_1": content() if callable(content) else content}, "py")
    )


def folder_batch(content):
    def write(place):
        for name, data in (batches("py") | {"data_batch_1": content}).items():
            (place / name).write_bytes(data)
        return place

    return write


def members(name, kind=tarfile.REGTYPE, link=""):
    """The binary version with other member names, or with links or devices as members."""

    def build():
        headers = []
        for file, content in batches("bin").items():
            header = tarfile.TarInfo(name.format(file))
            header.type, header.linkname = kind, link
            headers.append((header, content if kind == tarfile.REGTYPE else b""))
        return tar_of(headers)

    return archive(build)


def raw_header(name, size, kind=b"0"):
    """Return a tar header with an arbitrary size."""
    header = tarfile.TarInfo(name)
    header.type, header.size = kind, max(size, 0)
    data = bytearray(header.tobuf(tarfile.GNU_FORMAT))
    if size < 0:
        data[124:136] = b"\xff" * 4 + struct.pack(">q", size)
    return mutants.with_checksums(data)


#: Leaves a file in the working folder.
SYSTEM = "touch ran"


def pickles():
    """Return pickles that run a command, one for each opcode that can, and pickles that keep a reader busy."""
    return {
        **{f"system{p}": pickle.dumps({"data": Hostile(os.system, SYSTEM)}, p) for p in range(6)},
        "inst": f"(S'{SYSTEM}'\nios\nsystem\n.".encode(),
        "obj": f"(cos\nsystem\nS'{SYSTEM}'\no.".encode(),
        "newobj": b"\x80\x02cposix\nsystem\n(X" + struct.pack("<I", len(SYSTEM)) + SYSTEM.encode() + b"t\x81.",
        "build": b"\x80\x02cbuiltins\nobject\n)\x81}X\1\0\0\0acos\nsystem\nsb.",
        "many opcodes": b"\x80\x02" + b"(" * (30 << 20),
        "many lists": b"\x80\x02(" + b"]" * (30 << 20) + b"l.",
        "shared tuples": b"\x80\x02)" + b"".join(b"q%ch%c\x86" % (i, i) for i in range(60)) + b"Na\x93.",
        "shared name": b"\x80\x02)" + b"".join(b"q%ch%c\x86" % (i, i) for i in range(60)) + b"\x8c\1a\x93.",
        "deep name": b"\x80\x04)" + b"\x85" * 90_000 + b"\x8c\1a\x93.",
        "deep value": b"\x80\x04)" + b"\x85" * 90_000 + b".",
        "keys of one hash": b"\x80\x02}("
        + b"".join(b"\x8a\x0c" + (i * ((1 << 61) - 1)).to_bytes(12, "little") + b"N" for i in range(1, 40_000))
        + b"u.",
        "memo of one hash": b"N" + b"".join(b"p%d\n" % (i * ((1 << 61) - 1)) for i in range(1, 90_000)) + b".",
        "long line": b"F" + b"1x" * 1_000_000 + b"\n.",
        "long name": b"c" + b"a" * 1_000_000 + b"\nb\n.",
        "lines in name": b"\x80\x04\x8c\x03a\nb\x8c\x03c\rd\x93.",
    }


def saved_objects(save):
    return saved(save, np.array([Hostile(os.system, SYSTEM)], object), allow_pickle=True)


def one_array(array):
    return zipped([("x.npy", saved(np.save, array))], 1)


def overlapping():
    """Return a zip archive with several directory entries for the same bytes."""
    data = bytearray(one_array(np.zeros(100_000_000 // 8)))
    start, end = data.index(b"PK\1\2"), data.index(b"PK\5\6")
    entry = bytes(data[start:end])
    entries = [entry.replace(b"x.npy", b"%c.npy" % (98 + i)) for i in range(2)]
    tail = bytearray(data[end:])
    tail[8:16] = struct.pack("<HHI", 3, 3, 3 * len(entry))
    return bytes(data[:start]) + entry + b"".join(entries) + bytes(tail)


def many_arrays():
    one = saved(np.save, np.zeros(1))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for i in range(5_001):
            packed.writestr(f"{i}.npy", one)
    return buffer.getvalue()


def hdf5(change):
    def write(place):
        path = place / "ours.hdf5"
        path.write_bytes(mutants.originals(place)["hdf5.ours"][0])
        with h5py.File(path, "r+") as file:
            change(file)
        return path

    return write


def external_link(file):
    del file["features"]
    file["features"] = h5py.ExternalLink("/etc/passwd", "/")


def external_storage(file):
    del file["features"]
    file.create_dataset("features", (30, 1, 8, 8), np.uint8, external=[("/etc/passwd", 0, 1920)])


def virtual(file):
    layout = h5py.VirtualLayout((30, 1, 8, 8), np.uint8)
    layout[:] = h5py.VirtualSource("/etc/passwd", "features", (30, 1, 8, 8))
    del file["features"]
    file.create_virtual_dataset("features", layout)


def circle(file):
    file["circle"] = file["/"]


def circular_links(file):
    file["a"], file["b"] = h5py.SoftLink("/b"), h5py.SoftLink("/a")


def gigabytes_of_zeros(file):
    del file["features"]
    shape, chunk = (2000, 1, 1024, 1024), (4, 1, 1024, 1024)
    array = file.create_dataset("features", shape, np.uint8, chunks=chunk, compression="gzip")
    packed = zlib.compress(bytes(4 << 20), 9)
    for start in range(0, 2000, 4):
        array.id.write_direct_chunk((start, 0, 0, 0), packed)


def chunk_that_unpacks_to_more(file):
    del file["features"]
    array = file.create_dataset("features", (30, 1, 8, 8), np.uint8, chunks=(30, 1, 8, 8), compression="gzip")
    packer, piece = zlib.compressobj(1), bytes(1 << 20)
    array.id.write_direct_chunk((0,) * 4, b"".join(packer.compress(piece) for _ in range(900)) + packer.flush())


def texts(file):
    data = [b"a", b"b"] * 15
    del file["features"]
    file["features"] = np.array(data)


def objects(file):
    del file["features"]
    file.create_dataset("features", data=["text"] * 30, dtype=h5py.string_dtype())


def no_pixels(file):
    del file["features"]
    file["features"] = np.zeros((30, 0, 8), np.uint8)


def content(name, data):
    def write(place):
        path = place / name
        path.write_bytes(data() if callable(data) else data)
        return path

    return write


def chunked(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width, height, color, rows, extra=b""):
    header = chunked(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunked(b"IDAT", rows) + chunked(b"IEND", b"")


def large_jpeg(again):
    """Return a progressive JPEG whose last scan is repeated."""
    data = saved(Image.new("RGB", (5000, 5000), (9, 90, 200)).save, "JPEG", progressive=True)
    return data[:-2] + data[data.rindex(b"\xff\xda") : -2] * again + data[-2:]


def jpeg_with_a_false_size():
    data = bytearray(saved(Image.new("L", (8, 8)).save, "JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = b"\xff" * 4
    return bytes(data)


def linked(name, target):
    def write(place):
        (place / name).symlink_to(target)
        return place / name

    return write


def pipe(name):
    def write(place):
        os.mkfifo(place / name)
        return place / name

    return write


BATCH = "cifar-10-batches-bin/{}"
HANDMADE = {
    ("idx.gz", "gigabytes"): many_gigabytes,
    ("idx.gz", "byte order"): doubles_that_must_be_swapped,
    ("idx", "huge"): content("a.idx", struct.pack(">4B4I", 0, 0, 8, 4, *[0xFFFFFFFF] * 4)),
    ("idx", "dimensions"): content("a.idx", b"\0\0\x08\xff" + b"\0\0\0\1" * 255 + b"\0"),
    ("idx", "empty"): content("a.idx", idx(np.zeros((3, 0, 5), np.uint8), 8)),
    ("cifar.py.tar.gz", "zeros"): archive(lambda: zeros(190)),
    ("cifar.py.tar.gz", "bomb"): archive(lambda: zeros(2000)),
    ("cifar.py.tar.gz", "members"): archive(lambda: raw_header("a", 0) * 200_000),
    ("cifar.py.tar.gz", "pax"): archive(lambda: raw_header("a", 60 << 20, b"x") + b"5 a=\n" * (12 << 20)),
    ("cifar.py.tar.gz", "name"): archive(lambda: raw_header("a", 150 << 20, b"L") + bytes(150 << 20)),
    ("cifar.py.tar.gz", "negative"): archive(raw_header("cifar-10-batches-py/data_batch_1", -512) * 4),
    ("cifar.py.tar.gz", "backwards"): archive(raw_header("a", -1024) * 4),
    ("cifar.py.tar.gz", "sparse"): archive(raw_header("cifar-10-batches-py/data_batch_1", 512, b"S") + bytes(2048)),
    ("cifar.py.tar.gz", "large"): archive(
        lambda: gzip.compress(raw_header("cifar-10-batches-py/data_batch_1", 190 << 20)) + zeros(190)
    ),
    ("cifar.bin.tar.gz", "absolute"): members("/tmp/{}"),
    ("cifar.bin.tar.gz", "upwards"): members("../" + BATCH),
    ("cifar.bin.tar.gz", "symbolic"): members(BATCH, tarfile.SYMTYPE, "/etc/passwd"),
    ("cifar.bin.tar.gz", "hard"): members(BATCH, tarfile.LNKTYPE, "/etc/passwd"),
    ("cifar.bin.tar.gz", "device"): members(BATCH, tarfile.CHRTYPE),
    ("cifar.bin.tar.gz", "pipe"): members(BATCH, tarfile.FIFOTYPE),
    ("cifar.bin.tar.gz", "a pipe"): pipe("cifar-10-binary.tar.gz"),
    **{("cifar.py.tar.gz", name): batch(data) for name, data in pickles().items()},
    **{("cifar.py", name): folder_batch(data) for name, data in pickles().items()},
    ("hdf5", "link"): hdf5(external_link),
    ("hdf5", "storage"): hdf5(external_storage),
    ("hdf5", "virtual"): hdf5(virtual),
    ("hdf5", "circle"): hdf5(circle),
    ("hdf5", "links"): hdf5(circular_links),
    ("hdf5", "gigabytes"): hdf5(gigabytes_of_zeros),
    ("hdf5", "chunk"): hdf5(chunk_that_unpacks_to_more),
    ("hdf5", "texts"): hdf5(texts),
    ("hdf5", "objects"): hdf5(objects),
    ("hdf5", "no pixels"): hdf5(no_pixels),
    ("hdf5", "pipe"): pipe("a.hdf5"),
    ("hdf5", "device"): linked("a.hdf5", "/dev/zero"),
    ("npz", "objects"): content("a.npz", lambda: saved_objects(lambda f, a, **_: np.savez(f, x_train=a))),
    ("npy", "objects"): content("a.npy", lambda: saved_objects(np.save)),
    **{("npy", name): content("a.npy", data) for name, data in pickles().items() if "system" in name},
    ("npz", "bomb"): content("a.npz", lambda: one_array(np.zeros(300 << 20, np.uint8))),
    ("npz", "booleans"): content("a.npz", lambda: one_array(np.zeros(255 << 20, bool))),
    ("npz", "byte order"): content("a.npz", lambda: one_array(np.zeros(255 << 17, ">f8"))),
    ("npz", "overlapping"): content("a.npz", overlapping),
    ("npz", "many arrays"): content("a.npz", many_arrays),
    ("npz", "paths"): content("a.npz", zipped([("../../x.npy", saved(np.save, PIXELS)), ("/tmp/x.npy", b"")])),
    ("npz", "no array"): content("a.npz", saved(np.savez, x=np.float32(1), y=np.zeros((3, 0)))),
    ("npy", "a number"): content("a.npy", saved(np.save, np.float32(1))),
    ("npy", "empty"): content("a.npy", saved(np.save, np.zeros((5, 0)))),
    ("npy", "no numbers"): content("a.npy", saved(np.save, np.full((5, 3), np.nan))),
    ("npy", "pipe"): pipe("a.npy"),
    ("png", "huge"): content("a.png", png(50_000, 50_000, 6, zlib.compress(bytes(1000)))),
    ("png", "pixels"): content("a.png", lambda: png(5000, 5000, 6, zlib.compress(bytes(20001 * 5000), 1))),
    ("png", "rows"): content("a.png", lambda: png(8, 8, 0, zlib.compress(bytes(1 << 28), 1))),
    ("png", "text"): content("a.png", png(8, 8, 0, b"", chunked(b"zTXt", b"a\0\0" + zlib.compress(bytes(9 << 20))))),
    ("jpeg", "scans"): content("a.jpg", lambda: large_jpeg(200)),
    ("jpeg", "allowed scans"): content("a.jpg", lambda: large_jpeg(14)),
    ("jpeg", "huge"): content("a.jpg", jpeg_with_a_false_size),
    ("png", "out"): linked("a.png", "/etc/passwd"),
    ("png", "nothing"): linked("a.png", "not-a.png"),
    ("png", "itself"): linked("a.png", "a.png"),
    ("png", "pipe"): pipe("a.png"),
    ("idx", "pipe"): pipe("a.idx"),
    ("idx", "device"): linked("a.idx", "/dev/zero"),
}  # fmt: skip
