"""What the README tells people to type is accepted."""

import re
import shlex
from pathlib import Path

import pytest

from dpm.commands import baselines, compare, parzen
from dpm.commands.datasets import build_parser as datasets_parser
from dpm.commands.reproduce import parser as reproduce_parser
from dpm.commands.sample import build_parser as sample_parser
from dpm.commands.train import build_parser as train_parser
from dpm.runs.flags import resolved

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PARSERS = {
    "train.py": train_parser,
    "sample.py": sample_parser,
    "-m dpm compare": compare.parser,
    "-m dpm datasets": datasets_parser,
    "-m dpm parzen": parzen.parser,
    "-m dpm baselines": baselines.parser,
    "-m dpm reproduce": reproduce_parser,
}
COMMANDS = re.findall(
    r"^python (train\.py|sample\.py|-m dpm (?:baselines|compare|datasets|parzen|reproduce)) (.*)$",
    README,
    re.MULTILINE,
)


def test_the_readme_shows_each_command():
    assert {name for name, _ in COMMANDS} == set(PARSERS)


@pytest.mark.parametrize(("name", "arguments"), COMMANDS)
def test_commands_are_accepted(name, arguments):
    options = PARSERS[name]().parse_args(shlex.split(arguments, comments=True))
    if name == "train.py":
        resolved(vars(options), None, 100)


def test_make_targets_and_links_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"make ([a-z]+)`?$", README, re.MULTILINE)) <= targets
    for link in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / link).exists(), link


def test_make_train_is_accepted():
    flags = re.search(r"^TRAIN_FLAGS \?= (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert flags is not None
    resolved(vars(train_parser().parse_args(shlex.split(flags[1]))), None, 100)
