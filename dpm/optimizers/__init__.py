"""Optimizers of a function of one flat vector, and of sums of such functions, in numpy and scipy.

They know no tensors, with one exception: :mod:`dpm.optimizers.updates` writes SGD, RMSProp and Adam as update
expressions of a graph. It is the only module here that needs PyTensor, and is imported when first used.
"""

from importlib import import_module
from typing import Any

from dpm.optimizers.adam import Adam
from dpm.optimizers.lbfgs import LBFGS
from dpm.optimizers.rmsprop import RMSProp, decay_learning_rate, remove_not_finite
from dpm.optimizers.sfo import SFO
from dpm.optimizers.stochastic import Stochastic

__all__ = ["LBFGS", "SFO", "Adam", "RMSProp", "Stochastic", "decay_learning_rate", "remove_not_finite", "updates"]


def __getattr__(name: str) -> Any:
    """Import ``updates`` when it is first asked for."""
    if name == "updates":
        return import_module("dpm.optimizers.updates")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
