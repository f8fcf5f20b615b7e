"""A real headless browser, where one is installed."""

import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def browser():
    """Start Chromium of Debian or playwright; skip the test where neither is installed."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra test)")
    with api.sync_playwright() as playwright:
        path = shutil.which("chromium") or playwright.chromium.executable_path
        if not Path(path).is_file():
            pytest.skip("no chromium: apt-get install chromium, or playwright install chromium")
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


class OpenPage:
    """An open page, with the errors that it logged and the requests that it made."""

    def __init__(self, chromium, address, width=1280, height=800, **more):
        self.errors, self.requests = [], []
        self.page = chromium.new_context(viewport={"width": width, "height": height}, **more).new_page()
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(address)


class Visit(OpenPage):
    """An open report, whose charts are drawn."""

    def __init__(self, chromium, address, width=1280, **more):
        super().__init__(chromium, address, width, **more)
        self.page.wait_for_function("() => window.Bokeh && Bokeh.documents.length === page.charts.length")
        self.page.wait_for_function("() => Bokeh.documents.every((doc) => doc.is_idle)")

    def curve(self, name, column):
        """Return a column of a data source, in the order of the log."""
        return list(self.page.evaluate("([n, c]) => Array.from(sources(n)[0].data[c])", [name, column]))
