"""Numba backend: a graph compiled once, without Python's lock.

Names of PyTensor and Numba that are not part of a documented interface are used here and in convolution.py only.
"""

from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

from dpm.engines.backend import Backend
from dpm.graph import Tensor


class NumbaBackend(Backend):
    """Compiler of the Numba engine."""

    mode = "NUMBA"

    def __init__(self) -> None:
        # PyTensor silences a warning of Numba's about np.dot when this is imported; within Engine's own filter of
        # warnings, where it compiles, that would be undone.
        import pytensor.link.numba.dispatch  # noqa: F401

    def finish(self, function: Any, inputs: Sequence[Tensor], hot: bool, n_threads: int) -> Callable[..., Any]:
        """Compile the Python function inside a function of PyTensor without Python's lock, so that threads share it.

        PyTensor 3.0.7 and 3.3.8 have no option for `nogil`, so the Python function is decorated again. Numba's cache on
        disk is theirs: CACHED_SRC_FUNCTIONS maps a function to its key there.
        """
        # Not at the top: importing it makes PyTensor's cache folder, and compiles at the level of the moment.
        from pytensor.link.numba.cache import CACHED_SRC_FUNCTIONS
        from pytensor.link.numba.dispatch.basic import numba_njit

        python = function.vm.jit_fn.py_func
        if python in CACHED_SRC_FUNCTIONS:
            # Numba finds a cached function by the name of its file and PyTensor's key. The graph's function is in a
            # file of a random name; PyTensor calls it (as the global `jitable_func`) from one in a file of a fixed
            # name, and Numba optimizes all of the graph for both. With the fixed name the graph's function is found
            # in the cache, and one is enough: a fifth less time to compile (numba 0.65.1).
            graph, key = python.__globals__["jitable_func"].py_func, CACHED_SRC_FUNCTIONS[python]
            code = graph.__code__.replace(co_filename=python.__code__.co_filename)
            python = FunctionType(code, graph.__globals__, graph.__name__)
            CACHED_SRC_FUNCTIONS[python] = key
        return numba_njit(python, final_function=True, cache=python in CACHED_SRC_FUNCTIONS, nogil=True)
