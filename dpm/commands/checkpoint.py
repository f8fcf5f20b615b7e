"""`dpm checkpoint`: verify, show, compare and export checkpoints."""

import json
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np

from dpm.base.command_line import Parser, error_line, print_table, run_command
from dpm.base.errors import InputError
from dpm.base.hashing import hash_array
from dpm.datasets.reading import atomic_write
from dpm.runs import checkpoint

PROG = "dpm checkpoint"
LONGEST_LIST = 60  # characters; of longer ones their length is shown
SAFETENSORS = {
    "f8": "F64", "f4": "F32", "f2": "F16", "i8": "I64", "i4": "I32", "i2": "I16", "i1": "I8", "u8": "U64",
    "u4": "U32", "u2": "U16", "u1": "U8", "b1": "BOOL",
}  # fmt: skip


def build_parser(prog=PROG):
    """Return the parser of the command."""
    top = Parser(prog=prog, description="Verify, show, compare and export checkpoints.")
    kinds = top.add_subparsers(metavar="COMMAND", parser_class=Parser, required=True)

    def add(name, run, text):
        sub = kinds.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        return sub.add_argument

    add("verify", verify, "load each file, with all checks; status 2 if any is bad")("files", metavar="FILE", nargs="+")
    add("show", show, "what a file holds")("file", metavar="FILE")
    option = add("diff", diff, "what differs between two files; status 1 if anything does")
    option("file", metavar="FILE")
    option("other", metavar="FILE")
    option = add("export", export, "write the parameters as npz or safetensors")
    option("file", metavar="FILE")
    option("--to", choices=("npz", "safetensors"), default="npz", help="(default: %(default)s)")
    option("--output", metavar="PATH", help="the file (default: the checkpoint's name with the other ending, here)")
    option("--all", action="store_true", help="what the optimizer remembers too")
    return top


def main(arguments=None):
    """Run the command; return the exit status."""
    given = vars(build_parser().parse_args(arguments))
    action = given.pop("run")
    return run_command(PROG, lambda: action(**given))


def verify(files):
    """Print a line for each file: what was checked, or on stderr what is wrong; return 2 if any is bad."""
    status = 0
    for path in files:
        try:
            _, arrays, facts = checkpoint.load_with_facts(path)
        except (InputError, OSError) as error:
            print(error_line(PROG, error), file=sys.stderr)
            status = 2
            continue
        whole = "the checksum of the whole file, " if facts["sealed"] else "no checksum of the whole file; "
        numbers = sum(array.size for array in arrays.values())
        print(
            f"{path}: ok: format version {facts['format_version']}; {whole}those of meta and of {len(arrays)} arrays "
            f"({numbers:,} numbers)"
        )
    return status


def show(file):
    """Print the contents of a run's checkpoint, then a table of its arrays."""
    meta, arrays, facts = checkpoint.load_with_facts(file)
    checkpoint.check_run(file, meta)
    config, state = meta["config"], meta["state"]
    flags, data, rows = config["flags"], config["data"], state["rows"]
    model = {name: value for name, value in meta["model"].items() if name != "network"}
    last = rows[-1] if rows else {"epoch": 0}
    print(f"{file}: format version {facts['format_version']}, {Path(file).stat().st_size:,} bytes")
    lines = {
        "model": f"{shown(meta['model'].get('network', 'of a toy problem'))}: {listed(model)}",
        "data": listed({name: value for name, value in data.items() if name not in ("scale", "shift")}),
        "units": f"the model sees scale * x + shift; {listed({key: data[key] for key in ('scale', 'shift')})}",
        "state": f"epoch={shown(last['epoch'])}, step={shown(state['step'])}, seed={shown(flags['seed'])}",
        "optimizer": listed({key: flags[key] for key in ("optimizer", "lr", "batch_size", "dtype")}),
        "versions": listed(config["versions"]),
        "last row": listed(last) if rows else "none",
        "command": " ".join(map(shown, config["command"])),
    }
    for name, text in lines.items():
        print(f"{name:10} {text}")
    parameters, optimizer = checkpoint.split(arrays)
    for title, part in (("parameter", parameters), ("optimizer", optimizer)):
        print()
        print_table(
            [(title, "shape", "type", "sha256", "range", "mean", "not finite")]
            + [(name, *described(array)) for name, array in part.items()]
        )


def described(array):
    """Shape, type, head of the SHA-256, range, mean of the finite numbers and how many are not, as texts."""
    finite = np.isfinite(array)
    numbers = array if finite.all() else array[finite]
    span, mean = "none", "none"
    if numbers.size:
        span, mean = f"{numbers.min():.5g}..{numbers.max():.5g}", f"{numbers.mean(dtype=np.float64):.5g}"
    shape = " x ".join(map(str, array.shape)) or "1"
    return shape, str(array.dtype), hash_array(array)[:8], span, mean, str(array.size - numbers.size)


