"""Arguments of DiffusionModel: names, types, defaults, accepted values and documentation in one place."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from inspect import Parameter, signature
from typing import Annotated, Any, Concatenate, ParamSpec, TypeVar, get_type_hints

import numpy as np

from dpm.base.arguments import check_whole_number
from dpm.base.errors import InputError
from dpm.graph import schedules
from dpm.graph.bricks import Brick
from dpm.graph.kernels import BinomialKernel, FullGaussianKernel, GaussianKernel, Kernel
from dpm.graph.networks.images import NETWORKS

A = TypeVar("A")
P = ParamSpec("P")
Self = TypeVar("Self")


# Arguments that only the networks of this package use.
OF_NETWORK = (
    *("n_hidden_dense_lower", "n_hidden_dense_lower_output", "n_hidden_dense_upper", "n_hidden_conv"),
    *("n_layers_conv", "n_layers_dense_lower", "n_layers_dense_upper", "n_scales", "dense_lower_depth", "conv_biases"),
)


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


@dataclass(frozen=True)
class Share:
    """Accept None, or numbers above 0 and below 1; return None or a float."""

    def __call__(self, name: str, value: Any) -> float | None:
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
            raise InputError(f"{name}: {value!r} is not accepted; expected a number above 0 and below 1")
        return float(value)


class OneOf:
    """Accept one of some texts, or an object of the user's.

    Args:
        accepted: the texts.
        method: name of a method that an object must have; None to accept texts only.
    """

    def __init__(self, *accepted: str, method: str | None = None) -> None:
        self.accepted, self.method = accepted, method

    def __call__(self, name: str, value: Any) -> Any:
        if isinstance(value, str) and value in self.accepted:
            return str(value)
        own = self.method is not None and not isinstance(value, type) and callable(getattr(value, self.method, None))
        if own:
            return value
        more = f" or, from Python, an object with {self.method}()" if self.method else ""
        raise InputError(f"{name}: {value!r} is not accepted; expected {' or '.join(self.accepted)}{more}")


@dataclass(frozen=True)
class ModelArguments:
    """Arguments of DiffusionModel: the names and defaults of 2015, and nine more from kl_terms on.

    Whole numbers become int, other numbers float. `as_json` of it is the model's JSON in a checkpoint.

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
        network: "reference-2015", or "paper-2015" as Appendix D.2 describes it (dpm/graph/networks/images.py); or a
            `ReverseNetwork`, which takes the place of all arguments of the network.
        conv_biases: "untied" as released, one per filter and place; or "shared", one per filter, with which a model
            without a dense path (n_hidden_dense_lower=0) accepts images of any size.
        schedule: rates beta_1..beta_T: "released", never trained; "released-learned" and "free", learned (section
            2.4.1); "linear" (Ho et al. 2020), "cosine" (Nichol and Dhariwal 2021) or "log-snr", fixed
            (docs/schedules.md); or a `Schedule`.
        beta_1: first rate, from which an upper limit of K follows; None for the schedule's own, which depends on
            step1_beta in the released form.
        kernel: "gaussian", "binomial" for images of bits, or a `Kernel`.
        base_rate: share of ones that binomial diffusion ends in (Table C.1); None for 0.5.

    Raises:
        InputError: a value is not accepted, or two contradict each other.
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
    network: Annotated[Any, OneOf(*NETWORKS, method="reverse")] = "reference-2015"
    conv_biases: Annotated[str, OneOf("untied", "shared")] = "untied"
    schedule: Annotated[Any, OneOf(*schedules.NAMES, method="beta_arr")] = "released"
    beta_1: Annotated[float | None, Share()] = None
    kernel: Annotated[Any, OneOf("gaussian", "binomial", method="forward_marginal")] = "gaussian"
    base_rate: Annotated[float | None, Share()] = None

    def __post_init__(self) -> None:
        for name, hint in get_type_hints(ModelArguments, include_extras=True).items():
            (check,) = hint.__metadata__
            object.__setattr__(self, name, check(name, getattr(self, name)))  # also of a frozen dataclass
        for name, words in (("schedule", "Schedule"), ("network", "ReverseNetwork")):
            value = getattr(self, name)
            if not isinstance(value, str | Brick):
                raise InputError(f"{name}: got a {type(value).__name__}; expected a {words} or another brick")
        self._check_schedule()
        self._check_kernel()
        self._check_network()

    def as_json(self) -> dict[str, Any] | None:
        """Return the arguments by name, as JSON can hold them; None where one is an object of the user's."""
        names = [field.name for field in fields(self)]
        own = any(not isinstance(getattr(self, name), str) for name in ("schedule", "kernel", "network"))
        return None if own else {name: getattr(self, name) for name in names}

    def build_kernel(self) -> Kernel[Any]:
        """Return the kernel."""
        if self.kernel == "gaussian":
            return GaussianKernel()
        return BinomialKernel(self.base_rate or 0.5) if self.kernel == "binomial" else self.kernel

    def build_schedule(self) -> schedules.Schedule | None:
        """Return the schedule; None for the released one, whose coefficients belong to DiffusionModel."""
        if self.schedule == "released":
            return None
        if not isinstance(self.schedule, str):
            own: schedules.Schedule = self.schedule
            return own
        return schedules.build_schedule(
            self.schedule, self.trajectory_length, self.beta_1, self.step1_beta, self.n_temporal_basis
        )

    def _changed(self, *names: str) -> list[str]:
        """Return name=value of those arguments that are not the defaults."""
        defaults = {field.name: field.default for field in fields(self)}
        return [f"{name}={getattr(self, name)!r}" for name in names if getattr(self, name) != defaults[name]]

    def _check_schedule(self) -> None:
        """Raise InputError for a first rate that is given twice or not used, and for a schedule of another length."""
        own = not isinstance(self.schedule, str)
        text = "your own schedule" if own else f"schedule={self.schedule!r}"
        if self._changed("step1_beta") and self.beta_1 is not None:
            raise InputError(f"step1_beta={self.step1_beta!r} contradicts beta_1={self.beta_1!r}; leave one out")
        if self._changed("step1_beta") and (own or self.schedule in ("linear", "cosine")):
            raise InputError(f"step1_beta={self.step1_beta!r} is not used by {text}; leave it out")
        if not own:
            return
        if self.beta_1 is not None:
            raise InputError(f"beta_1={self.beta_1!r} is not used by {text}, which has its own; leave it out")
        steps = getattr(self.schedule, "trajectory_length", None)
        if steps != self.trajectory_length:
            raise InputError(
                f"trajectory_length: got {self.trajectory_length}; expected {steps}, the trajectory_length of your "
                "schedule"
            )

    def _check_kernel(self) -> None:
        """Raise InputError for arguments that the kernel does not use, and for a kernel without a network."""
        if self.base_rate is not None and self.kernel != "binomial":
            raise InputError(f"base_rate={self.base_rate!r} is used by kernel='binomial' only; leave it out")
        kernel = self.build_kernel()
        if kernel.binary and self.uniform_noise:
            raise InputError(f"uniform_noise={self.uniform_noise!r} would make bits continuous; leave it out")
        known = isinstance(kernel, GaussianKernel | BinomialKernel) and not isinstance(kernel, FullGaussianKernel)
        if isinstance(self.network, str) and not known:
            raise InputError(
                f"kernel: the network {self.network!r} has no distribution of a {type(kernel).__name__}; give "
                "network=..., a ReverseNetwork for it"
            )

    def _check_network(self) -> None:
        """Raise InputError for arguments that a network of the user's own leaves without use."""
        if not isinstance(self.network, str):
            unused = (*OF_NETWORK, *(() if self.schedule == "released-learned" else ("n_temporal_basis",)))
            if changed := self._changed(*unused):
                raise InputError(f"{changed[0]} is not used by your own network; leave it out")


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
