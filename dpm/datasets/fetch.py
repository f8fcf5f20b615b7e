"""Data sets fetched from their public mirrors: checked by SHA-256, and continued where an earlier try stopped."""

import logging
import os
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from dpm.base.errors import InputError
from dpm.datasets.made.recipes import RECIPES
from dpm.datasets.search import ORIGIN

CHUNK = 1 << 16
# To connect, and between two pieces of a file, in seconds.
TIMEOUT = (10, 30)


class _File(NamedTuple):
    name: str
    sha256: str
    mirrors: tuple[str, ...]


class _Download(NamedTuple):
    folder: str
    # Each choice is the whole data set; the first that can be had is taken.
    choices: tuple[tuple[_File, ...], ...]


def _idx_files(train: str, test: str, *mirrors: str) -> tuple[_File, ...]:
    hashes = {"train": train, "t10k": test}
    return tuple(_File(f"{part}-images-idx3-ubyte.gz", sha256, mirrors) for part, sha256 in hashes.items())


CIFAR_HOME = "https://www.cs.toronto.edu/~kriz/"
# MNIST's files and Fashion-MNIST's are called the same, hence the folders; dpm.datasets.search looks into both.
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
    "BARK": "has no download: its authors ask that it be fetched by hand; get the texture database of Lazebnik, Schmid "
    "and Ponce (2005) from the web page of Ponce's group at the University of Illinois, unpack its classes T01 to T04 "
    "and run python -m dpm datasets convert BARK --input FOLDER",
    "IMAGENET": f"has no download: run, on a folder of your own pictures, {ORIGIN['IMAGENET']}",
} | {name: f"is made, not downloaded: run python -m dpm datasets make {name}" for name in RECIPES}


def fetch(name: str, folder: str | os.PathLike[str], quiet: bool = False) -> list[Path]:
    """The files of the data set `name`, downloaded into `folder` unless they are there already.

    Each file has its final name only once it is whole and its SHA-256 is right. What a broken or interrupted
    download brought is kept beside it as `.part` and continued by the next mirror or run.

    Args:
        name: MNIST, FASHION_MNIST or CIFAR10; case, spaces, hyphens and underscores do not matter.
        folder: where dpm.datasets.load will look; made if missing. The files of the first two go to its
            sub-folders `mnist` and `fashion-mnist`.
        quiet: show neither progress nor what was already there.

    Raises InputError if no mirror gives a file (what each answered, how to get it by hand), if the folder cannot
    be written, and if the name is unknown or has no download (how to get the data instead).
    """
    name = _canonical(name)
    download = DOWNLOADS[name]
    target = Path(folder).expanduser() / download.folder
    _quiet_pooch()
    # A choice that is there already is better than one still to be downloaded.
    choices = sorted(download.choices, key=lambda files: not all(_is_right(target / f.name, f.sha256) for f in files))
    answers: list[str] = []
    for files in choices:
        try:
            return [_fetch_file(file, target, quiet) for file in files]
        except _NoMirror as error:
            answers += error.args
    raise _unreachable(name, target, answers)


class _NoMirror(Exception):
    """No mirror gave a file; the arguments are what each answered."""


def _canonical(name: str) -> str:
    plain = {known.replace("_", ""): known for known in (*DOWNLOADS, *ELSEWHERE)}
    known = plain.get("".join(filter(str.isalnum, str(name).upper())))
    if known is None:
        raise InputError(f"data set {name!r} is not known; those that can be fetched are {', '.join(DOWNLOADS)}")
    if known in ELSEWHERE:
        raise InputError(f"{known} {ELSEWHERE[known]}")
    return known


def _quiet_pooch() -> None:
    """Here and not at the top: the data sets can be read without pooch, and it takes its time to import."""
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
                tqdm.write(f"{path}: already there")
            return path
        folder.mkdir(parents=True, exist_ok=True)
        for url in [mirror + file.name for mirror in file.mirrors]:
            try:
                pooch.retrieve(url, file.sha256, file.name, folder, downloader=_Resuming(path, file.sha256, quiet))
                return path
            except (RequestException, HTTPError) as error:
                answers.append(f"{url}: {_innermost(error)}")
            except ValueError:
                answers.append(f"{url}: another file, its SHA-256 is not {file.sha256[:8]}...")
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error}); name a folder that can be written to") from error
    raise _NoMirror(*answers)


def _innermost(error: BaseException) -> str:
    """The reason in few words: the innermost of the errors that requests and urllib3 wrap into each other."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return " ".join(str(getattr(error, "strerror", None) or error).split()) or type(error).__name__


def _unreachable(name: str, target: Path, answers: list[str]) -> InputError:
    choices = [[file.name for file in files] for files in DOWNLOADS[name].choices]
    kept = [part for part in (target / f"{file}.part" for files in choices for file in files) if part.exists()]
    again = f"what came is kept in {', '.join(map(str, kept))} and continued by another try" if kept else "try again"
    return InputError(
        f"{name} cannot be downloaded: {'; '.join(answers)}; {again}, or by hand: download "
        f"{' or '.join(map(' and '.join, choices))} from one of these addresses, put that into {target} and run "
        f"python -m dpm datasets convert {name}"
    )


class _Resuming:
    """A downloader for pooch that collects a file beside its place, as `.part`, and hands it over when complete.

    A later call continues that part by a Range request, or begins anew with a server that ignores it. A
    continued file with the wrong SHA-256, whose parts may be of different files, is downloaded once more.
    """

    def __init__(self, path: Path, sha256: str, quiet: bool):
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
        """Takes up a connection that broke as long as each brings the file further than all before."""
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
        # Packed on the way, a file would have other lengths and bytes than those that are known.
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
            bar = tqdm(
                desc=self.part.stem,
                total=total,
                initial=offset,
                unit="B",
                unit_scale=True,
                disable=self.quiet or None,
            )
            with bar, open(self.part, "ab" if offset else "wb") as stream:
                for piece in response.raw.stream(CHUNK, decode_content=False):
                    stream.write(piece)
                    bar.update(len(piece))
                stream.flush()
                os.fsync(stream.fileno())
        if total is not None and self._size() < total:
            raise IncompleteRead(self._size(), total - self._size())
