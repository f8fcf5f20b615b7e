"""Damaged and hostile checkpoints, and the process that loads them within limits for test_checkpoint_mutants.py.

A mutant is a function of its seed. The process answers each path with a line of JSON: the outcome, and the CPU time
and memory of itself and of the subprocess that validates HDF5 files.
"""

import functools
import hashlib
import json
import sys
import zlib
from pathlib import Path

import h5py
import numpy as np

from dpm.datasets.fuel import probe
from dpm.runs import checkpoint
from tests.helpers import readers
from tests.helpers.mutants import changed

META = {"config": {"flags": {"lr": 1e-3}}, "model": {"n_colors": 1}, "state": {"step": 3, "rows": [{"K": -1.5}]}}
BLOCK = checkpoint.USER_BLOCK
FIRST, SECOND = "/parameters/diffusionmodel/MLP/linear_0.W", "/parameters/diffusionmodel/MLP/linear_1.W"
MEAN = "/optimizer/mean_square"
GOLDEN = Path(__file__).parents[1] / "golden_checkpoint"


def arrays():
    rng = np.random.default_rng(0)
    values = {name: rng.standard_normal((3, 4)).astype(np.float32) for name in (FIRST, SECOND)}
    return values | {MEAN: rng.random(300), "/optimizer/skipped_steps": np.array(3), "/parameters/empty": np.empty(0)}


def originals(place):
    """Return file contents by kind: as saved, rewritten with gzip by another program, and saved as version 1."""
    place = Path(place)
    checkpoint.save(place / "saved.h5", META, arrays())
    with h5py.File(place / "saved.h5") as old, h5py.File(place / "packed.h5", "w") as new:
        new.attrs.update(old.attrs)
        new["meta"] = old["meta"][()].decode()
        for name, array in arrays().items():
            packing = {"chunks": True, "compression": "gzip", "shuffle": True} if array.size > 1 else {}
            new.create_dataset(name, data=array, **packing)
    found = {kind: (place / f"{kind}.h5").read_bytes() for kind in ("saved", "packed")}
    return found | {"version 1": (GOLDEN / "version1.h5").read_bytes()}


def reseal(content):
    """Return the content with a correct file checksum, adding a user block if it had none."""
    body = content[BLOCK:] if content[:14] == checkpoint.SEAL[:14].encode() else content
    line = f"{checkpoint.SEAL}{hashlib.sha256(body).hexdigest()}\n"
    return line.encode().ljust(BLOCK, b"\0") + body


def remove_checksum(content):
    return bytes(BLOCK) + content[BLOCK:]


# ------------------------------------------------------------------ changes of what a file holds


def replace(file, name, *args, **options):
    del file[name]
    file.create_dataset(name, *args, **options)


def with_meta(change):
    """Return a mutation that changes the text of meta and corrects its checksum."""

    def apply(file, name, rng):
        text = change(file["meta"][()])
        replace(file, "meta", data=text, dtype=h5py.string_dtype())
        file.attrs["sha256"] = hashlib.sha256(text).hexdigest()

    return apply


def edit_meta(**values):
    """Return a mutation that replaces values of meta; None removes one."""

    def change(text):
        meta = json.loads(text) | values
        return json.dumps({name: value for name, value in meta.items() if value is not None}).encode()

    return with_meta(change)


def swap(file, name, rng):
    file.move(FIRST, "/parameters/x")
    file.move(SECOND, FIRST)
    file.move("/parameters/x", SECOND)


def swap_checksums(file, name, rng):
    swap(file, name, rng)
    meta = json.loads(file["meta"][()])
    listed = meta["arrays"]
    # The list keeps the checksums, but its names no longer match the arrays.
    listed["/parameters/x"] = listed.pop(FIRST)
    with_meta(lambda _: json.dumps(meta).encode())(file, name, rng)


def retype(file, name, rng):
    replace(file, name, data=file[name][()].astype(">f8" if rng.integers(2) else np.float16))


def reshape(file, name, rng):
    value = file[name][()]
    replace(file, name, data=value.reshape(-1) if value.ndim != 1 else value.reshape(-1, 1))


def change_values(file, name, rng):
    value = file[name][()]
    replace(file, name, data=value + 1 if value.size else np.zeros(1))


def virtual(file, name, rng):
    layout = h5py.VirtualLayout((12,), "f4")
    layout[:] = h5py.VirtualSource("saved.h5", MEAN, (12,))
    del file[name]
    file.create_virtual_dataset(name, layout)


