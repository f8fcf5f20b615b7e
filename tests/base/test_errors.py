"""InputError in Python and in the shell."""

import pytest

from dpm.base.command_line import run_command
from dpm.base.errors import InputError


def test_it_is_a_value_error_in_python():
    with pytest.raises(ValueError, match=r"^n: 0; accepted"):
        raise InputError("n: 0; accepted: 1 or more")


def test_it_is_one_line_and_status_2_in_the_shell(capsys):
    def action():
        raise InputError("n: 0\nis\tnot accepted")

    assert run_command("dpm train", action) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = shown.err.splitlines()
    assert line.startswith("dpm train: error: n: 0")
