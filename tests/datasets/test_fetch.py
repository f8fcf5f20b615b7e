"""Downloads from local servers: atomic, resumed after an interruption, with a message for each failure."""

import gzip
import hashlib
import io
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.datasets import fetch as fetch_module
from dpm.datasets import load
from dpm.datasets.fetch import CHUNK, DOWNLOADS, fetch

ROOT = Path(__file__).parents[2]
NAME = "train-images-idx3-ubyte.gz"
CONTENT = np.random.default_rng(0).bytes(5 * CHUNK + 100)


class Handler(BaseHTTPRequestHandler):
    """Serves `server.contents` in the manner named by the first folder of the path."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        _, manner, name = self.path.split("/")
        asked = self.headers.get("Range")
        self.server.log.append((manner, name, asked))
        getattr(self, manner)(self.server.contents[name], int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked else 0)

    def answer(self, status, content, sent=None, headers=()):
        self.send_response(status)
        for key, value in [("Content-Length", str(len(content))), *headers]:
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(content[:sent])
        self.wfile.flush()

    def ranges(self, content, start, sent=None):
        if start >= len(content):
            self.answer(416, b"")
        elif start:
            place = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.answer(206, content[start:], sent, [("Content-Range", place)])
        else:
            self.answer(200, content, sent)

    def plain(self, content, start):
        self.answer(200, content)

    def cut(self, content, start):
        self.ranges(content, start, 2 * CHUNK)
        self.close_connection = True

    def cut_plain(self, content, start):
        self.answer(200, content, 2 * CHUNK)
        self.close_connection = True

    def forbidden(self, content, start):
        self.answer(403, b"<!DOCTYPE html>")

    def missing(self, content, start):
        self.answer(404, b"<!DOCTYPE html>")

    def wrong(self, content, start):
        self.ranges(content[::-1], start)

    def page(self, content, start):
        self.answer(200, b"<!DOCTYPE html><title>Log in</title>")

    def silent(self, content, start):
        self.server.released.wait(10)
        self.close_connection = True

    def stopped(self, content, start):
        """Send half of the file, then simulate Ctrl-C."""
        self.ranges(content, start, 3 * CHUNK)
        while not self.server.part.exists() or self.server.part.stat().st_size < CHUNK:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)
        self.silent(content, start)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.log, server.contents, server.released = [], {NAME: CONTENT}, threading.Event()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def mirrors(server, monkeypatch):
    """A function that makes MNIST one file on mirrors with the given manners or addresses."""

    def choose(*manners):
        urls = [m if "://" in m else f"http://127.0.0.1:{server.server_port}/{m}/" for m in manners]
        file = fetch_module._File(NAME, hashlib.sha256(CONTENT).hexdigest(), tuple(urls))
        monkeypatch.setitem(DOWNLOADS, "MNIST", fetch_module._Download("mnist", ((file,),)))
        return urls

    return choose


@pytest.fixture
def path(tmp_path, server):
    path = tmp_path / "mnist" / NAME
    server.part = path.with_name(f"{NAME}.part")
    return path


def refusal(folder):
    with pytest.raises(InputError) as caught:
        fetch("MNIST", folder, quiet=True)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("manner", ["ranges", "plain"])
def test_file_is_downloaded_and_nothing_else(mirrors, server, path, manner):
    mirrors(manner)
    assert fetch("mnist", path.parents[1]) == [path]
    assert path.read_bytes() == CONTENT
    assert [entry.name for entry in path.parent.iterdir()] == [NAME]
    assert server.log == [(manner, NAME, None)]


def test_existing_file_is_reported_and_not_downloaded_again(mirrors, server, path, capsys):
    mirrors("forbidden")
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    assert fetch("MNIST", path.parents[1]) == [path]
    assert capsys.readouterr().out == f"{path}: already present\n"
    fetch("MNIST", path.parents[1], quiet=True)
    assert capsys.readouterr() == ("", "")
    assert server.log == []


def test_damaged_file_is_replaced_only_by_a_complete_one(mirrors, path):
    mirrors("cut_plain")
    path.parent.mkdir()
    path.write_bytes(CONTENT[:100])
    refusal(path.parents[1])
    assert path.read_bytes() == CONTENT[:100]
    mirrors("ranges")
    fetch("MNIST", path.parents[1])
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("first", ["forbidden", "missing", "wrong", "page", "cut_plain"])
def test_next_mirror_is_used_after_a_failure(mirrors, server, path, first):
    mirrors(first, "ranges")
    assert fetch("MNIST", path.parents[1], quiet=True) == [path]
    assert path.read_bytes() == CONTENT
    assert server.log[0][0] == first
    assert server.log[-1][0] == "ranges"


def test_next_mirror_resumes_the_download(mirrors, server, path):
    mirrors("cut_plain", "ranges")
    fetch("MNIST", path.parents[1], quiet=True)
    (asked,) = [asked for manner, _, asked in server.log if manner == "ranges"]
    assert asked == f"bytes={2 * CHUNK}-"


def test_interrupted_connection_is_resumed(mirrors, server, path):
    mirrors("cut")
    assert fetch("MNIST", path.parents[1], quiet=True) == [path]
    assert path.read_bytes() == CONTENT
    assert [asked for _, _, asked in server.log] == [None, f"bytes={2 * CHUNK}-", f"bytes={4 * CHUNK}-"]


def test_download_without_progress_stops_and_keeps_the_part(mirrors, server, path):
    mirrors("cut_plain")
    message = refusal(path.parents[1])
    assert len(server.log) == 2
    assert str(server.part) in message
    assert [entry.name for entry in path.parent.iterdir()] == [server.part.name]
    assert server.part.read_bytes() == CONTENT[: 2 * CHUNK]


@pytest.mark.parametrize("then", ["ranges", "plain"])
def test_download_stopped_by_the_user_is_resumed_by_the_next_run(mirrors, server, path, then):
    mirrors("stopped")
    # Background processes ignore Ctrl-C; behave as in the foreground.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            fetch("MNIST", path.parents[1], quiet=True)
    finally:
        signal.signal(signal.SIGINT, before)
    assert [entry.name for entry in path.parent.iterdir()] == [server.part.name]
    came = server.part.stat().st_size
    assert CHUNK <= came < len(CONTENT)
    mirrors(then)
    assert fetch("MNIST", path.parents[1], quiet=True) == [path]
    assert server.log[-1] == (then, NAME, f"bytes={came}-")
    assert path.read_bytes() == CONTENT
    assert [entry.name for entry in path.parent.iterdir()] == [NAME]


@pytest.mark.parametrize("part", [b"of another file", bytes(len(CONTENT)), bytes(len(CONTENT) + 1)], ids=len)
def test_invalid_part_is_discarded(mirrors, server, path, part):
    mirrors("ranges")
    path.parent.mkdir()
    server.part.write_bytes(part)
    fetch("MNIST", path.parents[1], quiet=True)
    assert path.read_bytes() == CONTENT
    assert server.log[-1] == ("ranges", NAME, None)


def test_complete_part_is_not_downloaded_again(mirrors, server, path):
    mirrors("forbidden")
    path.parent.mkdir()
    server.part.write_bytes(CONTENT)
    assert fetch("MNIST", path.parents[1], quiet=True) == [path]
    assert path.read_bytes() == CONTENT
    assert server.log == []


@pytest.mark.parametrize(
    ("manner", "said"),
    [
        ("forbidden", "403 Forbidden"),
        ("missing", "404 Not Found"),
        ("wrong", "SHA-256"),
        ("page", "SHA-256"),
        ("silent", "timed out"),
        ("cut_plain", "IncompleteRead"),
    ],
)
def test_error_has_the_answer_of_each_mirror_and_no_file_is_created(mirrors, path, monkeypatch, manner, said):
    monkeypatch.setattr(fetch_module, "TIMEOUT", (1, 0.2))
    urls = mirrors(manner, "forbidden")
    message = refusal(path.parents[1])
    assert re.search(f"{re.escape(urls[0] + NAME)}: [^;]*{said}", message)
    assert f"{urls[1]}{NAME}: 403 Forbidden" in message
    assert not path.exists()


def test_error_without_network_explains_the_manual_download(mirrors, path, monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        refused = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        resolve = socket.getaddrinfo

        def fail(host, *args, **kwargs):
            if host == "mirror.invalid":
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            return resolve(host, *args, **kwargs)

        monkeypatch.setattr(socket, "getaddrinfo", fail)
        mirrors(refused, "http://mirror.invalid/")
        message = refusal(path.parents[1])
    assert f"{refused}{NAME}: Connection refused" in message
    assert f"http://mirror.invalid/{NAME}: Name or service not known" in message
    assert f"download {NAME} from one of these addresses, put it into {path.parent} and run " in message
    assert message.endswith("python -m dpm datasets convert MNIST")
    assert not list(path.parent.iterdir())


def idx(value):
    pixels = np.full((3, 4, 4), value, np.uint8)
    return gzip.compress(bytes([0, 0, 8, 3]) + struct.pack(">3I", 3, 4, 4) + pixels.tobytes())


def cifar(value):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}.bin")
            member.size = 3073
            archive.addfile(member, io.BytesIO(b"\1" + bytes([value]) * 3072))
    return packed.getvalue()


def serve_locally(monkeypatch, server, name, contents):
    """Serve the data set `name` from this machine, with its file names and folder, and with these contents."""
    server.contents |= contents
    mirror = (f"http://127.0.0.1:{server.server_port}/ranges/",)
    lost = (f"http://127.0.0.1:{server.server_port}/missing/",)
    choices = [
        [
            file._replace(sha256=hashlib.sha256(contents[file.name]).hexdigest(), mirrors=mirror)
            if file.name in contents
            else file._replace(mirrors=lost)
            for file in files
        ]
        for files in DOWNLOADS[name].choices
    ]
    for file in (file for files in choices for file in files):
        server.contents.setdefault(file.name, b"")
    monkeypatch.setitem(DOWNLOADS, name, DOWNLOADS[name]._replace(choices=choices))


def test_downloaded_mnist_and_fashion_mnist_are_found(server, tmp_path, monkeypatch):
    for name, value in (("MNIST", 70), ("FASHION_MNIST", 80)):
        files = {f"{part}-images-idx3-ubyte.gz": idx(value + i) for i, part in enumerate(("train", "t10k"))}
        serve_locally(monkeypatch, server, name, files)
        assert [path.name for path in fetch(name, tmp_path, quiet=True)] == list(files)
    for name, value in (("MNIST", 70), ("FASHION_MNIST", 80)):
        data = load(name, tmp_path)
        assert (data.train.min(), data.test.max()) == (value, value + 1)


def test_downloaded_cifar10_is_found(server, tmp_path, monkeypatch):
    serve_locally(monkeypatch, server, "CIFAR10", {"cifar-10-binary.tar.gz": cifar(9)})
    assert fetch("cifar-10", tmp_path, quiet=True) == [tmp_path / "cifar-10-binary.tar.gz"]
    assert load("CIFAR10", tmp_path).train.shape == (5, 3, 32, 32)


def test_python_version_of_cifar10_is_the_second_choice_unless_present(server, tmp_path, monkeypatch):
    serve_locally(monkeypatch, server, "CIFAR10", {"cifar-10-python.tar.gz": b"the archive"})
    wanted = [tmp_path / "cifar-10-python.tar.gz"]
    assert fetch("CIFAR10", tmp_path, quiet=True) == wanted
    assert [entry[1] for entry in server.log] == ["cifar-10-binary.tar.gz", "cifar-10-python.tar.gz"]
    assert fetch("CIFAR10", tmp_path, quiet=True) == wanted
    assert len(server.log) == 2


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("bark", r"Lazebnik.*2005.*University of Illinois.*T01 to T04.*convert BARK --input FOLDER"),
        ("imagenet", r"no download: .* python -m dpm datasets convert images"),
        ("Swiss roll", r"python -m dpm datasets make SWISSROLL"),
        ("dead-leaves", r"python -m dpm datasets make DEAD_LEAVES"),
        ("bark-like", r"python -m dpm datasets make BARK_LIKE"),
        ("heartbeat", r"python -m dpm datasets make HEARTBEAT"),
        ("SVHN", r"'SVHN' is not known.*MNIST, FASHION_MNIST, CIFAR10"),
    ],
)
def test_name_without_a_download_has_instructions(tmp_path, name, words):
    with pytest.raises(InputError, match=words) as caught:
        fetch(name, tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_unusable_folder_is_an_error(mirrors, tmp_path):
    mirrors("ranges")
    (tmp_path / "file").write_bytes(b"")
    assert "cannot be written" in refusal(tmp_path / "file")


def test_pooch_is_imported_only_to_download(tmp_path, monkeypatch):
    code = "import sys, dpm.datasets.fetch; sys.exit(bool({'pooch', 'requests'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60, check=False).returncode == 0
    monkeypatch.setitem(sys.modules, "pooch", None)
    assert "pip install pooch" in refusal(tmp_path)
