"""The reference from the code: `--help` of the commands, docstrings as plain text, links to the source."""

import contextlib
import inspect
import io
import re
from importlib import import_module
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from dpm.__main__ import main

ROOT = Path(__file__).parents[1]


class Help(SphinxDirective):
    """What `dpm COMMAND --help` prints."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self):
        """Return the text of the parser."""
        text = io.StringIO()
        with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
            main([*self.arguments[0].split(), "--help"])
        return [nodes.literal_block(text.getvalue(), text.getvalue(), language="text")]


def read_as_plain_text(app, what, name, thing, options, lines):
    """Escape what is markup in reStructuredText and a formula in a docstring: *, | and a final _."""
    for number, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            parts = re.split(r"(`+[^`]+`+)", line)
            parts[::2] = [re.sub(r"[*|]|(?<=\w)_(?!\w)", r"\\\g<0>", part) for part in parts[::2]]
            lines[number] = "".join(parts)


def resolve_source(domain, info):
    """Return the link to the source of a Python object, for sphinx.ext.linkcode."""
    thing = import_module(info["module"])
    try:
        for name in info["fullname"].split("."):
            thing = getattr(thing, name)
        thing = inspect.unwrap(getattr(thing, "fget", thing))
        path, line = Path(inspect.getsourcefile(thing)).relative_to(ROOT), inspect.getsourcelines(thing)[1]
    except (AttributeError, OSError, TypeError, ValueError):  # a value, or an attribute of instances
        return None
    return f"../../source/{path}.html#L-{line}"


def setup(app):
    """Register with Sphinx."""
    app.add_directive("help", Help)
    app.connect("autodoc-process-docstring", read_as_plain_text, priority=100)  # before napoleon
    return {"parallel_read_safe": True, "parallel_write_safe": True}
