"""A small Blocks: bricks own named parameters and apply themselves to symbolic variables.

Bricks only build. A parameter is a symbolic variable without a value; its value is computed by `initialize` from
a Generator and handed to compiled functions as an argument.
"""

from dpm.graph.bricks.base import BIAS, RATES, SCHEDULE, WEIGHT, Brick, Parameter
from dpm.graph.bricks.convolutional import Convolutional, ConvolutionalActivation
from dpm.graph.bricks.dense import MLP, Identity, Linear
from dpm.graph.bricks.dropout import draw_masks, dropout_masks
from dpm.graph.bricks.initialization import Constant, IsotropicGaussian, Orthogonal

__all__ = [
    "BIAS",
    "MLP",
    "RATES",
    "SCHEDULE",
    "WEIGHT",
    "Brick",
    "Constant",
    "Convolutional",
    "ConvolutionalActivation",
    "Identity",
    "IsotropicGaussian",
    "Linear",
    "Orthogonal",
    "Parameter",
    "draw_masks",
    "dropout_masks",
]
