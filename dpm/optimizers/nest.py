"""Nested parameters, and the flat vectors that the optimizers work on."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Nest:
    """Structure of `theta`: arrays and numbers in lists, tuples and dicts, nested in each other.

    Attributes:
        size: number of parameters.
        dtype: float32 if every leaf is float32 (or float16), else float64; integers count as float64.

    Args:
        theta: the nest whose structure is taken.
        name: what error messages call it.

    Raises:
        ValueError: if a leaf does not hold real numbers, or if there is no parameter at all.

    Example:
        >>> nest = Nest({"W": np.ones((2, 2)), "b": 3.0})
        >>> nest.flatten({"W": np.zeros((2, 2)), "b": 1.0})
        array([0., 0., 0., 0., 1.])
    """

    def __init__(self, theta: Any, name: str = "theta") -> None:
        leaves: list[Array] = []
        self._form = self._read(theta, name, leaves)
        self.size = sum(leaf.size for leaf in leaves)
        if not self.size:
            raise ValueError(f"{name}: got {short_repr(theta)} without a parameter; expected at least one real number")
        sizes = {leaf.dtype.itemsize if leaf.dtype.kind == "f" else 8 for leaf in leaves if leaf.size}
        self.dtype = np.dtype("float32" if max(sizes) <= 4 else "float64")

    def _read(self, value: Any, name: str, leaves: list[Array]) -> tuple[Any, Any]:
        """Append the leaves of a value to the list and return its structure: (kind, contents)."""
        if isinstance(value, dict):
            return dict, {key: self._read(v, f"{name}[{key!r}]", leaves) for key, v in value.items()}
        if isinstance(value, list | tuple):
            return type(value), [self._read(v, f"{name}[{i}]", leaves) for i, v in enumerate(value)]
        leaf = real_array(value, name)
        leaves.append(leaf)
        return None, (leaf.shape, not isinstance(value, np.ndarray))

    def flatten(self, theta: Any, name: str = "theta", copy: bool = True) -> Array:
        """Return the numbers of a nest of this structure as one vector.

        Args:
            theta: the nest.
            name: what error messages call it.
            copy: with False the vector may be a view of the nest.

        Returns:
            Vector (size,) of `dtype`.

        Raises:
            ValueError: if the nest has another structure.
        """
        parts: list[Array] = []
        self._collect(self._form, theta, name, parts)
        if len(parts) == 1:
            return parts[0].ravel().astype(self.dtype, copy=copy)
        return np.concatenate([part.ravel() for part in parts]).astype(self.dtype, copy=False)

    def _collect(self, form: tuple[Any, Any], value: Any, name: str, parts: list[Array]) -> None:
        """Append the leaves of a value to the list; its structure must be `form`."""
        kind, inside = form
        if kind is None:
            leaf = real_array(value, name)
            # A column in place of a vector would fit by accident only: shapes must be equal, except that a number may
            # come as an array of one element.
            if leaf.shape != inside[0] and not (leaf.size == 1 and inside[0] in ((), (1,)) and leaf.ndim <= 1):
                raise ValueError(f"{name}: got shape {leaf.shape}; expected {inside[0]}, as in theta")
            parts.append(leaf)
        elif kind is dict:
            if not isinstance(value, dict) or set(value) != set(inside):
                expected = f"a dict with the keys {sorted(map(str, inside))}"
                raise ValueError(f"{name}: got {short_repr(value)}; expected {expected}")
            for key, f in inside.items():
                self._collect(f, value[key], f"{name}[{key!r}]", parts)
        else:
            if not isinstance(value, list | tuple) or len(value) != len(inside):
                raise ValueError(f"{name}: got {short_repr(value)}; expected a {kind.__name__} of length {len(inside)}")
            for i, f in enumerate(inside):
                self._collect(f, value[i], f"{name}[{i}]", parts)

    def unflatten(self, vector: Array) -> Any:
        """Return the nest with the numbers of a vector (size,); its arrays are views of the vector."""
        return self._build(self._form, vector, [0])

    def _build(self, form: tuple[Any, Any], vector: Array, position: list[int]) -> Any:
        """Return the nest of one structure from the vector's numbers at the position, which moves on."""
        kind, inside = form
        if kind is None:
            shape, scalar = inside
            begin = position[0]
            position[0] += int(np.prod(shape))
            return vector[begin] if scalar else vector[begin : position[0]].reshape(shape)
        if kind is dict:
            return {key: self._build(f, vector, position) for key, f in inside.items()}
        values = [self._build(f, vector, position) for f in inside]
        # A named tuple takes its fields one by one.
        return kind(*values) if hasattr(kind, "_fields") else kind(values)


def real_array(value: Any, name: str) -> Array:
    """Return the value as an array of real numbers.

    Args:
        value: anything.
        name: what the error message calls it.

    Raises:
        ValueError: for strings, complex numbers and everything else that is not real numbers.
    """
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.asarray(None)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name}: got {short_repr(value)} of type {_type_name(value, array)}; expected real numbers")
    return array


def _type_name(value: Any, array: Array) -> str:
    """Return the type of a rejected value as a message names it."""
    return str(array.dtype) if isinstance(value, np.ndarray) or array.dtype.kind == "c" else type(value).__name__


def short_repr(value: Any, limit: int = 60) -> str:
    """Return the value's repr on one line of at most `limit` characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= limit else text[: limit - 3] + "..."
