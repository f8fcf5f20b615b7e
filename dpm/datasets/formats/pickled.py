"""A reader for pickles of plain values and uint8 arrays that calls nothing a pickle names.

Python's own unpickler runs whatever a file asks for. Here the standard library only cuts the file into
opcodes; those that build plain values are followed, the few by which numpy pickles a uint8 array are
recognized by their names, and everything else is refused.
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
# Byte strings of Python 2, which the tokeniser gives as latin-1 text.
OLD_BYTES = {"STRING", "BINSTRING", "SHORT_BINSTRING"}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
# A batch of CIFAR-10 has up to 50,000; a byte is enough for one, and each costs some microseconds.
MAX_OPCODES = 100_000
# Numbers up to here have hashes of their own: others can be chosen such that a dict takes hours.
MAX_KEY = 1 << 32


class Known(enum.Enum):
    """The names that a pickled array may mention, and the one dtype; placeholders, never called."""

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
    """The value that `data` pickles: numbers, strings, byte strings, lists, tuples, dicts and uint8 arrays.

    Byte strings of Python 2 come as bytes. `what` names the data in messages.
    Raises InputError, naming the opcode, if the pickle asks for anything else, and if it is damaged.
    """
    builder = _Builder()
    try:
        with warnings.catch_warnings():
            # Of odd escapes in damaged strings.
            warnings.simplefilter("ignore")
            for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
                if count == MAX_OPCODES:
                    raise ValueError(f"more than {MAX_OPCODES} opcodes")
                builder.follow(opcode.name, argument)
        (value,) = builder.stack
    except _Refused as error:
        raise InputError(
            f"{what}: refused, its pickle opcode {error}; accepted are plain values and uint8 arrays: "
            "fetch the file from its source again"
        ) from None
    except (ValueError, TypeError, LookupError, OverflowError) as error:
        raise InputError(f"{what}: damaged, not a whole pickle ({str(error)[:200]}); fetch it again") from error
    return value


class _Refused(Exception):
    pass


class _Builder:
    """The stack of a pickle, the outer stacks of its open marks, and its memo."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.outer: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def follow(self, name: str, argument: Any) -> None:
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
            raise ValueError("an opcode finds too few values")
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
            raise TypeError("something is appended to what is no list")
        self.stack[-1].extend(values)

    def set_items(self, values: list[Any]) -> None:
        keys = values[::2]
        # Hashing a deeply nested tuple would overflow the C stack.
        if not isinstance(self.stack[-1], dict) or not all(map(_is_key, keys)):
            raise TypeError("an item is set in what is no dict, or under a key that is no string or small number")
        self.stack[-1].update(zip(keys, values[1::2], strict=True))

    def do_global(self, name: str) -> None:
        self.name("GLOBAL", name)

    def do_stack_global(self, _: None) -> None:
        module, name = self.pop(2)
        if not isinstance(module, str) or not isinstance(name, str):
            raise TypeError("a name is no string")
        self.name("STACK_GLOBAL", f"{module} {name}")

    def name(self, opcode: str, name: str) -> None:
        if name not in GLOBALS:
            raise _Refused(f"{opcode} asks for {name[:200].replace(' ', '.')!r}")
        self.stack.append(GLOBALS[name])

    def do_reduce(self, _: None) -> None:
        function, arguments = self.pop(2)
        if not isinstance(function, Known) or not isinstance(arguments, tuple):
            raise _Refused("REDUCE calls what is no part of an array")
        match (function, *arguments):
            case (Known.RECONSTRUCT, Known.NDARRAY, _, _):
                self.stack.append(Known.UNFILLED)
            case (Known.DTYPE, "u1" | b"u1", *_):
                self.stack.append(Known.UINT8)
            case (Known.ENCODE, str() as text, "latin1"):
                # How Python 3 writes bytes in the protocols of Python 2.
                self.stack.append(text.encode("latin-1"))
            case (Known.FROMBUFFER, bytes() | bytearray() as raw, Known.UINT8, shape, "C" | "F" as order):
                self.stack.append(_array(raw, shape, order))
            case _:
                raise _Refused(f"REDUCE calls {function.name.lower()} otherwise than a pickled uint8 array does")

    def do_build(self, _: None) -> None:
        target, state = self.pop(2)
        match (target, state):
            case (Known.UINT8, tuple()):
                # The state of a dtype tells byte order and alignment; one byte has neither.
                self.stack.append(target)
            case (Known.UNFILLED, (_, shape, Known.UINT8, bool() | int() as fortran, bytes() as raw)):
                self.stack.append(_array(raw, shape, "F" if fortran else "C"))
            case _:
                raise _Refused("BUILD fills what is no uint8 array")


def _is_key(key: Any) -> bool:
    return isinstance(key, str | bytes) or (isinstance(key, int) and -MAX_KEY < key < MAX_KEY)


def _array(raw: bytes | bytearray, shape: Any, order: Any) -> np.ndarray:
    if not isinstance(shape, tuple) or not all(isinstance(n, int) and n >= 0 for n in shape):
        raise TypeError("an array's shape is no tuple of numbers")
    return np.frombuffer(raw, np.uint8).reshape(shape, order=order)
