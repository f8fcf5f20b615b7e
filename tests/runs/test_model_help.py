"""`--model-args help` lists the arguments that the model of an experiment accepts, with its defaults."""

import inspect
import re

import pytest

from dpm.commands.sample import main as sample_main
from dpm.commands.train import main as train_main
from dpm.experiments.toys import TOYS
from dpm.experiments.variants import RELEASED
from dpm.model import DiffusionModel
from dpm.runs.model_help import MEANINGS, describe_attributes
from tests.helpers import runs


@pytest.fixture
def listed(capsys):
    """Return a function that runs train.py with --model-args help and returns {argument: cells}."""

    def listed(*words):
        with pytest.raises(SystemExit) as stop:
            train_main([*words, "--model-args", "help"])
        assert stop.value.code == 0
        return rows_of(capsys.readouterr().out)

    return listed


def rows_of(text):
    """Return the printed table as {argument: the other cells}."""
    _, *lines = text[text.index("argument") :].splitlines()
    return {cells[0]: cells[1:] for cells in (re.split(r"  +", line) for line in lines)}


def test_images_have_the_defaults_of_the_model(listed):
    """All of the signature of DiffusionModel; --model names the network."""
    rows, parameters = listed(), inspect.signature(DiffusionModel).parameters
    assert list(rows) == [name for name in parameters if name != "network"]
    for name in ("trajectory_length", "n_hidden_conv", "step1_beta", "conv_biases"):
        assert rows[name][0] == repr(parameters[name].default)
    assert rows["n_colors"][0] == "from the data"
    assert rows["n_scales"][1] == "1 or more"
    assert rows["kernel"][1] == "gaussian, binomial"
    assert all(row[-1] for row in rows.values())


def test_an_experiment_has_its_own_defaults_and_the_release_fewer_arguments(listed):
    """cifar10 has 100 filters in six layers, as in the README of 2015."""
    rows = listed("--experiment", "cifar10", "--faithful")
    assert (rows["n_hidden_conv"][0], rows["n_layers_conv"][0]) == ("100", "6")
    assert rows.keys().isdisjoint(RELEASED.model_arguments)
    assert listed("--experiment", "cifar10", "--small")["n_layers_conv"][0] == "4"


@pytest.mark.parametrize("name", TOYS)
def test_a_toy_has_a_column_for_each_form_and_accepts_what_is_listed(listed, name):
    rows, toy = listed("--experiment", name), TOYS[name]
    columns = [toy.complete({}), toy.complete({"form": "paper"})]
    assert {argument: row[:2] for argument, row in rows.items()} == {
        argument: [repr(column[argument]) for column in columns] for argument in columns[0]
    }
    for argument, choices in toy.choices.items():
        assert rows[argument][2] == ", ".join(choices)
    assert {MEANINGS[argument] for argument in rows} == {row[-1] for row in rows.values()}


def test_the_help_of_an_unknown_experiment_is_a_mistake(capsys):
    with pytest.raises(SystemExit) as stop:
        train_main(["--experiment", "nothing", "--model-args", "help"])
    assert stop.value.code == 2
    assert "--experiment: 'nothing' is unknown" in capsys.readouterr().err


def test_other_commands_list_the_arguments_of_2015(capsys):
    with pytest.raises(SystemExit) as stop:
        sample_main(["model.pkl", "--model-args", "help"])
    assert stop.value.code == 0
    assert "n_scales" in rows_of(capsys.readouterr().out)


def test_attributes_are_read_over_several_lines():
    class Kind:
        """Some kind.

        Attributes:
            a: the first,
                over two lines.
            b: the second.

        Raises:
            InputError: never.
        """

    assert describe_attributes(Kind) == {"a": "the first, over two lines", "b": "the second"}


def test_the_parser_still_imports_nothing_heavy():
    runs.check_help("train", "--model-args")
