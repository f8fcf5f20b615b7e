"""Download data sets from their public mirrors, verified by SHA-256 and resumed after an interruption."""

import logging
import os
from pathlib import Path
from typing import Any, NamedTuple

from dpm.base.errors import InputError
from dpm.base.progress import Progress, write_line
from dpm.datasets.made.recipes import RECIPES
from dpm.datasets.search import ORIGIN

CHUNK = 1 << 16
# Seconds to connect, and between two pieces of a file.
TIMEOUT = (10, 30)


class _File(NamedTuple):
    name: str
    sha256: str
    mirrors: tuple[str, ...]


class _Download(NamedTuple):
    folder: str
    # Each choice is the whole data set; the first available one is used.
    choices: tuple[tuple[_File, ...], ...]


def _idx_files(train: str, test: str, *mirrors: str) -> tuple[_File, ...]:
    hashes = {"train": train, "t10k": test}
    return tuple(_File(f"{part}-images-idx3-ubyte.gz", sha256, mirrors) for part, sha256 in hashes.items())


CIFAR_HOME = "https://www.cs.toronto.edu/~kriz/"
# The files of MNIST and Fashion-MNIST have the same names, hence the folders; dpm.datasets.search looks into both.
DOWNLOADS = {
    "MNIST": _Download(
        "mnist",
        (
            _idx_files(
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                "https://storage.googleapis.com/cvdf-datasets/mnist/",
                "https://ossci-datasets.s3.amazonaws.com/mnist/",
            ),
        ),
    ),
    "FASHION_MNIST": _Download(
        "fashion-mnist",
        (
            _idx_files(
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
                "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/"
                "b2617bb6d3ffa2e429640350f613e3291e10b141/data/fashion/",
            ),
        ),
    ),
    "CIFAR10": _Download(
        "",
        (
            (
                _File(
                    "cifar-10-binary.tar.gz",
                    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
                    (CIFAR_HOME,),
                ),
            ),
            (
                _File(
                    "cifar-10-python.tar.gz",
                    "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
                    (CIFAR_HOME, "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"),
                ),
            ),
        ),
    ),
}
ELSEWHERE = {
    "BARK": "has no download: its authors ask users to download it by hand; get the texture database of Lazebnik, "
    "Schmid and Ponce (2005) from the web page of Ponce's group at the University of Illinois, unpack its classes T01 "
    "to T04 and run python -m dpm datasets convert BARK --input FOLDER",
    "IMAGENET": f"has no download: for a folder of your own images, run {ORIGIN['IMAGENET']}",
} | {name: f"is made, not downloaded: run python -m dpm datasets make {name}" for name in RECIPES}


def fetch(name: str, folder: str | os.PathLike[str], quiet: bool = False) -> list[Path]:
    """Download the files of a data set, unless they are already present.

    A file gets its final name only when it is complete and its SHA-256 matches. An interrupted download stays next to
    it with the suffix `.part` and is resumed by the next mirror or the next run.

    Args:
        name: MNIST, FASHION_MNIST or CIFAR10; case, spaces, hyphens and underscores are ignored.
        folder: Folder that `dpm.datasets.load` searches; created if missing. The files of the first two go to its
            sub-folders `mnist` and `fashion-mnist`.
        quiet: Show neither progress nor the files that are already present.

    Returns:
        The paths of the files.

    Raises:
        InputError: If no mirror gives a file (the message has the answer of each mirror, and how to download the file
            by hand), if the folder is not writable, or if the name is unknown or has no download (how to get the data
            instead).
    """
    name = _canonical(name)
    download = DOWNLOADS[name]
    target = Path(folder).expanduser() / download.folder
    _quiet_pooch()
    # Prefer a choice that is already present.
    choices = sorted(download.choices, key=lambda files: not all(_is_right(target / f.name, f.sha256) for f in files))
    answers: list[str] = []
    for files in choices:
        try:
            return [_fetch_file(file, target, quiet) for file in files]
        except _NoMirror as error:
            answers += error.args
    raise _unreachable(name, target, answers)


class _NoMirror(Exception):
    """No mirror gave a file; the arguments are the answers of all mirrors."""


def _canonical(name: str) -> str:
    plain = {known.replace("_", ""): known for known in (*DOWNLOADS, *ELSEWHERE)}
    known = plain.get("".join(filter(str.isalnum, str(name).upper())))
    if known is None:
        raise InputError(f"data set {name!r} is not known; those that can be fetched are {', '.join(DOWNLOADS)}")
    if known in ELSEWHERE:
        raise InputError(f"{known} {ELSEWHERE[known]}")
    return known


