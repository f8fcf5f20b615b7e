"""Optimizer steps as update expressions of a graph, for ``pytensor.function(..., updates=...)``.

The arithmetic is that of :class:`dpm.optimizers.RMSProp` and :class:`dpm.optimizers.Adam`, which work on one flat numpy
vector. Here the parameters and the optimizer's state are shared variables, and one call of the compiled function
makes one step.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor import shared
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Variable
from pytensor.tensor.variable import TensorVariable

Parameters = Sequence[SharedVariable] | Mapping[str, SharedVariable]
Updates = dict[SharedVariable, TensorVariable]


def sgd(
    parameters: Parameters,
    gradients: Sequence[TensorVariable],
    learning_rate: Any,
    skipped: SharedVariable | None = None,
) -> Updates:
    """Return the updates of plain gradient descent: theta <- theta - learning_rate g.

    A step in which any gradient holds a NaN or an infinity leaves all parameters as they are.

    Args:
        parameters: shared variables of float type, as a list or as a dict {path: shared variable}.
        gradients: symbolic gradients, one per parameter, in the same order.
        learning_rate: a number or a symbolic scalar.
        skipped: shared scalar that counts such steps, or None.

    Returns:
        Dict {parameter: new expression}, each of its parameter's float type, and `skipped` if given.

    Raises:
        ValueError: if a parameter is not a shared variable of float type, if the gradients do not match the parameters,
            or if the learning rate is not a scalar.

    Example:
        >>> import numpy as np, pytensor
        >>> theta = pytensor.shared(np.array([1.0, -2.0]), name="theta")
        >>> cost = (theta**2).sum()
        >>> step = pytensor.function([], cost, updates=sgd([theta], pytensor.grad(cost, [theta]), 0.25))
        >>> float(step())
        5.0
        >>> theta.get_value()
        array([ 0.5, -1. ])
    """
    thetas, gradients = _check_pairs(parameters, gradients)
    changes = {
        theta: theta - g * _scalar(learning_rate, theta.type.dtype) for theta, g in zip(thetas, gradients, strict=True)
    }
    return _skip_unless_finite(gradients, changes, skipped)


def rmsprop(
    parameters: Parameters,
    gradients: Sequence[TensorVariable],
    learning_rate: Any,
    decay: float = 0.9,
    max_scaling: float = 1e10,
    skipped: SharedVariable | None = None,
    blocks: Sequence[slice] | None = None,
) -> Updates:
    """Return the updates of RMSProp (Tieleman and Hinton 2012), with the released defaults.

        m <- decay m + (1 - decay) g^2        from m = 0, without bias correction
        theta <- theta - learning_rate g / max(sqrt(m), 1 / max_scaling)

    A step in which any new m is not finite leaves all parameters and all m as they are. That is the rule of
    :class:`dpm.optimizers.RMSProp` without ``blocks``: a NaN, an infinity, or a square that overflows skips the step.

    Args:
        parameters: shared variables of float type, as a list or as a dict {path: shared variable}.
        gradients: symbolic gradients, one per parameter, in the same order.
        learning_rate: a number or a symbolic scalar.
        decay: weight of the previous m.
        max_scaling: largest factor by which a gradient is scaled up.
        skipped: shared scalar that counts such steps, or None.
        blocks: the released rule instead, for a single flat parameter: one slice of it per parameter of the model. A
            gradient that is not finite counts as 0 in its block, and the step is counted, not skipped.

    Returns:
        Dict {shared variable: new expression}: the parameters, and one m per parameter, named
        ``"<parameter>.mean_square"``. Each expression has its variable's float type. And `skipped` if given.

    Raises:
        ValueError: as :func:`sgd`.
    """
    thetas, gradients = _check_pairs(parameters, gradients)
    finite = pt.constant(True)
    if blocks is not None:
        (gradient,) = gradients
        gradients, finite = _remove_not_finite(gradient, blocks)
    steps, mean_squares = {}, {}
    for theta, g in zip(thetas, gradients, strict=True):
        dtype = theta.type.dtype
        m = _zeros_like(theta, "mean_square")
        new_m = pt.sqr(g) * _scalar(1 - decay, dtype) + m * _scalar(decay, dtype)
        rms = pt.sqrt(new_m)
        steps[theta] = theta - g * _scalar(learning_rate, dtype) / pt.maximum(rms, _scalar(1 / max_scaling, dtype))
        mean_squares[m] = new_m
    if blocks is not None:
        return steps | mean_squares | _count_skipped(skipped, finite)
    return _skip_unless_finite(mean_squares.values(), steps | mean_squares, skipped)


def adam(
    parameters: Parameters,
    gradients: Sequence[TensorVariable],
    learning_rate: Any,
    b1: float = 0.9,
    b2: float = 0.999,
    epsilon: float = 1e-8,
    skipped: SharedVariable | None = None,
    clip_norm: float = 0.0,
) -> Updates:
    """Return the updates of Adam (Kingma and Ba 2015, algorithm 1).

        m <- b1 m + (1 - b1) g,  v <- b2 v + (1 - b2) g^2
        theta <- theta - learning_rate (m / (1 - b1^k)) / (sqrt(v / (1 - b2^k)) + epsilon)      at step k = 1, 2, ...

    A step in which any gradient or its square is not finite leaves all parameters, moments and k as they are, and
    `clip_norm` limits the norm of all gradients together, as in :class:`dpm.optimizers.Adam`.

    Args:
        parameters: shared variables of float type, as a list or as a dict {path: shared variable}.
        gradients: symbolic gradients, one per parameter, in the same order.
        learning_rate: a number or a symbolic scalar.
        b1: weight of the previous m.
        b2: weight of the previous v.
        epsilon: smallest denominator.
        skipped: shared scalar that counts such steps, or None.
        clip_norm: largest norm, next to the root mean square of the norms so far; 0 for no clipping.

    Returns:
        Dict {shared variable: new expression}: the parameters, m and v of each, named ``"<parameter>.mean"`` and
        ``"<parameter>.mean_square"``, and the scalar k, named ``"step"``. Each expression has its variable's type. And
        `skipped` if given.

    Raises:
        ValueError: as :func:`sgd`.
    """
    thetas, gradients = _check_pairs(parameters, gradients)
    # A float, since JAX without 64 bits has no int64. float32 counts to 2^24, long after both corrections are 1.
    k = shared(np.zeros((), np.result_type(*(theta.type.dtype for theta in thetas))), name="step", shape=())
    new_k = k + _scalar(1, k.type.dtype)
    moments = [(_zeros_like(theta, "mean"), _zeros_like(theta, "mean_square")) for theta in thetas]
    checked = [pt.sqr(g) for g in gradients]
    if clip_norm:
        limit = pt.sqr(_scalar(clip_norm, k.type.dtype)) / _bias_correction(b2, k, k.type.dtype)
        squared_norm = sum(pt.sum(square) for square in checked)
        gradients = _clip(gradients, squared_norm, limit * sum(pt.sum(v) for _, v in moments))
        checked = [squared_norm]  # finite only if every square is
    changes: Updates = {k: new_k}
    for theta, g, (m, v) in zip(thetas, gradients, moments, strict=True):
        dtype = theta.type.dtype
        new_m = m * _scalar(b1, dtype) + g * _scalar(1 - b1, dtype)
        new_v = v * _scalar(b2, dtype) + pt.sqr(g) * _scalar(1 - b2, dtype)
        rate = _scalar(learning_rate, dtype) / _bias_correction(b1, new_k, dtype)
        rms = pt.sqrt(new_v / _bias_correction(b2, new_k, dtype))
        changes |= {theta: theta - rate * new_m / (rms + _scalar(epsilon, dtype)), m: new_m, v: new_v}
    return _skip_unless_finite(checked, changes, skipped)


def _clip(
    gradients: Sequence[TensorVariable], squared_norm: TensorVariable, limit: TensorVariable
) -> list[TensorVariable]:
    """Return gradients whose squared norm is at most a limit, if that is above 0."""
    # Before the first step the limit is 0 / 0, and nothing is clipped.
    clips = pt.and_(pt.gt(limit, 0), pt.gt(squared_norm, limit))
    factor = pt.sqrt(pt.switch(clips, limit / squared_norm, 1.0))
    return [g * pt.cast(factor, g.type.dtype) for g in gradients]


def _check_pairs(
    parameters: Parameters, gradients: Sequence[TensorVariable]
) -> tuple[list[SharedVariable], list[TensorVariable]]:
    """Return parameters and gradients as lists; each gradient has the float type of its parameter."""
    thetas = list(parameters.values() if isinstance(parameters, Mapping) else parameters)
    if not thetas:
        raise ValueError("parameters: got none; expected at least one shared variable")
    if len(gradients) != len(thetas):
        raise ValueError(f"gradients: got {len(gradients)} for {len(thetas)} parameters; expected one per parameter")
    cast = []
    for theta, gradient in zip(thetas, gradients, strict=True):
        if not isinstance(theta, SharedVariable) or not theta.type.dtype.startswith("float"):
            kind = getattr(theta, "type", type(theta).__name__)
            raise ValueError(f"parameters: got {theta} of type {kind}; expected a shared variable of float type")
        g = pt.as_tensor_variable(gradient)
        if g.type.ndim != theta.type.ndim:
            accepted = f"{theta.type.ndim}, as its parameter {theta}"
            raise ValueError(f"gradients: got a gradient of {g.type.ndim} dimensions; expected {accepted}")
        cast.append(pt.cast(g, theta.type.dtype))
    return thetas, cast


def _scalar(value: Any, dtype: str) -> TensorVariable:
    """Return a number or symbolic scalar in the float type, so that float64 does not widen a float32 graph."""
    # A number goes by numpy: PyTensor would round it to floatX first, whatever the parameters' type.
    variable = value if isinstance(value, Variable) else pt.constant(np.asarray(value, dtype))
    if variable.type.ndim:
        raise ValueError(f"learning_rate: got {variable.type.ndim} dimensions; expected a number or a symbolic scalar")
    return pt.cast(variable, dtype)


def _zeros_like(theta: SharedVariable, name: str) -> SharedVariable:
    """Return a state variable of the parameter's type and shape, 0 at the start."""
    zeros = np.zeros(theta.get_value(borrow=True).shape, theta.type.dtype)
    return shared(zeros, name=f"{theta.name or 'parameter'}.{name}", shape=theta.type.shape)


