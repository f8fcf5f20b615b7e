"""Registration of what PyTensor lacks for JAX and Numba, for functions that a user compiles without an Engine.

PyTensor looks up how JAX or Numba computes an operation in tables that importing its JAX or Numba part fills. That part
takes seconds to import, so it must not happen before it is needed. PyTensor has no hook for that moment; but it
applies rewrites tagged "jax" or "numba" to every graph that it compiles for that engine, before it looks anything up.

A module that defines an operation or a model names here, when it is imported, what implements it for an engine. The
implementation stays in dpm/engines/, which nothing below imports.
"""

import importlib
import sys

from pytensor import config
from pytensor.compile.mode import optdb
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.rewriting.basic import GraphRewriter

FIRST = -2  # position among PyTensor's rewrites: before all others


class ImportImplementation(GraphRewriter):
    """Graph rewrite that changes nothing, but imports the module that implements dpm's operations for an engine.

    Args:
        module: full name of the module, which registers its functions with PyTensor.
    """

    def __init__(self, module: str) -> None:
        self.module = module

    def apply(self, fgraph: FunctionGraph) -> None:
        """Import the module; the graph stays as it is."""
        importlib.import_module(self.module)
        if config.floatX == "float64" and "jax" in sys.modules:
            # PyTensor 3.0.7 sets this switch once, from floatX at the time when its JAX part is imported; a float32
            # engine before would leave JAX to round to single precision.
            sys.modules["jax"].config.update("jax_enable_x64", True)


def import_when_compiling(engine: str, name: str) -> None:
    """Let PyTensor import a module of dpm/engines/ before it compiles any graph for an engine, in any mode.

    Neither JAX nor Numba is imported until then.

    Args:
        engine: "jax" or "numba".
        name: name of the module in the engine's folder.
    """
    rewrite = ImportImplementation(f"dpm.engines.{engine}.{name}")
    optdb.register(f"dpm_{name}_{engine}", rewrite, engine, position=FIRST)
