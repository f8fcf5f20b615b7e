"""Options that commands share: a checkpoint, its folder or a model.pkl, and the engine."""

import pytest

from dpm.base.command_line import Parser
from dpm.base.errors import InputError
from dpm.commands.options import ModelOptions, add_model_options, open_run_of


def test_options_open_a_run(trained):
    parser = Parser(prog="dpm x")
    parser.add_argument("checkpoint")
    add_model_options(parser)
    options = ModelOptions(**vars(parser.parse_args([str(trained), "--quiet", "--threads", "1"])))
    run = open_run_of(options)
    assert (run.path, run.engine.threads) == (trained, 1)


def test_folder_means_its_checkpoint(trained):
    parser = Parser(prog="dpm x")
    parser.add_argument("checkpoint")
    add_model_options(parser)
    options = ModelOptions(**vars(parser.parse_args([str(trained.parent)])))
    assert open_run_of(options).path == trained


def test_noise_and_precision_are_those_of_the_engine(trained):
    parser = Parser(prog="test")
    parser.add_argument("checkpoint")
    add_model_options(parser)
    parsed = parser.parse_args([str(trained), "--quiet", "--backend", "jax", "--noise", "device"])
    pytest.importorskip("jax")
    engine = open_run_of(ModelOptions(**vars(parsed))).engine
    assert (engine.noise, engine.precision) == ("device", "float32")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--backend", "numba", "--noise", "device"], "--backend numba: updates in the graph and noise on the device"),
        (["--precision", "tf32"], "--precision tf32: "),
    ],
)
def test_what_the_engine_cannot_do_is_one_line(trained, options, words):
    """On a CPU; a GPU accepts a precision."""
    parser = Parser(prog="test")
    parser.add_argument("checkpoint")
    add_model_options(parser)
    with pytest.raises(InputError, match=f"^{words}"):
        open_run_of(ModelOptions(**vars(parser.parse_args([str(trained), "--quiet", *options]))))
