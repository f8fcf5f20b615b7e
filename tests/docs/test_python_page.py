"""docs/python.md: its sessions print what stands there, and its table of names is the code's."""

import inspect
import re

from pytensor.graph.traversal import ancestors

import dpm
from tests.docs.sessions import run_session, with_sessions
from tests.docs.test_docs import page, table

PAGE = page("python.md")


def test_the_sessions_of_the_page_print_what_it_shows():
    """Written by `python -m tests.docs.update`; the printed graph of the cost is short (tests/graph/test_naming.py)."""
    assert with_sessions(PAGE) == PAGE
    assert PAGE.count("```pycon") >= 1


def test_a_session_that_prints_something_else_is_found():
    block = ">>> for i in range(2):\n...     print(i)\n1\n>>> x = 3\n>>> x\n4\n"
    assert run_session(block, {}) == ">>> for i in range(2):\n...     print(i)\n0\n1\n>>> x = 3\n>>> x\n3\n"


def test_the_names_of_the_table_are_in_the_graph():
    """Every name of the table stands in the graph of an image model, a binary one or the toy problems' networks."""
    kernel, schedule = dpm.GaussianKernel(), dpm.schedules.FixedSchedule(dpm.schedules.linear(10, 0.1, 0.5))
    network = dpm.networks.MeanVariance(2, dpm.networks.NormalizedRBF(2, 3))
    small = {"spatial_width": 4, "n_colors": 1, "trajectory_length": 10}
    models = [
        dpm.DiffusionModel(**small),
        dpm.DiffusionModel(**small, kernel="binomial"),
        dpm.VectorDiffusion(2, kernel, schedule, network),
    ]
    costs = [model.cost_single_t(*model.inputs()) for model in models]
    names = {variable.name for variable in ancestors(costs)}
    listed = [name for row in table(PAGE, "The graph of a model") for name in re.findall(r"`([^`]+)`", row[0])]
    assert len(listed) > 20
    assert not set(listed) - names


def test_the_methods_of_a_kernel_are_those_of_the_protocol():
    listed = [name for row in table(PAGE, "A kernel of your own") for name in re.findall(r"`(\w+)`", row[0])]
    methods = [name for name, method in vars(dpm.kernels.Kernel).items() if inspect.isfunction(method)]
    assert listed == [name for name in methods if name[0] != "_"]
