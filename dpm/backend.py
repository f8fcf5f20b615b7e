"""Which engine compiles a graph, and in which float type: the only file that knows the modes of PyTensor.

One graph serves three engines: JAX (preferred, an extra), Numba (always there) and C (a cross-check that needs
g++). Building and compiling happen inside `with engine:`, which sets the float type of the constants.
"""

import importlib.util
import logging
import os
import sys
import warnings
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytensor
from pytensor import config

from dpm.errors import InputError
from dpm.flags import DTYPES, ENGINES

PIXELS_A_TURN = 32 * 28 * 28
MODES = {"jax": "JAX", "numba": "NUMBA", "c": "CVM"}


class Engine:
    """An engine and a float type.

    name: one of ENGINES; "auto" takes JAX where it is installed and Numba otherwise.
    dtype: "float32" or "float64".
    Raises InputError for an unknown name or type, and for an engine that this machine lacks or that has no folder to
    compile in.
    """

    def __init__(self, name="auto", dtype="float32"):
        if name not in ENGINES:
            raise InputError(f"--backend: {name!r} is not an engine; accepted: {', '.join(ENGINES)}")
        if dtype not in DTYPES:
            raise InputError(f"--dtype: {dtype!r} is not a float type; accepted: {', '.join(DTYPES)}")
        has_jax = importlib.util.find_spec("jax") is not None
        if name == "auto":
            name = "jax" if has_jax else "numba"
        if name == "jax" and not has_jax:
            raise InputError("--backend: 'jax' is not installed; pip install '.[jax]', or take --backend numba")
        if name == "c" and not config.cxx:
            raise InputError("--backend: 'c' needs the compiler g++ and none was found; take --backend numba or jax")
        self.name = name
        self.dtype = dtype
        self._stack = ExitStack()
        if name == "jax":
            _prepare_jax()
            return
        try:
            config.compiledir  # noqa: B018  made when first asked for
        except (OSError, ValueError):
            raise InputError(
                f"--backend: {name!r} keeps what it compiled in {config.base_compiledir}, which cannot be written; set "
                "HOME to a folder that can, or PYTENSOR_FLAGS=base_compiledir=FOLDER"
            ) from None
        if name == "numba":
            import dpm.conv_numba  # noqa: F401  registers the convolution

    def __enter__(self):
        self._stack = ExitStack()
        self._stack.enter_context(config.change_flags(floatX=self.dtype))
        return self

    def __exit__(self, *exception):
        self._stack.close()

    @property
    def pixels_a_turn(self):
        """How many pixels of a minibatch to compute at once: on a CPU few, so that its cache holds what the layers
        pass on (docs/results); on an accelerator all."""
        if self.name == "jax":
            import jax

            if jax.default_backend() != "cpu":
                return sys.maxsize
        return PIXELS_A_TURN

    def asarray(self, value):
        """value as a numpy array of the engine's float type."""
        return np.asarray(value, dtype=self.dtype)

    def function(self, inputs, outputs, givens=None):
        """Compile outputs as a function of inputs; the results are numpy arrays.

        givens: pairs (variable, its replacement in the graph).
        """
        with config.change_flags(floatX=self.dtype), self._guard():
            compiled = pytensor.function(
                inputs, outputs, givens=givens, mode=MODES[self.name], on_unused_input="ignore"
            )

        def call(*arguments):
            with self._guard():
                values = compiled(*arguments)
            if isinstance(values, list):
                return [np.asarray(value) for value in values]
            return np.asarray(values)

        return call

    @contextmanager
    def _guard(self):
        """Around each call into an engine (JAX traces and compiles at the first call)."""
        with warnings.catch_warnings(), ExitStack() as stack:
            # What PyTensor and JAX say of their own insides is nothing that a user could act on.
            warnings.simplefilter("ignore")
            if self.name == "jax":
                import jax

                # A global switch: held only around our calls, both float types fit in one process.
                stack.enter_context(jax.enable_x64(self.dtype == "float64"))
                # A GPU would round what it multiplies to 10 bits (TF32), with gradients up to half of their size off.
                stack.enter_context(jax.default_matmul_precision("float32"))
            yield

    def __repr__(self):
        return f"{self.name} ({self.dtype}, PyTensor {pytensor.__version__})"


def _prepare_jax():
    logging.getLogger("jax._src.xla_bridge").setLevel(logging.ERROR)
    import jax

    import dpm.conv_jax  # noqa: F401  registers the convolution

    if not jax.config.values["jax_compilation_cache_dir"]:
        # What XLA compiled is found again by the next run; where the folder cannot be written, JAX goes on without.
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(cache / "dpm" / "jax"))
