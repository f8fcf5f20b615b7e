"""Flat parameter vectors: the place of each parameter of a model in one vector."""

from collections.abc import Mapping

import numpy as np

from dpm.base.errors import InputError
from dpm.graph import Tensor
from dpm.graph.bricks import SCHEDULE, Brick, Parameter


class Layout:
    """Place of each parameter in one flat vector, the form in which compiled functions and optimizers take them.

    Args:
        parameters: parameters by Blocks path, in the order of the vector.

    Attributes:
        parameters: the same dict.
        slices: slice of the vector by path.
        size: length of the vector.
    """

    def __init__(self, parameters: Mapping[str, Parameter]) -> None:
        self.parameters = dict(parameters)
        sizes = [int(np.prod(p.shape)) for p in self.parameters.values()]
        ends = np.cumsum(sizes, dtype=int)
        self.slices = {
            path: slice(int(end) - size, int(end)) for path, size, end in zip(self.parameters, sizes, ends, strict=True)
        }
        self.size = int(ends[-1]) if sizes else 0

    def flatten(self, values: Mapping[str, np.ndarray], dtype: str) -> np.ndarray:
        """Return arrays by path as one new vector of a float type.

        Raises:
            InputError: a name is missing, is not a parameter, or has another shape than the model's.
        """
        theta = np.empty(self.size, dtype=dtype)
        wrong = sorted(set(values) ^ set(self.parameters))
        if wrong:
            problem = "missing" if wrong[0] in self.parameters else "not a parameter of this model"
            raise InputError(f"parameter {wrong[0]} is {problem} ({len(wrong)} names differ)")
        for path, place in self.slices.items():
            shape = self.parameters[path].shape
            if np.shape(values[path]) != shape:
                raise InputError(f"parameter {path}: got shape {np.shape(values[path])}; expected {shape}")
            theta[place] = np.ravel(values[path])
        return theta

    def split(self, theta: np.ndarray) -> dict[str, np.ndarray]:
        """Return views of the vector `theta` by path, each in the shape of its parameter."""
        return {path: theta[place].reshape(self.parameters[path].shape) for path, place in self.slices.items()}

    def givens(self, theta: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return pairs that replace each parameter of a graph by its part of the symbolic vector `theta`."""
        return [(p.variable, theta[self.slices[path]].reshape(p.shape)) for path, p in self.parameters.items()]


def trained_layout(model: Brick) -> Layout:
    """Return the layout of the parameters that training changes: all but those of the released schedule."""
    return Layout({path: p for path, p in model.parameters().items() if p.role != SCHEDULE})
