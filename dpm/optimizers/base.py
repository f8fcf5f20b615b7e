"""What all optimizers of a sum of functions share: the function, its checks, the loop."""

import json
import logging

import numpy as np

from dpm.optimizers.nest import Nest, real, short

log = logging.getLogger(__name__)


class SumOfFunctions:
    """F(theta) = sum over i of f_i(theta), as the user's f_df gives it: one f_i and its gradient a call.

    f_df(theta, reference, *args) returns (f_i, gradient): a number, and a nest of theta's form.
    references: one object for each f_i, handed through (a minibatch, an index). The optimizers see vectors only.
    """

    def __init__(self, f_df, theta, references, args=()):
        if not callable(f_df):
            raise ValueError(f"f_df={short(f_df)} is not callable; accepted: f_df(theta, reference, *args)")
        try:
            self.references = list(references)
        except TypeError:
            self.references = []
        if not self.references:
            raise ValueError(
                f"subfunction_references={short(references)} holds nothing; accepted: a list of at least one reference"
            )
        self.f_df, self.args = f_df, tuple(args)
        self.nest = Nest(theta)
        self.start = self.nest.flatten(theta)
        if not np.isfinite(self.start).all():
            raise ValueError(f"theta={short(theta)} is not finite; accepted: finite real numbers")
        self.evaluations = 0

    def __len__(self):
        return len(self.references)

    def __call__(self, vector, index):
        """(f_i, gradient) at the vector: a float, and a vector of theta's float type; either may be not finite.

        The vector is handed to f_df as it is: the caller gives one that nobody needs afterwards. The gradient may be
        f_df's own array: good until the next call, and not to be changed.
        Raises ValueError where f_df returns anything else than a real number and a gradient of theta's form.
        """
        self.evaluations += 1
        result = self.f_df(self.nest.unflatten(vector), self.references[index], *self.args)
        if not isinstance(result, tuple | list) or len(result) != 2:
            raise ValueError(f"f_df returned {short(result)}; accepted: (f, gradient)")
        value = real(result[0], "f of f_df")
        if value.size != 1:
            raise ValueError(f"f of f_df has shape {value.shape}; accepted: one number")
        return float(value.reshape(())), self.nest.flatten(result[1], "gradient of f_df", copy=False)

    def whole(self, vector):
        """(F, gradient of F) at the vector: every f_i once."""
        value, gradient = 0.0, np.zeros(self.nest.size, self.nest.dtype)
        for i in range(len(self)):
            f, g = self(vector.copy(), i)
            value, gradient = value + f, gradient + g
        return value, gradient


def finite(value, gradient):
    """Whether the value, and the gradient's square, are finite numbers."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(value + gradient @ gradient))


class Optimizer:
    """The face that SFO, LBFGS and Stochastic share.

    f_df, theta, subfunction_references, args: see SumOfFunctions; theta is copied, never changed.
    rng: numpy Generator, the only source of chance; None makes one of its own. Nothing global is drawn from.
    display: 0 logs only what went wrong; 1 one line a pass.
    Raises ValueError where an argument is not usable; the message names it, its value and what is accepted.
    """

    def __init__(self, f_df, theta, subfunction_references, args=(), rng=None, display=0):
        self.sum = SumOfFunctions(f_df, theta, subfunction_references, args)
        if rng is not None and not isinstance(rng, np.random.Generator):
            raise ValueError(f"rng={short(rng)} is not accepted; accepted: a numpy.random.Generator, or None")
        self.rng = np.random.default_rng() if rng is None else rng
        self.display = display

    @property
    def theta(self):
        """The parameters reached, in the form they came in; arrays of their own."""
        return self.sum.nest.unflatten(self.vector().copy())

    def vector(self):
        """The parameters reached, flat."""
        raise NotImplementedError

    def step(self):
        """Evaluate one subfunction and move."""
        raise NotImplementedError

    def optimize(self, num_passes=None, num_steps=None):
        """Go on for so many passes (N subfunctions each), or steps (one subfunction each); 10 passes by default.

        Returns theta as `theta` does. Raises ValueError for numbers below 1, or both given.
        """
        for _ in range(self.steps_of(num_passes, num_steps)):
            self.step()
            if self.display and self.sum.evaluations % len(self.sum) == 0:
                log.info("%s", self.report())
        return self.theta

    def report(self):
        """One line for the log."""
        return f"{type(self).__name__}: pass {self.sum.evaluations / len(self.sum):.2f}"

    def steps_of(self, num_passes, num_steps):
        """How many evaluations are asked for."""
        if num_passes is not None and num_steps is not None:
            raise ValueError(f"num_passes={num_passes} and num_steps={num_steps} together; accepted: one of them")
        if num_steps is not None:
            return positive("num_steps", num_steps, whole=True)
        passes = positive("num_passes", 10 if num_passes is None else num_passes)
        return int(np.ceil(passes * len(self.sum)))

    def check_grad(self, small_diff=None):
        """Compare the gradients of f_df with central differences, at the parameters reached.

        small_diff: the difference; by default the cube root of the float type's precision times max(1, |theta_k|).
        Returns an array (N, size) of (gradient - difference) / max(largest |gradient| of the subfunction, 1).
        The cost is 2 size evaluations for each subfunction, which do not count as steps.
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

    def state(self):
        """All that is needed to go on bit-exactly: a nest of dicts and arrays, copies."""
        raise NotImplementedError

    def load_state(self, state):
        """Go on from `state`; nothing is set before everything has been checked. Raises ValueError if it misfits."""
        raise NotImplementedError


def positive(name, value, whole=False, least=None):
    """The number given, where it is above 0 (or at least `least`), else ValueError."""
    kinds = (int, np.integer) if whole else (int, float, np.integer, np.floating)
    good = isinstance(value, kinds) and not isinstance(value, bool) and np.isfinite(value)
    if not good or (value <= 0 if least is None else value < least):
        accepted = "above 0" if least is None else f"of at least {least}"
        raise ValueError(f"{name}={short(value)} is not accepted; accepted: a {'whole ' * whole}number {accepted}")
    return value


def rng_to_array(rng):
    """The generator's state as bytes, so that it can lie beside the other arrays."""
    text = json.dumps(rng.bit_generator.state, default=lambda a: a.tolist())
    return np.frombuffer(text.encode(), np.uint8).copy()


def rng_from_array(array, rng):
    """The state kept by rng_to_array, fit for rng. Raises ValueError where it is of another kind."""
    try:
        state = json.loads(np.asarray(array, np.uint8).tobytes().decode())
        name = state["bit_generator"]
    except (ValueError, KeyError, TypeError):
        name = None
    expected = rng.bit_generator.state["bit_generator"]
    if name != expected:
        raise ValueError(f"state['rng'] is of {name}; accepted: the state of a {expected}")
    return state


def check_state(state, expected):
    """ValueError unless the state has the names of `expected`, and arrays of its shapes (None: any) and kinds."""
    if not isinstance(state, dict) or set(state) != set(expected):
        raise ValueError(f"state={short(state)} does not fit; accepted: a dict of {sorted(expected)}")
    for name, (shape, kind) in expected.items():
        array = np.asarray(state[name])
        if (shape is not None and array.shape != shape) or array.dtype.kind not in kind:
            accepted = f"{'any shape' if shape is None else shape}, kind {kind!r}"
            raise ValueError(f"state[{name!r}] has shape {array.shape}, type {array.dtype}; accepted: {accepted}")
