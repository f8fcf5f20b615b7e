"""The built site and slides, where they are: complete, readable without a network and without errors."""

import re
from html import unescape
from urllib.parse import unquote

import pytest

from tests.docs.chapters import CHAPTERS
from tests.docs.equation_links import ROOT

SITE, LECTURE = ROOT / "build" / "docs", ROOT / "build" / "lecture"
BOOK = "docs/book"
built = pytest.mark.skipif(not (SITE / "index.html").is_file(), reason="no site: make docs")


class Visit:
    """A page in a browser, with its errors and its requests."""

    def __init__(self, chromium, width=1280):
        self.errors, self.requests = [], []
        self.page = chromium.new_context(viewport={"width": width, "height": 720}).new_page()
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def check(self):
        """Check that nothing failed and nothing came from a network."""
        assert self.errors == []
        assert {url.partition(":")[0] for url in self.requests} <= {"file", "data", "blob"}


def open_page(chromium, path, fragment="", **more):
    """Return a visit of a page from the disk."""
    visit = Visit(chromium, **more)
    visit.page.goto(path.as_uri() + fragment)
    visit.page.wait_for_load_state("load")
    return visit


def anchors(text):
    """Return what links to a page can name."""
    return set(re.findall(r"\b(?:id|name)=\"([^\"]+)\"", text))


def dead_links(folder):
    """Return (page, link) of links to files or anchors that are not there."""
    texts = {path: path.read_text() for path in folder.rglob("*.html")}
    known = {path.resolve(): anchors(text) for path, text in texts.items()}
    dead = []
    for path, text in texts.items():
        for link in set(re.findall(r"\b(?:href|src)=\"([^\"]+)\"", text)):
            address, _, anchor = unescape(link).partition("#")
            if re.match(r"[a-z]+:", address):
                continue
            target = (path.parent / unquote(address.partition("?")[0])).resolve() if address else path.resolve()
            fine = target.exists() and (not anchor or target.suffix != ".html" or anchor in known.get(target, {anchor}))
            dead += [] if fine else [(path.relative_to(folder).as_posix(), link)]
    return dead


@built
def test_every_link_of_the_site_leads_somewhere():
    assert dead_links(SITE) == []


@built
def test_every_image_of_the_book_has_a_text():
    for path in (SITE / BOOK).glob("*.html"):
        images = re.findall(r"<img[^>]*>", path.read_text())
        silent = [image[:200] for image in images if not re.search(r"alt=\"(?!\.\./|data:)[^\"]+\"", image)]
        assert silent == [], path.name


@built
@pytest.mark.parametrize("width", [1280, 390])
def test_pages_open_from_a_disk(chromium, width):
    for name in ("index", "docs/equations", "docs/reference/api", f"{BOOK}/index"):
        visit = open_page(chromium, SITE / f"{name}.html", width=width)
        if name == "index":
            visit.page.wait_for_url("**/docs/docs/index.html")
        if name == "docs/equations":
            visit.page.wait_for_selector("mjx-container svg", state="attached")
        wide = visit.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, f"{name}: {wide} pixels wider than the window"
        visit.check()


@built
def test_the_search_finds_a_page(chromium):
    visit = open_page(chromium, SITE / "search.html", "?q=beta_1")
    visit.page.wait_for_selector("ul.search li a")
    visit.check()


@built
@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_opens_from_a_disk(chromium, path):
    visit = open_page(chromium, SITE / BOOK / f"{path.stem}.html")
    draw_figures(visit.page)
    visit.check()


def draw_figures(page):
    """Scroll to each interactive figure, and wait for it."""
    for figure in page.locator(".interactive").all():
        figure.scroll_into_view_if_needed()
    page.wait_for_function("() => !document.querySelector('.interactive:not(.interactive-drawn)')")
    page.wait_for_function("() => !window.Bokeh || Bokeh.documents.every((doc) => doc.is_idle)")


@pytest.mark.skipif(not (LECTURE / "index.html").is_file(), reason="no slides: make lecture")
@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_the_slides_of_a_chapter_need_no_network(chromium, path):
    visit = open_page(chromium, LECTURE / BOOK / f"{path.stem}.html")
    visit.page.wait_for_function("() => Reveal.isReady()")
    titles = []
    for _ in range(visit.page.evaluate("Reveal.getTotalSlides()")):
        titles.append(visit.page.evaluate("Reveal.getCurrentSlide().querySelector('h1, h2, h3').textContent"))
        visit.page.keyboard.press("Space")
    visit.check()
    assert len(titles) == len(set(titles)) > 3
    assert titles[-1] == "Exercises"
