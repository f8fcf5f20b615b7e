"""The toy problems of section 3.1: heartbeat and swiss roll, with data, model, exact log likelihood and ceiling."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from dpm.base import noise
from dpm.base.arguments import check_names, check_whole_number
from dpm.base.errors import InputError
from dpm.datasets import Scaling
from dpm.datasets.made import generators
from dpm.experiments import exact
from dpm.graph import schedules
from dpm.graph.kernels.binomial import BinomialKernel
from dpm.graph.kernels.full_gaussian import FullGaussianKernel
from dpm.graph.kernels.gaussian import GaussianKernel
from dpm.graph.networks import vectors
from dpm.graph.vector_model import VectorDiffusion

Arguments = dict[str, Any]

HEARTBEAT = {"length": 20, "period": 5}
STARTS = {"zero": "zero", "closed-form": "least_squares"}  # by the names of --start: the argument `start`
FINAL_SNR = 0.135  # SNR_T of the schedule with even log SNR: its ceiling is highest near this value


@dataclass(frozen=True)
class Toy:
    """One toy problem: data, model, exact values and training.

    Attributes:
        make: function of (arguments, rng, n) that draws n examples, shape (n, size).
        build: function of the arguments that returns the VectorDiffusion.
        log_likelihood: function of the arguments that returns the exact log likelihood, in bits per example.
        ceiling: function of (arguments, beta) that returns the largest K under that schedule, in bits per example; its
            keyword progress is a function that it calls with 1 after each of T - 1 steps.
        arguments: names and default values of what --model-args may set.
        forms: named sets of other defaults; the first is the default form and changes nothing.
        choices: accepted values of the arguments that are names.
        requires: arguments that need a certain value of another one, as name: (other, value).
        below: exclusive upper limits of numbers.
        units: description of the data's units, as printed.
        batch_size, lr, epochs: defaults of training.
        form_training: other defaults of training, by form and by the names of Settings.
        start_training: other defaults of training by gradients, by the value of the argument `start`.
        n_train, n_test: numbers of training and test examples.
        small: the same two numbers with --small.
    """

    make: Callable[[Arguments, np.random.Generator, int], np.ndarray]
    build: Callable[[Arguments], VectorDiffusion]
    log_likelihood: Callable[[Arguments], float]
    ceiling: Callable[..., float]
    arguments: Arguments
    forms: dict[str, Arguments]
    choices: dict[str, tuple[str, ...]]
    requires: dict[str, tuple[str, Any]]
    below: dict[str, float]
    units: str
    batch_size: int = 4000
    lr: float = 3e-3
    epochs: int = 60
    n_train: int = 400_000
    n_test: int = 20_000
    small: tuple[int, int] = (40_000, 2_000)
    form_training: Mapping[str, Arguments] = field(default_factory=dict)
    start_training: Mapping[str, Arguments] = field(default_factory=dict)

    def training_defaults(self, arguments: Arguments) -> Arguments:
        """Return the defaults of training, by the names of Settings, for complete model arguments."""
        general = {key: getattr(self, key) for key in ("batch_size", "lr", "epochs")}
        learned = {} if arguments["readouts"] == "solved" else self.start_training.get(arguments.get("start", ""), {})
        return general | learned | self.form_training.get(arguments["form"], {})

    def resolve_start(self, start: str | None, given: Mapping[str, Any]) -> tuple[str | None, Arguments]:
        """Return the start of the readouts by its name in STARTS, and the model arguments with it.

        Args:
            start: as --start; None for that of the model arguments. It is None where it has no effect.
            given: names and values as --model-args has them.

        Raises:
            InputError: the start has no effect, or contradicts the model arguments.
        """
        arguments = dict(given)
        if "start" not in self.arguments:
            if start is not None:
                raise InputError(f"--start {start}: is for --experiment swissroll; leave it out")
            return None, arguments
        complete = self.complete(arguments)
        solved = complete["readouts"] == "solved"
        if start is None:
            names = {value: name for name, value in STARTS.items()}
            return None if solved else names[complete["start"]], arguments
        if solved:
            raise InputError(
                f"--start {start}: has no effect with readouts='solved', which solves for them in each step; leave it "
                "out, or set --model-args readouts='gradient'"
            )
        if arguments.get("start", STARTS[start]) != STARTS[start]:
            raise InputError(f"--start {start} contradicts --model-args start={arguments['start']!r}; leave one out")
        return start, arguments | {"start": STARTS[start]}

    def complete(self, given: Mapping[str, Any]) -> Arguments:
        """Return all model arguments: the given ones, checked, and defaults for the others.

        Args:
            given: names and values as --model-args has them.

        Raises:
            InputError: a name is unknown, or a value is not accepted.
        """
        form = given.get("form", next(iter(self.forms)))
        if not isinstance(form, str) or form not in self.forms:
            raise InputError(f"--model-args form={form!r}: accepted: {', '.join(self.forms)}")
        defaults = {"form": form} | self.arguments | self.forms[form]
        arguments = defaults | check_names(dict(given), defaults)
        for name in set(given) - {"form"}:
            arguments[name] = self._check_value(name, given[name])
        for name, (other, value) in self.requires.items():
            if name in given and arguments[other] != value:
                raise InputError(
                    f"--model-args {name}={given[name]!r} has no effect with {other}={arguments[other]!r}; leave it "
                    f"out, or set {other}={value!r}"
                )
        return arguments

    def _check_value(self, name: str, value: Any) -> Any:
        """Return the value of one argument, as int or float where it is a number."""
        default = self.arguments[name]
        if name in self.choices:
            if not isinstance(value, str) or value not in self.choices[name]:
                raise InputError(f"--model-args {name}={value!r}: accepted: {', '.join(self.choices[name])}")
            return value
        if type(default) is int:
            # K is a sum over t = 2..T (Eq. 14).
            return check_whole_number(name, value, 2 if name == "trajectory_length" else 1)
        if type(default) is bool:
            if not isinstance(value, bool):
                raise InputError(f"--model-args {name}={value!r}: accepted: True or False")
            return value
        below = self.below.get(name, np.inf)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < below:
            raise InputError(f"--model-args {name}={value!r}: accepted: a number above 0 and below {below:g}")
        return float(value)

    def model(self, given: Mapping[str, Any]) -> VectorDiffusion:
        """Build the VectorDiffusion of --model-args; its `arguments` hold all of them, as in DiffusionModel.

        Raises:
            InputError: a name is unknown, or a value is not accepted.
        """
        arguments = self.complete(given)
        model = self.build(arguments)
        model.arguments = arguments
        return model


ACTIVATIONS = {"tanh": vectors.Tanh, "sigmoid": vectors.Sigmoid, "centered_sigmoid": vectors.CenteredSigmoid}
BIT_NETWORKS = {"bits": vectors.BitsOfX0, "rates": vectors.Rates, "plain_rates": vectors.PlainRates}


def heartbeat_model(a: Arguments) -> VectorDiffusion:
    """Build binomial diffusion with beta_t = 1 / (T - t + 1) and the data's mean activity as base rate (D.1.2).

    Raises:
        InputError: the readouts cannot be solved for.
    """
    T, size = a["trajectory_length"], HEARTBEAT["length"]
    if a["readouts"] == "solved" and a["network"] == "bits":
        raise InputError(
            "--model-args readouts='solved' is for networks that add a readout to logits, network='rates' or "
            "'plain_rates'; take one of them, or readouts='gradient'"
        )
    hidden = vectors.HiddenLayers(
        size,
        a["hidden"],
        a["layers"],
        ACTIVATIONS[a["activation"]],
        time=not a["readout_a_step"],
        center=1 / HEARTBEAT["period"],
        copies=a["hidden_start"] == "copies",
    )
    network = BIT_NETWORKS[a["network"]](size, hidden, T if a["readout_a_step"] else None)
    schedule = schedules.FixedSchedule(schedules.erase_equally(T))
    return VectorDiffusion(size, BinomialKernel(1 / HEARTBEAT["period"]), schedule, network)


SWISS_NETWORKS = {"mean_variance": vectors.MeanVariance, "posterior_variance": vectors.PosteriorVariance}


def swiss_roll_schedule(a: Arguments) -> np.ndarray:
    """Return the initial beta_1..beta_T, shape (T,), of the argument `schedule`.

    "released" is 1 / linspace(T, 2, T), "even_log_snr" spaces the log signal-to-noise ratio evenly, and "best"
    maximizes the ceiling of K on the data. In all three, beta_1 is a fixed share of the data's noise variance.

    Raises:
        InputError: T is too long for "best".
    """
    T, beta_1 = a["trajectory_length"], a["beta_1_share"] * a["noise"] ** 2
    if a["schedule"] == "released":
        return np.concatenate([[beta_1], schedules.released(T)[1:]])
    if a["schedule"] == "even_log_snr":
        return schedules.even_log_snr(T, beta_1, FINAL_SNR)
    longest = exact.swiss_roll.GRID + 1
    if longest < T:
        raise InputError(
            f"--model-args trajectory_length={T} is too long for schedule='best'; take up to {longest}, or another "
            "schedule"
        )
    return exact.swiss_roll.best_schedule(a["noise"], T, np.random.default_rng(0), beta_1, a["covariance"])


def swiss_roll_model(a: Arguments) -> VectorDiffusion:
    """Build Gaussian diffusion in two dimensions, with a normalized RBF network as in D.1.1 or an MLP."""
    T, full = a["trajectory_length"], a["covariance"] == "full"
    if full and a["readouts"] == "solved":
        raise InputError(
            "--model-args covariance='full': the readouts of a full covariance cannot be solved for in each step of "
            "training; set readouts='gradient', or leave covariance out"
        )
    if a["hidden_kind"] == "rbf":
        hidden: Any = vectors.NormalizedRBF(2, a["hidden"])
    else:
        hidden = vectors.HiddenLayers(2, a["hidden"], a["layers"], vectors.Tanh, spread=a["spread"])
    if a["network"] == "posterior_variance":
        hidden = vectors.WithInputs(2, hidden)
    choice = schedules.FreeSchedule if a["learn_beta"] else schedules.FixedSchedule
    network = SWISS_NETWORKS[a["network"]](2, hidden, T, full)
    kernel = FullGaussianKernel() if full else GaussianKernel()
    return VectorDiffusion(2, kernel, choice(swiss_roll_schedule(a)), network)


def swiss_roll_ceiling(a: Arguments, beta: np.ndarray, **more: Any) -> float:
    """Return the largest K of the model's covariance under its schedule beta, shape (T,), in bits per example."""
    return exact.swiss_roll.ceiling(a["noise"], beta, np.random.default_rng(0), a["covariance"], **more)[0]


