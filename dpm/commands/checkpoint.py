"""`dpm checkpoint`: verify, show, compare and export checkpoints."""

import json
import struct
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from dpm.base.command_line import Parser, error_line, print_table, run_command
from dpm.base.errors import InputError
from dpm.base.hashing import hash_array
from dpm.base.wording import count
from dpm.datasets.reading import atomic_write
from dpm.runs import checkpoint
from dpm.runs.folder import find_checkpoint

PROG = "dpm checkpoint"
LONGEST_LIST = 60  # characters; longer lists are shown by their length
SAFETENSORS = {
    "f8": "F64", "f4": "F32", "f2": "F16", "i8": "I64", "i4": "I32", "i2": "I16", "i1": "I8", "u8": "U64",
    "u4": "U32", "u2": "U16", "u1": "U8", "b1": "BOOL",
}  # fmt: skip

EXAMPLES = {
    "verify": (
        ("DiffusionModel_MNIST-...", "check the newest checkpoint of a run"),
        ("runs/*/*.h5", "check every checkpoint of all runs"),
    ),
    "show": (
        ("DiffusionModel_MNIST-...", "model, data, state, command and parameters of a run"),
        ("DiffusionModel_MNIST-.../checkpoint_best.h5", "the same of its best checkpoint"),
    ),
    "diff": (
        ("DiffusionModel_MNIST-... DiffusionModel_MNIST_2-...", "how two runs differ"),
        ("RUN/checkpoint_best.h5 RUN", "what has changed in a run since its best checkpoint"),
    ),
    "export": (
        ("DiffusionModel_MNIST-... --to safetensors", "checkpoint.safetensors"),
        ("DiffusionModel_MNIST-... --all --output digits.npz", "with the state of the optimizer"),
    ),
}


def build_parser(prog: str = PROG) -> Parser:
    """Return the parser of the command."""
    text = "Verify, show, compare and export checkpoints. FILE is a checkpoint.h5 or its run folder."
    top = Parser(prog=prog, description=text, examples=[(f"{name} {EXAMPLES[name][0][0]}", EXAMPLES[name][0][1])
        for name in ("verify", "show")])  # fmt: skip
    kinds = top.add_subparsers(metavar="COMMAND", parser_class=Parser, required=True)

    def add(name: str, run: Callable[..., int | None], text: str) -> Parser:
        sub: Parser = kinds.add_parser(name, help=text, description=text, examples=EXAMPLES[name])
        sub.set_defaults(run=run)
        return sub

    one: dict[str, Any] = {"metavar": "FILE", "type": find_checkpoint, "help": "checkpoint.h5, or its run folder"}
    verifying = add("verify", verify, "load each file, with all checks; status 2 if any is bad")
    verifying.add_argument("files", nargs="+", **one)
    add("show", show, "print the contents of a file").add_argument("file", **one)
    differing = add("diff", diff, "print the differences of two files; status 1 if there are any")
    differing.add_argument("file", **one)
    differing.add_argument("other", **one)
    exporting = add("export", export, "write the parameters as npz or safetensors")
    exporting.add_argument("file", **one)
    option = exporting.group("output").add_argument
    option("--to", choices=("npz", "safetensors"), default="npz", help="format (default: %(default)s)")
    option(
        "--output",
        metavar="PATH",
        help="output file (default: the name of the checkpoint with the new ending, in the current folder)",
    )
    option("--all", action="store_true", help="also export the state of the optimizer")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    given = vars(build_parser().parse_args(arguments))
    action = given.pop("run")
    return run_command(PROG, lambda: action(**given))


def verify(files: Sequence[Path]) -> int:
    """Print one line per file: the checks that it passed, or on stderr the error.

    Args:
        files: paths of checkpoints.

    Returns:
        The exit status: 0, or 2 if any file is bad.
    """
    status = 0
    for path in files:
        try:
            _, arrays, facts = checkpoint.load_with_facts(path)
        except (InputError, OSError) as error:
            print(error_line(PROG, error), file=sys.stderr)
            status = 2
            continue
        sealed = "checksums of the file, of" if facts["sealed"] else "no checksum of the file; checksums of"
        numbers = sum(array.size for array in arrays.values())
        print(
            f"{path}: ok: format version {facts['format_version']}; {sealed} meta and of {count(len(arrays), 'array')} "
            f"({count(numbers, 'number')})"
        )
    return status


