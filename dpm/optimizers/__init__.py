"""Optimizers of a function of one flat vector, and of sums of such functions; numpy and scipy alone, no tensors."""

from dpm.optimizers.adam import Adam
from dpm.optimizers.lbfgs import LBFGS
from dpm.optimizers.rmsprop import RMSProp, decay_learning_rate, remove_not_finite
from dpm.optimizers.sfo import SFO
from dpm.optimizers.stochastic import Stochastic

__all__ = ["LBFGS", "SFO", "Adam", "RMSProp", "Stochastic", "decay_learning_rate", "remove_not_finite"]
