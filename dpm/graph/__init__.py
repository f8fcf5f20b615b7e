"""Symbolic graphs of diffusion models: kernels, schedules, networks and the bound K. Nothing here compiles or draws."""

from typing import Any, TypeAlias

from pytensor.tensor.variable import TensorVariable

Tensor: TypeAlias = TensorVariable[Any, Any]  # a symbolic array of PyTensor

__all__ = ["Tensor"]
