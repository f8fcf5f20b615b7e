"""A graph as plain data: nodes with labels and types, groups, and edges."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Constant

from dpm.reports.graphs.groups import Group, Node, Path, Value, group_nodes
from dpm.reports.graphs.meanings import MEANINGS, is_chosen, symbol_of
from dpm.reports.graphs.rewriting import rewrite

LONGEST = 28  # characters of the name of an operation or the value of a constant


@dataclass
class Item:
    """A node of a drawing: an operation with its output, an input, a parameter or a constant.

    Attributes:
        id: distinguishes it from the other nodes and groups.
        label: symbol of its variable, or the operation where it has no name.
        kind: "input", "parameter", "constant", "operation" or "output".
        short: the operation's name without its settings, and the numbers that it takes; empty for an input.
        operation: the same with its settings.
        types: type and shape of each variable.
        name: the variable's name in the graph.
        parent: id of its group; empty outside of all.
        part: kind of the outermost group to which it belongs; empty outside of all.
    """

    id: str
    label: str
    kind: str
    short: str
    operation: str
    types: list[str]
    name: str
    parent: str = ""
    part: str = ""


@dataclass
class Cluster:
    """A group of nodes, and of groups.

    Attributes:
        id: distinguishes it from the other nodes and groups.
        title, formula, equation, kind: as in groups.Group.
        parent: id of the group around it; empty outside of all.
        size: number of operations in it.
    """

    id: str
    title: str
    formula: str
    equation: str
    kind: str
    parent: str = ""
    size: int = 0


@dataclass
class Description:
    """A graph as plain data.

    Attributes:
        nodes: its nodes, in the order of computation.
        groups: its groups, those around others first.
        edges: (id of a node, id of a node that reads it).
    """

    nodes: list[Item]
    groups: list[Cluster]
    edges: list[tuple[str, str]]

    @property
    def n_operations(self) -> int:
        """Number of operations."""
        return sum(node.kind in ("operation", "output") for node in self.nodes)

    def as_json(self) -> dict[str, Any]:
        """Return the graph as JSON can hold it."""
        return asdict(self)


def describe(outputs: Sequence[Value]) -> tuple[Description, Description]:
    """Return the graph of some variables as it was built, and as PyTensor rewrites it before it compiles it."""
    paths = group_nodes(outputs)
    before = _describe(outputs, paths)
    return before, _describe(*rewrite(outputs, paths))


def _describe(outputs: Sequence[Value], paths: Mapping[Node, Path]) -> Description:
    """Return the description of a graph. paths: the groups of each node, in the order of computation."""
    tree = _Tree()
    for position, (node, path) in enumerate(paths.items()):
        tree.place(node, path, position)
    groups = tree.simplify()
    ids = {node: f"n{i}" for i, node in enumerate(paths)}
    items = [_operation(node, ids[node], outputs) for node in paths]
    for item, (node, path) in zip(items, paths.items(), strict=True):
        item.parent, item.part = tree.parents[node], path[0].kind if path else ""
    edges = {(ids[v.owner], ids[node]): None for node in paths for v in node.inputs if v.owner is not None}
    roots = _roots(paths, outputs)
    for i, (root, readers) in enumerate(roots.items()):
        item = _root(root, f"v{i}")
        if item.kind != "input" and readers:
            forward = [reader for reader in readers if paths[reader][:1] and paths[reader][0].kind != "gradient"]
            item.parent = tree.parents[(forward or readers)[0]]
        items.insert(i, item)
        edges |= {(item.id, ids[reader]): None for reader in readers}
    return Description(items, groups, list(edges))


def _roots(nodes: Iterable[Node], outputs: Sequence[Value]) -> dict[Value, list[Node]]:
    """Return the variables that are not computed and the nodes that read each; numbers and slices are left out."""
    roots: dict[Value, list[Node]] = {v: [] for v in outputs if v.owner is None}
    for node in nodes:
        for value in node.inputs:
            if value.owner is None and not (isinstance(value, Constant) and np.size(value.data) <= 1):
                roots.setdefault(value, []).append(node)
    return roots


def _root(value: Value, key: str) -> Item:
    """Return the node of a variable that is not computed."""
    kind = "input"
    if isinstance(value, Constant):
        kind = "constant"
    elif isinstance(value, SharedVariable):
        kind = "parameter"
    name = value.name or ""
    return Item(key, symbol_of(name) if name else kind, kind, "", "", [format_type(value)], name)


def _operation(node: Node, key: str, outputs: Sequence[Value]) -> Item:
    """Return the node of an operation and its output."""
    constants = [np.asarray(v.data) for v in node.inputs if isinstance(v, Constant) and _is_array(v.data)]
    numbers = [constant.item() for constant in constants if constant.size == 1]
    operation = str(node.op)
    short = " ".join([_shorten(operation.partition("{")[0]), *(f"{number:.4g}" for number in numbers)])
    names = [v.name for v in node.outputs if v.name]
    label = symbol_of(names[0]) if names and (names[0] in MEANINGS or is_chosen(names[0])) else short
    kind = "output" if any(v in outputs for v in node.outputs) else "operation"
    full = " ".join([operation, *map(str, numbers)])
    return Item(key, label, kind, short, full, [format_type(v) for v in node.outputs], ", ".join(names))


def _is_array(value: object) -> bool:
    """Return True for an array or a number, not for a slice."""
    return isinstance(value, np.ndarray | np.number)


def _shorten(text: str) -> str:
    """Return a text of at most LONGEST characters."""
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def format_type(value: Value) -> str:
    """Return type and shape of a variable, such as "float32 (?, 28, 28)"; ? is a size that is not known yet."""
    shape = getattr(value.type, "shape", None)
    if shape is None:
        return str(value.type)
    sizes = ", ".join("?" if size is None else str(size) for size in shape)
    return f"{getattr(value.type, 'dtype', '')} ({sizes}{',' * (len(shape) == 1)})"


@dataclass
class _Branch:
    """A group while the tree is made."""

    group: Group | None
    branches: dict[str, "_Branch"] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    last: int = 0  # position of its last node in the order of computation

    @property
    def size(self) -> int:
        """Number of nodes in it."""
        return len(self.nodes) + sum(branch.size for branch in self.branches.values())


class _Tree:
    """The groups as a tree, whose leaves are the nodes.

    Attributes:
        parents: id of the innermost group of each node, after `simplify`.
    """

    def __init__(self) -> None:
        self.root = _Branch(None)
        self.parents: dict[Node, str] = {}
        self.number = 0

    def place(self, node: Node, path: Path, position: int) -> None:
        """Put a node, at a position in the order of computation, into the innermost group of its path."""
        branch = self.root
        for group in path:
            branch = branch.branches.setdefault(group.key, _Branch(group))
            branch.last = position
        branch.nodes.append(node)

    def simplify(self) -> list[Cluster]:
        """Return the groups, without those that hold one node, nothing but one other group, or everything."""
        top = self.root
        while not top.nodes and len(top.branches) == 1:
            (top,) = top.branches.values()
        return list(self._clusters(top, ""))

    def _clusters(self, branch: _Branch, parent: str) -> Iterator[Cluster]:
        self.parents |= dict.fromkeys(branch.nodes, parent)
        titles = [b.group.part.title for b in branch.branches.values() if b.group]
        numbers: dict[str, int] = {}
        for inner in sorted(branch.branches.values(), key=lambda b: b.last):
            assert inner.group is not None
            title = inner.group.part.title
            if titles.count(title) > 1:
                numbers[title] = numbers.get(title, -1) + 1
                title = f"{title} {numbers[title]}"
            kept = inner
            while not kept.nodes and len(kept.branches) == 1:
                (kept,) = kept.branches.values()
            if kept.size == 1:
                yield from self._clusters(kept, parent)
                continue
            self.number += 1
            key = f"g{self.number}"
            part = inner.group.part
            yield Cluster(key, title, part.formula, part.equation, inner.group.kind, parent, inner.size)
            yield from self._clusters(kept, key)
