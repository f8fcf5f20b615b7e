"""Addresses of --cluster: what is accepted, and the line for anything else."""

import json
import os

import pytest

from dpm.base.errors import InputError
from dpm.cluster.address import parse_address


def test_local_has_a_worker_for_each_core_or_the_number_given():
    assert parse_address("local").workers == len(os.sched_getaffinity(0))
    assert parse_address("local:3").workers == 3


@pytest.mark.parametrize("text", ["tcp://10.0.0.1:8786", "tls://host.example:1", "tcp://[::1]:8786"])
def test_an_address_is_joined_as_it_is(text):
    assert parse_address(text)[1:] == (None, text)


def test_the_file_of_a_scheduler_holds_its_address(tmp_path):
    file = tmp_path / "scheduler.json"
    file.write_text(json.dumps({"address": "tcp://10.0.0.1:8786", "workers": {}}))
    assert parse_address(str(file)).scheduler == "tcp://10.0.0.1:8786"


@pytest.mark.parametrize("text", ["local:0", "local:-1", "local:x", "local:", "local:1.5"])
def test_another_number_of_workers_is_refused(text):
    with pytest.raises(InputError, match=r"^--cluster local:.*: got '.*' workers; expected local:N with N of 1"):
        parse_address(text)


@pytest.mark.parametrize("text", ["ucx://a:1", "tcp://host", "tcp://:8786", "tcp://host:0", "tcp://host:65536", "://"])
def test_another_address_is_refused(text):
    with pytest.raises(InputError, match=r"got the address .*; expected tcp://HOST:PORT or tls://HOST:PORT$"):
        parse_address(text)


def test_an_empty_address_is_refused():
    with pytest.raises(InputError, match=r"^--cluster: is empty; accepted: local, local:N"):
        parse_address("")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such file"),
        (b"{", "is no JSON"),
        (b"\xff", "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
        (b"[]", "holds no address"),
        (b'{"address": 1}', "holds no address"),
        (b'{"address": "inproc://1"}', "got the address 'inproc://1'"),
    ],
)
def test_a_file_that_no_scheduler_wrote_is_refused(tmp_path, content, words):
    file = tmp_path / "scheduler.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InputError, match=words) as found:
        parse_address(str(file))
    assert str(found.value).startswith(f"--cluster {file}: ")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        parse_address(str(tmp_path))
