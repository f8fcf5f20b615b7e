"""Time of training with and without the memory that calls free (dpm/base/memory.py).

python -m benchmarks.freed_memory [--rounds 3] [-- FLAGS of train.py]

`train.py FLAGS --threads 1 --plots none` runs in turn with the memory kept and with glibc's default. Printed are
the seconds of the wall clock and of the processor, of user and system, the page faults, and the peak memory. Without
FLAGS it is one epoch of the swiss roll in the paper's form.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time

FLAGS = ("--experiment", "swissroll", "--epochs", "1", "--model-args", "form='paper'")
TRAIN = "import sys; from dpm.commands.train import main; sys.exit(main(sys.argv[1:]))"
PROGRAMS = {
    "kept": TRAIN,
    "glibc's default": f"from dpm.base import memory; memory.keep_freed_memory = lambda: None; {TRAIN}",
}


def main() -> None:
    """Run the programs in turn and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("flags", nargs="*", default=FLAGS)
    options = parser.parse_args()
    print("| memory | seconds | user | system | page faults | peak, MiB |\n|---|---|---|---|---|---|")
    for _ in range(options.rounds):
        for name, program in PROGRAMS.items():
            with tempfile.TemporaryDirectory() as folder:
                more = ("--threads", "1", "--plots", "none", "--seed", "0", "--quiet", "--output-dir", folder)
                seconds, usage = measure([sys.executable, "-c", program, *options.flags, *more])
            print(
                f"| {name} | {seconds:.1f} | {usage.ru_utime:.1f} | {usage.ru_stime:.1f} | {usage.ru_minflt:,} | "
                f"{usage.ru_maxrss / 1024:,.0f} |",
                flush=True,
            )


def measure(command: list[str]):
    """Return the seconds that a command took, and its use of the system's resources."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{command} ended with status {process.returncode}")
    return time.perf_counter() - start, usage


if __name__ == "__main__":
    main()
