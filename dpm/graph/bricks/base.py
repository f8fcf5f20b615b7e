"""Brick: a named part of a model, a node of a tree of such parts, with its parameters."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pytensor
from numpy.typing import NDArray
from pytensor import config
from pytensor.tensor.sharedvar import TensorSharedVariable

from dpm.graph.bricks.applications import mark_output
from dpm.graph.bricks.initialization import Initialization

WEIGHT = "weight"
BIAS = "bias"
SCHEDULE = "schedule"  # of the released code, which never trains it
RATES = "rates"  # of a learned schedule


@dataclass(frozen=True)
class Parameter:
    """A parameter of a brick.

    Attributes:
        variable: its shared variable in every graph, named by its path. Its value is NaN until it is set
            (`Diffusion.shared`), except for the role SCHEDULE, whose value is its start. The engines replace it by a
            part of one flat vector.
        role: WEIGHT, BIAS, RATES or SCHEDULE; a parameter of role SCHEDULE is not trained.
        initialization: distribution of its initial value.
    """

    variable: TensorSharedVariable
    role: str
    initialization: Initialization

    @property
    def shape(self) -> tuple[int, ...]:
        """Static shape of the parameter."""
        return self.variable.type.shape

    @property
    def is_trained(self) -> bool:
        """True for all parameters except the frozen coefficients of the released schedule."""
        return self.role != SCHEDULE


class Brick:
    """A named part of a model.

    A parameter's path is that of Blocks: the names from the root joined by "/", then "." and the parameter's name,
    for instance "/diffusionmodel/mlp_conv_dense/MLP dense upper/linear_0.W".

    Args:
        name: name in the paths of the parameters.
        children: the bricks inside, in the order of their parameters.
    """

    construction: tuple[tuple[Any, ...], dict[str, Any]]

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Let the class's `apply` mark its output, for drawings of the graph."""
        super().__init_subclass__(**keywords)
        if "apply" in cls.__dict__:
            cls.apply = mark_output(cls.__dict__["apply"])  # type: ignore[attr-defined]

    def __new__(cls, *arguments: Any, **keywords: Any) -> Self:
        """Keep the arguments of the constructor, so that a model can be built again in another float type."""
        brick = super().__new__(cls)
        brick.construction = arguments, keywords
        return brick

    def __init__(self, name: str, children: Sequence["Brick"] = ()) -> None:
        self.name = name
        self.children = list(children)
        self._own: dict[str, Parameter] = {}
        for child in self.children:
            for path, parameter in child.parameters(f"/{name}").items():
                parameter.variable.name = path  # at last from the root, so that it is unique in a model

    def add_parameter(
        self, name: str, shape: Sequence[int], role: str, initialization: Initialization
    ) -> TensorSharedVariable:
        """Return a new shared variable of this brick, of the float type pytensor.config.floatX.

        Args:
            name: name within this brick.
            shape: shape of the parameter.
            role: WEIGHT, BIAS, RATES or SCHEDULE.
            initialization: distribution of its initial value.

        Raises:
            MemoryError: no array can have that shape.
        """
        shape = tuple(shape)
        if math.prod(shape) > np.iinfo(np.intp).max:
            raise MemoryError(f"parameter {self.name}.{name} of shape {shape}")
        # One stored number, whatever the shape: training keeps its parameters elsewhere, and NaN shows a missing start.
        value = np.broadcast_to(np.asarray(np.nan, dtype=config.floatX), shape)
        if role == SCHEDULE:
            value = initialization.generate(np.random.default_rng(0), shape).astype(config.floatX)
        variable = pytensor.shared(value, name=f"/{self.name}.{name}", borrow=True, shape=shape)
        self._own[name] = Parameter(variable, role, initialization)
        return variable

    def parameters(self, prefix: str = "") -> dict[str, Parameter]:
        """Return the parameters of this brick and of those inside, by path, in a fixed order."""
        path = f"{prefix}/{self.name}"
        parameters = {f"{path}.{name}": parameter for name, parameter in self._own.items()}
        for child in self.children:
            parameters.update(child.parameters(path))
        return parameters

    def initialize(self, rng: np.random.Generator) -> dict[str, NDArray[np.float64]]:
        """Draw initial values of all parameters, float64 by path."""
        return {path: p.initialization.generate(rng, p.shape) for path, p in self.parameters().items()}
