"""The live page: updates while a run trains, for this machine only, and no other files."""

import http.client
import json
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from dpm.commands.report import main
from dpm.reports.html.live import HOST, Server
from tests.helpers import report_folders as folders
from tests.helpers.browser import Visit, browser

RESULT = {"epoch": 3, "K": 5.0, "K_minus_L_null": 7.777, "standard_error": 0.1}
ROOT = Path(__file__).parents[3]


@pytest.fixture
def served(tmp_path):
    """Serve one run; yield its folder and the address."""
    folder = folders.make(tmp_path / "run", n=2, samples=True)
    with Server((HOST, 0), [folder]) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield folder, f"http://{HOST}:{server.server_port}"
        server.shutdown()


def read(address):
    with urllib.request.urlopen(address, timeout=20) as answer:
        return answer.read().decode()


def test_curves_follow_the_log(served):
    folder, address = served
    assert json.loads(read(f"{address}/curves.json"))["logs"][0]["epoch"] == [1, 2]
    folders.write_log(folder, 5)
    answer = json.loads(read(f"{address}/curves.json"))
    assert answer["logs"][0]["epoch"] == [1, 2, 3, 4, 5]
    assert answer["states"] == ["epoch 5, test K = -1.5000, K - L_null = 0.5000 bits/pixel"]


@pytest.mark.thorough
def test_new_epochs_appear_without_reloading(served):
    folder, address = served
    with browser() as chromium:
        visit = Visit(chromium, address)
        visit.page.evaluate("window.same = true")
        assert visit.curve("log0", "epoch") == [1, 2]
        folders.write_log(folder, 4)
        visit.page.wait_for_function("() => sources('log0')[0].data.epoch.length === 4", timeout=15_000)
        assert visit.page.evaluate("window.same")
        assert visit.page.locator(".state").inner_text().startswith("epoch 4")
        assert visit.errors == []
        assert all(url.startswith((address, "data:")) for url in visit.requests)


@pytest.mark.thorough
def test_new_samples_appear_without_reloading(served):
    """Samples of a later step replace the earlier ones, and the slider works on them."""
    folder, address = served
    with browser() as chromium:
        visit = Visit(chromium, address)
        visit.page.evaluate("window.same = true")
        before = [image.get_attribute("src") for image in visit.page.locator(".panels img").all()]
        folders.write_log(folder, 3)
        folders.write_samples(folder, step=21, level=1.0)
        visit.page.wait_for_function(
            "old => document.querySelector('.panels img').src !== old", arg=before[0], timeout=15_000
        )
        after = [image.get_attribute("src") for image in visit.page.locator(".panels img").all()]
        assert len(after) == len(before)
        slider = visit.page.locator("input[type=range]").first
        slider.fill("0")
        assert visit.page.locator(".panels img").first.get_attribute("src") != after[0]
        assert "0.300" in visit.page.locator("#comparison").inner_text()
        (folder / "result.json").write_text(json.dumps(RESULT))
        visit.page.wait_for_function(
            "() => document.getElementById('comparison').innerText.includes('7.777')", timeout=15_000
        )
        assert visit.page.evaluate("window.same")
        assert visit.errors == []


@pytest.mark.parametrize("path", ["/config.json", "/run/config.json", "/../run/config.json", "//etc/passwd", "/?x"])
def test_no_file_is_served(served, path):
    _, address = served
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=20)
    connection.request("GET", path)
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (404, b"not found; expected / or /curves.json")
    connection.close()


def test_request_with_another_host_name_is_rejected(served):
    """A foreign page that rebinds its own name to this machine (DNS rebinding) sends that name as Host."""
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(urllib.request.Request(served[1], headers={"Host": "example.org"}), timeout=20)
    assert error.value.code == 403
    error.value.close()


def test_server_listens_on_the_loopback_address_only(served):
    port = int(served[1].rpartition(":")[2])
    listening = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    assert next(local for local in listening if local.endswith(f":{port:04X}")) == f"0100007F:{port:04X}"


def test_unreadable_log_is_reported_and_the_server_continues(served):
    folder, address = served
    (folder / "log.csv").write_text("x\n1\n")
    with pytest.raises(urllib.error.HTTPError) as error:
        read(f"{address}/curves.json")
    assert error.value.code == 503
    assert "log.csv" in error.value.read().decode()
    folders.write_log(folder, 1)
    assert json.loads(read(f"{address}/curves.json"))["logs"][0]["epoch"] == [1]


def test_port_in_use_is_an_error(served, capsys):
    folder, address = served
    port = address.rpartition(":")[2]
    assert main([str(folder), "--watch", "--port", port]) == 2
    assert capsys.readouterr().err.startswith(f"dpm report: error: --port: {port} on 127.0.0.1 is not available")


# The tests may run as a background job of a shell, whose children ignore Ctrl-C: restore its default.
WITH_CTRL_C = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("dpm", run_name="__main__")
"""


def test_ctrl_c_stops_the_server(tmp_path):
    folder = folders.make(tmp_path / "run")
    command = [sys.executable, "-c", WITH_CTRL_C, "report", str(folder), "--watch", "--port", "0"]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **streams) as process:
        try:
            line = process.stdout.readline()
            assert line.startswith("http://127.0.0.1:")
            assert "run" in read(line.split()[0])
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
            assert process.stderr.read() == "stopped\n"
        finally:
            process.kill()
