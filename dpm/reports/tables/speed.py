"""`python -m dpm.reports.tables.speed FILE FLAG...`: the speed of train.py with these flags, from one minute of it."""

import sys
from collections.abc import Sequence
from pathlib import Path

from dpm.base.atomic import write_json
from dpm.base.command_line import run_command
from dpm.runs.flags import parse_flags
from dpm.runs.settings import Settings

PROG = "python -m dpm.reports.tables.speed"
HOURS = 1 / 60


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the seconds per image and the number of parameters to FILE; return the exit status."""
    path, *flags = sys.argv[1:] if arguments is None else arguments
    return run_command(PROG, lambda: write_json(Path(path), measure(flags)))


def measure(flags: Sequence[str]) -> dict[str, float]:
    """Train without evaluation, log or plots, after compilation; return the speed and the number of parameters."""
    from dpm.training.building import compile_functions, prepare_loop

    settings = Settings.from_arguments(**parse_flags([*flags, "--quiet"]))
    loop, data = prepare_loop(settings)
    compile_functions(loop, data.test, settings)
    loop.hours = HOURS
    if not loop.run():
        raise KeyboardInterrupt
    seconds = loop.state.seconds / (loop.state.step * loop.batch_size)
    return {"seconds_a_picture": seconds, "parameters": loop.compiled.layout.size}


if __name__ == "__main__":
    sys.exit(main())
