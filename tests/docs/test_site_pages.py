"""What docs/site_*.py add to Sphinx."""

import re
from types import SimpleNamespace

import pytest

pytest.importorskip("sphinx", reason="sphinx is not installed (extra docs)")
from docutils import nodes

import dpm
from dpm.__main__ import COMMANDS
from tests.docs.equation_links import ROOT


@pytest.fixture
def site(monkeypatch):
    """Return a function that imports a module of docs/."""
    monkeypatch.syspath_prepend(ROOT / "docs")
    return lambda name: __import__(name)


def read(site, docname, text):
    """Return a page as Sphinx reads it."""
    source = [text]
    site("site_pages").read_as_on_github(
        SimpleNamespace(config=SimpleNamespace(root_doc="docs/index")), docname, source
    )
    return source[0]


@pytest.mark.parametrize(
    ("docname", "link", "target"),
    [
        ("docs/equations", "../dpm/model.py#L22", "source:../source/dpm/model.py.html#L-22"),
        ("docs/book/01-graph", "../../dpm/graph", "source:../../source/dpm/graph.html"),
        ("README", "CITATION.cff", "source:source/CITATION.cff.html"),
        (
            "datasets/README",
            "../dpm/datasets/embedded/README.md",
            "source:../source/dpm/datasets/embedded/README.md.html",
        ),
        ("docs/index", "../README.md", "../README.md"),
        ("docs/python", "schedules.md#measure", "schedules.md#measure"),
        ("docs/training", "results/report.png", "results/report.png"),
        ("docs/python", "../dpm/missing.py", "../dpm/missing.py"),
    ],
)
@pytest.mark.representative
def test_a_link_leads_to_a_page_of_the_site(site, docname, link, target):
    assert read(site, docname, f"See [it]({link}).\n").startswith(f"See [it]({target}).")


def test_code_stays_as_it_is(site):
    text = "A $`x`$.\n\n```python\ny = '$`x`$'  # [it](../dpm/model.py)\n```\n\nB $`y`$.\n"
    changed = read(site, "docs/python", text)
    assert changed == text.replace("A $`x`$", "A $x$").replace("B $`y`$", "B $y$")


def test_the_lists_of_the_start_page_become_toctrees(site):
    text = "# Documentation\n\n## Start\n\n- [First](a.md): x; [Second](b.md)\n\n## Guides\n\n- [Site](https://x.org/c.md)\n"
    start, guides = read(site, "docs/index", text).split("{toctree}")[1:]
    assert ":caption: Start\n\nFirst <a.md>\nSecond <b.md>\n" in start
    assert ":caption: Guides\n\n\n" in guides


def test_a_chapter_has_the_number_of_its_file(site):
    for title in ("# Forward", "# 7. Forward"):
        assert read(site, "docs/book/02-forward", f"{title}\n\n## Step\n") == "# 2. Forward\n\n## Step\n"


def test_an_equation_has_the_number_of_the_paper(site):
    labels = {}
    equations = [nodes.math_block(text, text, label=text[0]) for text in ("a = 1 \\tag{14}", "b = 2", "c = 3")]
    document = SimpleNamespace(findall=lambda kind: equations)
    env = SimpleNamespace(docname="docs/book/03-reverse", domains={"math": SimpleNamespace(equations=labels)})
    site("site_pages").number_equations(SimpleNamespace(env=env), document)
    assert {label: number for label, (_, number) in labels.items()} == {"a": "14", "b": "3.1", "c": "3.2"}
    assert [node.astext() for node in equations] == ["a = 1", "b = 2", "c = 3"]


def test_docstrings_are_plain_text(site):
    lines = ["Return p(x|y) of *x, H_ and `a*b`.", ">>> f(*x)"]
    site("site_reference").read_as_plain_text(None, "function", "f", None, None, lines)
    assert lines == ["Return p(x\\|y) of \\*x, H\\_ and `a*b`.", ">>> f(*x)"]


def test_the_source_of_a_public_name_is_found(site):
    resolve = site("site_reference").resolve_source
    link = resolve("py", {"module": "dpm", "fullname": "DiffusionModel.get_mu_sigma"})
    path, line = link.split(".html#L-")
    assert path == "../../source/dpm/model.py"
    assert "def get_mu_sigma" in (ROOT / "dpm" / "model.py").read_text().splitlines()[int(line) - 1]
    assert resolve("py", {"module": "dpm", "fullname": "missing"}) is None


def test_every_command_is_in_the_reference():
    text = (ROOT / "docs" / "reference" / "commands.md").read_text()
    assert [name for name in COMMANDS if f"```{{help}} {name}\n" not in text] == []


def test_every_public_name_is_in_the_reference():
    text = (ROOT / "docs" / "reference" / "api.md").read_text()
    shown = set(re.findall(r"^\.\. auto\w+:: (?:[\w.]+\.)?(\w+)$", text, re.MULTILINE))
    assert set(dpm.__all__) - shown == set()
