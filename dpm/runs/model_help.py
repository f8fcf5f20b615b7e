"""The list that `--model-args help` prints: arguments of a model, defaults, accepted values and meaning."""

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, get_type_hints

import numpy as np

from dpm.base.command_line import print_table
from dpm.experiments.toys import Toy
from dpm.experiments.variants import Variant
from dpm.graph.arguments import AtLeast, Below, ModelArguments, OneOf, Share
from dpm.runs.settings import Settings

Row = tuple[str, ...]
FROM_DATA = ("spatial_width", "n_colors", "uniform_noise")
MEANINGS = {
    "form": "named set of defaults: paper, as in Appendix D.1; further, the best that was found here",
    "trajectory_length": "T",
    "network": "what the readout gives (dpm/graph/networks/vectors.py)",
    "hidden": "units of a hidden layer, or radial basis functions",
    "layers": "number of hidden layers",
    "activation": "nonlinearity of the hidden layers",
    "hidden_start": "initial weights of the hidden layers: orthogonal, or copies of the bits",
    "readout_a_step": "True: a readout for each t; False: one for all, with t as an input",
    "readouts": "how readouts are trained: gradient, with the rest; solved, in closed form",
    "noise": "standard deviation of the data around the curve, after scaling",
    "covariance": "of the reverse step: diagonal or full",
    "hidden_kind": "rbf: normalized radial basis functions; mlp: tanh layers",
    "spread": "mlp: scale of the initial weights",
    "start": "initial readouts: least_squares, fitted to the data; zero",
    "schedule": "initial rates: best, for the known density; even_log_snr; released",
    "beta_1_share": "beta_1 as a share of the noise variance",
    "learn_beta": "True: learn beta_2..beta_T",
}


def print_arguments(**given: Any) -> None:
    """Print the arguments that --model-args accepts next to other settings of a new run.

    Args:
        **given: the other settings, by the names of Settings.

    Raises:
        InputError: a setting is not accepted.
    """
    settings = Settings.from_arguments(**given)
    toy = settings.toy
    print(
        "--model-args NAME=VALUE,... with values as in Python; texts in quotes: \"n_hidden_conv=100,schedule='free'\"\n"
    )
    print_table([*(toy_rows(toy) if toy else image_rows(settings.model_args, settings.variant))])


def image_rows(chosen: Mapping[str, Any], variant: Variant) -> Iterator[Row]:
    """Yield a header, and a row for each argument of DiffusionModel.

    Args:
        chosen: defaults of the experiment that differ from those of DiffusionModel.
        variant: of training; arguments that it sets are left out.
    """
    yield "argument", "default", "accepted", "meaning"
    meanings, hints = describe_attributes(ModelArguments), get_type_hints(ModelArguments, include_extras=True)
    for field in fields(ModelArguments):
        name = field.name
        if name == "network" or name in variant.model_arguments:  # --model names the network
            continue
        default = "from the data" if name in FROM_DATA else format_literal(chosen.get(name, field.default))
        yield name, default, format_accepted(hints[name].__metadata__[0]), meanings[name]


def toy_rows(toy: Toy) -> Iterator[Row]:
    """Yield a header, and a row for each argument of a toy problem."""
    first, *others = toy.forms
    yield "argument", "default", *(f"with form={form!r}" for form in others), "accepted", "meaning"
    columns = [{"form": form} | toy.arguments | toy.forms[form] for form in toy.forms]
    choices = {"form": (first, *others)} | toy.choices
    for name in columns[0]:
        defaults = [format_literal(column[name]) for column in columns]
        yield name, *defaults, _accepted_by_toy(toy, name, choices), MEANINGS[name]


def _accepted_by_toy(toy: Toy, name: str, choices: Mapping[str, tuple[str, ...]]) -> str:
    """Return what a toy problem accepts for an argument, in words."""
    if name in choices:
        return ", ".join(choices[name])
    if isinstance(toy.arguments[name], bool):
        return "True or False"
    if isinstance(toy.arguments[name], int):
        return f"{2 if name == 'trajectory_length' else 1} or more"
    return "above 0" + (f" and below {toy.below[name]:g}" if name in toy.below else "")


def format_accepted(check: object) -> str:
    """Return what a check of ModelArguments accepts, in words."""
    if isinstance(check, AtLeast):
        return f"{check.smallest} or more"
    if isinstance(check, Below):
        return "0 or more" if np.isinf(check.largest) else f"0 to below {check.largest:g}"
    if isinstance(check, Share):
        return "above 0 and below 1"
    return ", ".join(check.accepted) if isinstance(check, OneOf) else ""


def format_literal(value: object) -> str:
    """Return a default as it would be typed; none for None."""
    return "none" if value is None else repr(value)


def describe_attributes(kind: type) -> dict[str, str]:
    """Return the meaning of each attribute by name, from the section "Attributes" of a class's docstring."""
    section = (inspect.getdoc(kind) or "").partition("Attributes:\n")[2].partition("\n\n")[0]
    items = re.findall(r"^    (\w+): (.*(?:\n      .*)*)", section, re.MULTILINE)
    return {name: " ".join(text.split()).rstrip(".") for name, text in items}
