"""The page in a real browser: it fits a screen, a click opens a group, no errors and no requests; and in a notebook."""

import html
import json
import re

import pytensor.tensor as pt
import pytest

import dpm
from dpm.reports.graphs import page as page_module
from dpm.reports.graphs.page import draw, layout_library
from dpm.reports.graphs.quantities import QUANTITIES, build_model, draw_quantity
from dpm.runs.settings import Settings
from tests.helpers.browser import OpenPage

SMALLEST = 11  # pixels of a letter that a class still reads at 1280 x 720
HOSTILE = "</script><img src=x onerror=window.hacked=1>_{sub}"


@pytest.fixture(scope="module")
def drawings():
    """Drawings of the released model, by the names of --what."""
    settings = Settings.from_arguments()
    model = build_model(settings)
    return {what: draw_quantity(model, what, settings.batch_size, "DiffusionModel") for what in QUANTITIES}


@pytest.fixture(scope="module", params=QUANTITIES)
def visit(request, chromium, drawings, tmp_path_factory):
    path = tmp_path_factory.mktemp("graph") / "graph.html"
    drawings[request.param].save(path)
    visit = OpenPage(chromium, path.as_uri(), height=720)
    visit.path = path
    return visit


@pytest.fixture(autouse=True)
def closed(request):
    """Start each test with closed groups, as the page does."""
    if "visit" in request.fixturenames:
        page = request.getfixturevalue("visit").page
        page.locator("[role=tab]").first.click()
        page.locator("#close").click()


def boxes(page):
    """Places and sizes of all boxes in the window."""
    return page.locator(".box > rect").evaluate_all("all => all.map(one => one.getBoundingClientRect().toJSON())")


def overlap(a, b):
    return a["left"] < b["right"] and b["left"] < a["right"] and a["top"] < b["bottom"] and b["top"] < a["bottom"]


@pytest.mark.representative
@pytest.mark.parametrize("tab", [0, 1])
def test_closed_groups_fit_one_screen_and_are_legible(visit, tab):
    page = visit.page
    page.locator("[role=tab]").nth(tab).click()
    stage = page.locator("#stage").bounding_box()
    found = boxes(page)
    assert len(found) >= 5
    for box in found:
        assert box["left"] >= 0
        assert box["right"] <= 1280
        assert box["top"] >= stage["y"]
        assert box["bottom"] <= stage["y"] + stage["height"] <= 720
    assert not any(overlap(a, b) for i, a in enumerate(found) for b in found[:i])
    sizes = page.locator("#drawing text").evaluate_all(
        "all => all.map(one => parseFloat(getComputedStyle(one).fontSize) * one.getScreenCTM().a)"
    )
    assert min(sizes) >= SMALLEST
    assert page.locator(".group.open").count() == 0


def test_text_stays_in_its_box(visit):
    spilled = visit.page.locator(".box").evaluate_all(
        "all => all.filter(one => [...one.querySelectorAll('text')].some(text => {"
        "const [a, b] = [text.getBoundingClientRect(), one.querySelector('rect').getBoundingClientRect()];"
        "return a.left < b.left || a.right > b.right; })).map(one => one.textContent)"
    )
    assert spilled == []


@pytest.mark.representative
def test_a_click_opens_a_group_and_another_closes_it(visit):
    page = visit.page
    network = page.locator(".group[aria-label^='Network']")
    before = page.locator(".box").count()
    network.click()
    assert network.get_attribute("aria-expanded") == "true"
    assert page.locator(".box").count() > before
    inner = page.locator(".group[aria-label^='MLP dense upper']")
    inner.click()
    assert inner.get_attribute("aria-expanded") == "true"
    page.locator("#fit").click()
    network.click(position={"x": 8, "y": 8})
    assert network.get_attribute("aria-expanded") == "false"
    assert page.locator(".box").count() == before


def test_the_keyboard_opens_a_group_too(visit):
    network = visit.page.locator(".group[aria-label^='Network']")
    network.focus()
    visit.page.keyboard.press("Enter")
    assert network.get_attribute("aria-expanded") == "true"
    assert network.evaluate("one => one === document.activeElement")


def test_what_is_in_a_group_lies_in_its_box(visit):
    page = visit.page
    page.locator(".group[aria-label^='Network']").click()
    outer = page.locator(".group.open > rect").bounding_box()
    inside = page.locator(".box.brick > rect").evaluate_all(
        "all => all.map(one => one.getBoundingClientRect().toJSON())"
    )
    assert len(inside) >= 3
    for box in inside:
        assert outer["x"] < box["left"]
        assert box["right"] < outer["x"] + outer["width"]
        assert outer["y"] < box["top"]
        assert box["bottom"] < outer["y"] + outer["height"]


