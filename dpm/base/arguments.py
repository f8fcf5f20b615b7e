"""Parse and check arguments that a user typed: literals, switches, names and numbers."""

import operator
from collections.abc import Iterable
from typing import Any

from dpm.base.errors import InputError


def parse_switch(text: str) -> bool:
    """Return True or False for a text that says so; the 2015 code took any text as true."""
    values = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in values:
        raise InputError(f"{text!r} is neither true nor false")
    return values[text.lower()]


def parse_literals(text: str, example: str = "n_hidden_conv=100,n_scales=3") -> dict[str, Any]:
    """Parse "n_scales=3,step1_beta=0.01" into a dict whose values are Python literals; nothing is executed.

    Args:
        text: comma-separated pairs name=value.
        example: an accepted text, for the error message.

    Raises:
        InputError: the text is not a list of such pairs.
    """
    import ast  # only needed where the option is given

    try:
        call = ast.parse(f"f({text}\n)", mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            raise ValueError("a bracket is closed that was not opened")
        if call.args or any(k.arg is None for k in call.keywords):
            raise ValueError("only name=value pairs are accepted")
        names = [str(k.arg) for k in call.keywords]
        if len(set(names)) != len(names):
            raise ValueError("a name occurs twice")
        return {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        reason = str(error).partition(" on line")[0].partition(": <ast")[0]
        if reason.startswith("malformed node"):
            reason = "values are numbers, lists, True, None, or texts in quotes: name='text'"
        raise InputError(f'{text!r} is not a list of literals ({reason}); accepted: "{example}"') from None


def check_names(arguments: dict[str, Any], accepted: Iterable[str]) -> dict[str, Any]:
    """Return `arguments` if every name in it is accepted; otherwise raise InputError with the nearest name."""
    accepted = list(accepted)
    for name in arguments:
        if name not in accepted:
            import difflib

            near = difflib.get_close_matches(str(name), accepted, n=1)
            hint = f"did you mean {near[0]}?" if near else f"accepted: {', '.join(accepted)}"
            raise InputError(f"model argument {name!r} is unknown; {hint}")
    return arguments


def check_whole_number(name: str, value: object, smallest: int) -> int:
    """Return `value` as int; raise InputError where it is not a whole number of at least `smallest`."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not float(value).is_integer():
        raise InputError(f"{name}: {value!r} is not a whole number; accepted: {smallest} or more")
    if value < smallest:
        raise InputError(f"{name}: {value!r} is too small; accepted: {smallest} or more")
    return int(value)


def check_index(name: str, value: Any, least: int) -> int:
    """Return `value`, an int or a numpy integer, as int; raise InputError for others, and below `least`."""
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if number < least or isinstance(value, bool):
        raise InputError(f"{name}: got {value!r}; expected a whole number of at least {least}")
    return number
