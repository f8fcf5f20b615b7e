"""docs/posterior.md agrees with the code: its examples run, its table of shifts and its lists are correct."""

import re
import shlex
from pathlib import Path

import pytest

from dpm.commands.sample import build_parser as sample_parser
from dpm.graph.kernels.gaussian import Gaussian, GaussianKernel
from dpm.trajectories import potentials, products
from tests.helpers.graphs import constant, value

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "posterior.md").read_text()


def test_commands_of_the_page_are_accepted():
    commands = re.findall(r"^python sample\.py (.*)$", PAGE, re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        options = sample_parser().parse_args(shlex.split(command))
        assert potentials.read(options.log_r)[0] == "gaussian"


def test_python_example_runs(capsys):
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(block, "docs/posterior.md", "exec"), {})
    assert capsys.readouterr().out.startswith("(1000, 1) ")


def test_page_lists_every_guidance_schedule_and_named_r():
    for guidance in products.GUIDANCE:
        assert re.search(rf"^\| {guidance} \|", PAGE, re.MULTILINE)
    for name, arguments in potentials.NAMED.items():
        assert re.search(rf"`{name}\({', '.join(arguments)}", PAGE)


def test_table_of_shifts_agrees_with_the_code():
    """N(0, Sigma) times exp(-(x - 1)^2 / 2) has mean Sigma / (1 + Sigma): the three columns of the page's table."""
    rows = re.findall(r"^\| (0\.\d+) \| (\S+) \| (\S+) \| (\S+) \|$", PAGE, re.MULTILINE)
    assert [row[0] for row in rows] == ["0.1", "0.01", "0.001"]
    for Sigma, *printed in ([float(cell) for cell in row] for row in rows):
        p = Gaussian(constant([[0.0]]), constant([[Sigma**0.5]]))
        ours = float(value(GaussianKernel().perturb(p, potentials.gaussian(1.0, 1.0)).mu)[0, 0])
        assert printed == pytest.approx([Sigma / (1 + Sigma), ours, (Sigma / 2) ** 0.5], rel=1e-3)
        assert abs(ours - printed[0]) < 1.1 * Sigma**2


def test_files_and_pages_on_the_page_exist():
    named = set(re.findall(r"\b(?:dpm|tests|docs)/[\w/-]+\.(?:py|md)\b", PAGE))
    linked = {f"docs/{link}" for link in re.findall(r"\]\(([^)#]+)", PAGE)}
    assert [path for path in named | linked if not (ROOT / path).is_file()] == []
