"""The chapters of the book as text: their cells and sections, and what the rules of the book ask of them."""

import ast
import re
from contextlib import suppress
from typing import NamedTuple

from tests.docs.equation_links import ROOT, cited_equations

BOOK = ROOT / "docs" / "book"
CHAPTERS = sorted(BOOK.glob("[0-9][0-9]-*.md"))
CELL = re.compile(r"^```+\{code-cell\}[^\n]*\n(.*?)^```+$", re.DOTALL | re.MULTILINE)
OPTIONS = re.compile(r"---\n.*?^---\n|(?::[\w-]+:[^\n]*\n)+", re.DOTALL | re.MULTILINE)
DRAWS = re.compile(r"\bplt\.(?!rcParams|style)|\.(?:plot|imshow|scatter|hist|bar|semilogy|loglog)\(")
LAST_EQUATION = 66
MAX_COLUMNS, MAX_LINES = 88, 20


class Cell(NamedTuple):
    """A code cell: the text of its options and its code."""

    options: str
    code: str

    @property
    def hidden(self):
        """Whether a reader does not see its code at first."""
        return bool(re.search(r"remove-(?:cell|input)|hide-(?:cell|input)", self.options))


def cells(text):
    """Return the code cells of a chapter."""
    found = []
    for body in CELL.findall(text):
        options = OPTIONS.match(body)
        end = options.end() if options else 0
        found.append(Cell(body[:end], body[end:].strip("\n")))
    return found


def sections(text):
    """Return {title: text} of the sections of a chapter."""
    prose = CELL.sub("", text)
    parts = re.split(r"^## (.+)$", prose, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def outside_functions(code):
    """Return the code of a cell without the functions that it defines, which draw where they are called."""
    with suppress(SyntaxError):  # of a line for IPython
        module = ast.parse(code)
        module.body = [node for node in module.body if not isinstance(node, ast.FunctionDef)]
        return ast.unparse(module)
    return code


def complaints(text):
    """Return what the rules of the book do not allow in a chapter."""
    found = []
    for cell in cells(text):
        first = cell.code.partition("\n")[0]
        lines = cell.code.split("\n")
        found += [f"line of more than {MAX_COLUMNS} columns: {line}" for line in lines if len(line) > MAX_COLUMNS]
        if len(lines) > MAX_LINES and not cell.hidden:
            found.append(f"cell of {len(lines)} lines: {first}")
        drawn = DRAWS.search(outside_functions(cell.code)) and "remove-cell" not in cell.options
        if drawn and not re.search(r"\balt: *\S", cell.options):
            found.append(f"figure without alt text: {first}")
        if "interactive." in cell.code and not re.search(r"\balt=", cell.code):
            found.append(f"interactive figure without alt text: {first}")
    if not any("remove-cell" in cell.options and "assert " in cell.code for cell in cells(text)):
        found.append("no assert in a cell with the tag remove-cell")
    *_, (last, exercises) = sections(text).items() if sections(text) else [("", "")]
    if last != "Exercises" or re.findall(r"^(\d+)\. ", exercises, re.MULTILINE) != ["1", "2", "3"]:
        found.append("no last section 'Exercises' with the items 1, 2 and 3")
    tags = {int(tag) for tag in re.findall(r"\\tag\{(\d+)\}", text)}
    unknown = (tags | cited_equations(re.sub(r"Eq\. \d+\.\d+", "", text))) - set(range(1, LAST_EQUATION + 1))
    found += [f"the paper has no equation {number}" for number in sorted(unknown)]
    if not re.match(r"---\n.*?\n  name: python3\n.*?---\n+# \S", text, re.DOTALL):
        found.append("no header with the kernel python3 before the title")
    return found
