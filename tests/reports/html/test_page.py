"""The page in a real browser: complete, without errors or requests, on narrow screens, safe from hostile names."""

import re

import pytest

from dpm.commands.report import main
from dpm.reports.html.charts import COLORS
from tests.helpers import report_folders as folders
from tests.helpers.browser import Visit

NAME = "<img src=x onerror=window.hacked=1>"


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Write a page of two runs; one has hostile text in all its names and values."""
    folder = tmp_path_factory.mktemp("page")
    settings = folders.config(None, folders.HOSTILE, suffix=folders.HOSTILE)
    settings["model"][folders.HOSTILE] = folders.HOSTILE
    runs = [
        folders.make(folder / "plain", settings=folders.config("cifar10", "CIFAR10"), samples=True),
        folders.make(folder / NAME, n=40, settings=settings, samples=True),
    ]
    output = folder / "report.html"
    assert main([*map(str, runs), "--no-model", "--output", str(output), "--quiet"]) == 0
    return output


@pytest.fixture(scope="module")
def visit(chromium, path):
    return Visit(chromium, path.as_uri())


def test_page_makes_no_requests_and_logs_no_errors(visit, path):
    assert visit.errors == []
    assert [url for url in visit.requests if not url.startswith("data:")] == [path.as_uri()]


def test_file_loads_nothing_from_elsewhere(path):
    text = path.read_text()
    assert not re.search(r"<(script|link|img|iframe)[^>]*(src|href)=.(https?:)?//", text)
    assert "default-src 'none'" in text


def test_curves_show_the_numbers_of_the_log(visit):
    assert visit.curve("log0", "test_K_minus_L_null") == pytest.approx([0.1, 0.2, 0.3])
    assert visit.page.locator(".chart svg").count() >= 2


def test_slider_changes_image_and_alternative_text(visit):
    player = visit.page.locator(".player").first
    image, slider = player.locator(".panels img").last, player.locator("input")
    before = image.get_attribute("src")
    assert image.get_attribute("alt").endswith("t = 1")  # the last step drawn is that of t = 2
    slider.focus()
    slider.press("Home")
    assert player.locator("output").inner_text() == "10"
    assert image.get_attribute("alt").endswith("t = 10")
    assert image.get_attribute("src") != before
    assert image.evaluate("(i) => i.decode().then(() => i.naturalWidth)") > 0


def record_texts(player):
    """Record the texts of a player's button and time in window.seen."""
    player.evaluate(
        "(player) => { window.seen = [];"
        "const note = (records) => records.forEach((r) => r.addedNodes.forEach((n) => seen.push(n.textContent)));"
        "const observer = new MutationObserver(note);"
        "for (const part of ['button', 'output'])"
        "  observer.observe(player.querySelector(part), { childList: true }); }"
    )


def test_play_stops_at_the_sample(visit):
    player = visit.page.locator(".player").nth(1)
    record_texts(player)
    player.locator("button").click()
    visit.page.wait_for_function("() => seen.at(-1) === 'Play'")
    assert visit.page.evaluate("seen") == ["10", "Pause", "6", "1", "Play"]


def test_pause_stops_at_the_current_frame(visit):
    player = visit.page.locator(".player").nth(1)
    player.locator("button").evaluate("(button) => { button.click(); button.click(); }")
    visit.page.wait_for_timeout(600)
    assert player.locator("output").inner_text() == "10"


def test_every_image_has_an_alternative_text(visit):
    texts = visit.page.evaluate("[...document.images].map((image) => image.alt)")
    assert len(texts) >= 6
    assert all(texts)
    assert all(visit.page.evaluate("[...document.querySelectorAll('.chart')].map((c) => c.ariaLabel)"))


def test_hostile_names_are_shown_as_text(visit, path):
    assert visit.page.evaluate("window.hacked") is None
    assert visit.page.locator(".runs strong").last.inner_text() == NAME
    assert folders.HOSTILE in visit.page.locator(".facts").inner_text()
    assert "<script>window.hacked" not in path.read_text()
    assert visit.page.locator("img[src=x]").count() == 0


def test_comparison_names_the_paper_and_the_run(visit):
    rows = visit.page.locator(".numbers tbody tr").all_inner_texts()
    assert rows[0].split("\t")[:5] == ["paper, Table 1", "CIFAR-10", "11.895", "-6.142", "18.037"]
    assert rows[1].split("\t")[:5] == ["plain", "cifar10, T = 10, epoch 3 of 9, 21 steps", "-1.700", "-2.000", "0.300"]


def test_narrow_screen_needs_no_horizontal_scrolling(chromium, path):
    narrow = Visit(chromium, path.as_uri(), 375)
    assert narrow.page.evaluate("document.documentElement.scrollWidth") == 375
    assert narrow.errors == []
    for box in narrow.page.locator(".chart, .player, input").all():
        place = box.bounding_box()
        assert place["x"] >= 0
        assert place["x"] + place["width"] <= 375


def test_swatches_have_the_colors_of_the_curves(visit):
    swatches = visit.page.locator(".runs .swatch")
    for swatch, color in zip(swatches.all(), COLORS, strict=False):
        wanted = ", ".join(str(int(color[k : k + 2], 16)) for k in (1, 3, 5))
        assert swatch.evaluate("(s) => getComputedStyle(s).backgroundColor") == f"rgb({wanted})"


def test_print_shows_frames_instead_of_sliders(chromium, path):
    page = Visit(chromium, path.as_uri()).page
    page.emulate_media(media="print")
    assert not page.locator(".controls").first.is_visible()
    assert page.locator(".strip").first.locator("img").count() == len(folders.TIMES)
    assert page.locator(".strip img").first.is_visible()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    widths = page.evaluate("[...document.querySelectorAll('.chart')].map((c) => c.getBoundingClientRect().width)")
    assert max(widths) <= 680  # 180 mm at 96 pixels per inch: A4 without margins


@pytest.mark.parametrize(("motion", "starts"), [("no-preference", True), ("reduce", False)])
def test_player_starts_unless_reduced_motion_is_asked_for(chromium, path, motion, starts):
    moving = path.with_name(f"{motion}.html")
    moving.write_text(path.read_text().replace('"plays": false', '"plays": true'))
    visit = Visit(chromium, moving.as_uri(), reduced_motion=motion)
    player = visit.page.locator(".player").first
    record_texts(player)
    player.scroll_into_view_if_needed()
    visit.page.wait_for_timeout(1000)
    assert visit.page.evaluate("seen") == (["10", "Pause", "6", "1", "Play"] if starts else [])
