"""Descriptions: labels, types, groups and edges of small graphs."""

import json

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

import dpm
from dpm.reports.graphs.description import describe, format_type
from tests.helpers.graphs import TINY


@pytest.fixture(scope="module")
def bound():
    model = dpm.DiffusionModel(**TINY)
    x0, t, noise, _ = model.inputs(3)
    return describe([model.cost_single_t(x0, t, noise)])


def test_a_small_graph_node_by_node():
    x = pt.tensor("x", dtype="float32", shape=(None, 3))
    w = pytensor.shared(np.zeros(3, dtype="float32"), name="/m.w", shape=(3,))
    y = pt.exp(x * w) + np.float32(0.5)
    y.name = "y"
    before, _ = describe([y])
    rows = [(node.label, node.kind, node.short, node.types[0]) for node in before.nodes]
    assert rows == [
        ("w", "parameter", "", "float32 (3,)"),
        ("x", "input", "", "float32 (?, 3)"),
        ("ExpandDims 0.5", "operation", "ExpandDims 0.5", "float32 (1, 1)"),
        ("ExpandDims", "operation", "ExpandDims", "float32 (1, 3)"),
        ("Mul", "operation", "Mul", "float32 (?, 3)"),
        ("Exp", "operation", "Exp", "float32 (?, 3)"),
        ("y", "output", "Add", "float32 (?, 3)"),
    ]
    assert before.groups == []  # one group would hold everything
    assert before.n_operations == 5
    assert len(before.edges) == 6


def test_rewriting_leaves_fewer_operations():
    x = pt.dvector("x")
    before, after = describe([(x * 1 + 0) ** 2 / 3])
    assert (before.n_operations, after.n_operations) == (8, 1)


def test_groups_are_a_tree_that_holds_each_node(bound):
    for graph in bound:
        groups = {group.id: group for group in graph.groups}
        assert len(groups) == len(graph.groups)
        for item in (*graph.nodes, *graph.groups):
            steps = 0
            while item.parent:
                item, steps = groups[item.parent], steps + 1
                assert steps <= len(groups)
        for group in graph.groups:
            inside = [item for item in (*graph.nodes, *graph.groups) if item.parent == group.id]
            assert len(inside) > 1, group.title


def test_edges_join_nodes_that_exist(bound):
    for graph in bound:
        ids = {node.id for node in graph.nodes}
        assert len(ids) == len(graph.nodes)
        assert {end for edge in graph.edges for end in edge} <= ids


def test_parameters_stand_in_the_brick_that_reads_them(bound):
    before, _ = bound
    groups = {group.id: group for group in before.groups}
    homes = {node.name: groups[node.parent].title for node in before.nodes if node.kind == "parameter" and node.parent}
    assert homes["/diffusionmodel/mlp_conv_dense/MLP dense upper/linear_1.W"] == "linear_1"
    inputs = [node for node in before.nodes if node.kind == "input"]
    assert {node.label: node.parent for node in inputs} == {"x^{(0)}": "", "t": "", "noise": ""}


def test_bricks_of_one_name_are_numbered_in_the_order_of_computation():
    model = dpm.DiffusionModel(**TINY | {"n_layers_conv": 2})
    x0, t, noise, _ = model.inputs(3)
    before, _ = describe([model.cost_single_t(x0, t, noise)])
    layers = [group for group in before.groups if group.title.startswith("multiscaleconvolution")]
    inner = {group.parent: group.title for group in before.groups}
    assert [(group.title, inner[group.id]) for group in layers] == [
        ("multiscaleconvolution 0", "layer0_scale0"),
        ("multiscaleconvolution 1", "layer1_scale0"),
    ]


def test_a_description_is_json(bound):
    for graph in bound:
        assert json.loads(json.dumps(graph.as_json()))["nodes"][0]["types"]


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        (pt.scalar("a", dtype="int64"), "int64 ()"),
        (pt.tensor("a", dtype="float32", shape=(None, 2)), "float32 (?, 2)"),
        (pt.tensor("a", dtype="bool", shape=(4,)), "bool (4,)"),
    ],
)
def test_types(variable, text):
    assert format_type(variable) == text


def test_an_input_is_a_graph():
    before, after = describe([pt.dvector("x")])
    assert [node.label for node in before.nodes] == ["x"]
    assert before.edges == after.edges == []
