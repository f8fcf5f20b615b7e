"""Base of the optimizers of a sum of functions: the sum, the checks of arguments and states, and the loop."""

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from dpm.optimizers.nest import Nest, real_array, short_repr

log = logging.getLogger(__name__)

Array = npt.NDArray[Any]
Number = TypeVar("Number", int, float)


class SumOfFunctions:
    """Sum F(theta) = f_1(theta) + ... + f_N(theta), evaluated one f_i and its gradient at a time.

    The optimizers see flat vectors only.

    Attributes:
        nest: structure of theta.
        start: theta as a vector (size,).
        evaluations: number of f_i evaluated so far.

    Args:
        f_df: function f_df(theta, reference, *args) that returns (f_i, gradient): a number, and a nest of theta's
            structure.
        theta: start, an array or number or a nest of them (:class:`dpm.optimizers.nest.Nest`).
        references: one object per f_i, passed to f_df: a minibatch, an index.
        args: further arguments of f_df.
        f_dfs: function f_dfs(theta, references, *args) that yields what f_df returns for each reference, and may
            compute them at the same time; None calls f_df for one after the other.

    Raises:
        ValueError: if an argument is not usable.
    """

    def __init__(
        self,
        f_df: Callable[..., tuple[Any, Any]],
        theta: Any,
        references: Iterable[Any],
        args: Iterable[Any] = (),
        f_dfs: Callable[..., Iterable[tuple[Any, Any]]] | None = None,
    ) -> None:
        if not callable(f_df):
            raise ValueError(f"f_df: got {short_repr(f_df)}; expected a function f_df(theta, reference, *args)")
        try:
            self.references = list(references)
        except TypeError:
            self.references = []
        if not self.references:
            raise ValueError(
                f"subfunction_references: got {short_repr(references)}; expected a list of at least one reference"
            )
        self.f_df, self.f_dfs, self.args = f_df, f_dfs, tuple(args)
        self.nest = Nest(theta)
        self.start = self.nest.flatten(theta)
        if not np.isfinite(self.start).all():
            raise ValueError(f"theta: got {short_repr(theta)}, which is not finite; expected finite real numbers")
        self.evaluations = 0

    def __len__(self) -> int:
        return len(self.references)

    def __call__(self, vector: Array, index: int) -> tuple[float, Array]:
        """Evaluate one subfunction.

        Args:
            vector: theta (size,). f_df gets this array and may change it: pass one that is not needed afterwards.
            index: i of f_i, from 0.

        Returns:
            (f_i, gradient): a float, and a vector (size,) of theta's float type; neither need be finite. The gradient
            may be an array of f_df: it is valid until the next call and must not be changed.

        Raises:
            ValueError: if f_df returns anything but a real number and a gradient of theta's structure.
        """
        return self._check(self.f_df(self.nest.unflatten(vector), self.references[index], *self.args))

    def _check(self, result: Any) -> tuple[float, Array]:
        """Count an evaluation, and return (f_i, gradient) from what f_df returned."""
        self.evaluations += 1
        if not isinstance(result, tuple | list) or len(result) != 2:
            raise ValueError(f"f_df: got {short_repr(result)} from it; expected (f, gradient)")
        value = real_array(result[0], "f of f_df")
        if value.size != 1:
            raise ValueError(f"f of f_df: got shape {value.shape}; expected one number")
        return float(value.reshape(())), self.nest.flatten(result[1], "gradient of f_df", copy=False)

    def evaluate(self, vector: Array, indices: Iterable[int]) -> Iterator[tuple[float, Array]]:
        """Evaluate several subfunctions at the same theta, at the same time if there is an f_dfs.

        Args:
            vector: theta (size,), which stays as it is.
            indices: i of each f_i.

        Yields:
            (f_i, gradient) of each index, as of a call.
        """
        if self.f_dfs is None:
            for i in indices:
                yield self(vector.copy(), i)
        else:
            references = [self.references[i] for i in indices]
            yield from map(self._check, self.f_dfs(self.nest.unflatten(vector.copy()), references, *self.args))

    def evaluate_all(self, vector: Array) -> tuple[float, Array]:
        """Return F and its gradient (size,) at a vector (size,), from one evaluation of every f_i."""
        value, gradient = 0.0, np.zeros(self.nest.size, self.nest.dtype)
        for f, g in self.evaluate(vector, range(len(self))):
            value, gradient = value + f, gradient + g
        return value, gradient


