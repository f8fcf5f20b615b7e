"""A drawing of a graph as one HTML page that needs nothing else, or in a notebook."""

import html
import json
import re
from collections.abc import Sequence
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from pytensor.graph.basic import Variable

from dpm.base.atomic import atomic_write
from dpm.base.errors import InputError
from dpm.reports.graphs.description import Description, describe
from dpm.reports.graphs.meanings import symbol_of

SMALL = 15  # a graph of so many operations starts with open groups
FRAME_HEIGHT = 560  # of a drawing in a notebook, in pixels
LAYOUT = "js/dagre-d3.min.js"  # in PyTensor's d3viz: places the boxes of a layered graph


class Drawing:
    """A graph as an interactive drawing, as it was built and as PyTensor rewrites it before it compiles it.

    A notebook shows it as the result of a cell; `save` writes it as an HTML page.

    Attributes:
        title: heading of the drawing.
        before: the graph as it was built.
        after: the graph as rewritten.
    """

    def __init__(self, title: str, before: Description, after: Description) -> None:
        self.title = title
        self.before = before
        self.after = after

    def __repr__(self) -> str:
        return f"<Drawing of {self.before.n_operations} operations in {len(self.before.groups)} groups>"

    @property
    def _plain_title(self) -> str:
        """The title without the marks of indices."""
        return re.sub(r"[_^]\{([^{}]*)\}", r"\1", self.title)

    def _repr_html_(self) -> str:
        """Return an iframe with the page, so that its names cannot clash with the names of the notebook."""
        page, title = html.escape(self.as_html()), html.escape(self._plain_title)
        return (
            f'<iframe srcdoc="{page}" title="{title}" sandbox="allow-scripts" '
            f'style="width: 100%; height: {FRAME_HEIGHT}px; border: 1px solid #c8c8c8"></iframe>'
        )

    def as_html(self) -> str:
        """Return the drawing as a page."""
        graphs = [
            {"name": name, "size": graph.n_operations} | graph.as_json()
            for name, graph in (("as built", self.before), ("rewritten", self.after))
        ]
        data = {"title": self.title, "small": SMALL, "graphs": graphs}
        page = _read("graph.html")
        for key, text in (
            ("TITLE", html.escape(self._plain_title)),
            ("STYLE", _read("graph.css")),
            ("DATA", json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")),
            ("LIBRARY", layout_library()),
            ("SCRIPT", _read("graph.js")),
        ):
            page = page.replace(f"%%{key}%%", text, 1)
        return page

    def save(self, path: str | Path) -> None:
        """Write the drawing as one HTML page that needs nothing else."""
        with atomic_write(path) as temporary:
            temporary.write_text(self.as_html(), "utf-8")


def draw(outputs: Variable[Any, Any] | Sequence[Variable[Any, Any]], title: str = "") -> Drawing:
    """Draw the graph of a variable, with its nodes in groups that a click opens.

    Named variables are grouped by the equations of the paper, and the network by its bricks. A node
    shows its operation, type and shape under the pointer. The drawing has the graph as it was built, and as PyTensor
    rewrites it before it compiles it.

    Args:
        outputs: a variable, or several.
        title: heading; the names of the variables by default.

    Returns:
        A drawing, which a notebook shows.

    Raises:
        InputError: a value is not a variable of PyTensor.

    Example:
        >>> model = dpm.DiffusionModel(spatial_width=8, n_colors=1, trajectory_length=10)
        >>> x0, t, noise, u = model.inputs(4)
        >>> drawing = dpm.draw(model.cost_single_t(x0, t, noise), "a bound")
        >>> [group.title for group in drawing.before.groups if not group.parent][:3]
        ['Schedule', 'Forward trajectory', 'Posterior']
        >>> drawing.save("graph.html")
    """
    variables: list[Any] = list(outputs) if isinstance(outputs, list | tuple) else [outputs]
    for value in variables:
        if not isinstance(value, Variable):
            raise InputError(f"outputs: got {type(value).__name__}; expected variables of PyTensor")
    layout_library()
    names = [symbol_of(v.name) for v in variables if v.name]
    return Drawing(title or ", ".join(names[:3]) or "graph", *describe(variables))


def layout_library() -> str:
    """Return the JavaScript that places the boxes, which PyTensor has.

    Raises:
        InputError: this PyTensor has it no longer.
    """
    file = files("pytensor").joinpath("d3viz", LAYOUT)
    if not file.is_file():
        raise InputError(f"PyTensor {version('pytensor')} has no d3viz/{LAYOUT}; drawings need PyTensor 3.0 to 3.3")
    return file.read_text("utf-8")


def _read(name: str) -> str:
    """Read a template."""
    return files("dpm.reports.graphs").joinpath("templates", name).read_text("utf-8")