def _quiet_pooch() -> None:
    """Silence pooch, imported here since reading needs no pooch and its import is slow."""
    try:
        import pooch
    except ImportError as error:
        raise InputError("downloading needs the package pooch; install it: pip install pooch") from error
    pooch.get_logger().setLevel(logging.WARNING)


def _is_right(path: Path, sha256: str) -> bool:
    import pooch

    return path.is_file() and pooch.file_hash(path) == sha256


def _fetch_file(file: _File, folder: Path, quiet: bool) -> Path:
    import pooch
    from requests import RequestException
    from urllib3.exceptions import HTTPError

    path = folder / file.name
    answers = []
    try:
        if _is_right(path, file.sha256):
            if not quiet:
                write_line(f"{path}: already present")
            return path
        folder.mkdir(parents=True, exist_ok=True)
        for url in [mirror + file.name for mirror in file.mirrors]:
            try:
                pooch.retrieve(url, file.sha256, file.name, folder, downloader=_Resuming(path, file.sha256, quiet))
                return path
            except (RequestException, HTTPError) as error:
                answers.append(f"{url}: {_innermost(error)}")
            except ValueError:
                answers.append(f"{url}: a different file, its SHA-256 is not {file.sha256[:8]}...")
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error}); give a writable folder") from error
    raise _NoMirror(*answers)


def _innermost(error: BaseException) -> str:
    """Return the reason in few words: the innermost of the nested errors of requests and urllib3."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return " ".join(str(getattr(error, "strerror", None) or error).split()) or type(error).__name__


def _unreachable(name: str, target: Path, answers: list[str]) -> InputError:
    choices = [[file.name for file in files] for files in DOWNLOADS[name].choices]
    kept = [part for part in (target / f"{file}.part" for files in choices for file in files) if part.exists()]
    again = f"try again, which resumes {', '.join(map(str, kept))}" if kept else "try again"
    return InputError(
        f"{name} cannot be downloaded: {'; '.join(answers)}; {again}, or by hand: download "
        f"{' or '.join(map(' and '.join, choices))} from one of these addresses, put it into {target} and run "
        f"python -m dpm datasets convert {name}"
    )


class _Resuming:
    """A downloader for pooch that collects a file as `.part` and moves it to its place when it is complete.

    A later call resumes the part with a Range request, or restarts if the server ignores it. A resumed file with the
    wrong SHA-256 may consist of parts of different files; it is downloaded once more.
    """

    def __init__(self, path: Path, sha256: str, quiet: bool) -> None:
        self.part = path.with_name(f"{path.name}.part")
        self.sha256 = sha256
        self.quiet = quiet

    def __call__(self, url: str, output_file: str, pooch: Any, check_only: bool = False) -> None:
        continued = self._size() > 0
        if not _is_right(self.part, self.sha256):
            self._collect(url)
        if continued and not _is_right(self.part, self.sha256):
            self.part.unlink()
            self._collect(url)
        os.replace(self.part, output_file)

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _collect(self, url: str) -> None:
        """Download the file; reconnect after a failure as long as each connection makes progress."""
        from requests import RequestException
        from urllib3.exceptions import HTTPError

        furthest = self._size()
        while True:
            try:
                return self._transfer(url)
            except (RequestException, HTTPError):
                if self._size() <= furthest:
                    raise
                furthest = self._size()

    def _transfer(self, url: str) -> None:
        import requests
        from urllib3.exceptions import IncompleteRead

        offset = self._size()
        # Compression in transit would change the length and the bytes.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={offset}-"} if offset else {})
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            status = response.status_code
            if status == requests.codes.requested_range_not_satisfiable and offset:
                self.part.unlink()
                return self._transfer(url)
            if status not in (requests.codes.ok, requests.codes.partial_content):
                raise requests.HTTPError(f"{status} {response.reason}")
            if status == requests.codes.ok:
                offset = 0
            length = response.headers.get("Content-Length")
            total = offset + int(length) if length else None
            bar = Progress(
                desc=self.part.stem, total=total, initial=offset, unit="B", unit_scale=True, quiet=self.quiet
            )
            with bar, open(self.part, "ab" if offset else "wb") as stream:
                for piece in response.raw.stream(CHUNK, decode_content=False):
                    stream.write(piece)
                    bar.update(len(piece))
                stream.flush()
                os.fsync(stream.fileno())
        if total is not None and self._size() < total:
            raise IncompleteRead(self._size(), total - self._size())
