"""The flags of train.py: both spellings, switches, and that no flag text is executed."""

import re

import pytest

from dpm.base.arguments import parse_switch
from dpm.base.errors import InputError
from dpm.commands.sample import build_parser as sample_parser
from dpm.commands.sample import main as sample_main
from dpm.commands.train import build_parser as train_parser
from dpm.commands.train import main as train_main
from dpm.runs.flags import GROUPS, TRAIN_FLAGS, parse_flags

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
def test_model_arguments_are_literals_and_never_executed(refused, tmp_path, text):
    text = text.format(path=tmp_path / "made")
    for main, more in ((train_main, ()), (sample_main, ("model.pkl",))):
        assert "is not a list of literals" in refused(main, *more, "--model-args", text)
    assert not (tmp_path / "made").exists()


def test_switch_follows_its_text():
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
    texts |= {"updates": "graph", "noise": "device", "precision": "tf32"}
    texts |= {"times": "importance", "objective": "balanced", "lr_schedule": "cosine", "plots": "none", "start": "zero"}
    for flag in TRAIN_FLAGS:
        text = texts.get(flag.key, "1")
        for name in (flag.name, flag.key):
            assert vars(train_parser().parse_args([f"--{name}", text])) == {flag.key: flag.parse(text)}
    for name in ("--output-dir", "--output_dir"):
        assert sample_parser().parse_args(["x", name, "y"]).output_dir == "y"


def test_help_begins_with_the_flags_of_2015_and_has_one_spelling_of_each():
    """The ten flags of 2015's parse_args; RMSProp was no flag."""
    text = train_parser().format_help()
    section = text.partition("\nflags of 2015:\n")[2].partition("\n\n")[0]
    flags = re.findall(r"^  (--[a-z-]+)", section, re.MULTILINE)
    assert flags == [
        *("--batch-size", "--lr", "--resume-file", "--suffix", "--output-dir", "--ext-every-n", "--model-args"),
        *("--dropout-rate", "--dataset", "--plot-before-training"),
    ]
    assert re.findall(r"--\w*_\w*", text) == []
    assert "(default: 0)" in text.partition("--seed")[2].partition("--model")[0], "0 is a default that is shown"


def test_groups_name_every_flag_that_2015_does_not_have():
    named = [key for keys in GROUPS.values() for key in keys]
    assert len(set(named)) == len(named)
    assert {flag.key for flag in TRAIN_FLAGS if not flag.default_2015} <= set(named) <= {f.key for f in TRAIN_FLAGS}


def test_only_given_flags_are_set():
    assert parse_flags(["--lr", "0.5", "--quiet"]) == {"lr": 0.5, "quiet": True}
