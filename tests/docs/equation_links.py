"""Read docs/equations.md and the equations that docstrings cite; update the links of the page.

Run `python -m tests.docs.update` after a function that cites an equation has moved. In a section, the line
"Code: ..." keeps its entries and their order; every other citation is listed in "Also cited in: ...". To add an entry
to "Code: ...", write its label in backticks, such as `GaussianKernel.kl` or `sampler.diffusion_step`.
"""

import ast
import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "equations.md"
CODE, OTHERS = "Code: ", "Also cited in: "
HEADING = re.compile(r"^### Eq\. (\d+)(?:-(\d+))?: (.+)$", re.MULTILINE)


class Definition(NamedTuple):
    """A module, class or function of dpm/, with the equations that its docstring cites."""

    file: str  # dpm/model.py
    name: str  # DiffusionModel.get_mu_sigma; empty for a module
    line: int
    equations: frozenset[int]

    @property
    def label(self):
        """`Class.method`, `module.function`, `module.Class`, or the file of a module."""
        if not self.name:
            return self.file
        return self.name if "." in self.name else f"{Path(self.file).stem}.{self.name}"

    @property
    def link(self):
        """The label as a Markdown link from docs/."""
        return f"[`{self.label}`](../{self.file}{f'#L{self.line}' if self.name else ''})"


class Section(NamedTuple):
    """A section of the page: its equations, its text, and the labels on its line "Code: "."""

    equations: range
    title: str
    text: str

    @property
    def code(self):
        """The labels on the line "Code: ", in their order."""
        lines = [line for line in self.text.splitlines() if line.startswith(CODE)]
        return re.findall(r"`([^`]+)`", " ".join(lines))


def cited_equations(docstring):
    """Return the numbers of the paper's equations in a docstring: "Eq. 3", "Eq. 14 and 47", "Eq. 7-9", "Eq. 7 to 9".

    An equation of another paper follows a year and a comma ("2021, Eq. 17") and is not counted.
    """
    found = set()
    text = re.sub(r"\s+", " ", docstring or "")
    for numbers in re.findall(r"(?<!\d{4}, )\bEqs?\. (\d+(?:(?:, | and | to |-)\d+)*)", text):
        for part in re.split(r", | and ", numbers):
            first, _, last = part.replace(" to ", "-").partition("-")
            found |= set(range(int(first), int(last or first) + 1))
    return frozenset(found)


def definitions():
    """Yield a Definition for everything in dpm/ that can have a docstring."""
    for path in sorted((ROOT / "dpm").rglob("*.py")):
        file, tree = path.relative_to(ROOT).as_posix(), ast.parse(path.read_text())
        yield Definition(file, "", 1, cited_equations(ast.get_docstring(tree)))
        yield from _inner_definitions(file, tree, ())


def _inner_definitions(file, node, outer):
    """Yield the classes and functions inside a node, however deep."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names = (*outer, child.name)
            yield Definition(file, ".".join(names), child.lineno, cited_equations(ast.get_docstring(child)))
            yield from _inner_definitions(file, child, names)
        else:
            yield from _inner_definitions(file, child, outer)


def sections(page):
    """Return the sections of the page, in order."""
    matches = list(HEADING.finditer(page))
    ends = [*(match.start() for match in matches[1:]), len(page)]
    return [
        Section(range(int(m[1]), int(m[2] or m[1]) + 1), m[3], page[m.end() : end])
        for m, end in zip(matches, ends, strict=True)
    ]


def find_definition(label, definitions):
    """Return the definition of a label, or the only one of the same name elsewhere, or None."""
    name = label.rpartition(".")[2]
    exact = [d for d in definitions if d.label == label]
    moved = [d for d in definitions if d.name.rpartition(".")[2] == name]
    return exact[0] if exact else moved[0] if len(moved) == 1 else None


def linked_text(section, cited):
    """Return the section's text with the lines "Code: " and "Also cited in: " made from the cited definitions."""
    here = [d for d in cited if d.equations & set(section.equations)]
    code = list(dict.fromkeys(d for label in section.code if (d := find_definition(label, here))))
    others = sorted((d for d in here if d not in code), key=lambda d: (d.file, d.line))
    lines = [
        f"{prefix}{', '.join(d.link for d in found)}" for prefix, found in ((CODE, code), (OTHERS, others)) if found
    ]
    body, rest = _split(section.text)
    return "\n\n".join(part for part in (body, *lines) if part) + "\n\n" + rest


def _split(text):
    """Return a section's text without its lines of links, and the heading of the next chapter with what follows."""
    match = re.search(r"^## ", text, re.MULTILINE)
    body, rest = (text[: match.start()], text[match.start() :]) if match else (text, "")
    kept = "\n".join(line for line in body.splitlines() if not line.startswith((CODE, OTHERS)))
    return re.sub(r"\n{3,}", "\n\n", kept).rstrip(), rest


def updated(page):
    """Return the page with its links made from the current docstrings."""
    cited = [d for d in definitions() if d.equations]
    found = list(HEADING.finditer(page))
    start = page[: found[0].start()]
    parts = [match[0] + linked_text(section, cited) for match, section in zip(found, sections(page), strict=True)]
    return start + "".join(parts).rstrip() + "\n"


def main():
    """Update the page, and print the entries of "Code: " that no longer cite their equation."""
    before = PAGE.read_text()
    PAGE.write_text(updated(before))
    for old, new in zip(sections(before), sections(PAGE.read_text()), strict=True):
        if lost := {label.rpartition(".")[2] for label in old.code} - {label.rpartition(".")[2] for label in new.code}:
            print(f"Eq. {old.equations[0]}: no longer cited by {', '.join(sorted(lost))}")
