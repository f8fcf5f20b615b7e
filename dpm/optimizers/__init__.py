"""Optimizers of a function of one flat vector; numpy alone, no tensors."""

from dpm.optimizers.adam import Adam
from dpm.optimizers.rmsprop import RMSProp, decay_learning_rate, remove_not_finite

__all__ = ["Adam", "RMSProp", "decay_learning_rate", "remove_not_finite"]
