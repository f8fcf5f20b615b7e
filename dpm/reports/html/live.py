"""python -m dpm report --watch: the page on this machine alone, kept up to date while runs train."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from dpm.base.errors import InputError
from dpm.reports.html.charts import clean
from dpm.reports.html.page import page
from dpm.reports.html.players import stamp
from dpm.reports.html.runs import read_runs

HOST = "127.0.0.1"


def watch(folders, port, quiet):
    """Serve the page of the run folders until Ctrl-C; returns 0. Raises InputError where the port cannot be had."""
    read_runs(folders)
    try:
        server = Server((HOST, port), folders)
    except OSError as error:
        raise InputError(f"--port: {port} on {HOST} cannot be had ({error.strerror}); take another, or 0") from None
    with server:
        if not quiet:
            print(f"http://{HOST}:{server.server_port}/ shows the runs; Ctrl-C ends it", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            if not quiet:
                print("ended", file=sys.stderr)
    return 0


class Server(ThreadingHTTPServer):
    """Serves two addresses and no file: / and /curves.json."""

    daemon_threads = True

    def __init__(self, address, folders):
        super().__init__(address, Handler)
        self.folders = folders
        # A page of elsewhere whose name leads here asks under that name.
        self.names = [f"{name}:{self.server_port}" for name in (HOST, "localhost")]


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: Server

    def do_GET(self):
        if self.headers.get("Host") not in self.server.names:
            return self.answer(403, "text/plain", "ask for 127.0.0.1")
        routes = {"/": self.page, "/curves.json": self.curves}
        if self.path not in routes:
            return self.answer(404, "text/plain", "there are / and /curves.json")
        try:
            return self.answer(200, *routes[self.path]())
        except (InputError, OSError) as error:  # a file of a run that is being made, moved or removed
            return self.answer(503, "text/plain", " ".join(str(error).split()))

    def page(self):
        return "text/html", page(read_runs(self.server.folders), {}, [], live=True)

    def curves(self):
        return "application/json", json.dumps(curves(read_runs(self.server.folders)))

    def answer(self, status, kind, text):
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        """No line for each request."""


def curves(runs):
    """What the page asks for: {"logs": the columns of each run's log, "states": a line about each, "pictures": which
    pictures each has}."""
    states = []
    for run in runs:
        text = "no epoch yet"
        if run.rows:
            last = run.rows[-1]
            text = f"epoch {last['epoch']:g}, K - L_null of test data {last['test_K_minus_L_null']:.4f} {run.unit}"
        states.append(text)
    pictures = [stamp(run.folder) for run in runs]
    return {"logs": [clean(run.columns()) for run in runs], "states": states, "pictures": pictures}