def replace_by_empty(**options):
    return lambda file, name, rng: replace(file, name, dtype="f4", **options)


@functools.cache
def packed_zeros(megabytes):
    packer = zlib.compressobj(1)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(megabytes)) + packer.flush()


def chunk_bomb(file, name, rng):
    """Store a chunk of 48 bytes that decompresses to 600 MB."""
    replace(file, name, (12,), "f4", chunks=(12,), compression="gzip")
    file[name].id.write_direct_chunk((0,), packed_zeros(600))


def zeros_bomb(file, name, rng):
    """Store arrays of 200 MB of zeros, each in less than 1 MB."""
    step = 5 << 20
    for i in range(4):
        array = file.create_dataset(f"/parameters/z{i}", (10 * step,), "f4", chunks=(step,), compression="gzip")
        for start in range(0, len(array), step):
            array.id.write_direct_chunk((start,), packed_zeros(20))


def circle(file, name, rng):
    file["/parameters/diffusionmodel/x"] = file["/parameters"]


def many(file, name, rng):
    for i in range(checkpoint.MOST_ARRAYS):
        file[f"/parameters/{i}"] = 0.0


def deep(file, name, rng):
    file["/parameters/" + "g/" * 60 + "x"] = 0.0


def link(kind):
    def change(file, name, rng):
        del file[name]
        file[name] = h5py.SoftLink(SECOND) if kind == "soft" else h5py.ExternalLink("saved.h5", FIRST)

    return change


CHANGES = {
    "attribute gone": lambda f, n, r: f.attrs.__delitem__(list(f.attrs)[r.integers(3)]),
    "attribute other": lambda f, n, r: f.attrs.__setitem__(
        list(f.attrs)[r.integers(3)], [1, 3, -1, "1", [1, 2], 2.5, np.nan, "0" * 64, b"\xff"][r.integers(9)]
    ),
    "renamed": lambda f, n, r: f.move(n, n + "x"),
    "moved": lambda f, n, r: f.move(n, "/optimizer/moved" if r.integers(2) else "/moved"),
    "swapped": swap,
    "swapped and listed": swap_checksums,
    "removed": lambda f, n, r: f.__delitem__(n),
    "a part removed": lambda f, n, r: f.__delitem__(n.split("/")[1]),
    "added": lambda f, n, r: f.create_dataset("/parameters/added", data=np.zeros(3)),
    "two names": lambda f, n, r: f.__setitem__("/parameters/second", f[n]),
    "another type": retype,
    "another shape": reshape,
    "other values": change_values,
    "huge, chunked": replace_by_empty(shape=(2**40,), chunks=(1024,), compression="gzip"),
    "huge, empty": replace_by_empty(shape=(2**40,)),
    "many rows": replace_by_empty(shape=(2**62, 4), chunks=(1, 4)),
    "1.6 GB, empty": replace_by_empty(shape=(400 << 20,)),
    "chunk bomb": chunk_bomb,
    "soft link": link("soft"),
    "external link": link("external"),
    "external storage": lambda f, n, r: replace(f, n, (12,), "u1", external=[("saved.h5", 0, 12)]),
    "virtual": virtual,
    "objects": lambda f, n, r: replace(f, n, data=[f["optimizer"].ref], dtype=h5py.ref_dtype),
    "regions": lambda f, n, r: replace(
        f, n, data=[f[SECOND if n == FIRST else FIRST].regionref[:]], dtype=h5py.regionref_dtype
    ),
    "records": lambda f, n, r: replace(f, n, data=np.zeros(2, [("a", "f4"), ("b", "i4")])),
    "texts": lambda f, n, r: replace(f, n, data=["a", "b"], dtype=h5py.string_dtype()),
    "complex": lambda f, n, r: replace(f, n, data=np.zeros(2, complex)),
    "nothing": lambda f, n, r: replace(f, n, data=h5py.Empty("f4")),
    "lzf": lambda f, n, r: replace(f, n, data=np.ones((3, 4), "f4"), compression="lzf"),
    "fletcher32": lambda f, n, r: replace(f, n, data=np.ones((3, 4), "f4"), fletcher32=True),
    "a named type": lambda f, n, r: f.__setitem__("/parameters/type", np.dtype("f8")),
    "a circle": circle,
    "deep": deep,
    "a name with escapes": lambda f, n, r: f.move(n, "/parameters/\x1b[2J\n"),
    "a long name": lambda f, n, r: f.move(n, "/parameters/" + "x" * 500),
    "meta gone": lambda f, n, r: f.__delitem__("meta"),
    "meta a group": lambda f, n, r: (f.__delitem__("meta"), f.create_group("meta")),
    "meta numbers": lambda f, n, r: replace(f, "meta", data=np.zeros(3)),
    "meta texts": lambda f, n, r: replace(f, "meta", data=["{}", "{}"], dtype=h5py.string_dtype()),
    "meta elsewhere": lambda f, n, r: (f.__delitem__("meta"), f.__setitem__("meta", h5py.SoftLink("/x"))),
    "meta no JSON": with_meta(lambda text: text[:-5]),
    "meta no UTF-8": with_meta(lambda text: text.replace(b"step", b"st\xffp")),
    "meta a key twice": with_meta(lambda text: text.replace(b'"step"', b'"step": 4, "step"')),
    "meta deep": with_meta(lambda text: text[:-1] + b', "x": ' + b"[" * 30 + b"]" * 30 + b"}"),
    "meta very deep": with_meta(
        lambda text: text[:-1] + b', "x": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}"
    ),
    "meta long number": with_meta(lambda text: text[:-1] + b', "x": ' + b"9" * 10_000 + b"}"),
    "meta a list": with_meta(lambda text: b"[" + text + b"]"),
    "meta many values": with_meta(lambda text: text[:-1] + b', "x": [' + b"{}," * 2_000_000 + b"0]}"),
    "meta lists nothing": edit_meta(arrays=None),
    "meta lists a list": edit_meta(arrays=[FIRST]),
    "meta lists an empty dict": edit_meta(arrays={}),
    "meta lists numbers": edit_meta(arrays=dict.fromkeys(arrays(), 3)),
}
#: Mutations that take too long to make often.
LARGE_CHANGES = {"many": many, "zeros bomb": zeros_bomb}
SEALS = {"old seal": lambda content: content, "right seal": reseal, "no seal": remove_checksum}


