"""python -m dpm.reports.tables.speed FILE FLAG...: how fast train.py would be with these flags, from one minute of it."""

import sys
from pathlib import Path

from dpm.base.atomic import write_json
from dpm.base.command_line import run_command

PROG = "python -m dpm.reports.tables.speed"
HOURS = 1 / 60


def main(arguments=None):
    """Write seconds a picture and the number of parameters to FILE; returns the exit status."""
    path, *flags = sys.argv[1:] if arguments is None else arguments
    return run_command(PROG, lambda: write_json(Path(path), measured(flags)))


def measured(flags):
    """{"seconds_a_picture", "parameters"}: training without evaluation, log, or pictures, after it was compiled."""
    from dpm.reports.tables.running import flags_of
    from dpm.training.run import compile_functions, prepared_loop

    flags, variant = flags_of((*flags, "--quiet"))
    loop, data = prepared_loop(flags, variant)
    compile_functions(loop, data["test"], flags)
    loop.hours = HOURS
    if not loop.run():
        raise KeyboardInterrupt
    seconds = loop.state.seconds / (loop.state.step * loop.batch_size)
    return {"seconds_a_picture": seconds, "parameters": loop.compiled.layout.size}


if __name__ == "__main__":
    sys.exit(main())
