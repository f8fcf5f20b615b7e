"""The pages in docs/ say what the code says: flags, arguments, modules, keys."""

import inspect
import re
from pathlib import Path

import pytest

from dpm.commands import compare
from dpm.commands.train import build_parser as train_parser
from dpm.model import DiffusionModel
from dpm.runs.flags import TRAIN_FLAGS

ROOT = Path(__file__).parents[2]
PAGES = (
    "index.md",
    "equations.md",
    "from-2015.md",
    "compare.md",
    "architecture.md",
    "data.md",
    "checkpoints.md",
    "report.md",
    "reproduce.md",
    "baselines.md",
    "evaluate.md",
    "performance.md",
)


def page(name):
    return (ROOT / "docs" / name).read_text()


def table(text, heading):
    """The rows below the first rule after the heading: lists of the cells' texts."""
    lines = iter(text[text.index(f"\n## {heading}\n") :].splitlines())
    for line in lines:
        if line.startswith("|---"):
            break
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def shown(default):
    """A default as the tables print it."""
    if default is inspect.Parameter.empty:
        return "required"
    if default is None:
        return "none"
    return "''" if default in ("", {}) else str(default)


def test_the_table_of_flags_is_that_of_the_code():
    expected = [[f"--{flag.name}", flag.default_2015, shown(flag.default), flag.help] for flag in TRAIN_FLAGS]
    assert table(page("from-2015.md"), "Flags of train.py") == expected


def test_the_flags_that_a_resumed_run_may_change_are_named():
    (line,) = re.findall(r"^- --resume-file accepts only (.+) with another value", page("from-2015.md"), re.MULTILINE)
    assert re.findall(r"--[a-z-]+", line) == [f"--{f.name}" for f in TRAIN_FLAGS if f.on_resume]


def test_the_table_of_arguments_is_that_of_the_code():
    parameters = list(inspect.signature(DiffusionModel).parameters.values())
    rows = table(page("from-2015.md"), "Arguments of DiffusionModel")
    assert [(row[0], row[2]) for row in rows] == [(p.name, shown(p.default)) for p in parameters]
    assert all(row[1] in ("", row[2]) for row in rows), "a default of 2015 is kept, or the argument is new"
    assert all(len(row) == 4 and row[3] for row in rows)


SAMPLES = {
    int: "3",
    float: "0.5",
    str: "x",
    "backend": "c",
    "optimizer": "sfo",
    "dtype": "float64",
    "in-memory": "no",
    "model-args": "n_scales=2",
}


@pytest.mark.parametrize("flag", TRAIN_FLAGS, ids=lambda flag: flag.name)
def test_both_spellings_of_a_flag_mean_the_same(flag):
    text = SAMPLES.get(flag.name, SAMPLES.get(flag.kind, "true"))
    parse = train_parser().parse_args
    hyphens, underscores = (vars(parse([f"--{name}", text])) for name in (flag.name, flag.key))
    assert hyphens == underscores
    assert list(hyphens) == [flag.key]


def test_the_17_differences_are_numbered():
    rows = table(page("from-2015.md"), "Where the release differs from the paper")
    assert [row[0] for row in rows] == [str(number) for number in range(1, 18)]
    assert {len(row) for row in rows} == {6}


def test_every_module_is_in_the_picture_of_the_folders():
    shown_modules = re.findall(r"^(dpm/\S+\.py) +\S", page("architecture.md"), re.MULTILINE)
    modules = [str(path.relative_to(ROOT)) for path in (ROOT / "dpm").rglob("*.py") if path.name != "__init__.py"]
    assert sorted(shown_modules) == sorted(modules)


@pytest.mark.parametrize("name", PAGES)
def test_files_and_pages_that_a_page_names_exist(name):
    text = page(name)
    named = set(re.findall(r"\b(?:dpm|tests|docs|datasets|benchmarks)/[\w/-]+\.(?:py|md)\b", text))
    linked = {link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link}
    missing = [path for path in named if not (ROOT / path).is_file()]
    missing += [path for path in linked if not (ROOT / "docs" / path).is_file()]
    assert not missing


def test_every_input_of_an_exported_file_is_told():
    assert {key for key in compare.INPUTS if f"`{key}`" not in page("compare.md")} == set()
    for dtype, tolerance in compare.TOLERANCE.items():
        assert re.search(rf"\| {dtype}.* \| {tolerance:.0e} \|".replace("e-0", "e-"), page("compare.md"))
