"""Errors of Fuel; each is also an InputError, so that a command reports it in one line."""

from dpm.base.errors import InputError


class AxisLabelsMismatchError(InputError):
    """The labels of the axes of a source are not the expected ones."""


class ConfigurationError(InputError):
    """A setting without a default was needed and is not set."""


class FileNotInPathError(InputError, OSError):
    """A file is in no folder of the data path; an OSError, as Fuel raises."""