def show(file: Path) -> None:
    """Print the contents of a run's checkpoint, then a table of its arrays.

    Args:
        file: path of the checkpoint.

    Raises:
        InputError: if it is not the checkpoint of a run.
    """
    meta, arrays, facts = checkpoint.load_with_facts(file)
    checkpoint.check_run(file, meta)
    config, state = meta["config"], meta["state"]
    flags, data, rows = config["flags"], config["data"], state["rows"]
    model = {name: value for name, value in meta["model"].items() if name != "network"}
    last = rows[-1] if rows else {"epoch": 0}
    print(f"{file}: format version {facts['format_version']}, {file.stat().st_size:,} bytes")
    other = "of a toy problem" if model else "of the user's own class, schedule, kernel or network"
    lines = {
        "model": f"{format_value(meta['model'].get('network', other))}: {format_values(model)}",
        "data": format_values({name: value for name, value in data.items() if name not in ("scale", "shift")}),
        "units": f"the model sees scale * x + shift; {format_values({key: data[key] for key in ('scale', 'shift')})}",
        "state": format_values({"epoch": last["epoch"], "step": state["step"], "seed": flags["seed"]}),
        "optimizer": format_values({key: flags[key] for key in ("optimizer", "lr", "batch_size", "dtype")}),
        "versions": format_values(config["versions"]),
        "last row": format_values(last) if rows else "none",
        "command": " ".join(map(format_value, config["command"])),
    }
    for name, text in lines.items():
        print(f"{name:10} {text}")
    parameters, optimizer = checkpoint.split(arrays)
    for title, part in (("parameter", parameters), ("optimizer", optimizer)):
        print()
        print_table(
            [(title, "shape", "type", "sha256", "range", "mean", "not finite")]
            + [(name, *describe_array(array)) for name, array in part.items()]
        )


def describe_array(array: np.ndarray) -> tuple[str, ...]:
    """Return shape, type, first digits of the SHA-256, range, mean and number of non-finite numbers, as texts.

    Range and mean are over the finite numbers.
    """
    finite = np.isfinite(array)
    numbers = array if finite.all() else array[finite]
    value_range, mean = "none", "none"
    if numbers.size:
        value_range, mean = f"{numbers.min():.5g}..{numbers.max():.5g}", f"{numbers.mean(dtype=np.float64):.5g}"
    shape = " x ".join(map(str, array.shape)) or "1"
    return shape, str(array.dtype), hash_array(array)[:8], value_range, mean, str(array.size - numbers.size)


def diff(file: Path, other: Path) -> int:
    """Print the differences of two checkpoints in meta and in the arrays.

    Args:
        file: path of the first checkpoint.
        other: path of the second checkpoint.

    Returns:
        The exit status: 1 if there is any difference.
    """
    (meta, arrays), (meta_other, arrays_other) = (checkpoint.load(path) for path in (file, other))
    lines = list(find_different_values(meta, meta_other, ""))
    rows = []
    for name in sorted(arrays.keys() | arrays_other.keys()):
        if name in arrays and name in arrays_other:
            rows += compare_arrays(name, arrays[name], arrays_other[name])
        else:
            lines.append(f"{name}: only in {file if name in arrays else other}")
    print("".join(line + "\n" for line in lines), end="")
    if rows:
        print_table([("array", "absolute", "relative", "numbers that differ"), *rows])
    return 1 if lines or rows else 0


