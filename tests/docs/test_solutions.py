"""The solutions of the exercises: three functions for each chapter, which compute and check their answers."""

import ast
import importlib.util

import pytest

from tests.docs.chapters import BOOK, CHAPTERS

NAMES = ("exercise_1", "exercise_2", "exercise_3")
FILES = sorted((BOOK / "solutions").glob("*.py"))
EXERCISES = [pytest.param(path, name, id=f"{path.stem}-{name}") for path in FILES for name in NAMES]


def solutions_of(chapter):
    """Return the file with the solutions of a chapter."""
    return BOOK / "solutions" / f"chapter_{chapter.name[:2]}.py"


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
@pytest.mark.representative
def test_a_chapter_has_three_solutions_that_check_their_answers(chapter):
    functions = {
        node.name: node
        for node in ast.parse(solutions_of(chapter).read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("exercise_")
    }
    assert tuple(functions) == NAMES
    for function in functions.values():
        assert ast.get_docstring(function)
        assert any(isinstance(node, ast.Assert) for node in ast.walk(function))


def test_each_file_of_solutions_has_a_chapter():
    assert {path.name for path in FILES} <= {solutions_of(chapter).name for chapter in CHAPTERS}


@pytest.mark.parametrize(("path", "name"), EXERCISES)
def test_a_solution_holds(path, name, monkeypatch):
    monkeypatch.syspath_prepend(BOOK)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    getattr(module, name)()
