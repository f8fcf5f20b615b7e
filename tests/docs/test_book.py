"""The chapters of the book keep its rules; `make docs` runs them."""

import pytest

from tests.docs.chapters import BOOK, CHAPTERS, MAX_LINES, cells, complaints

GOOD = """---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  name: python3
---

# 1. A chapter

$$
a = b \\tag{14}
$$ (eq-a)

See Eq. 14 and Eq. 1.2.

## A figure

```{code-cell} python
---
mystnb:
  image:
    alt: A line that rises.
---
plt.plot(x);
```

```{code-cell} python
:tags: [remove-cell]

assert len(x) == 3
```

## Exercises

1. One?
2. Two?
3. Three?
"""


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
@pytest.mark.representative
def test_a_chapter_keeps_the_rules(path):
    assert complaints(path.read_text()) == []


def test_chapters_are_numbered_without_a_gap():
    numbers = [int(path.name[:2]) for path in CHAPTERS]
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_good_chapter_is_accepted():
    assert complaints(GOOD) == []
    figure, check = cells(GOOD)
    assert figure.code == "plt.plot(x);"
    assert (figure.hidden, check.hidden) == (False, True)


@pytest.mark.parametrize(
    ("good", "bad", "complaint"),
    [
        ("plt.plot(x);", f"plt.plot({'x' * 88});", "line of more than 88 columns"),
        ("plt.plot(x);", "x = 3\n" * (MAX_LINES + 1), "cell of 21 lines"),
        ("    alt: A line that rises.", "    width: 3", "figure without alt text: plt.plot(x);"),
        ("plt.plot(x);", "interactive.schedules(x)", "interactive figure without alt text"),
        ("assert len", "print", "no assert"),
        (":tags: [remove-cell]", "", "no assert"),
        ("3. Three?", "", "no last section 'Exercises'"),
        ("## Exercises", "## Questions", "no last section 'Exercises'"),
        ("\\tag{14}", "\\tag{67}", "the paper has no equation 67"),
        ("See Eq. 14", "See Eq. 70", "the paper has no equation 70"),
        ("name: python3", "name: julia", "no header with the kernel"),
    ],
)
@pytest.mark.representative
def test_a_rule_that_is_broken_is_found(good, bad, complaint):
    found = complaints(GOOD.replace(good, bad, 1))
    assert len(found) == 1
    assert found[0].startswith(complaint)


def test_the_book_has_its_pages():
    """The list of the chapters is a glob, so that no chapter can be missing."""
    assert "[0-9]*" in (BOOK / "index.md").read_text()
