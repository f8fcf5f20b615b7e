"""Groups: by the next named variable, its part of the model, and the bricks that computed a node."""

import pytensor
import pytensor.tensor as pt
import pytest

import dpm
from dpm.reports.graphs.groups import group_nodes, order_nodes
from tests.helpers.graphs import TINY


def titles(path):
    return [group.part.title for group in path]


@pytest.fixture(scope="module")
def model():
    return dpm.DiffusionModel(**TINY | {"n_scales": 2})


@pytest.fixture(scope="module")
def cost(model):
    x0, t, noise, _ = model.inputs(3)
    cost = model.cost_single_t(x0, t, noise).mean()
    cost.name = "cost"
    return cost


def test_a_node_belongs_to_the_first_named_variable_that_it_leads_to():
    x = pt.vector("x")
    shared = x + 1
    first = shared * 2
    second = first + shared
    first.name, second.name = "first", "second"
    paths = group_nodes([second])
    assert [titles(paths[v.owner]) for v in (shared, first, second)] == [["first"], ["first"], ["second"]]


def test_regions_make_no_circle(cost):
    """A node never stands before one whose result it needs, where each region is one box."""
    paths = group_nodes([cost])
    edges = {
        (a, b)
        for node in paths
        for v in node.inputs
        if v.owner is not None and (a := _region(paths[v.owner])) != (b := _region(paths[node]))
    }
    while edges:  # remove the regions that nothing enters
        free = {a for a, _ in edges} - {b for _, b in edges}
        assert free
        edges = {(a, b) for a, b in edges if a not in free}


def _region(path):
    return tuple(group.key for group in path if group.kind != "brick")


def test_parts_of_the_model_are_the_outermost_groups(cost):
    outer = {titles(path)[0] for path in group_nodes([cost]).values()}
    assert outer == {
        *("Schedule", "Forward trajectory", "Posterior", "Network", "Readout at t"),
        *("Reverse step", "Divergence", "Entropies", "cost"),
    }


def test_nodes_of_the_network_are_grouped_by_brick(cost, model):
    paths = group_nodes([cost])
    (convolution, *_) = (node for node in paths if str(node.op) == "SameConv")
    assert titles(paths[convolution])[2:5] == ["mlp_conv_dense", "multilayerconvolution", "multiscaleconvolution"]
    scales = {titles(path)[5] for node, path in paths.items() if str(node.op) == "SameConv"}
    assert scales == {"layer0_scale0", "layer0_scale1"}


def test_a_brick_holds_what_its_apply_made_and_nothing_before_its_input(cost, model):
    """The mean pooling of the second scale belongs to the layer, and so does the repeated image."""
    paths = group_nodes([cost])
    layer = [node for node, path in paths.items() if titles(path)[-1:] == ["multiscaleconvolution"]]
    assert {"Reshape", "Join"} <= {str(node.op).partition("{")[0] for node in layer}
    assert all("mlp_conv_dense" not in titles(path) for path in paths.values() if titles(path)[0] != "Network")


def test_a_gradient_is_grouped_by_what_it_derives_by(cost, model):
    trained = [parameter.variable for parameter in model.parameters().values() if parameter.is_trained]
    paths = group_nodes(pytensor.grad(cost, trained))
    outer = [titles(path)[0] for path in paths.values() if path[0].kind == "gradient"]
    assert set(outer) == {
        f"Gradient: {part}" for part in ("divergence", "reverse step", "readout at t", "network", "parameters")
    }
    bricks = {tuple(titles(path)[1:3]) for path in paths.values() if titles(path)[0] == "Gradient: parameters"}
    assert ("mlp_conv_dense", "MLP dense upper") in bricks


def test_an_unnamed_result_is_a_group():
    paths = group_nodes([pt.exp(pt.vector("x"))])
    assert [titles(path) for path in paths.values()] == [["Result"]]


def test_nodes_come_after_what_they_need(cost):
    seen = set()
    for node in order_nodes([cost]):
        assert all(v.owner is None or v.owner in seen for v in node.inputs)
        seen.add(node)
