"""Arguments of DiffusionModel: names, types, defaults, accepted values and documentation in one place."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from inspect import Parameter, signature
from typing import Annotated, Any, Concatenate, ParamSpec, TypeVar, get_type_hints

import numpy as np

from dpm.base.arguments import check_whole_number
from dpm.base.errors import InputError
from dpm.graph.networks.images import NETWORKS

A = TypeVar("A")
P = ParamSpec("P")
Self = TypeVar("Self")


@dataclass(frozen=True)
class AtLeast:
    """Accept whole numbers from `smallest`; return an int."""

    smallest: int

    def __call__(self, name: str, value: Any) -> int:
        return check_whole_number(name, value, self.smallest)


@dataclass(frozen=True)
class Below:
    """Accept numbers from 0 to below `largest`; return a float."""

    largest: float

    def __call__(self, name: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < self.largest:
            raise InputError(f"{name}: {value!r} is not accepted; expected a number from 0 to below {self.largest}")
        return float(value)


class OneOf:
    """Accept one of some texts.

    Args:
        accepted: the texts.
    """

    def __init__(self, *accepted: str) -> None:
        self.accepted = accepted

    def __call__(self, name: str, value: Any) -> str:
        if value not in self.accepted:
            raise InputError(f"{name}: {value!r} is not accepted; expected {' or '.join(self.accepted)}")
        return str(value)


@dataclass(frozen=True)
class ModelArguments:
    """Arguments of DiffusionModel: the names and defaults of 2015, and five more from kl_terms on.

    Whole numbers become int, other numbers float. `dataclasses.asdict` of it is the model's JSON in a checkpoint.

    Attributes:
        spatial_width: w, height and width of the images.
        n_colors: c, channels of an image, 1 or 3 for gray and color.
        trajectory_length: T.
        n_temporal_basis: J, number of bumps over time (Eq. 64).
        n_hidden_dense_lower: units of a hidden layer of the dense path; 0 omits the path.
        n_hidden_dense_lower_output: outputs of the dense path per pixel.
        n_hidden_dense_upper: units per pixel of a hidden layer above the two paths.
        n_hidden_conv: filters of a convolutional layer; 0 omits the path.
        n_layers_conv: number of convolutional layers.
        n_layers_dense_lower: layers of the dense path, output layer included.
        n_layers_dense_upper: layers above the two paths, output layer included.
        n_t_per_minibatch: number of times at which a minibatch is evaluated, each with its own noise.
        n_scales: scales of a convolutional layer; w must be divisible by 2^(n_scales - 1).
        step1_beta: number added to beta_1.
        uniform_noise: width of the uniform noise that dequantizes gray levels, in the units of the scaled data.
        kl_terms: "T-1" weights a drawn time by the number of terms of Eq. 14, so that the expectation of the cost is
            exactly -(K - L_null); "T" is the release.
        dense_lower_depth: argument that sets the depth of the dense path; "n_layers_conv" in the release, which
            ignores n_layers_dense_lower.
        constants: float type to which sqrt(n_hidden_conv), sqrt(n_hidden_dense_lower_output) and log(2) are rounded:
            "float32" in the release, even where all else is double.
        network: "reference-2015", or "paper-2015" as Appendix D.2 describes it (dpm/graph/networks/images.py).
        conv_biases: "untied" as released, one per filter and place; or "shared", one per filter, with which a model
            without a dense path (n_hidden_dense_lower=0) accepts images of any size.

    Raises:
        InputError: a value is not accepted.
    """

    spatial_width: Annotated[int, AtLeast(1)]
    n_colors: Annotated[int, AtLeast(1)]
    trajectory_length: Annotated[int, AtLeast(2)] = 1000
    n_temporal_basis: Annotated[int, AtLeast(2)] = 10
    n_hidden_dense_lower: Annotated[int, AtLeast(0)] = 500
    n_hidden_dense_lower_output: Annotated[int, AtLeast(1)] = 2
    n_hidden_dense_upper: Annotated[int, AtLeast(1)] = 20
    n_hidden_conv: Annotated[int, AtLeast(0)] = 20
    n_layers_conv: Annotated[int, AtLeast(0)] = 4
    n_layers_dense_lower: Annotated[int, AtLeast(0)] = 4
    n_layers_dense_upper: Annotated[int, AtLeast(1)] = 2
    n_t_per_minibatch: Annotated[int, AtLeast(1)] = 1
    n_scales: Annotated[int, AtLeast(1)] = 1
    step1_beta: Annotated[float, Below(0.5)] = 0.001
    uniform_noise: Annotated[float, Below(np.inf)] = 0
    kl_terms: Annotated[str, OneOf("T-1", "T")] = "T-1"
    dense_lower_depth: Annotated[str, OneOf("n_layers_dense_lower", "n_layers_conv")] = "n_layers_dense_lower"
    constants: Annotated[str, OneOf("float64", "float32")] = "float64"
    network: Annotated[str, OneOf(*NETWORKS)] = "reference-2015"
    conv_biases: Annotated[str, OneOf("untied", "shared")] = "untied"

    def __post_init__(self) -> None:
        for name, hint in get_type_hints(ModelArguments, include_extras=True).items():
            (check,) = hint.__metadata__
            object.__setattr__(self, name, check(name, getattr(self, name)))  # also of a frozen dataclass


def takes(
    arguments: Callable[P, A],
) -> Callable[[Callable[[Self, A], None]], Callable[Concatenate[Self, P], None]]:
    """Return a decorator that gives a method of one dataclass the signature of that dataclass.

    Args:
        arguments: the dataclass.

    Example:
        >>> class Model:
        ...     @takes(ModelArguments)
        ...     def __init__(self, arguments):
        ...         self.width = arguments.spatial_width
        >>> Model(spatial_width=28, n_colors=1).width
        28
    """

    def decorate(method: Callable[[Self, A], None]) -> Callable[Concatenate[Self, P], None]:
        @wraps(method)
        def with_arguments(self: Self, /, *args: P.args, **kwargs: P.kwargs) -> None:
            method(self, arguments(*args, **kwargs))

        parameters = [Parameter("self", Parameter.POSITIONAL_OR_KEYWORD), *signature(arguments).parameters.values()]
        with_arguments.__signature__ = signature(method).replace(parameters=parameters)  # type: ignore[attr-defined]
        return with_arguments

    return decorate