def mutant(seed, path, contents):
    """Write the mutant of a seed; return its kind."""
    rng = np.random.default_rng(seed)
    if seed % 2:
        return changed_bytes(rng, path, contents)
    what = list(CHANGES)[seed // 2 % len(CHANGES)]
    return changed_inside(what, CHANGES[what], rng, path, contents["saved"])


def changed_bytes(rng, path, contents):
    """Flip, cut, move or double bytes anywhere, or, with a correct file checksum, after it."""
    original = list(contents)[rng.choice([0, 0, 1, 1, 2])]
    content = contents[original]
    # In version 1 only the file checksum covers the names, so with a correct one it is another valid file.
    seal = list(SEALS)[rng.integers(3) if original != "version 1" else 0]
    head = BLOCK if original == "saved" and seal != "old seal" else 0
    body = changed(content[head:], contents["saved"], rng, 2048)
    new = content[:head] + body
    if original == "saved" or seal == "right seal":
        new = SEALS[seal](new)
    path.write_bytes(new)
    return f"bytes, {original}"


def changed_inside(what, change, rng, path, content):
    """Apply one change through HDF5."""
    path.write_bytes(content)
    names = [name for name, array in arrays().items() if array.size > 1]
    with h5py.File(path, "r+") as file:
        change(file, names[rng.integers(len(names))], rng)
    seal = list(SEALS)[rng.choice([0, 1, 1, 2, 2])]
    path.write_bytes(SEALS[seal](path.read_bytes()))
    return f"inside, {seal}"


# ------------------------------------------------------------------ the process that loads


class Reader:
    """Load files one by one within the memory limit and report the outcomes."""

    def __init__(self, scratch):
        originals(scratch)
        self.good = Path(scratch) / "saved.h5"
        self.known = [self.load_values(path) for path in (self.good, GOLDEN / "version1.h5")]

    def load_values(self, path):
        """Return everything that load returns, as values that compare bit for bit."""
        meta, found = checkpoint.load(path)
        return meta, {name: (a.dtype.str, a.shape, a.tobytes()) for name, a in found.items()}

    def read(self, path):
        """Return the answer for one file."""
        checkpoint.load(self.good)  # start the subprocess first, so that its start does not count as work for a file
        answer, result = readers.measure(probe._child.pid, lambda: self.load_values(path))
        if answer["outcome"] == "read" and result not in self.known:
            answer["outcome"] = "wrong"
        return answer


if __name__ == "__main__":
    readers.serve(Reader(sys.argv[1]).read)
