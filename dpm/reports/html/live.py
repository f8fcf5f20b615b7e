"""`python -m dpm report --watch`: serve the page on this machine only, and update it while runs train."""

import json
import sys
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from dpm.base.errors import InputError
from dpm.likelihood.result import format_bound
from dpm.reports.html.charts import clean, find_bound_limits
from dpm.reports.html.page import render_page
from dpm.reports.html.players import compute_stamp
from dpm.reports.html.runs import RunFiles, group_by_unit, read_runs

HOST = "127.0.0.1"


def watch(folders: Sequence[str], port: int, quiet: bool) -> int:
    """Serve the page of some run folders until Ctrl-C.

    Args:
        folders: run folders.
        port: port on 127.0.0.1; 0 for any free one.
        quiet: do not print the address.

    Returns:
        0.

    Raises:
        InputError: the port is not available, or a folder is not a run folder.
    """
    read_runs(folders)
    try:
        server = Server((HOST, port), folders)
    except OSError as error:
        raise InputError(
            f"--port: {port} on {HOST} is not available ({error.strerror}); give another, or 0 for any free port"
        ) from None
    with server:
        if not quiet:
            print(f"http://{HOST}:{server.server_port}/ shows the runs; stop with Ctrl-C", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            if not quiet:
                print("stopped", file=sys.stderr)
    return 0


class Server(ThreadingHTTPServer):
    """HTTP server of two addresses, / and /curves.json; it serves no files."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], folders: Sequence[Any]) -> None:
        super().__init__(address, Handler)
        self.folders = folders
        # Reject requests with another Host header (DNS rebinding).
        self.hosts = [f"{name}:{self.server_port}" for name in (HOST, "localhost")]


class Handler(BaseHTTPRequestHandler):
    """Handler of one request."""

    server: Server

    def do_GET(self) -> None:
        """Answer a GET request."""
        if self.headers.get("Host") not in self.server.hosts:
            return self.send(403, "text/plain", f"expected the host name {HOST}")
        routes = {"/": self.make_page, "/curves.json": self.make_updates}
        if self.path not in routes:
            return self.send(404, "text/plain", "not found; expected / or /curves.json")
        try:
            return self.send(200, *routes[self.path]())
        except (InputError, OSError) as error:  # a file is being written, moved or removed
            return self.send(503, "text/plain", " ".join(str(error).split()))

    def make_page(self) -> tuple[str, str]:
        """Return media type and text of the page."""
        return "text/html", render_page(read_runs(self.server.folders), {}, live=True)

    def make_updates(self) -> tuple[str, str]:
        """Return media type and text of the updates."""
        return "application/json", json.dumps(collect_updates(read_runs(self.server.folders)))

    def send(self, status: int, kind: str, text: str) -> None:
        """Send a response that no cache keeps."""
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Print nothing for a request."""


def collect_updates(runs: Sequence[RunFiles]) -> dict[str, Any]:
    """Return what the page polls.

    Returns:
        "logs": the columns of each run's log; "limits": low, high and note of the axis of K - L_null, by the position
        of the first run of each chart; "states": one line about each run; "stamps": a text for each run that changes
        with its saved trajectories and its result.
    """
    states = []
    for run in runs:
        state = "no epoch yet"
        if run.rows:
            last = run.rows[-1]
            bound = format_bound(last["test_K"], last["test_K_minus_L_null"], run.unit)
            state = f"epoch {last['epoch']:g}, test {bound}"
        states.append(state)
    stamps = [compute_stamp(run.folder) for run in runs]
    return {
        "logs": [clean(run.columns()) for run in runs],
        "limits": {numbers[0]: find_bound_limits([runs[i] for i in numbers]) for numbers in group_by_unit(runs)},
        "states": states,
        "stamps": stamps,
    }
