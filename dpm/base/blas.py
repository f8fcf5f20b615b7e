"""The threads of BLAS: one for small dense work, which several threads slow down where other programs have the cores.

Threads of OpenBLAS wait for each other by spinning (benchmarks/blas_threads.py).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController

SMALL = 100  # an inner dimension below this is not worth a second thread


@cache
def controller() -> ThreadpoolController:
    """Return the controller of the BLAS of numpy and of scipy, which Numba and JAX's LAPACK use too."""
    # A library can be limited only once it is loaded.
    import numpy  # noqa: F401
    import scipy.linalg.cython_blas  # noqa: F401

    return ThreadpoolController()


def count_threads() -> int:
    """Return the number of threads that BLAS may use now."""
    return max((int(pool["num_threads"]) for pool in controller().info() if pool["user_api"] == "blas"), default=1)


@contextmanager
def one_blas_thread(dimension: int = 1) -> Iterator[None]:
    """Compute with one thread of BLAS, as a context or as a decorator of a function.

    Args:
        dimension: the inner dimension of the products; from SMALL on the threads stay as they are.
    """
    with controller().limit(limits=1 if dimension < SMALL else None, user_api="blas"):
        yield
