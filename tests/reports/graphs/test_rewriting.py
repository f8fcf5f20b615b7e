"""The rewritten graph computes the same numbers, and its nodes have the groups of those that they replace."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

import dpm
from dpm.graph.same_conv import SameConv
from dpm.reports.graphs.groups import group_nodes
from dpm.reports.graphs.rewriting import rewrite
from tests.helpers.graphs import TINY


@pytest.fixture(scope="module")
def built():
    model = dpm.DiffusionModel(**TINY)
    inputs = model.inputs(3)[:3]
    model.shared(seed=0)
    return inputs, model.cost_single_t(*inputs)


def test_the_rewritten_graph_has_the_same_value(built):
    inputs, cost = built
    (after,), _ = rewrite([cost], group_nodes([cost]))
    rng = np.random.default_rng(0)
    values = [
        rng.standard_normal(inputs[0].type.shape),
        np.array([2.0, 5.0, 9.0]),
        rng.standard_normal(inputs[0].type.shape),
    ]
    mode = pytensor.compile.mode.get_mode("FAST_COMPILE")
    functions = [pytensor.function(list(inputs), v, mode=mode, on_unused_input="ignore") for v in (cost, after)]
    np.testing.assert_allclose(*(function(*values) for function in functions), rtol=1e-9)


def test_the_graph_that_was_given_stays_as_it_is(built):
    _, cost = built
    before = pytensor.dprint(cost, file="str")
    rewrite([cost], group_nodes([cost]))
    assert pytensor.dprint(cost, file="str") == before


def test_each_node_keeps_the_groups_of_what_it_replaces(built):
    _, cost = built
    paths = group_nodes([cost])
    _, after = rewrite([cost], paths)
    assert len(after) < len(paths)
    assert all(after.values())
    assert {path[0] for path in after.values()} <= {path[0] for path in paths.values()}
    for node, path in after.items():
        if isinstance(node.op, SameConv):
            assert path[0].part.title == "Network"


def test_a_replaced_variable_keeps_its_name():
    x = pt.vector("x")
    y = (x * 1 + 0) * 2
    y.name = "y"
    (after,), _ = rewrite([y], group_nodes([y]))
    assert after.name == "y"
    assert after.owner is not y.owner
