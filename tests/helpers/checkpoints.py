"""A checkpoint for tests, and helpers to compare and change it."""

import numpy as np

from dpm.runs import checkpoint

META = {"config": {"flags": {"lr": 1e-3, "text": "µ \n"}, "rows": [1, 2.5, None, True]}, "model": {}, "state": {}}


def arrays(seed=0):
    """Return arrays of several types and shapes, with non-finite and subnormal numbers."""
    rng = np.random.default_rng(seed)
    return {
        "/optimizer/mean_square": rng.random(50).astype(np.float32),
        "/optimizer/skipped_steps": np.array(3),
        "/parameters/diffusionmodel/MLP dense lower/linear_0.W": rng.standard_normal((3, 4)).astype(np.float32),
        "/parameters/diffusionmodel/MLP dense lower/linear_0.b": np.array([np.nan, np.inf, -0.0, 5e-324]),
        "/parameters/diffusionmodel/empty": np.empty((0, 2)),
    }


def equal(loaded, meta, expected):
    """Return True if meta and arrays agree bit for bit, in type and in order."""
    if loaded[0] != meta or list(loaded[1]) != list(expected):
        return False
    pairs = [(loaded[1][name], np.asarray(expected[name])) for name in expected]
    return all((a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes()) for a, b in pairs)


def unseal(path):
    """Remove the checksum of the whole file, so that the other checks are tested."""
    with open(path, "r+b") as stream:
        stream.write(bytes(checkpoint.USER_BLOCK))