def heartbeat_ceiling(a: Arguments, beta: np.ndarray, **more: Any) -> float:
    """Return the largest K of any reverse kernel that is factorial over bits, in bits per example."""
    length, period = HEARTBEAT["length"], HEARTBEAT["period"]
    return exact.heartbeat.ceiling(a["trajectory_length"], 1 / period, length, period, **more)


TOYS = {
    "heartbeat": Toy(
        make=lambda a, rng, n: generators.heartbeat(rng, n, **HEARTBEAT).astype(np.float64),
        build=heartbeat_model,
        log_likelihood=lambda a: exact.heartbeat.log_likelihood(HEARTBEAT["period"]),
        ceiling=heartbeat_ceiling,
        arguments={
            "trajectory_length": 2000,
            "network": "bits",
            "hidden": 50,
            "layers": 3,
            "activation": "tanh",
            "hidden_start": "orthogonal",
            "readout_a_step": False,
            "readouts": "gradient",
        },
        forms={
            "further": {},
            "paper": {
                "network": "plain_rates",
                "activation": "centered_sigmoid",
                "hidden_start": "copies",
                "readout_a_step": True,
                "readouts": "solved",
            },
        },
        choices={
            "network": tuple(BIT_NETWORKS),
            "activation": tuple(ACTIVATIONS),
            "hidden_start": ("orthogonal", "copies"),
            "readouts": ("gradient", "solved"),
        },
        requires={"readouts": ("readout_a_step", True)},
        below={},
        units="bits, not scaled",
        form_training={"paper": {"lr": 1e-2, "epochs": 100}},
    ),
    "swissroll": Toy(
        make=lambda a, rng, n: generators.swiss_roll(rng, n, a["noise"]),
        build=swiss_roll_model,
        log_likelihood=lambda a: exact.swiss_roll.log_likelihood(a["noise"], np.random.default_rng(0))[0],
        ceiling=swiss_roll_ceiling,
        arguments={
            "trajectory_length": 40,
            "noise": 0.0024,
            "network": "posterior_variance",
            "covariance": "diagonal",
            "hidden_kind": "mlp",
            "hidden": 256,
            "layers": 1,
            "spread": 2.0,
            "start": "least_squares",
            "readouts": "gradient",
            "schedule": "best",
            "beta_1_share": 0.0025,
            "learn_beta": False,
        },
        forms={
            "further": {},
            "paper": {
                "network": "mean_variance",
                "hidden_kind": "rbf",
                "hidden": 16,
                "start": "zero",
                "readouts": "solved",
                "schedule": "even_log_snr",
                "learn_beta": True,
            },
        },
        choices={
            "network": tuple(SWISS_NETWORKS),
            "covariance": ("diagonal", "full"),
            "hidden_kind": ("rbf", "mlp"),
            "start": ("least_squares", "zero"),
            "readouts": ("gradient", "solved"),
            "schedule": ("best", "even_log_snr", "released"),
        },
        requires={"layers": ("hidden_kind", "mlp"), "spread": ("hidden_kind", "mlp")},
        below={"noise": 1, "beta_1_share": 1},
        units="each dimension has mean 0 and variance 1",
        lr=1e-5,
        epochs=10,
        form_training={
            "paper": {"batch_size": 2000, "lr": 0.05, "epochs": 96, "lr_schedule": "cosine", "dtype": "float64"}
        },
        start_training={"zero": {"batch_size": 500, "lr": 1e-2, "epochs": 40, "lr_schedule": "cosine"}},
    ),
}


