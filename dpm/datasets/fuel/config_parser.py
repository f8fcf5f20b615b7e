"""Settings of Fuel, from assignments, environment variables and ~/.fuelrc."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpm.base.errors import InputError
from dpm.datasets.fuel.exceptions import ConfigurationError

NOT_SET = object()
OF_FUEL_ALONE = ("extra_downloaders", "extra_converters")  # settings of fuel-download and fuel-convert
NOT_PLAIN = "[{&*!|>%@`-"  # begin what is not a plain text in YAML


@dataclass
class Setting:
    """One setting; of its values the first that is set counts: assigned, environment, file, default."""

    type_: Callable[[Any], Any]
    default: Any = NOT_SET
    env_var: str | None = None
    assigned: Any = NOT_SET
    in_file: Any = NOT_SET


class Configuration:
    """Settings as attributes; an assignment `config.floatX = "float32"` overrides environment and file.

    The file is ~/.fuelrc, or the one that the environment variable FUEL_CONFIG names. It is read when a setting
    is needed. Its lines are `name: value`; anything else of YAML is refused.

    Attributes:
        config: Setting by name.
    """

    config: dict[str, Setting]

    def __init__(self) -> None:
        self.__dict__["config"] = {}

    def add_config(self, key: str, type_: Callable[[Any], Any], default: Any = NOT_SET, env_var: str | None = None):
        """Add a setting.

        Args:
            key: Name of the attribute.
            type_: Converts a value, a string or what was assigned.
            default: Value if nothing else is set; without it, a setting that is not set raises ConfigurationError.
            env_var: Environment variable of the setting.
        """
        self.config[key] = Setting(type_, default, env_var)

    def load_yaml(self) -> None:
        """Read the file.

        Raises:
            InputError: If a line is not `name: value` with the name of a setting.
        """
        for setting in self.config.values():
            setting.in_file = NOT_SET
        path = Path(os.environ.get("FUEL_CONFIG") or os.path.expanduser("~/.fuelrc"))
        if not path.is_file():
            return
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            name, colon, value = (part.strip() for part in _without_comment(line).partition(":"))
            if (not name and not colon) or name in OF_FUEL_ALONE:
                continue
            if name not in self.config or not value or value[0] in NOT_PLAIN:
                raise InputError(
                    f"{path}, line {number}: got {line.strip()!r}; expected NAME: VALUE with one of "
                    f"{', '.join(self.config)}; correct the line or remove it"
                )
            self.config[name].in_file = _unquote(value)

    def __getattr__(self, key: str) -> Any:
        if key == "config" or key not in self.config:
            raise AttributeError(f"{key} is not a setting of Fuel")
        setting = self.config[key]
        value = setting.assigned
        if value is NOT_SET and setting.env_var is not None:
            value = os.environ.get(setting.env_var, NOT_SET)
        if value is NOT_SET:
            self.load_yaml()
            value = setting.default if setting.in_file is NOT_SET else setting.in_file
        if value is NOT_SET:
            places = [f"the environment variable {setting.env_var}"] if setting.env_var else []
            raise ConfigurationError(
                f"{key}: is not set and has no default; set it by {' or '.join([*places, f'a line {key}: VALUE'])} "
                "in ~/.fuelrc"
            )
        return setting.type_(value)

    def __setattr__(self, key: str, value: Any) -> None:
        if key in self.config:
            self.config[key].assigned = value
        else:
            super().__setattr__(key, value)


def _without_comment(line: str) -> str:
    """Return a line up to a # that begins it or follows a space, as in YAML."""
    return line.partition(" #")[0].rstrip() if not line.lstrip().startswith("#") else ""


def _unquote(value: str) -> str:
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    return value[1:-1] if quoted else value


def multiple_paths_parser(value: Any) -> Any:
    """Split a string of folders at os.pathsep; return a list unchanged."""
    return value.split(os.pathsep) if isinstance(value, str) else value


config = Configuration()
config.add_config("data_path", multiple_paths_parser, env_var="FUEL_DATA_PATH")
config.add_config("default_seed", int, default=1)
config.add_config("floatX", str, default="float64", env_var="FUEL_FLOATX")
