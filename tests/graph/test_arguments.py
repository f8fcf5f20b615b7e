"""ModelArguments: one dataclass is signature, checks and JSON of DiffusionModel."""

import inspect
import json
from dataclasses import FrozenInstanceError, fields

import pytest

from dpm.base.errors import InputError
from dpm.graph.arguments import AtLeast, Below, ModelArguments, OneOf, Share, takes
from dpm.graph.bricks import Brick
from dpm.graph.kernels import BinomialKernel, FullGaussianKernel, GaussianKernel
from dpm.graph.networks import ReverseNetwork
from dpm.graph.schedules import FixedSchedule, FreeSchedule

DEFAULTS_2015 = {
    "trajectory_length": 1000,
    "n_temporal_basis": 10,
    "n_hidden_dense_lower": 500,
    "n_hidden_dense_lower_output": 2,
    "n_hidden_dense_upper": 20,
    "n_hidden_conv": 20,
    "n_layers_conv": 4,
    "n_layers_dense_lower": 4,
    "n_layers_dense_upper": 2,
    "n_t_per_minibatch": 1,
    "n_scales": 1,
    "step1_beta": 0.001,
    "uniform_noise": 0.0,
}
NEW = {
    "kl_terms": "T-1",
    "dense_lower_depth": "n_layers_dense_lower",
    "constants": "float64",
    "network": "reference-2015",
    "conv_biases": "untied",
    "schedule": "released",
    "beta_1": None,
    "kernel": "gaussian",
    "base_rate": None,
}


def test_names_and_defaults_are_those_of_2015_and_nine_more():
    arguments = ModelArguments(28, 1).as_json()
    assert arguments == {"spatial_width": 28, "n_colors": 1} | DEFAULTS_2015 | NEW
    assert list(arguments) == ["spatial_width", "n_colors", *DEFAULTS_2015, *NEW]


def test_arguments_survive_json():
    arguments = ModelArguments(spatial_width=32.0, n_colors=3, step1_beta=0, network="paper-2015")
    text = json.dumps(arguments.as_json())
    assert ModelArguments(**json.loads(text)) == arguments
    assert '"spatial_width": 32, ' in text
    assert '"step1_beta": 0.0, ' in text


def test_every_argument_is_documented():
    for field in fields(ModelArguments):
        assert f"\n        {field.name}: " in ModelArguments.__doc__


def test_arguments_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        ModelArguments(28, 1).n_colors = 3


@pytest.mark.parametrize(
    ("check", "value", "expected"),
    [
        (AtLeast(2), 3.0, 3),
        (Below(0.5), 0, 0.0),
        (OneOf("T-1", "T"), "T", "T"),
        (Share(), 1e-6, 1e-6),
        (Share(), None, None),
    ],
)
def test_accepted_values_get_their_type(check, value, expected):
    checked = check("name", value)
    assert checked == expected
    assert type(checked) is type(expected)


@pytest.mark.parametrize(
    ("check", "value", "words"),
    [
        (AtLeast(2), 1, "name: 1 is too small"),
        (AtLeast(2), True, "name: True is not a whole number"),
        (Below(0.5), 0.5, "name: 0.5 is not accepted; expected a number from 0 to below 0.5"),
        (Below(0.5), float("nan"), "name: nan is not accepted"),
        (Below(0.5), "0.1", "name: '0.1' is not accepted"),
        (OneOf("T-1", "T"), "2T", "name: '2T' is not accepted; expected T-1 or T"),
        (OneOf("T-1", "T"), ["T"], r"name: \['T'\] is not accepted"),
        (OneOf("released", method="beta_arr"), 3, r"expected released or, from Python, an object with beta_arr\(\)"),
        (OneOf("released", method="beta_arr"), FreeSchedule, "FreeSchedule'> is not accepted"),
        (Share(), 0, "name: 0 is not accepted; expected a number above 0 and below 1"),
        (Share(), True, "name: True is not accepted"),
        (Share(), "0.1", "name: '0.1' is not accepted"),
    ],
)
def test_other_values_are_refused_with_the_name(check, value, words):
    with pytest.raises(InputError, match=words):
        check("name", value)