def diff(file, other):
    """Print the differences of two files in meta and in the arrays; return 1 if there are any."""
    (meta, arrays), (meta_other, arrays_other) = (checkpoint.load(path) for path in (file, other))
    lines = list(differing_values(meta, meta_other, ""))
    rows = []
    for name in sorted(arrays.keys() | arrays_other.keys()):
        if name in arrays and name in arrays_other:
            rows += differing_numbers(name, arrays[name], arrays_other[name])
        else:
            lines.append(f"{name}: only in {file if name in arrays else other}")
    print("".join(line + "\n" for line in lines), end="")
    if rows:
        print_table([("array", "absolute", "relative", "numbers that differ"), *rows])
    return 1 if lines or rows else 0


def differing_values(value, other, where):
    """A line for each value of meta that differs, by its place: "config.flags.epochs: 2 | 3".

    Of two lists of one length that is the first entry that differs.
    """
    if isinstance(value, dict) and isinstance(other, dict):
        for name in [*value, *(name for name in other if name not in value)]:
            inner = [part.get(name, "(absent)") for part in (value, other)]
            yield from differing_values(inner[0], inner[1], f"{where}.{shown(name)}" if where else shown(name))
    elif isinstance(value, list) and isinstance(other, list) and len(value) == len(other):
        places = [i for i, pair in enumerate(zip(value, other, strict=True)) if len(set(map(json.dumps, pair))) > 1]
        for i in places[:1]:
            yield from differing_values(value[i], other[i], f"{where}[{i}]")
        if len(places) > 1:
            yield f"{where}: {len(places) - 1} more of {len(value)} entries"
    elif json.dumps(value) != json.dumps(other):
        yield f"{where}: {shown(value)} | {shown(other)}"


def differing_numbers(name, array, other):
    """Rows of the table for two arrays of one name: none where they are equal, NaN being equal to NaN."""
    if array.shape != other.shape:
        return [(name, f"shape {array.shape} | {other.shape}", "", "")]
    differs = (array != other) & ~(np.isnan(array) & np.isnan(other))
    a, b = (np.asarray(part)[differs].astype(np.float64) for part in (array, other))
    if a.size:
        with np.errstate(invalid="ignore", over="ignore"):
            absolute = np.abs(a - b)
            # Where one is not finite, no finite number tells how far they are apart.
            absolute[np.isnan(absolute)] = np.inf
            relative = absolute / np.maximum(np.abs(a), np.abs(b))
            relative[np.isnan(relative)] = np.inf
        return [(name, f"{absolute.max():.3g}", f"{relative.max():.3g}", f"{a.size:,} of {array.size:,}")]
    return [(name, f"type {array.dtype} | {other.dtype}", "", "")] if array.dtype != other.dtype else []


def export(file, to, output, all):
    """Write the parameters, by their Blocks paths without the first slash, and what the optimizer remembers if asked.

    Raises InputError where the output would not be a new file of that kind.
    """
    path = Path(file)
    target = Path(output or f"{path.stem}.{to}")
    if target.suffix != f".{to}":
        raise InputError(f"--output: {target} does not end in .{to}; give such a name, or another --to")
    if target.exists() and path.exists() and target.samefile(path):
        raise InputError(f"--output: {target} is the checkpoint itself; give another name")
    parameters, optimizer = checkpoint.split(checkpoint.load(path)[1])
    arrays = {name.lstrip("/"): array for name, array in parameters.items()}
    if all:
        arrays |= {f"optimizer/{name}": array for name, array in optimizer.items()}
    if len(arrays) < len(parameters) + all * len(optimizer) or "__metadata__" in arrays:
        raise InputError(f"export {path}: two arrays would have one name, or a name has a meaning of its own")
    with atomic_write(target) as temporary, open(temporary, "wb") as stream:
        (write_npz if to == "npz" else write_safetensors)(stream, arrays)
    print(f"{target}: {len(arrays)} arrays")


def write_npz(stream, arrays):
    """numpy's npz; names of any kind, which savez would take for its own arguments."""
    with zipfile.ZipFile(stream, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def write_safetensors(stream, arrays):
    """The format of Hugging Variant's safetensors: length of the header, 8 bytes; header, JSON; the arrays' bytes."""
    # Those of large numbers first, so that each begins at a multiple of its numbers' size.
    order = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))
    header, end = {}, 0
    for name in order:
        array = arrays[name]
        start, end = end, end + array.nbytes
        kind = SAFETENSORS[array.dtype.str[1:]]
        header[name] = {"dtype": kind, "shape": array.shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    stream.write(struct.pack("<Q", len(text)) + text)
    for name in order:
        stream.write(arrays[name].astype(arrays[name].dtype.newbyteorder("<")).tobytes())


def listed(values):
    """ "name=value, ..." """
    return ", ".join(f"{shown(name)}={shown(value)}" for name, value in values.items())


def shown(value):
    """A value of meta as one line; of long lists their length."""
    text = value if isinstance(value, str) and value.isprintable() else json.dumps(value)
    return f"a list of {len(value)}" if isinstance(value, list) and len(text) > LONGEST_LIST else text