def is_finite(value: float, gradient: Array) -> bool:
    """Return True if the value and the square of the gradient are finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(value + gradient @ gradient))


class Optimizer:
    """Interface of SFO, LBFGS and Stochastic.

    Args:
        f_df: see :class:`SumOfFunctions`.
        theta: start, as there; it is copied and never changed.
        subfunction_references: references, as there.
        args: as there.
        rng: the only source of randomness; None makes a new one. No global generator is used.
        display: 0 logs only failures; 1 logs one line per pass.
        f_dfs: as there.

    Raises:
        ValueError: if an argument is not usable.
    """

    def __init__(
        self,
        f_df: Callable[..., tuple[Any, Any]],
        theta: Any,
        subfunction_references: Iterable[Any],
        args: Iterable[Any] = (),
        rng: np.random.Generator | None = None,
        display: int = 0,
        f_dfs: Callable[..., Iterable[tuple[Any, Any]]] | None = None,
    ) -> None:
        self.sum = SumOfFunctions(f_df, theta, subfunction_references, args, f_dfs)
        if rng is not None and not isinstance(rng, np.random.Generator):
            raise ValueError(f"rng: got {short_repr(rng)}; expected a numpy.random.Generator or None")
        self.rng = np.random.default_rng() if rng is None else rng
        self.display = display

    @property
    def theta(self) -> Any:
        """Return the current parameters as new arrays in the structure of the start."""
        return self.sum.nest.unflatten(self.vector().copy())

    def vector(self) -> Array:
        """Return the current parameters as a vector (size,)."""
        raise NotImplementedError

    def step(self) -> None:
        """Evaluate one subfunction or more, and move."""
        raise NotImplementedError

    def optimize(self, num_passes: float | None = None, num_steps: int | None = None) -> Any:
        """Run for a number of passes or of evaluations, by default 10 passes.

        Args:
            num_passes: number of passes, N evaluations of a subfunction each.
            num_steps: number of evaluations.

        Returns:
            The parameters, as :attr:`theta`.

        Raises:
            ValueError: if both are given, or if one is not a number above 0.
        """
        last = self.sum.evaluations + self._count_steps(num_passes, num_steps)
        while self.sum.evaluations < last:
            passes = self.sum.evaluations // len(self.sum)
            self.step()
            if self.display and self.sum.evaluations // len(self.sum) > passes:
                log.info("%s", self.report())
        return self.theta

    def report(self) -> str:
        """Return one line for the log."""
        return f"{type(self).__name__}: pass {self.sum.evaluations / len(self.sum):.2f}"

    def _count_steps(self, num_passes: float | None, num_steps: int | None) -> int:
        """Return the number of evaluations that the arguments of optimize ask for."""
        if num_passes is not None and num_steps is not None:
            raise ValueError(f"num_passes: got {num_passes} together with num_steps={num_steps}; expected one of them")
        if num_steps is not None:
            return check_positive("num_steps", num_steps, whole=True)
        passes = check_positive("num_passes", 10 if num_passes is None else num_passes)
        return int(np.ceil(passes * len(self.sum)))

    def check_grad(self, small_diff: npt.ArrayLike | None = None) -> npt.NDArray[np.float64]:
        """Compare the gradients of f_df with central differences at the current parameters.

        This takes 2 size evaluations per subfunction, which do not count as steps.

        Args:
            small_diff: the difference, a number or (size,); by default the cube root of the float type's precision
                times max(1, abs(theta_k)).

        Returns:
            (gradient - difference) / max(largest absolute element of the subfunction's gradient, 1), shape (N, size).
        """
        counted, at = self.sum.evaluations, self.vector()
        h = np.cbrt(np.finfo(at.dtype).eps) * np.maximum(1, abs(at)) if small_diff is None else small_diff
        h = np.broadcast_to(np.asarray(h, at.dtype), at.shape)
        errors = np.empty((len(self.sum), at.size))
        for i in range(len(self.sum)):
            gradient = self.sum(at.copy(), i)[1]
            for k in range(at.size):
                above, below = at.copy(), at.copy()
                above[k] += h[k]
                below[k] -= h[k]
                difference = (self.sum(above.copy(), i)[0] - self.sum(below.copy(), i)[0]) / float(above[k] - below[k])
                errors[i, k] = gradient[k] - difference
            errors[i] /= max(float(abs(gradient).max()), 1.0)
        self.sum.evaluations = counted
        return errors

    def state(self) -> dict[str, Array]:
        """Return copies of all arrays that are needed to continue bit-exactly."""
        raise NotImplementedError

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Continue bit-exactly from a state of the same optimizer with the same arguments.

        Args:
            state: as :meth:`state` returned it.

        Raises:
            ValueError: if the state does not fit; then nothing has been changed.
        """
        raise NotImplementedError


def check_positive(name: str, value: Number, whole: bool = False, least: float | None = None) -> Number:
    """Return a number that is above 0 or at least `least`.

    Args:
        name: what the error message calls it.
        value: the number.
        whole: require an integer.
        least: smallest value that is accepted, in place of any above 0.

    Raises:
        ValueError: for anything else.
    """
    kinds = (int, np.integer) if whole else (int, float, np.integer, np.floating)
    good = isinstance(value, kinds) and not isinstance(value, bool) and np.isfinite(value)
    if not good or (value <= 0 if least is None else value < least):
        bound = "above 0" if least is None else f"of at least {least}"
        raise ValueError(f"{name}: got {short_repr(value)}; expected a {'whole ' * whole}number {bound}")
    return value


def rng_to_array(rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Return the generator's state as bytes, so that a checkpoint stores it as an array like the rest."""
    text = json.dumps(rng.bit_generator.state, default=lambda a: a.tolist())
    return np.frombuffer(text.encode(), np.uint8).copy()


def rng_from_array(array: npt.ArrayLike, rng: np.random.Generator) -> dict[str, Any]:
    """Return the state that :func:`rng_to_array` stored.

    Args:
        array: as :func:`rng_to_array` returned it.
        rng: generator that the state is for.

    Returns:
        A state for ``rng.bit_generator.state``.

    Raises:
        ValueError: if the state is that of another kind of generator.
    """
    try:
        state = json.loads(np.asarray(array, np.uint8).tobytes().decode())
        name = state["bit_generator"]
    except (ValueError, KeyError, TypeError):
        name = None
    expected = rng.bit_generator.state["bit_generator"]
    if name != expected:
        raise ValueError(f"state['rng']: got the state of a {name}; expected that of a {expected}")
    return state


def check_state(state: Any, expected: Mapping[str, tuple[tuple[int, ...] | None, str]]) -> None:
    """Raise an error unless a state has the expected arrays.

    Args:
        state: the state to check.
        expected: dict of name to (shape, or None for any shape; accepted kinds of ``numpy.dtype.kind``).

    Raises:
        ValueError: if the state is not a dict of these names, or if an array has another shape or kind.
    """
    if not isinstance(state, dict) or set(state) != set(expected):
        raise ValueError(f"state: got {short_repr(state)}; expected a dict with the keys {sorted(expected)}")
    for name, (shape, kind) in expected.items():
        array = np.asarray(state[name])
        if (shape is not None and array.shape != shape) or array.dtype.kind not in kind:
            wanted = f"{'any shape' if shape is None else f'shape {shape}'}, kind {kind!r}"
            raise ValueError(f"state[{name!r}]: got shape {array.shape}, type {array.dtype}; expected {wanted}")
