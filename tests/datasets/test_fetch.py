"""Downloads from servers of this machine: whole or not at all, continued after a cut, each failure named."""

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
    """Serves `server.contents`; the first folder of the path says how."""

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
        """Half of the file, and then the user's Ctrl-C."""
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
    """A function that lets MNIST be one file on the mirrors that behave in these manners, or have these addresses."""

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
def test_a_file_arrives_under_its_name_and_alone(mirrors, server, path, manner):
    mirrors(manner)
    assert fetch("mnist", path.parents[1]) == [path]
    assert path.read_bytes() == CONTENT
    assert [entry.name for entry in path.parent.iterdir()] == [NAME]
    assert server.log == [(manner, NAME, None)]


def test_a_file_that_is_there_is_not_fetched_again_and_that_is_said_unless_quiet(mirrors, server, path, capsys):
    mirrors("forbidden")
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    assert fetch("MNIST", path.parents[1]) == [path]
    assert capsys.readouterr().out == f"{path}: already there\n"
    fetch("MNIST", path.parents[1], quiet=True)
    assert capsys.readouterr() == ("", "")
    assert server.log == []


def test_a_damaged_file_is_replaced_only_by_a_whole_one(mirrors, path):
    mirrors("cut_plain")
    path.parent.mkdir()
    path.write_bytes(CONTENT[:100])
    refusal(path.parents[1])
    assert path.read_bytes() == CONTENT[:100]
    mirrors("ranges")
    fetch("MNIST", path.parents[1])
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("first", ["forbidden", "missing", "wrong", "page", "cut_plain"])
def test_a_mirror_that_fails_is_followed_by_the_next(mirrors, server, path, first):
    mirrors(first, "ranges")
    assert fetch("MNIST", path.parents[1], quiet=True) == [path]
    assert path.read_bytes() == CONTENT
    assert server.log[0][0] == first
    assert server.log[-1][0] == "ranges"


def test_the_next_mirror_continues_what_the_first_began(mirrors, server, path):
    mirrors("cut_plain", "ranges")
    fetch("MNIST", path.parents[1], quiet=True)
    (asked,) = [asked for manner, _, asked in server.log if manner == "ranges"]
    assert asked == f"bytes={2 * CHUNK}-"


def test_a_connection_that_is_cut_is_taken_up_again_where_it_broke(mirrors, server, path):
    mirrors("cut")
    assert fetch("MNIST", path.parents[1], quiet=True) == [path]
    assert path.read_bytes() == CONTENT
    assert [asked for _, _, asked in server.log] == [None, f"bytes={2 * CHUNK}-", f"bytes={4 * CHUNK}-"]


def test_a_server_without_ranges_that_always_cuts_is_given_up_and_what_came_is_kept(mirrors, server, path):
    mirrors("cut_plain")
    message = refusal(path.parents[1])
    assert len(server.log) == 2
    assert str(server.part) in message
    assert [entry.name for entry in path.parent.iterdir()] == [server.part.name]
    assert server.part.read_bytes() == CONTENT[: 2 * CHUNK]


@pytest.mark.parametrize("then", ["ranges", "plain"])
def test_an_interrupted_download_has_no_final_name_and_the_next_run_finishes_it(mirrors, server, path, then):
    mirrors("stopped")
    # What is started in the background ignores Ctrl-C; here somebody is at the keyboard.
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
def test_a_part_that_does_not_fit_is_dropped(mirrors, server, path, part):
    mirrors("ranges")
    path.parent.mkdir()
    server.part.write_bytes(part)
    fetch("MNIST", path.parents[1], quiet=True)
    assert path.read_bytes() == CONTENT
    assert server.log[-1] == ("ranges", NAME, None)


