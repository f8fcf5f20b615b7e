"""`dpm compare`: compute every array exported from a 2015 installation again, and compare."""

from collections.abc import Sequence

from dpm.base.command_line import Parser, run_command
from dpm.base.wording import count
from dpm.engines.names import DTYPES, ENGINES

PROG = "dpm compare"
TOLERANCE = {"float64": 1e-7, "float32": 1e-4}


def build_parser(prog: str = PROG) -> Parser:
    """Return the parser of the command."""
    parser = Parser(
        prog=prog,
        description=str(__doc__).partition(": ")[2],
        examples=[
            ("tests/golden/*.npz tests/golden/checkpoint", "compare with the arrays of 2015 that come with the tests"),
            ("exported.npz --backend numba", "compare what tests/golden/export_2015.py has written"),
        ],
    )
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="exported .npz, or a model.pkl of 2015 with an eval.npz in its folder, or that folder",
    )
    add = parser.group("speed and precision").add_argument
    add("--backend", choices=ENGINES, default="auto", help="engine (default: %(default)s)")
    add("--dtype", choices=DTYPES, default="float64", help="float type (default: %(default)s)")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 0 if all arrays agree, 1 if one differs, 2 if a file cannot be used."""
    options = build_parser().parse_args(arguments)
    return run_command(PROG, lambda: compare_files(options.files, options.backend, options.dtype))


def compare_files(files: Sequence[str], backend: str, dtype: str) -> int:
    """Print a row for each array, and a count."""
    from dpm.engines.engine import Engine
    from dpm.runs.reference import compare_file

    tolerance = TOLERANCE[dtype]
    failures = total = 0
    engine = Engine(backend, dtype)
    for path in files:
        print(f"{path}: {engine}, relative tolerance {tolerance:g}")
        for name, difference in compare_file(path, engine):
            passed = difference <= tolerance
            failures, total = failures + (not passed), total + 1
            print(f"  {'pass' if passed else 'FAIL'}  {difference:9.2e}  {name}", flush=True)
    print(
        f"{total - failures} of {count(total, 'array')} {'agrees' if total == 1 else 'agree'}"
        + (f", {failures} FAIL" if failures else "")
    )
    return 1 if failures or not total else 0
