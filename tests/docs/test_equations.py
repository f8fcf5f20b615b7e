"""docs/equations.md agrees with the docstrings: equations, functions, links and lines, in both directions."""

import ast
import re
from collections import Counter

import numpy as np
import pytest

from tests.docs import equation_links
from tests.docs.equation_links import PAGE, ROOT, Definition, cited_equations, definitions, sections

TEXT = PAGE.read_text()
SECTIONS = sections(TEXT)
LAST = 66
WITHOUT_FORMULA = (38, 41)  # the paper prints these numbers on empty lines
CITING = [d for d in definitions() if d.equations]
PAIRS = [(number, d) for d in CITING for number in sorted(d.equations)]
LINK = re.compile(r"\[`([^`]+)`\]\(\.\./(dpm/[\w/]+\.py)(?:#L(\d+))?\)")
LINKS = [(section, *link) for section in SECTIONS for link in LINK.findall(section.text)]
TESTS = sorted(set(re.findall(r"`(tests/[\w/]+\.py):([\w.]+)`", TEXT)))
COMMAND = "run: python -m tests.docs.update"


def test_the_ways_of_citing_equations_are_understood():
    text = "x (Eq. 14, 48 and 49), Eq. 7-9; Eq. 3, frozen noise; Eq. 63 to\n    65; (Nichol 2021, Eq. 17). Eqs. 1 and 2"
    assert cited_equations(text) == {1, 2, 3, 7, 8, 9, 14, 48, 49, 63, 64, 65}
    assert cited_equations(None) == set()


def test_each_equation_has_one_section_in_order():
    assert [n for section in SECTIONS for n in section.equations] == list(range(1, LAST + 1))
    assert len(SECTIONS) == TEXT.count("\n### ")


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: f"Eq. {section.equations[0]}")
def test_a_section_has_a_formula_and_says_where_it_is_computed(section):
    formulas = re.findall(r"```math\n(.+?)\n```", section.text, re.DOTALL)
    assert len(formulas) == (section.equations[0] not in WITHOUT_FORMULA)
    if len(section.equations) > 1:
        assert re.findall(r"&& \((\d+)\)", formulas[0]) == [str(n) for n in section.equations]
    assert section.code or "Not computed" in section.text


def test_docstrings_cite_only_equations_of_the_paper():
    assert [d for d in CITING if not d.equations <= set(range(1, LAST + 1))] == []


@pytest.mark.parametrize(
    ("number", "definition"), PAIRS, ids=lambda v: v.label if isinstance(v, Definition) else str(v)
)
def test_every_citation_in_a_docstring_is_listed(number, definition):
    (section,) = [s for s in SECTIONS if number in s.equations]
    assert definition.link in section.text, COMMAND


@pytest.mark.parametrize(("section", "label", "file", "line"), LINKS, ids=lambda v: v if isinstance(v, str) else None)
def test_every_listed_function_cites_its_equation_and_has_its_line(section, label, file, line):
    found = [d for d in CITING if (d.file, d.label, str(d.line) if d.name else "") == (file, label, line)]
    assert found, COMMAND
    assert found[0].equations & set(section.equations), COMMAND


def test_each_equation_of_a_section_of_functions_is_cited():
    """A section of several equations, such as 48-49, lists no function for only one of them."""
    missing = {n for s in SECTIONS if s.code for n in s.equations if not any(n in d.equations for d in CITING)}
    assert missing <= {7, 8}, "steps of the derivation of Eq. 9"


def test_a_function_is_listed_once_in_a_section():
    counts = Counter((section.equations[0], label, file) for section, label, file, _ in LINKS)
    assert [key for key, count in counts.items() if count > 1] == []


def test_updating_the_links_changes_nothing():
    assert equation_links.updated(TEXT) == TEXT, COMMAND


def test_updating_finds_a_function_that_has_moved():
    wrong = re.sub(r"\[`(?:\w+)\.diffusion_step`\]\([^)]*\)", "`elsewhere.diffusion_step`", TEXT)
    assert wrong != TEXT
    assert equation_links.updated(wrong) == TEXT


def test_updating_drops_a_function_that_cites_nothing():
    wrong = TEXT.replace("Code: [`GaussianKernel.prior`]", "Code: `GaussianKernel.check`, [`GaussianKernel.prior`]")
    assert wrong != TEXT
    assert equation_links.updated(wrong) == TEXT


@pytest.mark.parametrize(("file", "path"), TESTS)
def test_a_test_that_the_page_names_exists(file, path):
    body = ast.parse((ROOT / file).read_text()).body
    for name in path.split("."):
        (node,) = [n for n in body if isinstance(n, ast.FunctionDef | ast.ClassDef) and n.name == name]
        body = node.body


def test_products_with_r_reverse_each_other_up_to_their_normalizers():
    """Eq. 57 holds for Eq. 51 and 52. Eq. 62, without their normalizers, holds only where these are constant."""
    rng = np.random.default_rng(0)

    def both_sides(before, step, r):
        joint = before[:, None] * step  # (x_{t-1}, x_t), Eq. 17
        now = joint.sum(axis=0)
        forward, backward = step * r, joint / now * r[:, None]
        norm_51, norm_52 = forward.sum(axis=1, keepdims=True), backward.sum(axis=0, keepdims=True)
        Z_before, Z_now = before @ r, now @ r
        left = (before * r / Z_before)[:, None] * forward / norm_51
        right = now * r / Z_now * backward / norm_52
        return left, right, Z_before * norm_51, Z_now * norm_52

    step = np.array([[0.9, 0.1], [0.4, 0.6]])
    left, right, norm_left, norm_right = both_sides(np.array([0.3, 0.7]), step, np.array([1.0, 3.0]))
    np.testing.assert_allclose(left * norm_left, right * norm_right, rtol=1e-12)
    assert np.abs(left - right).max() > 0.01
    # A step that erases everything: x_t does not depend on x_{t-1}, so all normalizers are constant.
    left, right, _, _ = both_sides(rng.dirichlet(np.ones(4)), np.full((4, 4), 0.25), rng.uniform(1, 3, 4))
    np.testing.assert_allclose(left, right, rtol=1e-12)
