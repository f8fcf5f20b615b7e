"""A small Blocks: bricks own named parameters and apply themselves to symbolic variables.

Bricks only build graphs. A parameter is a shared variable; its value is set by `Diffusion.shared` where a user compiles
a graph with PyTensor. The engines keep all parameters in one flat vector instead and pass it to compiled functions.
"""

from dpm.graph.bricks.base import BIAS, RATES, SCHEDULE, WEIGHT, Brick, Parameter
from dpm.graph.bricks.convolutional import Convolutional, ConvolutionalActivation
from dpm.graph.bricks.dense import MLP, Activation, Identity, Linear
from dpm.graph.bricks.dropout import draw_masks, dropout_masks
from dpm.graph.bricks.initialization import Constant, Copies, Initialization, IsotropicGaussian, Orthogonal

__all__ = [
    "BIAS",
    "MLP",
    "RATES",
    "SCHEDULE",
    "WEIGHT",
    "Activation",
    "Brick",
    "Constant",
    "Convolutional",
    "ConvolutionalActivation",
    "Copies",
    "Identity",
    "Initialization",
    "IsotropicGaussian",
    "Linear",
    "Orthogonal",
    "Parameter",
    "draw_masks",
    "dropout_masks",
]
