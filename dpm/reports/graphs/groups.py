"""Groups of the nodes of a graph: by the named variable that they lead to, its part of the model, and the brick.

The named variables cut a graph into regions. A node belongs to the first named variable, in the order of computation,
that it leads to without another one between; so between regions there is no circle. A region belongs to the part of the
model that its variable belongs to, and is divided by bricks where it has any.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

from pytensor.graph.basic import Apply, Variable
from pytensor.graph.traversal import graph_inputs, io_toposort

from dpm.graph.bricks.applications import applications
from dpm.reports.graphs.meanings import MEANINGS, PARTS, Part, derivative_of, is_chosen, symbol_of

Node: TypeAlias = Apply[Any]
Value: TypeAlias = Variable[Any, Any]


class Group(NamedTuple):
    """A group of nodes.

    Attributes:
        key: distinguishes it from its siblings.
        part: its title, formula and equation.
        kind: its color: a key of PARTS, "gradient", "brick" or "result".
    """

    key: str
    part: Part
    kind: str


Path: TypeAlias = tuple[Group, ...]  # from the outermost group to the innermost


def group_nodes(outputs: Sequence[Value]) -> dict[Node, Path]:
    """Return the groups of each node from which the outputs are computed, in the order of computation."""
    nodes = order_nodes(outputs)
    bricks = _bricks_of(nodes)
    return {node: (*_groups_of(name), *bricks.get(node, ())) for node, name in _regions(nodes, outputs)}


def order_nodes(outputs: Sequence[Value]) -> list[Node]:
    """Return the nodes from which the outputs are computed, by the number of steps from an input to each."""
    depth: dict[Node, int] = {}
    for node in io_toposort(list(graph_inputs(outputs)), outputs):
        depth[node] = 1 + max((depth[v.owner] for v in node.inputs if v.owner is not None), default=0)
    return sorted(depth, key=depth.__getitem__)


def _regions(nodes: Sequence[Node], outputs: Iterable[Value]) -> Iterator[tuple[Node, str]]:
    """Yield each node and the name of the variable to which it belongs; "" where it leads to none with a name."""
    order = {node: position for position, node in enumerate(nodes)}
    readers: dict[Value, list[Node]] = {}
    for node in nodes:
        for value in node.inputs:
            readers.setdefault(value, []).append(node)
    last = set(outputs)
    found: dict[Node, tuple[int, str]] = {}
    for node in reversed(nodes):
        named = [v.name for v in node.outputs if v.name and (v in last or is_chosen(v.name))]
        if named:
            found[node] = order[node], named[0]
            continue
        after = [found[reader] for value in node.outputs for reader in readers.get(value, ())]
        found[node] = min(after, default=(order[node], ""))
    yield from ((node, found[node][1]) for node in nodes)


def _groups_of(name: str) -> Path:
    """Return the groups of a region: its part of the model, and the variable itself."""
    by = derivative_of(name)
    meaning = MEANINGS.get(by or name)
    if by is None:
        outer = [Group(meaning.part, PARTS[meaning.part], meaning.part)] if meaning and meaning.part else []
    else:
        outer = _gradient_groups(by)
    if not name:
        return (Group(name, Part("Result", "", ""), "result"),)
    if by and by.startswith("/"):
        return tuple(outer)
    own = Part(symbol_of(name), "", meaning.equation if meaning else "")
    return (*outer, Group(name, own, outer[-1].kind if outer else "result"))


def _gradient_groups(by: str) -> list[Group]:
    """Return the groups of a derivative by a variable: the gradient of its part, or of a parameter's bricks."""
    meaning, inner = MEANINGS.get(by), []
    title = PARTS[meaning.part].title.lower() if meaning and meaning.part else symbol_of(by)
    if by.startswith("/"):
        title, steps = "parameters", by.rpartition(".")[0].split("/")[2:]
        inner = [Group(f"{step} {depth}", Part(step, "", ""), "gradient") for depth, step in enumerate(steps)]
    part = Part(f"Gradient: {title}", "", "Eq. 15" if by.startswith("/") else "")
    return [Group(part.title, part, "gradient"), *inner]


def _bricks_of(nodes: Sequence[Node]) -> dict[Node, Path]:
    """Return a group for each brick whose `apply` made a node, from the outermost to the innermost."""
    found: dict[Node, Path] = {}
    for node in nodes:  # so that the bricks inside come before those around them
        for output in node.outputs:
            for application in applications(output):
                path = tuple(Group(str(id(b)), Part(b.name, "", ""), "brick") for b in application.bricks)
                for made in _nodes_between(application.inputs, output):
                    found.setdefault(made, path)
    return found


def _nodes_between(inputs: Sequence[Value], output: Value) -> Iterator[Node]:
    """Yield the nodes from which the output is computed, without those before the inputs."""
    stops, seen, todo = set(inputs), set(), [output]
    while todo:
        value = todo.pop()
        if value in stops or value.owner is None or value.owner in seen:
            continue
        seen.add(value.owner)
        yield value.owner
        todo.extend(value.owner.inputs)
