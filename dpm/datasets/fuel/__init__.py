"""The calls of Fuel 0.2: a program of 2015 runs after `fuel` is replaced by `dpm.datasets.fuel` in its imports.

Modules, classes and methods have Fuel's names and behavior; docs/fuel.md lists the names and the differences.
layout.py, probe.py and writing.py are beneath: the layout of the HDF5 files, their validation, and writing them.
"""

from dpm.datasets.fuel.config_parser import config

#: The version of Fuel whose calls these are.
__version__ = "0.2.0"

__all__ = ["__version__", "config"]
