"""The pages in docs/ agree with the code: flags, arguments, folders, dependencies, keys, links."""

import inspect
import re
import tomllib
from pathlib import Path

import pytest

from dpm.commands import compare
from dpm.model import DiffusionModel
from dpm.runs import reference
from dpm.runs.flags import TRAIN_FLAGS, parse_flags
from tests import test_layout

ROOT = Path(__file__).parents[2]
PAGES = (
    "index.md",
    "equations.md",
    "from-2015.md",
    "paper-and-release.md",
    "schedules.md",
    "compare.md",
    "architecture.md",
    "commands.md",
    "data.md",
    "fuel.md",
    "checkpoints.md",
    "report.md",
    "reproduce.md",
    "baselines.md",
    "evaluate.md",
    "performance.md",
    "log/performance.md",
    "security.md",
    "results/README.md",
)
PACKAGES = sorted(path.parent.relative_to(ROOT).as_posix() for path in (ROOT / "dpm").rglob("__init__.py"))
FRONT_ROW = sorted(path.name for path in (ROOT / "dpm").glob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def page(name):
    return (ROOT / "docs" / name).read_text()


def table(text, heading):
    """Return the rows of the first table after a heading, each a list of the texts of its cells."""
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


def format_default(default):
    """Return a default as the tables print it."""
    if default is inspect.Parameter.empty:
        return "required"
    if default is None:
        return "none"
    return "''" if default in ("", {}) else str(default)


def flag_rows():
    """Return the rows of the table of flags in docs/from-2015.md, made from the code."""
    return [[f"--{flag.name}", flag.default_2015, format_default(flag.default), flag.help] for flag in TRAIN_FLAGS]


def test_the_table_of_flags_matches_the_code():
    assert table(page("from-2015.md"), "Flags of train.py") == flag_rows(), "run: python -m tests.docs.update"


def test_the_flags_that_a_resumed_run_may_change_are_named():
    (line,) = re.findall(r"^- --resume-file accepts .*$", page("from-2015.md"), re.MULTILINE)
    accepted = line[: line.index("with another value")]
    assert re.findall(r"--[a-z-]+", accepted)[1:] == [f"--{f.name}" for f in TRAIN_FLAGS if f.on_resume]


def test_the_table_of_arguments_matches_the_code():
    parameters = list(inspect.signature(DiffusionModel).parameters.values())
    rows = table(page("from-2015.md"), "Arguments of DiffusionModel")
    assert [(row[0], row[2]) for row in rows] == [(p.name, format_default(p.default)) for p in parameters]
    assert all(row[1] in ("", row[2]) for row in rows), "a default of 2015 is kept, or the argument is new"
    assert all(len(row) == 4 and row[3] for row in rows)


SAMPLES = {
    int: "3",
    float: "0.5",
    str: "x",
    "backend": "c",
    "optimizer": "sfo",
    "updates": "graph",
    "noise": "device",
    "precision": "tf32",
    "dtype": "float64",
    "in-memory": "no",
    "start": "zero",
    "times": "importance",
    "objective": "balanced",
    "lr-schedule": "cosine",
    "plots": "few",
    "model-args": "n_scales=2",
}


@pytest.mark.parametrize("flag", TRAIN_FLAGS, ids=lambda flag: flag.name)
def test_both_spellings_of_a_flag_mean_the_same(flag):
    text = SAMPLES.get(flag.name, SAMPLES.get(flag.parse, "true"))
    hyphens, underscores = (parse_flags([f"--{name}", text]) for name in (flag.name, flag.key))
    assert hyphens == underscores
    assert list(hyphens) == [flag.key]


def test_the_19_differences_are_numbered():
    rows = table(page("from-2015.md"), "Where the release differs from the paper")
    assert [row[0] for row in rows] == [str(number) for number in range(1, 20)]
    assert {len(row) for row in rows} == {6}


def test_the_page_names_every_hook_of_an_extension():
    loops = "".join(path.read_text() for path in (ROOT / "dpm" / "training").glob("*.py"))
    hooks = set(re.findall(r"_notify\(\"(\w+)\"\)", loops))
    assert "after_evaluation" in hooks
    (sentence,) = re.findall(r"An extension is an object with any of ([^.]+)\.", page("from-2015.md"))
    assert set(re.findall(r"`(\w+)`", sentence)) == hooks


@pytest.mark.parametrize("folder", [package for package in PACKAGES if package != "dpm"])
def test_each_folder_has_one_line(folder):
    assert len(re.findall(rf"^\| `{folder}/` \| .+ \|$", page("architecture.md"), re.MULTILINE)) == 1


@pytest.mark.parametrize("module", FRONT_ROW)
def test_each_module_at_the_top_has_one_line(module):
    assert len(re.findall(rf"^\| `dpm/{module}` \| .+ \|$", page("architecture.md"), re.MULTILINE)) == 1


def test_the_import_rule_is_the_tested_one():
    """The page has the order of folders that tests/test_layout.py checks, and the place of each module at the top."""
    (block,) = re.findall(r"## Import rule\n.+?```\n(.+?)```", page("architecture.md"), re.DOTALL)
    lines = block.splitlines()
    floors = [tuple(re.findall(r"\b([a-z]+)\b(?!\.py)", re.sub(r"\([^)]*\)", "", line))) for line in lines]
    assert floors == list(test_layout.FLOORS)
    assert {package.split("/")[1] for package in PACKAGES if "/" in package} == {f for floor in floors for f in floor}
    places = {
        m: folder for folder, modules in re.findall(r"(\w+) \(with ([^)]*)\)", block) for m in modules.split(", ")
    }
    assert places == {f"{module}.py": folder for module, folder in test_layout.FRONT_ROW.items()}


def requirements(extra=None):
    """Return the names of the packages that pyproject.toml requires, or those of an extra."""
    listed = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    return [re.split(r"[\[<>=!]", requirement)[0] for requirement in listed]


def test_each_dependency_has_a_reason():
    assert [row[0] for row in table(page("architecture.md"), "Dependencies")] == requirements()


@pytest.mark.parametrize("extra", PROJECT["optional-dependencies"])
def test_each_package_of_an_extra_has_a_reason(extra):
    rows = re.findall(r"^\| (`[a-z`, -]+`) \| ([\w, -]+) \| .+ \|$", page("architecture.md"), re.MULTILINE)
    reasons = {name for _, names in rows for name in names.split(", ")}
    assert set(requirements(extra)) <= reasons
    if extra != "test":  # which lists packages of other extras too
        listed = {name for extras, names in rows if f"`{extra}`" in extras for name in names.split(", ")}
        assert listed == set(requirements(extra))


def test_the_version_is_stated_once():
    import dpm

    assert "version" in PROJECT["dynamic"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", dpm.__version__)


@pytest.mark.parametrize("name", PAGES)
def test_files_and_pages_that_a_page_names_exist(name):
    text, folder = page(name), (ROOT / "docs" / name).parent
    named = set(re.findall(r"\b(?:dpm|tests|docs|datasets|benchmarks)/[\w/-]+\.(?:py|md)\b", text))
    linked = {link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link}
    missing = [path for path in named if not (ROOT / path).is_file()]
    missing += [path for path in linked if not (folder / path).is_file()]
    assert not missing


def headings(path):
    """Return the anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", PAGES)
def test_anchors_that_a_page_links_to_exist(name):
    path = ROOT / "docs" / name
    links = re.findall(r"\]\(([^)#]*)#([^)]+)\)", path.read_text())
    targets = [((path.parent / link) if link else path, anchor) for link, anchor in links if link[-3:] in ("", ".md")]
    assert [(target, anchor) for target, anchor in targets if anchor not in headings(target)] == []


def test_every_input_of_an_exported_file_is_listed():
    assert {key for key in reference.INPUTS if f"`{key}`" not in page("compare.md")} == set()
    for dtype, tolerance in compare.TOLERANCE.items():
        assert re.search(rf"\| {dtype}.* \| {tolerance:.0e} \|".replace("e-0", "e-"), page("compare.md"))


def test_updating_restores_the_table_of_flags():
    from tests.docs import update

    text = page("from-2015.md")
    wrong = text.replace("| --lr | 1e-3 |", "| --lr | 2e-3 |")
    assert wrong != text
    assert update.with_flags(wrong) == update.with_flags(text) == text