def _bias_correction(b: float, k: TensorVariable, dtype: str) -> TensorVariable:
    """Return 1 - b^k as -expm1(k log b), which keeps the digits that float32 would lose in the difference."""
    with np.errstate(divide="ignore"):  # b = 0: log b = -inf gives 1
        return -pt.expm1(pt.cast(k, dtype) * _scalar(np.log(b), dtype))


def _remove_not_finite(gradient: TensorVariable, blocks: Sequence[slice]) -> tuple[list[TensorVariable], Any]:
    """Return the flat gradient with 0 in place of each block that is not finite, and whether all blocks are finite."""
    parts = [gradient[block] for block in blocks]
    finite = [pt.isfinite(part).all() for part in parts]
    kept = [pt.switch(good, part, pt.zeros_like(part)) for good, part in zip(finite, parts, strict=True)]
    return [pt.concatenate(kept)], reduce(pt.and_, finite)


def _count_skipped(skipped: SharedVariable | None, finite: TensorVariable) -> Updates:
    """Return the update of a counter of steps that are not finite, if there is one."""
    return {} if skipped is None else {skipped: skipped + pt.cast(pt.invert(finite), skipped.type.dtype)}


def _skip_unless_finite(
    values: Iterable[TensorVariable], changes: Mapping[SharedVariable, TensorVariable], skipped: SharedVariable | None
) -> Updates:
    """Return the changes as updates that leave every variable as it is if any of the values is not finite."""
    finite = reduce(pt.and_, [pt.isfinite(value).all() for value in values])
    kept = {variable: pt.switch(finite, new, variable) for variable, new in changes.items()}
    return kept | _count_skipped(skipped, finite)
