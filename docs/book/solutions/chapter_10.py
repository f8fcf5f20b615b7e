"""Solutions of the exercises of chapter 10, Compilation."""

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.compile.mode import Mode
from pytensor.graph.fg import FunctionGraph

import dpm

T, EXAMPLES = 40, 500


def exercise_1() -> tuple[int, int]:
    """Return the number of exponentials as built and as rewritten: 3 and 1.

    Equal nodes with equal inputs are merged: the graph knows that exp(x) is exp(x), wherever it was written. Then the
    three terms are added up to a factor, 6 exp(x).
    """
    x = pt.vector("x")
    total = pt.exp(x) + pt.exp(x) * 2 + pt.exp(x) * 3
    rewritten = pytensor.function([x], total, mode=Mode("py", "fast_run").excluding("fusion"))
    graphs = FunctionGraph(outputs=[total], clone=True), rewritten.maker.fgraph
    kinds = [[type(getattr(node.op, "scalar_op", None)).__name__ for node in g.toposort()] for g in graphs]
    before, after = (names.count("Exp") for names in kinds)
    assert (before, after) == (3, 1)
    assert np.allclose(rewritten(np.array([0.0, 1.0])), [6, 6 * np.e])
    return before, after


def exercise_2() -> tuple[float, float]:
    """Return log(1 - exp(x)) at x = -1e-20 as written and as rewritten: -inf and -46.05.

    exp(x) is 1 in double precision, so 1 - exp(x) is 0 as written. It is 1e-20 up to rounding, whose logarithm is
    -46.05. PyTensor replaces the formula by log1mexp, which computes 1 - exp(x) as -expm1(x) where x is near 0.
    """
    x = pt.scalar("x")
    formula = pt.log(1 - pt.exp(x))
    with np.errstate(divide="ignore"):
        as_written = float(pytensor.function([x], formula, mode=Mode("py", None))(-1e-20))
    rewritten = float(pytensor.function([x], formula, mode=Mode("py", "fast_run"))(-1e-20))
    assert as_written == -np.inf
    assert abs(rewritten - np.log(1e-20)) < 1e-9
    return as_written, rewritten


def count_nodes(schedule: dpm.schedules.Schedule) -> int:
    """Return the number of nodes of the chapter's training step with a schedule, as rewritten for JAX."""
    network = dpm.networks.MeanVariance(2, dpm.networks.NormalizedRBF(2, 16), T)
    model = dpm.VectorDiffusion(2, dpm.GaussianKernel(), schedule, network)
    x_0, t, noise, _ = model.inputs(EXAMPLES)
    cost = model.cost_single_t(x_0, t, noise).mean()
    gradient = pytensor.grad(cost, list(model.shared(seed=0).values()))
    step = pytensor.function([x_0, t, noise], [cost, *gradient], mode="JAX")
    return len(step.maker.fgraph.toposort())


def exercise_3() -> tuple[int, int]:
    """Return the number of nodes of a step with a fixed and with a learned schedule: about twice as many.

    Constant rates are folded into numbers when the graph is rewritten, with all that depends on them only. Learned
    rates are inputs: their sums of logarithms are computed in each step, and the gradient goes back through them, which
    also needs the derivatives of the bound by the rates.
    """
    rates = dpm.schedules.erase_equally(T + 1)[:T]
    fixed, learned = (
        count_nodes(schedule(rates)) for schedule in (dpm.schedules.FixedSchedule, dpm.schedules.FreeSchedule)
    )
    assert learned > 1.5 * fixed
    return fixed, learned