def test_details_show_operation_type_and_shape(visit):
    page = visit.page
    page.locator(".group[aria-label^='Network']").click()
    page.locator(".node[aria-label='Transpose']").hover()
    details = page.locator("#details")
    assert details.is_visible()
    assert "float32 (32, 28, 28, 1)" in details.inner_text()
    assert page.locator(".edge.near").count() >= 1


@pytest.mark.representative
def test_everything_opens_without_errors_or_requests(visit):
    page = visit.page
    for tab in (0, 1):
        page.locator("[role=tab]").nth(tab).click()
        page.locator("#open").click()
        assert page.locator(".group.closed").count() == 0
        assert page.locator(".node").count() == page.evaluate(
            f"JSON.parse(document.getElementById('data').textContent).graphs[{tab}].nodes.length"
        )
    assert visit.errors == []
    assert [url for url in visit.requests if not url.startswith("data:")] == [visit.path.as_uri()]


def test_the_wheel_zooms_and_a_drag_moves(visit):
    page = visit.page
    where = page.locator("#drawing")
    before = where.get_attribute("transform")
    page.mouse.move(640, 600)
    page.mouse.wheel(0, -300)
    zoomed = where.get_attribute("transform")
    page.mouse.down()
    page.mouse.move(600, 590, steps=3)
    page.mouse.up()
    assert len({before, zoomed, where.get_attribute("transform")}) == 3
    page.locator("#fit").click()
    assert where.get_attribute("transform") == before


def test_names_cannot_become_part_of_the_page(chromium, tmp_path):
    x = pt.dvector(HOSTILE)
    y = x + 1
    y.name = HOSTILE
    draw(y, HOSTILE).save(tmp_path / "graph.html")
    visit = OpenPage(chromium, (tmp_path / "graph.html").as_uri())
    assert visit.page.evaluate("window.hacked") is None
    assert visit.errors == []
    assert "<img" in visit.page.locator("#title").inner_text()


def test_a_notebook_shows_the_page_in_a_frame(chromium, tmp_path):
    drawing = draw(pt.dvector("x") ** 2, "square")
    path = tmp_path / "notebook.html"
    path.write_text(f"<!DOCTYPE html><meta charset=utf-8><body>{drawing._repr_html_()}")
    visit = OpenPage(chromium, path.as_uri())
    frame = visit.page.frame_locator("iframe")
    assert frame.locator(".box").count() == 3
    assert frame.locator("#title").inner_text() == "square"
    assert visit.errors == []


def test_a_drawing_that_is_hidden_at_first_fits_when_it_is_shown(chromium, tmp_path):
    path = tmp_path / "slides.html"
    frame = draw(pt.dvector("x") ** 2)._repr_html_()
    path.write_text(f"<!DOCTYPE html><meta charset=utf-8><body><div id=slide style='display: none'>{frame}</div>")
    visit = OpenPage(chromium, path.as_uri())
    visit.page.evaluate("document.getElementById('slide').style.display = 'block'")
    shown = visit.page.frame_locator("iframe")
    shown.locator(".box").first.hover()
    assert "NaN" not in shown.locator("#drawing").get_attribute("transform")
    assert visit.errors == []


def test_the_file_loads_nothing_from_elsewhere(drawings):
    text = drawings["K"].as_html()
    assert not re.search(r"<(script|link|img|iframe)[^>]*(src|href)=.(https?:)?//", text)
    assert "default-src 'none'" in text
    data = json.loads(re.search(r'<script id="data"[^>]*>(.*?)</script>', text, re.DOTALL)[1])
    assert [graph["name"] for graph in data["graphs"]] == ["as built", "rewritten"]


def test_one_variable_or_several_and_the_title():
    x = pt.dvector("x")
    y, z = pt.exp(x), pt.log(x)
    y.name, z.name = "y", "X_noisy"
    assert draw([y, z]).title == "y, x^{(t)}"
    assert draw(x * 3).title == "graph"
    assert "1 operations in 0 groups" in repr(draw(y, "a title"))
    assert 'title="x(t)"' in html.unescape(draw(z)._repr_html_())


@pytest.mark.parametrize("value", [3.0, [1], "x"])
def test_what_is_no_variable_is_refused(value):
    with pytest.raises(dpm.InputError, match=r"outputs: got .*; expected variables of PyTensor"):
        draw(value)


def test_a_pytensor_without_the_layout_is_named(monkeypatch):
    assert "dagre" in layout_library()
    monkeypatch.setattr(page_module, "LAYOUT", "js/gone.js")
    with pytest.raises(dpm.InputError, match=r"^PyTensor .* has no d3viz/js/gone.js; "):
        layout_library()
