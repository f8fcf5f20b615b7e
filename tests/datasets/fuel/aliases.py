"""Make Fuel 0.2.0 (2016) importable: names that Python and numpy have moved, and stand-ins for unused modules.

To be imported before `fuel`, in a process of its own.
"""

import collections
import collections.abc
import sys
import types

import numpy as np


class Numpy(types.ModuleType):
    """numpy, with the meaning that the length 1 of a field had until numpy 1.x: a scalar."""

    def __getattr__(self, name):
        return getattr(np, name)

    @staticmethod
    def dtype(fields):
        return np.dtype([(name, f"S{size[0]}" if kind == "a" else kind) for name, kind, *size in fields])


def nowhere(name):
    raise LookupError(name)


collections.Iterable = collections.abc.Iterable
collections.Iterator = collections.abc.Iterator
for unused in ("tables", "yaml", "zmq", "fuel.transformers._image"):
    sys.modules[unused] = types.ModuleType(unused)
sys.modules["fuel.transformers._image"].window_batch_bchw = None
# Fuel uses it only for a version number; virtual environments of Python 3.12 and newer have no setuptools.
sys.modules["pkg_resources"] = types.SimpleNamespace(get_distribution=nowhere, DistributionNotFound=LookupError)

import fuel.datasets.hdf5  # noqa: E402

fuel.datasets.hdf5.numpy = Numpy("numpy")
