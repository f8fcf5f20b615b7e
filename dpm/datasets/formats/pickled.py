"""Read pickles of plain values and uint8 arrays without calling anything that a pickle names.

Python's unpickler runs any function that a file asks for. Here the standard library only splits the file into opcodes.
Opcodes that build plain values are executed, the names by which numpy pickles a uint8 array are recognized, and
everything else is refused.
"""

import enum
import pickletools
import warnings
from typing import Any

import numpy as np

from dpm.base.errors import InputError

IGNORED = {"PROTO", "FRAME", "STOP"}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
NUMBERS = {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"}
TEXTS = {"UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"}
BYTES = {"SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"}
# Byte strings of Python 2, which the tokenizer gives as latin-1 text.
OLD_BYTES = {"STRING", "BINSTRING", "SHORT_BINSTRING"}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
# A batch of CIFAR-10 has up to 50,000. One byte can be an opcode, and each takes some microseconds.
MAX_OPCODES = 100_000
# Smaller numbers have distinct hashes; larger ones can be chosen to collide, so that filling a dict takes hours.
MAX_KEY = 1 << 32


class Known(enum.Enum):
    """Placeholders for the names that a pickled array may contain, and for its dtype; they are never called."""

    RECONSTRUCT = enum.auto()
    FROMBUFFER = enum.auto()
    NDARRAY = enum.auto()
    DTYPE = enum.auto()
    ENCODE = enum.auto()
    UINT8 = enum.auto()
    UNFILLED = enum.auto()


GLOBALS = {
    "numpy.core.multiarray _reconstruct": Known.RECONSTRUCT,
    "numpy._core.multiarray _reconstruct": Known.RECONSTRUCT,
    "numpy.core.numeric _frombuffer": Known.FROMBUFFER,
    "numpy._core.numeric _frombuffer": Known.FROMBUFFER,
    "numpy ndarray": Known.NDARRAY,
    "numpy dtype": Known.DTYPE,
    "_codecs encode": Known.ENCODE,
}


def read_plain_pickle(data: bytes, what: str) -> Any:
    """Read a pickle of numbers, strings, byte strings, lists, tuples, dicts and uint8 arrays.

    Args:
        data: The pickle.
        what: Name of the data for error messages.

    Returns:
        The value; byte strings of Python 2 become bytes.

    Raises:
        InputError: If the pickle is damaged or contains anything else (the message names the opcode).
    """
    builder = _Builder()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # for invalid escapes in damaged strings
            for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
                if count == MAX_OPCODES:
                    raise ValueError(f"more than {MAX_OPCODES} opcodes")
                builder.execute(opcode.name, argument)
        (value,) = builder.stack
    except _Refused as error:
        raise InputError(
            f"{what}: refused, its pickle opcode {error}; accepted are plain values and uint8 arrays; download it again"
        ) from None
    except (ValueError, TypeError, LookupError, OverflowError) as error:
        raise InputError(f"{what}: damaged or incomplete pickle ({str(error)[:200]}); download it again") from error
    return value


class _Refused(Exception):
    pass


class _Builder:
    """The stack of a pickle, the outer stacks of its open marks, and its memo."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.outer: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def execute(self, name: str, argument: Any) -> None:
        if name in NUMBERS or name in TEXTS or name in BYTES:
            self.stack.append(argument)
        elif name in OLD_BYTES:
            self.stack.append(argument.encode("latin-1"))
        elif name in CONSTANTS:
            self.stack.append(CONSTANTS[name])
        elif name in TUPLES:
            self.stack.append(tuple(self.pop(TUPLES[name])))
        elif name not in IGNORED:
            action = getattr(self, f"do_{name.lower()}", None)
            if action is None:
                raise _Refused(f"{name} builds more than plain values")
            action(argument)

    def pop(self, count: int) -> list[Any]:
        if count > len(self.stack):
            raise ValueError("an opcode needs more values than the stack holds")
        values = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return values

    def pop_to_mark(self) -> list[Any]:
        values, self.stack = self.stack, self.outer.pop()
        return values

    def do_mark(self, _: None) -> None:
        self.outer.append(self.stack)
        self.stack = []

    def do_put(self, key: int) -> None:
        if not 0 <= key < MAX_KEY:
            raise ValueError("a number of the memo is out of range")
        self.memo[key] = self.stack[-1]

    do_binput = do_long_binput = do_put

    def do_memoize(self, _: None) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def do_get(self, key: int) -> None:
        self.stack.append(self.memo[key])

    do_binget = do_long_binget = do_get

    def do_empty_list(self, _: None) -> None:
        self.stack.append([])

    def do_empty_dict(self, _: None) -> None:
        self.stack.append({})

    def do_tuple(self, _: None) -> None:
        values = self.pop_to_mark()
        self.stack.append(tuple(values))

    def do_list(self, _: None) -> None:
        values = self.pop_to_mark()
        self.stack.append(values)

    def do_dict(self, _: None) -> None:
        values = self.pop_to_mark()
        self.stack.append({})
        self.set_items(values)

    def do_append(self, _: None) -> None:
        self.extend(self.pop(1))

    def do_appends(self, _: None) -> None:
        self.extend(self.pop_to_mark())

    def do_setitem(self, _: None) -> None:
        self.set_items(self.pop(2))

    def do_setitems(self, _: None) -> None:
        self.set_items(self.pop_to_mark())

    def extend(self, values: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise TypeError("APPEND to a value that is not a list")
        self.stack[-1].extend(values)

    def set_items(self, values: list[Any]) -> None:
        keys = values[::2]
        # Hashing a deeply nested tuple would overflow the C stack.
        if not isinstance(self.stack[-1], dict) or not all(map(_is_key, keys)):
            raise TypeError(
                "SETITEM on a value that is not a dict, or with a key that is not a string or a small number"
            )
        self.stack[-1].update(zip(keys, values[1::2], strict=True))

    def do_global(self, name: str) -> None:
        self.push_name("GLOBAL", name)

    def do_stack_global(self, _: None) -> None:
        module, name = self.pop(2)
        if not isinstance(module, str) or not isinstance(name, str):
            raise TypeError("a name is not a string")
        self.push_name("STACK_GLOBAL", f"{module} {name}")

    def push_name(self, opcode: str, name: str) -> None:
        if name not in GLOBALS:
            raise _Refused(f"{opcode} asks for {name[:200].replace(' ', '.')!r}")
        self.stack.append(GLOBALS[name])

    def do_reduce(self, _: None) -> None:
        function, arguments = self.pop(2)
        if not isinstance(function, Known) or not isinstance(arguments, tuple):
            raise _Refused("REDUCE calls something that is not part of an array")
        match (function, *arguments):
            case (Known.RECONSTRUCT, Known.NDARRAY, _, _):
                self.stack.append(Known.UNFILLED)
            case (Known.DTYPE, "u1" | b"u1", *_):
                self.stack.append(Known.UINT8)
            case (Known.ENCODE, str() as text, "latin1"):
                # Bytes of Python 3 in the protocols of Python 2.
                self.stack.append(text.encode("latin-1"))
            case (Known.FROMBUFFER, bytes() | bytearray() as raw, Known.UINT8, shape, "C" | "F" as order):
                self.stack.append(_array(raw, shape, order))
            case _:
                raise _Refused(f"REDUCE calls {function.name.lower()} in a way that a pickled uint8 array does not")

    def do_build(self, _: None) -> None:
        target, state = self.pop(2)
        match (target, state):
            case (Known.UINT8, tuple()):
                # The state of a dtype is byte order and alignment; uint8 has neither.
                self.stack.append(target)
            case (Known.UNFILLED, (_, shape, Known.UINT8, bool() | int() as fortran, bytes() as raw)):
                self.stack.append(_array(raw, shape, "F" if fortran else "C"))
            case _:
                raise _Refused("BUILD fills something that is not a uint8 array")


def _is_key(key: Any) -> bool:
    return isinstance(key, str | bytes) or (isinstance(key, int) and -MAX_KEY < key < MAX_KEY)


def _array(raw: bytes | bytearray, shape: Any, order: Any) -> np.ndarray:
    if not isinstance(shape, tuple) or not all(isinstance(n, int) and n >= 0 for n in shape):
        raise TypeError("the shape of an array is not a tuple of numbers")
    return np.frombuffer(raw, np.uint8).reshape(shape, order=order)