def find_different_values(value: Any, other: Any, where: str) -> Iterator[str]:
    """Yield a line for each value of meta that differs, such as "config.flags.epochs: 2 | 3".

    For two lists of equal length, only the first different entry is printed.

    Args:
        value: JSON value of the first file.
        other: JSON value of the second file.
        where: path of both in meta; "" for meta itself.
    """
    if isinstance(value, dict) and isinstance(other, dict):
        for name in [*value, *(name for name in other if name not in value)]:
            inner = [part.get(name, "(absent)") for part in (value, other)]
            yield from find_different_values(
                inner[0], inner[1], f"{where}.{format_value(name)}" if where else format_value(name)
            )
    elif isinstance(value, list) and isinstance(other, list) and len(value) == len(other):
        places = [i for i, pair in enumerate(zip(value, other, strict=True)) if len(set(map(json.dumps, pair))) > 1]
        for i in places[:1]:
            yield from find_different_values(value[i], other[i], f"{where}[{i}]")
        if len(places) > 1:
            yield f"{where}: {len(places) - 1} more of {len(value)} entries"
    elif json.dumps(value) != json.dumps(other):
        yield f"{where}: {format_value(value)} | {format_value(other)}"


def compare_arrays(name: str, array: np.ndarray, other: np.ndarray) -> list[tuple[str, ...]]:
    """Return the table rows for two arrays of the same name: none if they are equal (NaN equals NaN)."""
    if array.shape != other.shape:
        return [(name, f"shape {array.shape} | {other.shape}", "", "")]
    differs = (array != other) & ~(np.isnan(array) & np.isnan(other))
    a, b = (np.asarray(part)[differs].astype(np.float64) for part in (array, other))
    if a.size:
        with np.errstate(invalid="ignore", over="ignore"):
            absolute = np.abs(a - b)
            # If one of the two is not finite, their distance is infinite.
            absolute[np.isnan(absolute)] = np.inf
            relative = absolute / np.maximum(np.abs(a), np.abs(b))
            relative[np.isnan(relative)] = np.inf
        return [(name, f"{absolute.max():.3g}", f"{relative.max():.3g}", f"{a.size:,} of {array.size:,}")]
    return [(name, f"type {array.dtype} | {other.dtype}", "", "")] if array.dtype != other.dtype else []


def export(file: Path, to: str, output: str | None, all: bool) -> None:
    """Write the parameters, by their Blocks paths without the first slash.

    Args:
        file: path of the checkpoint.
        to: "npz" or "safetensors".
        output: path to write; None for the name of the checkpoint with the new ending, in the current folder.
        all: also write the state of the optimizer.

    Raises:
        InputError: if the output has another ending or is the checkpoint itself, or if names of arrays collide.
    """
    target = Path(output or f"{file.stem}.{to}")
    if target.suffix != f".{to}":
        raise InputError(f"--output: {target} does not end in .{to}; give such a name, or another --to")
    if target.exists() and file.exists() and target.samefile(file):
        raise InputError(f"--output: {target} is the checkpoint itself; give another name")
    parameters, optimizer = checkpoint.split(checkpoint.load(file)[1])
    arrays = {name.lstrip("/"): array for name, array in parameters.items()}
    if all:
        arrays |= {f"optimizer/{name}": array for name, array in optimizer.items()}
    if len(arrays) < len(parameters) + all * len(optimizer) or "__metadata__" in arrays:
        raise InputError(f"export {file}: two arrays would have the same name, or a name is reserved by the format")
    with atomic_write(target) as temporary, open(temporary, "wb") as stream:
        (write_npz if to == "npz" else write_safetensors)(stream, arrays)
    print(f"{target}: {count(len(arrays), 'array')}")


def write_npz(stream: BinaryIO, arrays: Mapping[str, np.ndarray]) -> None:
    """Write an npz file with any names; `numpy.savez` would take some of them for its arguments."""
    with zipfile.ZipFile(stream, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def write_safetensors(stream: BinaryIO, arrays: Mapping[str, np.ndarray]) -> None:
    """Write Hugging Face's safetensors format: 8 bytes of header length, a JSON header, the bytes of the arrays."""
    # Larger element types first, so that each array starts at a multiple of its element size.
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


def format_values(values: Mapping[str, Any]) -> str:
    """Return "name=value, ...", each formatted by format_value."""
    return ", ".join(f"{format_value(name)}={format_value(value)}" for name, value in values.items())


def format_value(value: Any) -> str:
    """Return a value of meta in one printable line; a long list as its length."""
    text = value if isinstance(value, str) and value.isprintable() else json.dumps(value)
    return f"a list of {len(value)}" if isinstance(value, list) and len(text) > LONGEST_LIST else text
