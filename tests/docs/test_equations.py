"""docs/equations.md lists each equation of the paper, and what it names exists and says the same."""

import ast
import importlib
import inspect
import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "equations.md").read_text()
LAST = 66
FORMULA_OR_PROSE = re.compile(r"prose\b|`dpm/")
ROWS = re.findall(r"^\| (\d+)(?:-(\d+))? \| (.+?) \| (.+) \|$", PAGE, re.MULTILINE)
NAMED = [
    (int(first), int(last or first), module, path)
    for first, last, _, where in ROWS
    for module, path in re.findall(r"`(dpm/[\w/]+)\.py:([\w.]+)`", where)
]
TESTS = sorted(set(re.findall(r"`(tests/[\w/]+\.py):([\w.]+)`", PAGE)))


def equations(docstring):
    """The numbers of the paper's equations that a docstring names: "Eq. 3", "Eq. 14 and 47", "Eq. 7-9".

    Those of other papers stand behind a year.
    """
    found = set()
    for text in re.findall(r"(?<!\d{4}, )\bEq\. (\d+(?:(?:, | and |-)\d+)*)", docstring or ""):
        for part in re.split(r", | and ", text):
            first, _, last = part.partition("-")
            found |= set(range(int(first), int(last or first) + 1))
    return found


def docstrings():
    """(where, docstring) of everything in dpm/ that has one."""
    for path in sorted((ROOT / "dpm").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                yield f"{path.relative_to(ROOT)}:{getattr(node, 'name', '')}", ast.get_docstring(node)


def test_numbers_are_read_as_they_are_written():
    text = "x (Eq. 14, 48 and 49), Eq. 7-9; Eq. 3, frozen noise; (Nichol 2021, Eq. 17)"
    assert equations(text) == {3, 7, 8, 9, 14, 48, 49}


def test_each_equation_has_one_row_in_order():
    """1 to 66, each with a few words and either a function or prose."""
    numbers = [n for first, last, _, _ in ROWS for n in range(int(first), int(last or first) + 1)]
    assert numbers == list(range(1, LAST + 1))
    table = PAGE[PAGE.index("## Table") : PAGE.index("## Notation")]
    assert len(ROWS) == len(re.findall(r"^\| \d", table, re.MULTILINE))
    assert [first for first, _, _, where in ROWS if not FORMULA_OR_PROSE.search(where)] == []


def test_each_equation_is_named_in_a_docstring_or_told_in_prose():
    """From 3 to 66; and no docstring names one that the paper has not."""
    named = {where: equations(text) for where, text in docstrings()}
    assert {where: found for where, found in named.items() if found - set(range(1, LAST + 1))} == {}
    in_code = set().union(*named.values())
    prose = {n for first, last, _, where in ROWS if "prose" in where for n in range(int(first), int(last or first) + 1)}
    assert set(range(3, LAST + 1)) - in_code - prose == set()


@pytest.mark.parametrize(("first", "last", "module", "path"), NAMED, ids=lambda v: str(v))
def test_a_named_function_exists_and_names_its_equation(first, last, module, path):
    """In its own docstring, or in that of its class or module."""
    holder = importlib.import_module(module.replace("/", "."))
    texts = [holder.__doc__]
    for name in path.split("."):
        holder = getattr(holder, name)
        texts.append(inspect.getdoc(holder))
    assert set(range(first, last + 1)) <= set().union(*map(equations, texts)), texts[-1]


@pytest.mark.parametrize(("file", "path"), TESTS)
def test_a_named_test_exists(file, path):
    body = ast.parse((ROOT / file).read_text()).body
    for name in path.split("."):
        (node,) = [n for n in body if isinstance(n, ast.FunctionDef | ast.ClassDef) and n.name == name]
        body = node.body


def test_products_with_r_reverse_each_other_up_to_their_normalizers():
    """Eq. 57 holds, with 51 and 52 as they are; 62, which drops their normalizers, only where these are constant."""
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
    # The last step of a schedule that erases all: 51 forgets x_{t-1}, and both are products of independent parts.
    left, right, _, _ = both_sides(rng.dirichlet(np.ones(4)), np.full((4, 4), 0.25), rng.uniform(1, 3, 4))
    np.testing.assert_allclose(left, right, rtol=1e-12)
