"""README.md and the other pages at the top: their commands are accepted, their figures and links are right."""

import ast
import importlib
import re
import shlex
from pathlib import Path

import pytest

import dpm
from dpm.__main__ import COMMANDS
from dpm.runs.flags import parse_flags
from dpm.runs.settings import Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES_WITH_COMMANDS = (
    "README.md",
    "docs/commands.md",
    "docs/checkpoints.md",
    "docs/evaluate.md",
    "docs/paper-and-release.md",
    "docs/schedules.md",
)
TOP_PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")


def commands_of(page):
    """Return (command, arguments) of each line of a page that calls train.py, sample.py or dpm."""
    text = (ROOT / page).read_text()
    found = re.findall(r"^(?:\$ )?(?:python )?(?:(train|sample)\.py|(?:-m )?dpm (\w+)) (.+)$", text, re.MULTILINE)
    return [(script or command, arguments) for script, command, arguments in found]


def parser_of(command):
    """Return the argument parser of a command."""
    module = importlib.import_module(f"dpm.commands.{command}")
    return module.build_parser()


EXAMPLES = [(page, *example) for page in PAGES_WITH_COMMANDS for example in commands_of(page)]


def test_the_page_of_examples_shows_each_command():
    assert {command for page, command, _ in EXAMPLES if page == "docs/commands.md"} == set(COMMANDS)


def test_the_readme_shows_the_commands_of_a_first_run():
    assert {command for page, command, _ in EXAMPLES if page == "README.md"} == {
        "train",
        "sample",
        "evaluate",
        "report",
    }


@pytest.mark.parametrize(("page", "command", "arguments"), EXAMPLES)
def test_a_command_is_accepted(page, command, arguments):
    words = shlex.split(arguments, comments=True)
    if command != "train":
        parser_of(command).parse_args(words)
    elif "help" in words:
        with pytest.raises(SystemExit) as stop:
            parse_flags(words)
        assert stop.value.code == 0
    elif "resume_file" not in (given := parse_flags(words)):
        Settings.from_arguments(**given)


def test_make_train_is_accepted():
    flags = re.search(r"^TRAIN_FLAGS \?= (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert flags is not None
    Settings.from_arguments(**parse_flags(shlex.split(flags[1])))


def test_what_the_readme_installs_is_what_its_commands_need():
    """`dpm report` is among them; `make train` installs the same into the same folder."""
    (extras,) = re.findall(r"^pip install -e \"\.\[(.+)\]\"$", README, re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text()
    assert set(extras.split(",")) == {"jax", "report"}
    assert f'$(INSTALL) -e ".[{extras}]"' in makefile
    assert "VENV ?= .venv\n" in makefile


def test_make_targets_of_the_readme_exist():
    lines = re.findall(r"^([a-z0-9 -]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    targets = {target for line in lines for target in line.split()}
    named = set(re.findall(r"\bmake ([a-z][a-z0-9-]*)`?(?:$|[ ,.`])", README, re.MULTILINE))
    assert {"train", "test", "help"} <= named
    assert named <= targets


@pytest.mark.parametrize("page", TOP_PAGES)
def test_links_of_a_page_exist(page):
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", (ROOT / page).read_text()):
        assert "://" in link or (ROOT / link).exists(), link


def test_the_figures_of_the_result_table_are_measured():
    """Each number in the column "here" stands in docs/results, with as many digits."""
    measured = "\n".join(path.read_text() for path in (ROOT / "docs" / "results").glob("*.md"))
    results = README[README.index("## Results") : README.index("## Install")]
    rows = [line.split("|") for line in results.splitlines() if line.startswith("| ")][1:]
    cells = [row[3] for row in rows] + [
        line for line in results.splitlines() if re.match("- (CIFAR-10|Dead leaves)", line)
    ]
    numbers = {number for cell in cells for number in re.findall(r"-?\d+\.\d+(?:e-\d+)?", cell)}
    assert len(numbers) > 15
    missing = {n for n in numbers if not re.search(rf"(?<![\d.]){re.escape(n)}(?!\d)", measured)}
    assert not missing


def test_the_python_example_is_short_and_uses_public_names():
    first, second = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    used = []
    for block in (first, second):
        assert len(block.splitlines()) <= 10
        tree = ast.parse(block)
        used.append({n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and ast.unparse(n.value) == "dpm"})
        assert used[-1] <= set(dpm.__all__)
    assert used == [{"load", "DiffusionModel", "train", "bound", "sample", "viz"}, {"optimizers"}]


def test_the_citation_names_paper_and_version():
    text = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {dpm.__version__}\n" in text
    assert "Deep Unsupervised Learning using Nonequilibrium Thermodynamics" in text


def test_the_changelog_has_the_headings_of_keep_a_changelog():
    headings = re.findall(r"^(##+) (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == ("##", "Unreleased")
    assert {title for level, title in headings if level == "###"} <= {"Added", "Changed", "Removed", "Fixed"}
