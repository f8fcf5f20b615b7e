"""The folder of a run: whose it is at the moment, its checkpoints, and what could not be written to it."""

import fcntl
import os
import platform
import re
import sys
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from tqdm import tqdm

from dpm.base.atomic import atomic_write
from dpm.base.errors import InputError
from dpm.runs import checkpoint

NEWEST, BEST = "checkpoint.h5", "checkpoint_best.h5"
EARLIER = re.compile(r"checkpoint_step([0-9]+)\.h5")
LOCK = "run.lock"


@contextmanager
def lock_folder(folder):
    """Within the block nobody else trains in the folder; yields who did and never ended it, or "".

    The system gives the lock back when a process ends, however it ends; the file it leaves then tells of it.
    Raises InputError, naming the process, where the folder is in use.
    """
    path = Path(folder) / LOCK
    with _locked_file(path) as stream:
        left = stream.read().strip()
        stream.seek(0)
        stream.truncate()
        stream.write(f"process {os.getpid()} on {platform.node()} since {datetime.now():%Y-%m-%d %H:%M:%S}\n")
        stream.flush()
        try:
            yield left
        finally:
            with suppress(OSError):  # a disk may have become read-only
                path.unlink()


@contextmanager
def _locked_file(path):
    while True:
        stream = open(path, "a+")  # noqa: SIM115  closed below, or with the block
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            owner = stream.read().strip() or "another process"
            stream.close()
            raise InputError(f"{path.parent}: is in use by {owner}; wait until it ends, or stop it") from None
        stream.seek(0)
        # Who held the lock may have removed the file between the two lines above.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(stream.fileno()), os.stat(path)):
                break
        stream.close()
    with stream:
        yield stream


def newest_run(output_dir):
    """(path, what checkpoint.load_run gives, messages) of the newest checkpoint in the run folders of output_dir.

    Damaged ones are passed over, which the messages tell. Raises InputError where none can be loaded.
    """
    found = [
        path
        for path in Path(output_dir).glob("*/*.h5")
        if path.is_file() and (path.name == NEWEST or EARLIER.fullmatch(path.name))
    ]
    messages: list[str] = []
    for path in sorted(found, key=lambda path: path.stat().st_mtime_ns, reverse=True):
        try:
            return path, checkpoint.load_run(path), messages
        except InputError as error:
            messages.append(f"passed over: {error}")
    reason = f"of {len(found)} checkpoints in its folders none can be loaded" if found else "holds no run's folder"
    raise InputError(
        f"--resume-file auto: {output_dir} {reason}; name another with --output-dir, or leave --resume-file out for a "
        "new run"
    )


def keep_earlier(folder, step, number):
    """Before checkpoint.h5 is replaced: keep it under the name of its step, and of those so kept the newest `number`.

    step: of the checkpoint that is there, or None where there is none.
    """
    newest = Path(folder) / NEWEST
    if number > 0 and step is not None and newest.exists():
        _link(newest, newest.with_name(f"checkpoint_step{step:08d}.h5"))
    steps = {int(match[1]): path for path in newest.parent.iterdir() if (match := EARLIER.fullmatch(path.name))}
    for old in sorted(steps)[: max(0, len(steps) - number)]:
        steps[old].unlink()


def mark_best(folder):
    """The newest checkpoint becomes checkpoint_best.h5 too."""
    newest = Path(folder) / NEWEST
    _link(newest, newest.with_name(BEST))


def _link(path, name):
    """A second name for a file, which replaces what had it. No copy: a file is never changed once it is written."""
    with atomic_write(name) as temporary:
        os.link(path, temporary)


class report_failure(suppress):
    """Turns a failure to write or plot into one warning line on stderr that says what was not saved.

    loop.unsaved names it, until it is written after all where `mended`: as files that hold all that went before.
    """

    def __init__(self, what, loop, mended=False):
        super().__init__(Exception)
        self.what, self.loop, self.mended = what, loop, mended

    def __exit__(self, kind, error, trace):
        if isinstance(error, Exception):
            tqdm.write(f"warning: {self.what} was not saved: {' '.join(str(error).split())}", file=sys.stderr)
            self.loop.unsaved.add(self.what)
        elif error is None and self.mended:
            self.loop.unsaved.discard(self.what)
        return super().__exit__(kind, error, trace)
