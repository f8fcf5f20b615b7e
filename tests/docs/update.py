"""Update what the pages take from the code: run `python -m tests.docs.update`."""

import re

from tests.docs import equation_links, sessions
from tests.docs.test_docs import ROOT, flag_rows

FLAGS_PAGE = ROOT / "docs" / "from-2015.md"
PYTHON_PAGE = ROOT / "docs" / "python.md"


def with_flags(text):
    """Return the text of docs/from-2015.md with its table of flags made from the code."""
    rows = "".join(f"| {' | '.join(row)} |\n" for row in flag_rows())
    return re.sub(
        r"(?<=\n\| flag \| 2015 \| here \| what it does here \|\n\|---\|---\|---\|---\|\n)(\|.*\n)+",
        lambda _: rows,
        text,
    )


def main():
    """Update docs/from-2015.md, docs/python.md and docs/equations.md."""
    FLAGS_PAGE.write_text(with_flags(FLAGS_PAGE.read_text()))
    PYTHON_PAGE.write_text(sessions.with_sessions(PYTHON_PAGE.read_text()))
    equation_links.main()


if __name__ == "__main__":
    main()
