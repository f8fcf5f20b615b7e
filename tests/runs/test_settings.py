"""The flags: what their texts become, how they go together, and that nothing of them is run."""

import re

import pytest

from dpm.base.arguments import parse_literals, parse_switch
from dpm.base.errors import InputError
from dpm.commands.sample import build_parser as sample_parser
from dpm.commands.sample import main as sample_main
from dpm.commands.train import build_parser as train_parser
from dpm.commands.train import main as train_main
from dpm.experiments.named import EXPERIMENTS
from dpm.runs.flags import TRAIN_FLAGS, check_saved, resolved

EXECUTABLE = (
    "n=__import__('os').system('touch {path}')",
    "n=open('{path}', 'w')",
    "n=(lambda: open('{path}', 'w'))()",
    "n=f\"{{open('{path}', 'w')}}\"",
    "n=[open('{path}', 'w') for _ in 'a']",
    "n=lambda: 1",
    "n=f'{{1}}'",
    "n_scales=n_scales",
    "n=os.path",
    "n=(a := 3)",
    "n_scales=2**9",
    "n_scales=not 1",
    "3",
    "**{{'n_scales': 3}}",
    "*[3]",
    "n_scales=3)(n_scales=2",
    "n_scales=3) #",
    "n_scales=3)+f(n_scales=2",
    "n_scales",
    "n_scales=",
    "n_scales=3,n_scales=2",
    "n_scales=3;import os",
    "(" * 500,
)


@pytest.mark.parametrize("text", EXECUTABLE)
def test_model_arguments_are_literals_and_nothing_of_them_is_run(refused, tmp_path, text):
    text = text.format(path=tmp_path / "made")
    for main, more in ((train_main, ()), (sample_main, ("model.pkl",))):
        assert "is not a list of literals" in refused(main, *more, "--model-args", text)
    assert not (tmp_path / "made").exists()


def test_literals_are_read_as_python_does():
    text = "a=3, b=-1.5e-3,c='x=(1', d=[1, (2,)], e=None,"
    assert parse_literals(text) == {"a": 3, "b": -1.5e-3, "c": "x=(1", "d": [1, (2,)], "e": None}
    assert parse_literals("") == {}


@pytest.mark.parametrize("spelling", ["cifar10", "CIFAR-10", "cifar_10"])
def test_naming_the_data_of_an_experiment_is_no_contradiction(spelling):
    given = {"experiment": "cifar10", "dataset": spelling, "model_args": {"n_hidden_conv": 7}}
    flags = resolved(given, EXPERIMENTS["cifar10"], 100)
    assert flags["model_args"] == EXPERIMENTS["cifar10"].model_args | {"n_hidden_conv": 7}
    assert flags["batch_size"] == 200


def test_a_switch_is_what_its_text_says():
    """`--plot_before_training False` is false; the flag alone is true."""
    parse = train_parser().parse_args
    assert parse(["--plot_before_training", "False"]).plot_before_training is False
    assert parse(["--plot-before-training=yes"]).plot_before_training is True
    assert parse(["--plot-before-training", "--seed", "3"]).plot_before_training is True
    assert not hasattr(parse([]), "plot_before_training")
    with pytest.raises(InputError, match="maybe"):
        parse_switch("maybe")


def test_both_spellings_of_each_flag_are_accepted():
    texts = {"model_args": "n_scales=3", "backend": "numba", "dtype": "float64", "optimizer": "sfo", "in_memory": "no"}
    for flag in TRAIN_FLAGS:
        text = texts.get(flag.key, "1")
        for name in (flag.name, flag.key):
            assert vars(train_parser().parse_args([f"--{name}", text])) == {flag.key: flag.kind(text)}
    for name in ("--output-dir", "--output_dir"):
        assert sample_parser().parse_args(["x", name, "y"]).output_dir == "y"


@pytest.mark.parametrize(
    ("saved", "words"),
    [
        ({"lr": "fast"}, "its flag 'lr' is 'fast'"),
        ({"lr": None}, "its flag 'lr' is None"),
        ({"seed": True}, "its flag 'seed' is True"),
        ({"quiet": 1}, "its flag 'quiet' is 1"),
        ({"model_args": "n_scales=3"}, "its flag 'model_args' is 'n_scales=3'"),
        ({"__class__": 3}, "its flag '__class__' is 3"),
        ({"batch_size": 0}, "--batch-size: 0 is not accepted"),
        ({"lr": float("inf")}, "--lr: inf is not accepted"),
        ({"hours": 0.0}, "--hours: 0.0 is not accepted"),
        ({"hours": float("nan")}, "--hours: nan is not accepted"),
    ],
)
def test_flags_of_a_made_checkpoint_are_looked_at_as_those_of_the_command_line_are(saved, words):
    with pytest.raises(InputError, match=re.escape("checkpoint x.h5: " + words)):
        check_saved(saved, "x.h5")


@pytest.mark.parametrize("given", [{}, {"experiment": "cifar10"}, {"n_subfunctions": 3, "lr": 1, "crop": 8}])
def test_flags_of_every_run_are_accepted_when_it_goes_on(given):
    check_saved(resolved(given, EXPERIMENTS.get(given.get("experiment")), 100), "x.h5")
