"""Settings come from assignments, then environment variables, then the file, then defaults."""

import copy

import pytest

from dpm.base.errors import InputError
from dpm.datasets.fuel.config_parser import Configuration, multiple_paths_parser
from dpm.datasets.fuel.exceptions import ConfigurationError


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """Settings with a file that tests may write, and without environment variables."""
    monkeypatch.setenv("FUEL_CONFIG", str(tmp_path / "fuelrc"))
    for name in ("FUEL_DATA_PATH", "FUEL_FLOATX"):
        monkeypatch.delenv(name, raising=False)
    config = Configuration()
    config.add_config("data_path", multiple_paths_parser, env_var="FUEL_DATA_PATH")
    config.add_config("default_seed", int, default=1)
    config.add_config("floatX", str, default="float64", env_var="FUEL_FLOATX")
    return config


def write(tmp_path, text):
    (tmp_path / "fuelrc").write_text(text)


def test_each_place_overrides_the_one_below(settings, tmp_path, monkeypatch):
    assert settings.floatX == "float64"
    write(tmp_path, "# mine\n\nfloatX: float16  # half\ndefault_seed: '7'\ndata_path: /a:/b\nextra_converters: [x]\n")
    settings.load_yaml()
    assert (settings.floatX, settings.default_seed, settings.data_path) == ("float16", 7, ["/a", "/b"])
    monkeypatch.setenv("FUEL_FLOATX", "float32")
    assert settings.floatX == "float32"
    settings.floatX = "longdouble"
    assert settings.floatX == "longdouble"
    settings.data_path = ["/c"]
    assert settings.data_path == ["/c"]


def test_the_file_in_the_home_folder_is_read_when_a_setting_is_needed(settings, tmp_path, monkeypatch):
    monkeypatch.delenv("FUEL_CONFIG")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".fuelrc").write_text("data_path: ~/data\n")
    assert settings.data_path == ["~/data"]


def test_a_setting_without_a_value_says_how_to_set_it(settings):
    with pytest.raises(ConfigurationError, match=r"^data_path: .*FUEL_DATA_PATH.*~/\.fuelrc"):
        _ = settings.data_path


@pytest.mark.parametrize("line", ["data_pth: /a", "data_path", "data_path:", "data_path: [/a, /b]", "- /a", ": /a"])
def test_other_lines_are_refused_by_their_number(settings, tmp_path, line):
    write(tmp_path, f"default_seed: 3\n{line}\n")
    with pytest.raises(InputError, match=r"fuelrc, line 2: got .*data_path, default_seed, floatX"):
        _ = settings.default_seed, settings.floatX


def test_other_attributes_are_ordinary(settings):
    with pytest.raises(AttributeError):
        _ = settings.seed
    settings.note = "x"
    assert settings.note == "x"
    assert copy.copy(settings).default_seed == 1
