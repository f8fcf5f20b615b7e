"""The graph that PyTensor compiles: rewritten, with the groups and names of what its nodes replace."""

from collections.abc import Mapping, Sequence
from typing import Any

from pytensor.compile.mode import get_default_mode
from pytensor.graph.basic import Apply, Constant, clone_get_equiv
from pytensor.graph.features import Feature
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.traversal import graph_inputs

from dpm.reports.graphs.groups import Node, Path, Value, order_nodes


class PassOn(Feature):
    """Feature of a FunctionGraph that gives new nodes the groups and the names of the nodes that they replace.

    Args:
        paths: groups of the nodes; those of new nodes are added.
    """

    def __init__(self, paths: dict[Node, Path]) -> None:
        self.paths = paths

    def on_change_input(self, fgraph: Any, node: Any, i: int, old: Any, new: Any, reason: Any = None) -> None:
        """Take over the groups of the old variable, or else of the node that reads it."""
        path = self.paths.get(old.owner, self.paths.get(node, ()) if isinstance(node, Apply) else ())
        todo = [new]
        while todo:
            owner = todo.pop().owner
            if owner is not None and owner not in self.paths:
                self.paths[owner] = path
                todo.extend(owner.inputs)
        if old.name and new.name is None and new.owner is not None:
            new.name = old.name


def rewrite(outputs: Sequence[Value], paths: Mapping[Node, Path]) -> tuple[list[Value], dict[Node, Path]]:
    """Return the outputs as PyTensor's default mode rewrites them, and the groups of the nodes; nothing is compiled.

    Operations that write into their inputs are left out: they are the same ones by other names.

    Args:
        outputs: variables.
        paths: the groups of the nodes from which they are computed.
    """
    inputs = [v for v in graph_inputs(outputs) if not isinstance(v, Constant)]
    copies: dict[Any, Any] = clone_get_equiv(inputs, outputs, copy_inputs=False)
    new: dict[Node, Path] = {copies[node]: path for node, path in paths.items()}
    graph = FunctionGraph(inputs, [copies[v] for v in outputs], clone=False, features=[PassOn(new)])
    get_default_mode().excluding("inplace").optimizer.rewrite(graph)
    return list(graph.outputs), {node: new.get(node, ()) for node in order_nodes(graph.outputs)}