def test_a_part_that_is_whole_is_not_fetched_again(mirrors, server, path):
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
def test_what_each_mirror_answered_is_said_and_no_file_gets_the_name(mirrors, path, monkeypatch, manner, said):
    monkeypatch.setattr(fetch_module, "TIMEOUT", (1, 0.2))
    urls = mirrors(manner, "forbidden")
    message = refusal(path.parents[1])
    assert re.search(f"{re.escape(urls[0] + NAME)}: [^;]*{said}", message)
    assert f"{urls[1]}{NAME}: 403 Forbidden" in message
    assert not path.exists()


def test_without_a_network_the_way_by_hand_is_told(mirrors, path, monkeypatch):
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
    assert f"download {NAME} from one of these addresses, put that into {path.parent} and run " in message
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


def on_this_machine(monkeypatch, server, name, contents):
    """The data set `name`, its files' names and folder as they are, with these contents and from this server."""
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


def test_mnist_and_fashion_mnist_are_found_where_they_were_put(server, tmp_path, monkeypatch):
    for name, value in (("MNIST", 70), ("FASHION_MNIST", 80)):
        files = {f"{part}-images-idx3-ubyte.gz": idx(value + i) for i, part in enumerate(("train", "t10k"))}
        on_this_machine(monkeypatch, server, name, files)
        assert [path.name for path in fetch(name, tmp_path, quiet=True)] == list(files)
    for name, value in (("MNIST", 70), ("FASHION_MNIST", 80)):
        data = load(name, tmp_path)
        assert (data.train.min(), data.test.max()) == (value, value + 1)


def test_cifar10_is_found_where_it_was_put(server, tmp_path, monkeypatch):
    on_this_machine(monkeypatch, server, "CIFAR10", {"cifar-10-binary.tar.gz": cifar(9)})
    assert fetch("cifar-10", tmp_path, quiet=True) == [tmp_path / "cifar-10-binary.tar.gz"]
    assert load("CIFAR10", tmp_path).train.shape == (5, 3, 32, 32)


def test_cifar10_in_its_python_version_is_the_second_choice_and_the_first_once_it_is_there(
    server, tmp_path, monkeypatch
):
    on_this_machine(monkeypatch, server, "CIFAR10", {"cifar-10-python.tar.gz": b"the archive"})
    wanted = [tmp_path / "cifar-10-python.tar.gz"]
    assert fetch("CIFAR10", tmp_path, quiet=True) == wanted
    assert [entry[1] for entry in server.log] == ["cifar-10-binary.tar.gz", "cifar-10-python.tar.gz"]
    assert fetch("CIFAR10", tmp_path, quiet=True) == wanted
    assert len(server.log) == 2


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("bark", r"Lazebnik.*2005.*University of Illinois.*T01 to T04.*convert BARK --input FOLDER"),
        ("imagenet", r"no download: .* python -m dpm datasets convert pictures"),
        ("Swiss roll", r"python -m dpm datasets make SWISSROLL"),
        ("dead-leaves", r"python -m dpm datasets make DEAD_LEAVES"),
        ("bark-like", r"python -m dpm datasets make BARK_LIKE"),
        ("heartbeat", r"python -m dpm datasets make HEARTBEAT"),
        ("SVHN", r"'SVHN' is not known.*MNIST, FASHION_MNIST, CIFAR10"),
    ],
)
def test_a_name_without_a_download_is_told_what_to_do_instead(tmp_path, name, told):
    with pytest.raises(InputError, match=told) as caught:
        fetch(name, tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_is_named(mirrors, tmp_path):
    mirrors("ranges")
    (tmp_path / "file").write_bytes(b"")
    assert "cannot be written" in refusal(tmp_path / "file")


def test_pooch_is_asked_for_only_when_something_is_fetched(tmp_path, monkeypatch):
    code = "import sys, dpm.datasets.fetch; sys.exit(bool({'pooch', 'requests'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60, check=False).returncode == 0
    monkeypatch.setitem(sys.modules, "pooch", None)
    assert "pip install pooch" in refusal(tmp_path)
