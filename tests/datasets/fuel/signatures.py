"""Write the signatures of Fuel's public callables, and those of the same names here, as JSON.

python -m tests.datasets.fuel.signatures TARGET
"""

import importlib
import inspect
import json
import sys
from operator import attrgetter
from pathlib import Path

MODULES = (
    "config_parser",
    "datasets",
    "datasets.base",
    "datasets.cifar10",
    "datasets.hdf5",
    "datasets.mnist",
    "datasets.text",
    "iterator",
    "schemes",
    "streams",
    "transformers",
    "transformers.defaults",
    "utils",
)


def signature(function):
    """The parameters as text, without annotations: "file_or_path, which_sets, subset=None, **kwargs"."""
    parameters = inspect.signature(function).parameters.values()
    bare = [parameter.replace(annotation=parameter.empty) for parameter in parameters]
    return str(inspect.Signature([p.replace(default=...) if type(p.default) is object else p for p in bare]))


def public_callables(module):
    """{"Name" or "Name.method": callable} of what a module of Fuel defines; of a package, also what it imports."""
    namespace, found = importlib.import_module(f"fuel.{module}"), {}
    for name, item in vars(namespace).items():
        home = getattr(item, "__module__", "") if callable(item) else ""
        if name.startswith("_") or not home.startswith(f"fuel.{module}"):
            continue
        found[name] = item
        methods = inspect.getmembers(item, callable) if inspect.isclass(item) else ()
        found |= {f"{name}.{method}": value for method, value in methods if not method.startswith("_")}
    return found


def pairs(module):
    """{name: (signature in Fuel, signature here or None)} of the public callables of a module."""
    here, found = importlib.import_module(f"dpm.datasets.fuel.{module}"), {}
    for name, function in public_callables(module).items():
        try:
            ours = signature(attrgetter(name)(here))
        except AttributeError:
            ours = None
        found[f"{module}.{name}"] = signature(function), ours
    return found


if __name__ == "__main__":
    from tests.datasets.fuel import aliases  # noqa: F401

    Path(sys.argv[1]).write_text(json.dumps({name: both for module in MODULES for name, both in pairs(module).items()}))
