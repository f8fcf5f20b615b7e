"""The meaning of the names in a model's graphs: symbol and equation of the paper, and the part of the model.

The names are those that dpm/graph/naming.py gives; docs/python.md lists them. In symbols, _{} and ^{} are indices.
"""

import re
from typing import NamedTuple


class Part(NamedTuple):
    """A part of a model, which is one group of nodes in a drawing.

    Attributes:
        title: what it is, in words.
        formula: what it computes, as a symbol of the paper.
        equation: where the paper has it; may be empty.
    """

    title: str
    formula: str
    equation: str


class Meaning(NamedTuple):
    """The meaning of a named variable.

    Attributes:
        symbol: its symbol in the paper.
        part: key of its part in PARTS.
        equation: its equation; may be empty.
    """

    symbol: str
    part: str
    equation: str = ""


PARTS = {
    "schedule": Part("Schedule", "β_{t}, 1 − ∏_{s ≤ t} (1 − β_{s})", "section 2.4.1"),
    "forward": Part("Forward trajectory", "x^{(t)} ~ q(x^{(t)} | x^{(0)})", "Eq. 3"),
    "posterior": Part("Posterior", "q(x^{(t−1)} | x^{(t)}, x^{(0)})", "Eq. 47"),
    "network": Part("Network", "y(x^{(t)})", "Figure D.1"),
    "readout": Part("Readout at t", "z_{i} = Σ_{j} y_{ij} g_{j}(t)", "Eq. 63"),
    "features": Part("Features", "of x^{(t)}", "appendix D.1"),
    "readouts": Part("Readouts at t", "z(x^{(t)}, t)", "appendix D.1"),
    "reverse": Part("Reverse step", "p(x^{(t−1)} | x^{(t)})", "Eq. 5"),
    "divergence": Part("Divergence", "D_{KL}(q ‖ p)", "Eq. 14"),
    "entropies": Part("Entropies", "H_{q}(X^{(T)} | X^{(0)}) − H_{q}(X^{(1)} | X^{(0)})", "Eq. 14"),
}

MEANINGS = {
    "x0": Meaning("x^{(0)}", ""),
    "t": Meaning("t", ""),
    "noise": Meaning("noise", ""),
    "u": Meaning("u", ""),
    "beta": Meaning("β_{1} … β_{T}", "schedule"),
    "beta_bar": Meaning("β̄_{0} … β̄_{T}", "schedule"),
    "t weights": Meaning("weights that select t", "schedule"),
    "beta_t": Meaning("β_{t}", "schedule"),
    "beta_bar_t": Meaning("β̄_{t}", "schedule"),
    "beta_bar_{t-1}": Meaning("β̄_{t−1}", "schedule"),
    "X_uniformnoise": Meaning("x^{(0)} + uniform noise", "forward"),
    "mu q marginal": Meaning("mean of q(x^{(t)} | x^{(0)})", "forward", "Eq. 3"),
    "sigma q marginal": Meaning("σ of q(x^{(t)} | x^{(0)})", "forward", "Eq. 3"),
    "logit q marginal": Meaning("logit of q(x^{(t)} | x^{(0)})", "forward", "Eq. 3"),
    "X_noisy": Meaning("x^{(t)}", "forward"),
    "mu q": Meaning("mean of q(x^{(t)} | x^{(t−1)})", "forward", "Eq. 2"),
    "sigma q": Meaning("σ of q(x^{(t)} | x^{(t−1)})", "forward", "Eq. 2"),
    "logit q": Meaning("logit of q(x^{(t)} | x^{(t−1)})", "forward", "Eq. 2"),
    "mu q posterior": Meaning("mean of q(x^{(t−1)} | x^{(t)}, x^{(0)})", "posterior", "Eq. 47"),
    "sigma q posterior": Meaning("σ of q(x^{(t−1)} | x^{(t)}, x^{(0)})", "posterior", "Eq. 47"),
    "logit q posterior": Meaning("logit of q(x^{(t−1)} | x^{(t)}, x^{(0)})", "posterior", "Eq. 47"),
    "Z": Meaning("y", "network"),
    "temporal basis": Meaning("g_{j}(1) … g_{j}(T)", "readout", "Eq. 64"),
    "g_t": Meaning("g_{j}(t)", "readout", "Eq. 64"),
    "mu_coeff": Meaning("z^{μ}", "readout", "Eq. 63"),
    "beta_coeff": Meaning("z^{Σ}", "readout", "Eq. 63"),
    "rate_coeff": Meaning("z^{b}", "readout", "Eq. 63"),
    "features": Meaning("features", "features"),
    "z mu": Meaning("z^{μ}", "readouts"),
    "z sigma": Meaning("z^{Σ}", "readouts"),
    "z mix": Meaning("z^{mix}", "readouts"),
    "z rates": Meaning("z^{b}", "readouts"),
    "z bits": Meaning("z^{x}", "readouts"),
    "beta_reverse": Meaning("Σ", "reverse", "Eq. 65"),
    "mu p": Meaning("f_{μ}(x^{(t)}, t)", "reverse", "Table C.1"),
    "sigma p": Meaning("√ f_{Σ}(x^{(t)}, t)", "reverse", "Table C.1"),
    "mix p": Meaning("covariances in f_{Σ}(x^{(t)}, t)", "reverse", "Table C.1"),
    "logit p": Meaning("logit of f_{b}(x^{(t)}, t)", "reverse", "Table C.1"),
    "KL_t": Meaning("D_{KL}(q ‖ p)", "divergence", "Eq. 14"),
    "H_q(X_T|X_0)": Meaning("H_{q}(X^{(T)} | X^{(0)})", "entropies", "Eq. 14"),
    "H_q(X_1|X_0)": Meaning("H_{q}(X^{(1)} | X^{(0)})", "entropies", "Eq. 14"),
    "H_q(X_T|X_0) - H_q(X_1|X_0)": Meaning(
        "H_{q}(X^{(T)} | X^{(0)}) − H_{q}(X^{(1)} | X^{(0)})", "entropies", "Eq. 14"
    ),
}

# What PyTensor itself names: means, and transposed parameters.
OF_PYTENSOR = re.compile(r"mean|.*\.T")
DERIVATIVE = re.compile(r"\(d(.+?)/d(.+)\)", re.DOTALL)


def derivative_of(name: str) -> str | None:
    """Return the name of the variable by which PyTensor derives in a variable of this name; else None."""
    match = DERIVATIVE.fullmatch(name)
    return match[2] if match else None


def is_chosen(name: str) -> bool:
    """Return True for a name that a person gave, also one of a derivative by a variable of such a name."""
    return not OF_PYTENSOR.fullmatch(derivative_of(name) or name)


def symbol_of(name: str) -> str:
    """Return the symbol of a named variable; a name that is not one of the package's stays as it is.

    Example:
        >>> symbol_of("X_noisy"), symbol_of("(dcost/dX_noisy)"), symbol_of("slope")
        ('x^{(t)}', '∂cost / ∂x^{(t)}', 'slope')
    """
    if match := DERIVATIVE.fullmatch(name):
        return f"∂{symbol_of(match[1])} / ∂{symbol_of(match[2])}"
    if name in MEANINGS:
        return MEANINGS[name].symbol
    return name.rpartition(".")[2] if name.startswith("/") else name
