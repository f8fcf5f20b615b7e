"""The command compare: rows, counts, exit statuses and unusable files."""

import numpy as np
import pytest

from dpm.commands.compare import main
from tests.runs.test_reference import FILES


def write_changed(golden, path, **changes):
    with np.load(golden / FILES[3]) as file:
        arrays = {name: file[name] for name in file.files}
    np.savez(path, **{k: v for k, v in (arrays | changes).items() if v is not None})
    return str(path)


def test_changed_value_fails_with_status_1(golden, tmp_path, capsys):
    with np.load(golden / FILES[3]) as file:
        beta = file["beta_arr"].copy()
    beta[-1] *= 1 + 1e-5
    assert main([write_changed(golden, tmp_path / "x.npz", beta_arr=beta)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[2] for line in lines if "FAIL  " in line] == ["beta_arr"]
    assert lines[-1] == "4 of 5 arrays agree, 1 FAIL"


def test_unknown_array_fails(golden, tmp_path):
    assert main([write_changed(golden, tmp_path / "x.npz", fwd_cosst=np.zeros(3))]) == 1


def test_agreement_is_counted_with_status_0(golden, capsys):
    assert main([str(golden / FILES[3])]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "5 of 5 arrays agree"


def test_folder_of_2015_means_its_checkpoint(golden, capsys):
    """mu and sigma of model.pkl at the inputs of eval.npz."""
    assert main([str(golden / "checkpoint")]) == 0
    out = capsys.readouterr().out
    assert [line.split()[2] for line in out.splitlines() if "pass" in line] == ["mu", "sigma"]


@pytest.mark.parametrize("content", [b"", b"not a zip", None, "no config", "misspelt"])
def test_unusable_file_is_one_line_with_status_2(golden, tmp_path, capsys, content):
    path = tmp_path / "x.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "no config":
        write_changed(golden, path, config_json=None)
    elif content == "misspelt":
        write_changed(golden, path, config_json='{"spatial_widht": 8, "n_colors": 1}')
    assert main([str(path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "Traceback" not in error
