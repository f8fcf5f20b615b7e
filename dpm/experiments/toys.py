"""The toy problems of section 3.1: heartbeat and swiss roll, each with its data, model, truth and ceiling."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from dpm.base import noise
from dpm.base.arguments import check_names, check_whole_number
from dpm.base.errors import InputError
from dpm.datasets import Scaling
from dpm.datasets.made.generators import heartbeat, swiss_roll
from dpm.experiments import exact as truth
from dpm.graph import schedules
from dpm.graph.kernels.binomial import BinomialKernel
from dpm.graph.kernels.full_gaussian import FullGaussianKernel
from dpm.graph.kernels.gaussian import GaussianKernel
from dpm.graph.networks import vectors as networks
from dpm.graph.vector_model import VectorDiffusion

HEARTBEAT = {"length": 20, "period": 5}
FINAL_SNR = 0.135  # of the evenly spaced schedule, whose ceiling is highest near it


@dataclass(frozen=True)
class Toy:
    """One toy problem.

    make(arguments, rng, n): n examples, (n, size); build(arguments): the VectorDiffusion; truth(arguments) and
    ceiling(arguments, model's beta): bits an example. arguments: what --model-args may change, with its defaults;
    forms: named sets of other defaults, the first none. choices: the accepted values of those that are names; only:
    those that have a meaning only where another has a certain value; most: what some numbers must be below. units: what
    is printed of the data. optimizer, batch_size, lr, epochs, n_train, n_test: of training.
    """

    make: Any
    build: Any
    truth: Any
    ceiling: Any
    arguments: dict
    forms: dict
    choices: dict
    only: dict
    most: dict
    units: str
    optimizer: str = "adam"
    batch_size: int = 4000
    lr: float = 3e-3
    epochs: int = 60
    n_train: int = 400_000
    n_test: int = 20_000
    small: tuple[int, int] = (40_000, 2_000)  # of training and test examples, with --small

    def checked(self, given):
        """All arguments with a value; raises InputError for an unknown name or a value that is not accepted."""
        form = given.get("form", next(iter(self.forms)))
        if not isinstance(form, str) or form not in self.forms:
            raise InputError(f"--model-args form={form!r}: accepted: {', '.join(self.forms)}")
        defaults = {"form": form} | self.arguments | self.forms[form]
        checked = defaults | check_names(given, defaults)
        for name in set(given) - {"form"}:
            checked[name] = self._checked(name, given[name])
        for name, (other, value) in self.only.items():
            if name in given and checked[other] != value:
                raise InputError(
                    f"--model-args {name}={given[name]!r} has no meaning with {other}={checked[other]!r}; leave it "
                    f"out, or take {other}={value!r}"
                )
        return checked

    def _checked(self, name, value):
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
        most = self.most.get(name, np.inf)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < most:
            raise InputError(f"--model-args {name}={value!r}: accepted: a number above 0 and below {most:g}")
        return float(value)

    def model(self, given):
        """The VectorDiffusion of --model-args, with all its arguments in `arguments`, as DiffusionModel has them."""
        arguments = self.checked(given)
        model = self.build(arguments)
        model.arguments = arguments
        return model


BIT_NETWORKS = {"bits": networks.BitsOfX0, "rates": networks.Rates, "plain_rates": networks.PlainRates}


def heartbeat_model(a):
    """Binomial diffusion with beta_t = 1 / (T - t + 1) and the data's mean activity as base rate (D.1.2)."""
    T, size = a["trajectory_length"], HEARTBEAT["length"]
    activation = networks.Sigmoid if a["activation"] == "sigmoid" else networks.Tanh
    hidden = networks.HiddenLayers(
        size, a["hidden"], a["layers"], activation, time=not a["readout_a_step"], center=1 / HEARTBEAT["period"]
    )
    network = BIT_NETWORKS[a["network"]](size, hidden, T if a["readout_a_step"] else None)
    schedule = schedules.FixedSchedule(schedules.erase_equally(T))
    return VectorDiffusion(size, BinomialKernel(1 / HEARTBEAT["period"]), schedule, network)


SWISS_NETWORKS = {"mean_variance": networks.MeanVariance, "posterior_variance": networks.PosteriorVariance}


def swiss_roll_schedule(a):
    """beta_1..beta_T. "released": 1 / linspace(T, 2, T); "even_log_snr" needs the noise of the data alone; "best" is
    computed from their density (dpm/experiments/exact.py). The first rate is a share of the data's noise in all three.
    """
    T, beta_1 = a["trajectory_length"], a["beta_1_share"] * a["noise"] ** 2
    if a["schedule"] == "released":
        return np.concatenate([[beta_1], schedules.released(T)[1:]])
    if a["schedule"] == "even_log_snr":
        return truth.even_log_snr_schedule(T, beta_1, FINAL_SNR)
    if T > truth.GRID + 1:
        raise InputError(
            f"--model-args trajectory_length={T} is too long for schedule='best'; take up to {truth.GRID + 1}, or "
            "another schedule"
        )
    return truth.best_schedule(a["noise"], T, np.random.default_rng(0), beta_1, a["covariance"])


def swiss_roll_model(a):
    """Gaussian diffusion of two numbers; a normalized RBF network as in D.1.1, or an MLP."""
    T, full = a["trajectory_length"], a["covariance"] == "full"
    if a["hidden_kind"] == "rbf":
        hidden: Any = networks.NormalizedRBF(2, a["hidden"])
    else:
        hidden = networks.HiddenLayers(2, a["hidden"], a["layers"], networks.Tanh, spread=a["spread"])
    if a["network"] == "posterior_variance":
        hidden = networks.WithInputs(2, hidden)
    choice = schedules.FreeSchedule if a["learn_beta"] else schedules.FixedSchedule
    network = SWISS_NETWORKS[a["network"]](2, hidden, T, full)
    kernel = FullGaussianKernel() if full else GaussianKernel()
    return VectorDiffusion(2, kernel, choice(swiss_roll_schedule(a)), network)


def swiss_roll_ceiling(a, beta):
    """The largest K of the chosen covariance under the model's own schedule."""
    return truth.swiss_roll_ceiling(a["noise"], beta, np.random.default_rng(0), a["covariance"])[0]


TOYS = {
    "heartbeat": Toy(
        make=lambda a, rng, n: heartbeat(rng, n, **HEARTBEAT).astype(np.float64),
        build=heartbeat_model,
        truth=lambda a: truth.heartbeat_truth(HEARTBEAT["period"]),
        ceiling=lambda a, beta: truth.heartbeat_ceiling(a["trajectory_length"], 1 / HEARTBEAT["period"], **HEARTBEAT),
        arguments={
            "trajectory_length": 2000,
            "network": "bits",
            "hidden": 50,
            "layers": 3,
            "activation": "tanh",
            "readout_a_step": False,
        },
        forms={
            "further": {},
            "paper": {"network": "plain_rates", "activation": "sigmoid", "readout_a_step": True},
        },
        choices={"network": tuple(BIT_NETWORKS), "activation": ("tanh", "sigmoid")},
        only={},
        most={},
        units="bits; diffused as they are",
    ),
    "swissroll": Toy(
        make=lambda a, rng, n: swiss_roll(rng, n, a["noise"]),
        build=swiss_roll_model,
        truth=lambda a: truth.swiss_roll_truth(a["noise"], np.random.default_rng(0))[0],
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
                "schedule": "released",
                "learn_beta": True,
            },
        },
        choices={
            "network": tuple(SWISS_NETWORKS),
            "covariance": ("diagonal", "full"),
            "hidden_kind": ("rbf", "mlp"),
            "start": ("least_squares", "zero"),
            "schedule": ("best", "even_log_snr", "released"),
        },
        only={"layers": ("hidden_kind", "mlp"), "spread": ("hidden_kind", "mlp")},
        most={"noise": 1, "beta_1_share": 1},
        units="each dimension has mean 0 and variance 1",
        lr=1e-5,
        epochs=10,
    ),
}


def toy_data(toy, name, flags):
    """Training and test examples of the seed, in the layout of dpm.runs.data.prepared_data."""
    arguments = toy.checked(flags["model_args"])
    n_train, n_test = toy.small if flags["small"] else (toy.n_train, toy.n_test)
    parts = {
        part: toy.make(arguments, noise.generator(flags["seed"], noise.START, number), n)
        for part, number, n in (("train", 2, n_train), ("test", 3, n_test))
    }
    train, test = (parts[part].astype(flags["dtype"]) for part in ("train", "test"))
    return {
        "name": name,
        "path": "dpm.datasets.made.generators",
        "note": "",
        "hash": "",
        "dtype": flags["dtype"],
        "range": [float(train.min()), float(train.max())],
        "units": toy.units,
        "quantized": False,
        "in_memory": True,
        "scaling": Scaling(1.0, 0.0),
        "train": train,
        "test": test,
    }


def decay_to_zero(initial, step, total):
    """The rate stays for the first half of training and falls to 0 in a line over the second."""
    return initial * min(1.0, max(0.0, 2 * (1 - step / total)))