def test_a_method_takes_the_fields_of_a_dataclass():
    class Model:
        @takes(ModelArguments)
        def __init__(self, arguments):
            """Keep the arguments."""
            self.arguments = arguments

    assert Model(8, n_colors=3, n_scales=2).arguments == ModelArguments(8, 3, n_scales=2)
    assert inspect.signature(Model) == inspect.signature(ModelArguments).replace(return_annotation=inspect._empty)
    assert Model.__init__.__doc__ == "Keep the arguments."
    with pytest.raises(TypeError, match="n_hiden_conv"):
        Model(8, 3, n_hiden_conv=2)


OWN = FixedSchedule([0.1, 0.2, 0.3])


class NoBrick:
    """An object with the methods of a schedule and a network, but without parameters."""

    def beta_arr(self):
        """Return nothing."""

    def reverse(self, kernel, X_noisy, t, rates):
        """Return nothing."""


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"schedule": "fre"}, "schedule: 'fre' is not accepted; expected released or released-learned or free or"),
        ({"beta_1": 1e-5, "step1_beta": 0.01}, "step1_beta=0.01 contradicts beta_1=1e-05; leave one out"),
        ({"schedule": "linear", "step1_beta": 0.01}, "step1_beta=0.01 is not used by schedule='linear'; leave it out"),
        ({"schedule": OWN}, "trajectory_length: got 1000; expected 3, the trajectory_length of your schedule"),
        ({"schedule": OWN, "trajectory_length": 3, "beta_1": 0.1}, "beta_1=0.1 is not used by your own schedule"),
        ({"schedule": NoBrick()}, "schedule: got a NoBrick; expected a Schedule or another brick"),
        ({"network": NoBrick()}, "network: got a NoBrick; expected a ReverseNetwork or another brick"),
        ({"base_rate": 0.2}, "base_rate=0.2 is used by kernel='binomial' only; leave it out"),
        ({"kernel": BinomialKernel(0.2), "base_rate": 0.2}, "base_rate=0.2 is used by kernel='binomial' only"),
        ({"kernel": "binomial", "uniform_noise": 0.1}, "uniform_noise=0.1 would make bits continuous; leave it out"),
        ({"kernel": "binomal"}, "kernel: 'binomal' is not accepted; expected gaussian or binomial or, from Python"),
        ({"kernel": FullGaussianKernel()}, "has no distribution of a FullGaussianKernel; give network="),
        ({"network": Brick("b")}, "is not accepted; expected reference-2015 or paper-2015 or, from Python, an object"),
        ({"network": ReverseNetwork("n"), "n_scales": 2}, "n_scales=2 is not used by your own network; leave it out"),
        ({"network": ReverseNetwork("n"), "n_temporal_basis": 4}, "n_temporal_basis=4 is not used by your own"),
    ],
)
def test_contradictions_are_named_in_one_line(given, words):
    with pytest.raises(InputError) as error:
        ModelArguments(8, 1, **given)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_objects_of_the_users_are_kept_and_have_no_json():
    network = ReverseNetwork("mine")
    kernel = GaussianKernel()
    arguments = ModelArguments(8, 1, 3, schedule=OWN, kernel=kernel, network=network)
    assert arguments.build_schedule() is OWN
    assert arguments.build_kernel() is kernel
    assert arguments.network is network
    assert arguments.as_json() is None
    assert ModelArguments(8, 1).build_schedule() is None


def test_the_base_rate_is_that_of_the_kernel():
    """Table C.1 prints 0.5."""
    assert ModelArguments(8, 1, kernel="binomial").build_kernel().base_rate == 0.5
    assert ModelArguments(8, 1, kernel="binomial", base_rate=0.13).build_kernel().base_rate == 0.13
