"""The graphs of a model that `dpm graph` draws: the bound K, its gradient, and a step of the reverse trajectory."""

from collections.abc import Callable
from typing import Any

import pytensor
from pytensor import config

from dpm.base.errors import InputError
from dpm.experiments.named import EXPERIMENTS
from dpm.graph.diffusion import Diffusion
from dpm.graph.naming import name_fields
from dpm.model import DiffusionModel
from dpm.reports.graphs.groups import Value
from dpm.reports.graphs.page import Drawing, draw
from dpm.runs.settings import Settings

# Width and colors of the images of a data set: a graph needs no data, only their shape.
IMAGES = {"MNIST": (28, 1), "FASHION_MNIST": (28, 1), "CIFAR10": (32, 3), "DEAD_LEAVES": (32, 1)}
COLORS = 3  # of photographs, which are cropped


def bound(model: Diffusion, n: int) -> list[Value]:
    """Return K - L_null of each of n examples (Eq. 14)."""
    x0, t, noise, u = model.inputs(n)
    gain = -model.cost_single_t(x0, t, noise, u if model.uniform_noise else None)
    gain.name = "K − L_{null}"
    return [gain]


def gradient(model: Diffusion, n: int) -> list[Value]:
    """Return the gradient of the cost of n examples in each trained parameter (Eq. 15)."""
    x0, t, noise, u = model.inputs(n)
    cost = model.cost_single_t(x0, t, noise, u if model.uniform_noise else None).mean()
    cost.name = "cost"
    trained = [parameter.variable for parameter in model.parameters().values() if parameter.is_trained]
    gradients: Any = pytensor.grad(cost, trained)
    return list(gradients)


def reverse_step(model: Diffusion, n: int) -> list[Value]:
    """Return x_{t-1} of n examples, drawn from the model's p(x_{t-1} | x_t) (Eq. 5)."""
    x_t, t, noise, _ = model.inputs(n)
    x_t.name = "X_noisy"
    previous = model.kernel.sample(name_fields(model.reverse(x_t, t), "p"), noise)
    previous.name = "x^{(t−1)}"
    return [previous]


QUANTITIES: dict[str, tuple[str, Callable[[Diffusion, int], list[Value]]]] = {
    "K": ("K − L_{null}", bound),
    "gradient": ("Gradient of the cost", gradient),
    "reverse-step": ("A step of the reverse trajectory", reverse_step),
}


def build_model(settings: Settings) -> Diffusion:
    """Return the model of some settings; no data are read.

    Raises:
        InputError: the settings do not determine the shape of the images.
    """
    with config.change_flags(floatX=settings.dtype):
        if settings.toy is not None:
            return settings.toy.model(settings.model_args)
        width, colors = IMAGES.get(settings.dataset, (settings.crop, COLORS))
        arguments = {"spatial_width": width, "n_colors": colors, "network": settings.model} | settings.model_args
        if arguments["spatial_width"] is None:
            names = ", ".join(name for name, entry in EXPERIMENTS.items() if entry.dataset in IMAGES or entry.crop)
            raise InputError(f"--dataset {settings.dataset}: got images of unknown shape; expected one of {names}")
        return DiffusionModel(**arguments)


def draw_quantity(model: Diffusion, what: str, n: int, name: str) -> Drawing:
    """Return a drawing of one of QUANTITIES, for n examples. name: of the model, for the heading."""
    title, build = QUANTITIES[what]
    with config.change_flags(floatX=model.dtype):
        return draw(build(model, n), f"{title}: {name}")
