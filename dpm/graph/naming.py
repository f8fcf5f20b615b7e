"""Names of variables in the graphs: those of the 2015 code or of the paper, for `pytensor.dprint` and error messages.

A name changes nothing that is computed. `pytensor.dprint(cost, stop_on_name=True)` prints a graph up to its next names,
and `pytensor.graph.traversal.get_var_by_name([cost], "KL_t")` finds a variable (docs/python.md).
"""

from typing import TypeVar

from dpm.graph import Tensor

P = TypeVar("P")  # a distribution of a kernel: a NamedTuple of tensors


def name_variable(variable: Tensor, name: str) -> Tensor:
    """Return the variable, named, unless it is an input, a parameter or a constant, or has a name already."""
    if variable.owner is not None and variable.name is None:
        variable.name = name
    return variable


def name_fields(p: P, role: str) -> P:
    """Return a distribution with each of its variables named, such as "mu p" and "sigma p" for the role "p".

    Args:
        p: a NamedTuple of tensors, such as Gaussian(mu, sigma); anything else stays as it is.
        role: "p" of the model's reverse step, "q posterior" of q(x_{t-1} | x_t, x_0), "q" of a forward step.
    """
    for field in getattr(p, "_fields", ()):
        name_variable(getattr(p, field), f"{field} {role}")
    return p