class ToyData(NamedTuple):
    """Training and test examples of a toy problem, with what is known of them.

    Attributes:
        name, path, note, hash: where the data come from; they are generated, so only the name says something.
        dtype: float type of the examples.
        range: smallest and largest training value.
        units: description of the units, as printed.
        quantized: False, as the values are not gray levels.
        in_memory: True.
        scaling: the identity.
        train, test: examples, shape (n, size).
    """

    name: str
    path: str
    note: str
    hash: str
    dtype: str
    range: list[float]
    units: str
    quantized: bool
    in_memory: bool
    scaling: Scaling
    train: np.ndarray
    test: np.ndarray


def make_data(toy: Toy, name: str, model_args: Mapping[str, Any], small: bool, seed: int, dtype: str) -> ToyData:
    """Draw the training and test examples of a run.

    Args:
        toy: the toy problem.
        name: its name in TOYS.
        model_args: as --model-args.
        small: draw the smaller numbers of examples.
        seed: seed of the run; training and test examples use separate streams.
        dtype: "float32" or "float64".

    Raises:
        InputError: a model argument is not accepted.
    """
    arguments = toy.complete(model_args)
    n_train, n_test = toy.small if small else (toy.n_train, toy.n_test)
    train = toy.make(arguments, noise.generator(seed, noise.START, 2), n_train).astype(dtype)
    test = toy.make(arguments, noise.generator(seed, noise.START, 3), n_test).astype(dtype)
    return ToyData(
        name=name,
        path="dpm.datasets.made.generators",
        note="",
        hash="",
        dtype=dtype,
        range=[float(train.min()), float(train.max())],
        units=toy.units,
        quantized=False,
        in_memory=True,
        scaling=Scaling(1.0, 0.0),
        train=train,
        test=test,
    )
