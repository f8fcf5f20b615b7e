"""The layout of the house: imports point downward, no circles, short files and functions, one test file per module."""

import ast
from pathlib import Path

import pytest

import dpm

ROOT = Path(dpm.__file__).parent
MODULES = sorted(p.relative_to(ROOT) for p in ROOT.rglob("*.py") if p.name != "__init__.py")
# Lowest first; the folders of one row do not import each other.
FLOORS = (
    ("base",),
    ("graph", "optimizers", "datasets", "plots"),
    ("engines",),
    ("likelihood", "trajectories"),
    ("experiments",),
    ("runs",),
    ("cluster",),
    ("training",),
    ("reports",),
    ("commands",),
)
# The modules that the 2015 repository has stand in front; each belongs to a folder.
FRONT_ROW = {
    "model": "graph",
    "regression": "graph",
    "util": "graph",
    "viz": "plots",
    "sampler": "trajectories",
    "extensions": "training",
}
TOP = ("__init__", "__main__")  # the public API and the commands may import everything
FLOOR_OF = {folder: floor for floor, folders in enumerate(FLOORS) for folder in folders}


def folder_of(module):
    """The folder of a dotted module below dpm, such as graph for "graph.kernels.gaussian" or "model"."""
    first = module.partition(".")[0]
    return FRONT_ROW.get(first, first)


def imports_of(path, module):
    """The dotted modules below dpm that a file imports, inside functions included; `if TYPE_CHECKING` too."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.removeprefix("dpm.") for alias in node.names if alias.name.startswith("dpm."))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "dpm":
            inner = (node.module or "").removeprefix("dpm").removeprefix(".")
            for alias in node.names:
                below = f"{inner}.{alias.name}".removeprefix(".")
                is_module = (ROOT / below.replace(".", "/")).with_suffix(".py").exists()
                is_package = (ROOT / below.replace(".", "/") / "__init__.py").exists()
                yield below if is_module or is_package else inner
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} imports relatively"


def graph_of(root):
    """{module: set of imported modules} of the package."""
    return {
        module: set(imports_of(root / path, module)) - {""}
        for path in sorted(p.relative_to(root) for p in root.rglob("*.py"))
        if (module := ".".join(path.with_suffix("").parts).removesuffix(".__init__")) not in TOP
    }


def upward_imports(graph):
    """Pairs (module, imported) where the imported one is not in the same folder or a lower floor."""
    return [
        (module, imported)
        for module, found in graph.items()
        for imported in sorted(found)
        if folder_of(module) != folder_of(imported) and FLOOR_OF[folder_of(imported)] >= FLOOR_OF[folder_of(module)]
    ]


def circles(graph):
    """Modules that import themselves, directly or not."""

    def reach(start):
        seen, todo = set(), list(graph.get(start, ()))
        while todo:
            module = todo.pop()
            if module not in seen:
                seen.add(module)
                todo.extend(graph.get(module, ()))
        return seen

    return [module for module in graph if module in reach(module)]


def test_imports_point_downward_and_make_no_circle():
    graph = graph_of(ROOT)
    assert {folder_of(module) for module in graph} == set(FLOOR_OF)
    assert upward_imports(graph) == []
    assert circles(graph) == []


@pytest.mark.parametrize(
    ("module", "line", "wrong"),
    [
        ("base/noise.py", "import dpm.runs.settings", ("base.noise", "runs.settings")),
        ("graph/diffusion.py", "from dpm.engines.engine import Engine", ("graph.diffusion", "engines.engine")),
        ("datasets/search.py", "from dpm.optimizers import SFO", ("datasets.search", "optimizers")),
        ("model.py", "def f():\n    from dpm import sampler", ("model", "sampler")),
    ],
)
def test_the_import_test_finds_an_upward_import(tmp_path, module, line, wrong):
    """Also one that stands inside a function, or between two folders of one floor."""
    for path in ROOT.rglob("*.py"):
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(path.read_text())
    with (tmp_path / module).open("a") as file:
        file.write(f"\n{line}\n")
    assert upward_imports(graph_of(tmp_path)) == [wrong]


def test_the_import_test_finds_a_circle(tmp_path):
    (tmp_path / "base").mkdir()
    for name, other in (("errors", "atomic"), ("atomic", "noise"), ("noise", "errors"), ("hashing", "errors")):
        (tmp_path / "base" / f"{name}.py").write_text(f"from dpm.base.{other} import x\n")
    assert circles(graph_of(tmp_path)) == ["base.atomic", "base.errors", "base.noise"]


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_files_and_functions_are_short(module):
    """Files under 400 lines, functions under 50 lines of code."""
    text = (ROOT / module).read_text()
    assert len(text.splitlines()) < 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            docstring = node.body[0].end_lineno - node.body[0].lineno + 1 if ast.get_docstring(node) else 0
            assert node.end_lineno - node.body[0].lineno + 1 - docstring < 50, node.name


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_each_module_has_a_test_file(module):
    path = Path(__file__).parent / module.parent / f"test_{module.name}"
    assert path.is_file()
    assert "def test_" in path.read_text()


def test_only_commands_know_argparse_and_nothing_passes_a_dict_of_flags():
    """Settings hold what a user chose; outside their module nothing indexes raw flags."""
    for path in ROOT.rglob("*.py"):
        module = path.relative_to(ROOT)
        if module.parts[0] == "commands" or module == Path("runs/settings.py"):
            continue
        text = path.read_text()
        assert "Namespace" not in text, module
        assert "flags[" not in text, module
