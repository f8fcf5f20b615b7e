"""Nests of parameters and the flat vectors that the optimizers work on."""

import numpy as np


class Nest:
    """The form of `theta`: arrays and numbers in lists, tuples and dicts, nested in each other.

    theta: the nest to copy the form from. `dtype` is float32 where every leaf is float32 (or float16), float64
    otherwise; whole numbers count as float64. `size` is the number of parameters.
    Raises ValueError where a leaf is not real numbers, or where there is no parameter at all.
    """

    def __init__(self, theta, name="theta"):
        leaves: list[np.ndarray] = []
        self._form = self._read(theta, name, leaves)
        self.size = sum(leaf.size for leaf in leaves)
        if not self.size:
            raise ValueError(f"{name}={short(theta)} holds no parameter; accepted: at least one real number")
        kinds = {leaf.dtype.itemsize if leaf.dtype.kind == "f" else 8 for leaf in leaves if leaf.size}
        self.dtype = np.dtype("float32" if max(kinds) <= 4 else "float64")

    def _read(self, value, name, leaves):
        """The form of one value, its leaves appended to the list: (kind, what is inside)."""
        if isinstance(value, dict):
            return dict, {key: self._read(v, f"{name}[{key!r}]", leaves) for key, v in value.items()}
        if isinstance(value, list | tuple):
            return type(value), [self._read(v, f"{name}[{i}]", leaves) for i, v in enumerate(value)]
        leaf = real(value, name)
        leaves.append(leaf)
        return None, (leaf.shape, not isinstance(value, np.ndarray))

    def flatten(self, theta, name="theta", copy=True):
        """One vector (size,) of `dtype`; a view of the nest only with copy=False.

        Raises ValueError where the form is another one.
        """
        parts: list[np.ndarray] = []
        self._collect(self._form, theta, name, parts)
        if len(parts) == 1:
            return parts[0].ravel().astype(self.dtype, copy=copy)
        return np.concatenate([part.ravel() for part in parts]).astype(self.dtype, copy=False)

    def _collect(self, form, value, name, parts):
        kind, inside = form
        if kind is None:
            leaf = real(value, name)
            # A column for a vector would be right by luck only: shapes are compared as they are, but a number may
            # come as an array of one element.
            if leaf.shape != inside[0] and not (leaf.size == 1 and inside[0] in ((), (1,)) and leaf.ndim <= 1):
                raise ValueError(f"{name} has shape {leaf.shape}; accepted: {inside[0]}, as in theta")
            parts.append(leaf)
        elif kind is dict:
            if not isinstance(value, dict) or set(value) != set(inside):
                raise ValueError(f"{name}={short(value)} does not fit; accepted: a dict of {sorted(map(str, inside))}")
            for key, f in inside.items():
                self._collect(f, value[key], f"{name}[{key!r}]", parts)
        else:
            if not isinstance(value, list | tuple) or len(value) != len(inside):
                raise ValueError(f"{name}={short(value)} does not fit; accepted: {kind.__name__} of {len(inside)}")
            for i, f in enumerate(inside):
                self._collect(f, value[i], f"{name}[{i}]", parts)

    def unflatten(self, vector):
        """The nest that holds the vector's numbers; its arrays are views of the vector."""
        return self._build(self._form, vector, [0])

    def _build(self, form, vector, position):
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


def real(value, name):
    """The value as an array of real numbers. Raises ValueError for strings, complex numbers and whatever else."""
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.asarray(None)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name}={short(value)} is of type {kind_of(value, array)}; accepted: real numbers")
    return array


def kind_of(value, array):
    """What to call the type of a refused value."""
    return str(array.dtype) if isinstance(value, np.ndarray) or array.dtype.kind == "c" else type(value).__name__


def short(value, limit=60):
    """The value as it stands in a message."""
    text = " ".join(repr(value).split())
    return text if len(text) <= limit else text[: limit - 3] + "..."
