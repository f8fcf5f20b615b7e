"""Brick: a named part of a network, a node of a tree of such parts."""

from dataclasses import dataclass

import pytensor.tensor as pt
from pytensor import config

WEIGHT = "weight"
BIAS = "bias"
SCHEDULE = "schedule"  # of the released code, which never trains it
RATES = "rates"  # of a learned schedule


@dataclass(frozen=True)
class Parameter:
    """A parameter: its symbolic variable, what it is for, and how it starts."""

    variable: pt.TensorVariable
    role: str
    initialization: object

    @property
    def shape(self):
        return self.variable.type.shape


class Brick:
    """A named part of a network.

    children: the bricks inside, in the order of their parameters.
    A parameter's path is that of Blocks: the names from the root joined by "/", then "." and its own name,
    for instance "/diffusionmodel/mlp_conv_dense/MLP dense upper/linear_0.W".
    """

    def __init__(self, name, children=()):
        self.name = name
        self.children = list(children)
        self._own = {}

    def add_parameter(self, name, shape, role, initialization):
        """A new symbolic variable of this brick, in the float type that is now set."""
        variable = pt.tensor(f"{self.name}.{name}", dtype=config.floatX, shape=tuple(shape))
        self._own[name] = Parameter(variable, role, initialization)
        return variable

    def parameters(self, prefix=""):
        """All parameters of this brick and those inside: dict of path to Parameter, in a fixed order."""
        path = f"{prefix}/{self.name}"
        found = {f"{path}.{name}": parameter for name, parameter in self._own.items()}
        for child in self.children:
            found.update(child.parameters(path))
        return found

    def initialize(self, rng):
        """Starting values: dict of path to float64 array; rng is a numpy Generator."""
        return {path: p.initialization.generate(rng, p.shape) for path, p in self.parameters().items()}
