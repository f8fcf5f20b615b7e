"""Options that commands share: a checkpoint, its folder or a model.pkl, and the engine."""

from dpm.base.command_line import Parser
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
