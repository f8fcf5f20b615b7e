"""The folder of a run: its lock, its checkpoints, where plots and arrays go, and failures to write to it."""

import fcntl
import os
import platform
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol

import numpy as np

from dpm.base.atomic import atomic_write
from dpm.base.errors import InputError
from dpm.base.progress import write_line
from dpm.runs import checkpoint

NEWEST, BEST = "checkpoint.h5", "checkpoint_best.h5"
OF_2015 = "model.pkl"
EARLIER = re.compile(r"checkpoint_step([0-9]+)\.h5")
LOCK = "run.lock"


class RunPaths:
    """Paths of the files of a run.

    `plots/KIND/` holds plots by kind and `arrays/` their numbers; checkpoints, config.json and log.csv are at the top.
    A faithful run keeps the flat folder of 2015.

    Args:
        folder: the run folder.
        flat: put all files at the top.
    """

    def __init__(self, folder: str | os.PathLike[str], flat: bool = False) -> None:
        self.folder, self.flat = Path(folder), flat

    def plot(self, kind: str, name: str) -> Path:
        """Return the path of a plot, whose folder exists."""
        return self._place(name, "plots", kind)

    def array(self, name: str) -> Path:
        """Return the path of an .npz file, whose folder exists."""
        return self._place(name, "arrays")

    def _place(self, name: str, *parts: str) -> Path:
        folder = self.folder if self.flat else self.folder.joinpath(*parts)
        folder.mkdir(parents=True, exist_ok=True)
        return folder / name


def save_arrays(path: Path, **arrays: Any) -> None:
    """Write an .npz file in one step, so that a reader never sees half of it."""
    with atomic_write(path) as temporary, open(temporary, "wb") as stream:
        np.savez(stream, **arrays)


@contextmanager
def lock_folder(folder: str | os.PathLike[str]) -> Iterator[str]:
    """Lock a run folder, so that no other process trains in it; yield the process that did not exit cleanly, or "".

    The system releases the lock when a process ends, however it ends; the file that is left names that process.

    Raises:
        InputError: another process uses the folder.
    """
    path = Path(folder) / LOCK
    with _lock_file(path) as stream:
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
def _lock_file(path: Path) -> Iterator[IO[str]]:
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
        # The previous owner may have removed the file between the two lines above.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(stream.fileno()), os.stat(path)):
                break
        stream.close()
    with stream:
        yield stream


def find_checkpoint(path: str | os.PathLike[str]) -> Path:
    """Return the checkpoint that a path means: of a run folder its newest one, or model.pkl if only that is there."""
    path = Path(path)
    if not path.is_dir():
        return path
    return path / (OF_2015 if (path / OF_2015).is_file() and not (path / NEWEST).exists() else NEWEST)


def find_newest_run(output_dir: str | os.PathLike[str]) -> tuple[Path, checkpoint.Contents, list[str]]:
    """Return the newest checkpoint in the run folders of output_dir: (path, (meta, arrays), messages).

    Damaged checkpoints are skipped; the messages name them.

    Raises:
        InputError: none can be loaded.
    """
    candidates = [
        path
        for path in Path(output_dir).glob("*/*.h5")
        if path.is_file() and (path.name == NEWEST or EARLIER.fullmatch(path.name))
    ]
    messages: list[str] = []
    for path in sorted(candidates, key=lambda path: path.stat().st_mtime_ns, reverse=True):
        try:
            return path, checkpoint.load_run(path), messages
        except InputError as error:
            messages.append(f"skipped: {error}")
    reason = (
        f"of {len(candidates)} checkpoints in its folders none can be loaded" if candidates else "holds no run folder"
    )
    raise InputError(
        f"--resume-file auto: {output_dir} {reason}; name another folder with --output-dir, or leave --resume-file out "
        "for a new run"
    )


def keep_earlier(folder: str | os.PathLike[str], step: int | None, number: int) -> None:
    """Keep checkpoint.h5 under the name of its step before it is replaced, and delete all but the newest `number`.

    Args:
        folder: the run folder.
        step: step of the present checkpoint, or None if there is none.
        number: how many earlier checkpoints to keep.
    """
    newest = Path(folder) / NEWEST
    if number > 0 and step is not None and newest.exists():
        _link(newest, newest.with_name(f"checkpoint_step{step:08d}.h5"))
    steps = {int(match[1]): path for path in newest.parent.iterdir() if (match := EARLIER.fullmatch(path.name))}
    for old in sorted(steps)[: max(0, len(steps) - number)]:
        steps[old].unlink()


def mark_best(folder: str | os.PathLike[str]) -> None:
    """Make the newest checkpoint checkpoint_best.h5 too."""
    newest = Path(folder) / NEWEST
    _link(newest, newest.with_name(BEST))


def _link(path: Path, name: Path) -> None:
    """Give a file a second name. No copy is needed: a file is never changed once it is written."""
    with atomic_write(name) as temporary:
        os.link(path, temporary)


class HasUnsaved(Protocol):
    """Anything with a set of the names of files that could not be written: a training loop."""

    unsaved: set[str]


class report_failure(suppress):
    """Turn a failure to write or plot into one warning line on stderr that names what was not saved.

    Args:
        what: name of the file or plot.
        loop: its `unsaved` gets the name.
        replaceable: remove the name when it is written after all, since the new file holds all of the old one.
    """

    def __init__(self, what: str, loop: HasUnsaved, replaceable: bool = False) -> None:
        super().__init__(Exception)
        self.what, self.loop, self.replaceable = what, loop, replaceable

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if isinstance(error, Exception):
            write_line(f"warning: {self.what} was not saved: {' '.join(str(error).split())}", sys.stderr)
            self.loop.unsaved.add(self.what)
        elif error is None and self.replaceable:
            self.loop.unsaved.discard(self.what)
        return bool(super().__exit__(kind, error, trace))
