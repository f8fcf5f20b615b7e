"""docs/book/interactive.py: what the figures hold, and that a browser draws them without a network."""

import base64
import importlib.util
import io
import json
import re
import shutil
from pathlib import Path

import bokeh
import numpy as np
import pytest
from PIL import Image

from tests.docs.chapters import BOOK
from tests.helpers.browser import browser

spec = importlib.util.spec_from_file_location("interactive", BOOK / "interactive.py")
interactive = importlib.util.module_from_spec(spec)
spec.loader.exec_module(interactive)

STATIC = BOOK.parent / "_static"
POINTS = np.random.default_rng(0).normal(size=(3, 5, 2))
IMAGES = np.linspace(0, 1, 3 * 2 * 3 * 4 * 4).reshape(3, 2, 3, 4, 4)


def sources(figure):
    """Return the data of the sources of a figure, in the order in which they were made."""
    found = figure.model.select({"type": interactive.ColumnDataSource})
    return [source.data for source in sorted(found, key=lambda source: int(source.id[1:]))]


def states_of(figure):
    """Return the sources with all states, which the script of the slider has."""
    (script,) = figure.model.children[0].js_property_callbacks["change:value"]
    return script.args["states"]


def test_a_slider_has_every_state_of_points():
    figure = interactive.slider_over_states({"a": POINTS, "b": POINTS[::-1]}, [0, 5, 9], alt="clouds")
    slider = figure.model.children[0]
    assert (slider.start, slider.end) == (0, 2)
    assert slider.format.args["times"] == [0, 5, 9]
    first, second = (source.data for source in states_of(figure))
    for i in range(3):
        np.testing.assert_allclose(np.stack([first[f"x{i}"], first[f"y{i}"]], axis=1), POINTS[i], rtol=1e-6)
        np.testing.assert_array_equal(second[f"x{i}"], first[f"x{2 - i}"])


def test_a_slider_has_every_state_of_color_images():
    (source,) = states_of(interactive.slider_over_states({"a": IMAGES}, [0, 5, 9], alt="images"))
    (packed,) = source.data["image2"]
    rgba = packed.view(np.uint8).reshape(*packed.shape, 4)[::-1]  # two images of 4 x 4 in a row, with gaps
    assert rgba.shape == (6, 11, 4)
    assert (rgba[..., 3] == 255).all()
    pixels = rgba[1:5, 1:5, :3].transpose(2, 0, 1)
    np.testing.assert_array_equal(pixels, np.rint(255 * IMAGES[2, 0].astype(np.float32)))


def test_long_trajectories_keep_their_ends():
    figure = interactive.slider_over_states({"a": np.zeros((1001, 3, 2))}, range(1001), alt="zeros")
    times = figure.model.children[0].format.args["times"]
    assert len(times) == interactive.MAX_STATES
    assert (times[0], times[-1]) == (0, 1000)


@pytest.mark.parametrize("shape", [(3, 5, 3), (2, 5, 2), (3, 5, 4, 4), (3, 5, 2, 4, 4)])
def test_states_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected \(3, n, 2\) or \(3, n, c, h, w\)"):
        interactive.slider_over_states({"a": np.zeros(shape)}, [0, 1, 2], alt="wrong")


def test_the_ratio_of_signal_to_noise_is_that_of_the_products():
    beta = np.array([0.1, 0.5, 1.0])
    figure = interactive.schedules({"mine": beta}, alt="a schedule")
    rates, ratios = sources(figure)
    np.testing.assert_array_equal(rates["value"], beta)
    shares = np.cumprod(1 - beta)[:2]
    np.testing.assert_allclose(ratios["value"], [*np.log(shares / (1 - shares)), np.nan], rtol=1e-12)


def test_terms_are_those_of_t_from_2_unless_times_are_given():
    terms = {"all": [3.0, 2.0, 1.0], "some": (np.array([2, 10]), np.array([0.5, 0.1]))}
    all_terms, some = sources(interactive.terms_by_time(terms, alt="terms"))
    np.testing.assert_array_equal(all_terms["t"], [2, 3, 4])
    np.testing.assert_array_equal(some["t"], [2, 10])


def test_the_page_has_a_picture_and_the_text_for_those_who_cannot_see():
    html = interactive.schedules({"</script>": [0.1, 0.2]}, alt='beta > 0 & "more"')._repr_html_()
    assert html.count("beta &gt; 0 &amp; &quot;more&quot;") == 2
    assert html.count("</script>") == 1, "the end of the element"
    (png,) = re.findall(r"data:image/png;base64,([^\"]+)", html)
    assert min(Image.open(io.BytesIO(base64.b64decode(png))).size) > 100
    (data,) = re.findall(r"<script[^>]*>(.*)</script>", html)
    assert json.loads(data)["doc"]


@pytest.mark.thorough
def test_a_browser_draws_the_figure_and_the_arrow_keys_move_it(tmp_path):
    scripts = tmp_path / "bokeh"
    scripts.mkdir()
    for name in ("bokeh.min.js", "bokeh-widgets.min.js"):
        shutil.copy(Path(bokeh.__file__).parent / "server" / "static" / "js" / name, scripts)
    for name in ("interactive.js", "site.css"):
        shutil.copy(STATIC / name, tmp_path)
    figure = interactive.slider_over_states({"a": POINTS}, [0, 5, 9], alt="a cloud")
    page = tmp_path / "page.html"
    head = '<!DOCTYPE html><link rel="stylesheet" href="site.css"><script src="interactive.js"></script>'
    page.write_text(f"{head}<body>{figure._repr_html_()}")
    with browser() as chromium:
        tab = chromium.new_page()
        errors, requests = [], []
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.on("request", lambda request: requests.append(request.url))
        tab.goto(page.as_uri())
        tab.wait_for_function("() => window.Bokeh && Bokeh.documents.length && Bokeh.documents[0].is_idle")
        tab.locator(".noUi-handle").focus()
        tab.keyboard.press("ArrowRight")
        x = float(np.float32(POINTS[1, 0, 0]))
        tab.wait_for_function(f"() => Bokeh.documents[0].get_model_by_name('shown').data.x[0] === {x!r}")
        visible = [tab.locator(f".interactive-{part}").is_visible() for part in ("figure", "picture")]
        tab.emulate_media(media="print")
        printed = [tab.locator(f".interactive-{part}").is_visible() for part in ("figure", "picture")]
    assert (visible, printed) == ([True, False], [False, True])
    assert errors == []
    assert {url.partition(":")[0] for url in requests} <= {"file", "data"}
