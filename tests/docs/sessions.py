"""Python sessions of the pages (```pycon blocks): run them, and write what they print."""

import contextlib
import doctest
import io
import re

PYCON = re.compile(r"(?<=```pycon\n).*?(?=```)", re.DOTALL)


def run_session(block, names):
    """Return a session with what its commands print now.

    Args:
        block: text with prompts.
        names: the names that it uses and defines, a dict that changes.
    """
    lines = []
    for example in doctest.DocTestParser().get_examples(block):
        source = example.source.rstrip("\n").split("\n")
        lines += [f"{'>>>' if i == 0 else '...'} {line}".rstrip() for i, line in enumerate(source)]
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(example.source, "session", "single"), names)
        lines += printed.getvalue().rstrip("\n").split("\n") if printed.getvalue() else []
    return "".join(f"{line}\n" for line in lines)


def with_sessions(text):
    """Return the text of a page with what its sessions print now; they share their names."""
    names = {}
    return PYCON.sub(lambda block: run_session(block[0], names), text)
