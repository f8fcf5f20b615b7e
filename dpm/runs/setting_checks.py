"""Checks of the values of Settings: what each may be, and which contradict others."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dpm.base.arguments import check_names
from dpm.base.errors import InputError
from dpm.engines.names import NOISE_SOURCES, PRECISIONS

# The parser needs nothing else: `--help` answers at once.
if TYPE_CHECKING:
    from dpm.experiments.variants import Variant

TIMES = ("stratified", "importance")
OBJECTIVES = ("K", "balanced", "balanced-then-K")
STARTS = ("zero", "closed-form")
LR_SCHEDULES = ("release", "constant", "linear", "cosine", "late-linear")
OPTIMIZERS = ("sfo", "lbfgs", "rmsprop", "adam")
UPDATES = ("graph", "host")
PLOTS = ("none", "few", "all")
FROZEN = ("sfo", "lbfgs")  # these minimize a fixed function, so the noise of each subfunction is frozen


def check_numbers(given: Mapping[str, Any]) -> None:
    """Raise InputError for a number or a start that no run accepts, be it new or resumed."""
    if given.get("start") not in (None, *STARTS):
        raise InputError(f"--start: {given['start']!r} is not accepted; expected {', '.join(STARTS)}")
    counts = "batch_size", "ext_every_n", "epochs", "crop", "keep", "max_skipped", "threads"
    for name in (*counts, "n_subfunctions", "subfunctions_ahead"):
        if given.get(name) is not None and given[name] < 1:
            raise InputError(f"--{name.replace('_', '-')}: {given[name]} is not accepted; take 1 or more")
    for name in ("hours", "lr"):
        if given.get(name) is not None and not 0 < given[name] < float("inf"):
            raise InputError(f"--{name}: {given[name]} is not accepted; take a number above 0")
    if not 0 <= given.get("ema", 0) < 1:
        raise InputError(f"--ema: {given['ema']} is not accepted; take 0, for no average, up to below 1")
    if not 0 <= given.get("clip_norm", 0) < float("inf"):
        raise InputError(f"--clip-norm: {given['clip_norm']} is not accepted; take 0, for no clipping, or more")
    if given.get("warmup", 0) < 0:
        raise InputError(f"--warmup: {given['warmup']} is not accepted; take 0, for none, or more steps")
    if given.get("refresh_noise", 0) < 0:
        raise InputError(f"--refresh-noise: {given['refresh_noise']} is not accepted; take 0, for never, or more")
    if given.get("small") and not given.get("experiment") and not given.get("resume_file"):
        raise InputError("--small: is a variant of an experiment; name one with --experiment")
    if not 0 <= given.get("dropout_rate", 0) < 1:
        raise InputError(f"--dropout-rate: {given['dropout_rate']} is not accepted; take 0 up to below 1")
    if given.get("seed", 0) < 0:
        raise InputError(f"--seed: {given['seed']} is not accepted; take 0 or more")


def check_optimizer(values: dict[str, Any], given: dict[str, Any]) -> None:
    """Raise InputError for an optimizer that is unknown, or for a given flag that it does not use."""
    name = values["optimizer"]
    if name not in OPTIMIZERS:
        raise InputError(f"--optimizer: {name!r} is unknown; accepted: {', '.join(OPTIMIZERS)}")
    if values["faithful"] and name != "rmsprop":
        raise InputError(f"--optimizer {name} contradicts --faithful, which trains with rmsprop; leave one out")
    of_sfo, of_frozen, of_adam = ("subfunctions_ahead",), ("n_subfunctions", "refresh_noise"), ("clip_norm",)
    of_others = "batch_size", "lr", "dropout_rate", "lr_schedule", "warmup", "ema", "updates", "noise"
    unused = [(key, "sfo") for key in of_sfo if name != "sfo"]
    unused += [(key, "sfo and lbfgs") for key in of_frozen if name not in FROZEN]
    unused += [(key, "rmsprop and adam") for key in of_others if name in FROZEN]
    unused += [(key, "adam") for key in of_adam if name != "adam"]
    for key, instead in unused:
        if given.get(key):
            raise InputError(
                f"--{key.replace('_', '-')} {given[key]} is not used by --optimizer {name}, only by {instead}; "
                "leave it out"
            )


def check_recipe(values: dict[str, Any]) -> None:
    """Raise InputError for choices of training that are unknown or contradict others."""
    from dpm.experiments.variants import PLAIN

    choices: dict[str, tuple[str | None, ...]] = {
        "times": TIMES,
        "objective": OBJECTIVES,
        "lr_schedule": LR_SCHEDULES,
        "plots": PLOTS,
    }
    choices |= {"updates": (None, *UPDATES), "noise": (None, *NOISE_SOURCES), "precision": PRECISIONS}
    for key, accepted in choices.items():
        if values[key] not in accepted:
            raise InputError(
                f"--{key.replace('_', '-')}: {values[key]!r} is not accepted; expected "
                f"{', '.join(filter(None, accepted))}"
            )
    if (values["updates"], values["noise"]) == ("host", "device"):
        raise InputError("--noise device contradicts --updates host, whose steps draw on the host; leave one out")
    if values["plots"] == "none" and values["plot_before_training"]:
        raise InputError("--plot-before-training contradicts --plots none; leave one out")
    for key, released in PLAIN.items():
        if values["faithful"] and values[key] != released:
            raise InputError(
                f"--{key.replace('_', '-')} {values[key]} contradicts --faithful, which trains as released; "
                "leave one out"
            )
    if values["optimizer"] in FROZEN and values["objective"] == "balanced-then-K":
        raise InputError(
            f"--objective balanced-then-K changes during the run, and --optimizer {values['optimizer']} minimizes a "
            "fixed function; expected K or balanced"
        )


def check_network(values: dict[str, Any], variant: "Variant") -> None:
    """Raise InputError for a network that is unknown or contradicts the variant or --model-args."""
    from dpm.graph.networks.images import NETWORKS
    from dpm.model import argument_names

    name, arguments = values["model"], values["model_args"]
    if name not in NETWORKS:
        raise InputError(f"--model: {name!r} is unknown; accepted: {', '.join(NETWORKS)}")
    if variant.model_arguments.get("network", name) != name:
        raise InputError(
            f"--model {name} contradicts --faithful, which trains {variant.model_arguments['network']} as released; "
            "leave one out"
        )
    if "network" in arguments:
        raise InputError("--model-args network: the network is named by --model; give it there")
    if values["faithful"] and "uniform_noise" in arguments:
        raise InputError(
            f"--model-args uniform_noise={arguments['uniform_noise']!r} contradicts --faithful, which dequantizes as "
            "released; leave one out"
        )
    if both := [key for key in check_names(arguments, argument_names()) if key in variant.model_arguments]:
        key = both[0]
        raise InputError(
            f"--model-args {key}={arguments[key]!r} contradicts --faithful, which sets "
            f"{key}={variant.model_arguments[key]!r}; leave one out"
        )
    _check_model_arguments({"network": name} | variant.model_arguments | arguments)


def _check_model_arguments(arguments: dict[str, Any]) -> None:
    """Raise InputError for an argument of DiffusionModel that no data could make right, before data are read."""
    from dpm.graph.arguments import ModelArguments

    try:
        ModelArguments(**({"spatial_width": 1, "n_colors": 1} | arguments)).build_schedule()
    except InputError as error:
        raise InputError(f"--model-args {error}") from None
