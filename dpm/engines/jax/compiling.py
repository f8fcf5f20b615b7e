"""JAX backend: PyTensor's mode for JAX, XLA's compile options, and graphs written as StableHLO.

Names of PyTensor and JAX that are not part of a documented interface are used here and in convolution.py only.
"""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from importlib.metadata import version
from typing import Any

import jax
import numpy as np
from jax import export
from pytensor.compile.mode import Mode, get_mode
from pytensor.graph.rewriting.basic import out2in
from pytensor.tensor.rewriting.shape import local_shape_ground

from dpm.base.errors import InputError
from dpm.engines.backend import Backend
from dpm.engines.compile_times import cache_folder
from dpm.engines.jax.loops import compile_loop
from dpm.engines.jax.mesh import DEVICES, MeshPeers
from dpm.engines.loops import CompiledLoop, Step
from dpm.engines.peers import Peers
from dpm.graph import Tensor

# How far XLA optimizes for a CPU. At 3, its own choice, it takes more than twice as long as at 2 to compile; of all
# functions only the gradient is faster for it, by 3 %.
XLA_LEVEL, XLA_LEVEL_HOT = 2, 3

# What XLA does by itself, and algebra of special matrices, of which the models have none.
SLOW_REWRITES = ("local_join_to_repeat", "dot_diag_to_elemwise", "orthogonal_dot_transpose_to_eye")

# A product of matrices followed by a sum over a short axis is wrong from some 4,000 rows on.
WRONG_ON_CPU = ("0.10.2",)

MATMUL_PRECISIONS = {"float32": "float32", "tf32": "tensorfloat32", "bf16": "bfloat16"}

# Variables of JAX with which its functions are not compiled, or stop at values that training skips or copies.
HINDRANCES = ("JAX_DISABLE_JIT", "JAX_DEBUG_NANS", "JAX_DEBUG_INFS", "JAX_TRANSFER_GUARD")
PLATFORM_NAMES = ("JAX_PLATFORMS", "JAX_PLATFORM_NAME")


class JaxBackend(Backend):
    """Compiler of the JAX engine, for a CPU or an accelerator; caches what XLA compiles on disk."""

    serializes = loops = True

    def __init__(self, distributed: bool = False) -> None:
        # jax 0.10.2 warns about absent accelerators through the logger of this private module.
        logging.getLogger("jax._src.xla_bridge").setLevel(logging.ERROR)
        _check_environment()
        _check_version()
        if not jax.config.values["jax_compilation_cache_dir"]:
            # Where the folder cannot be written, JAX compiles without a cache.
            jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "jax"))
        self._mesh = MeshPeers() if distributed else None
        self.peers = self._mesh or Peers()

    @cached_property
    def mode(self) -> Mode:  # type: ignore[override]
        """PyTensor's mode for JAX without its inference of shapes and other slow rewrites.

        JAX wants all shapes known, and known ones are in the types of the variables, so a rewrite of single nodes
        replaces the inference (`ShapeOpt`): a third of the time of all rewrites on PyTensor 3.0.7, no difference on
        3.3.8. SLOW_REWRITES take another third of it for a network of three scales.
        """
        # Once at the start, and once for the shapes that other rewrites ask for, before the last constants are folded.
        passes = [(out2in(local_shape_ground, name=f"known_shapes_{place}"), place) for place in (0.1, 1.55)]
        mode: Mode = get_mode("JAX").excluding("ShapeOpt", *SLOW_REWRITES).register(*passes)
        return mode

    @property
    def device(self) -> str:
        """Kind of device: "cpu", "gpu" or "tpu"."""
        return jax.default_backend()

    @property
    def memory(self) -> int | None:
        """Bytes that JAX may allocate on the first device, or None on a CPU."""
        statistics = None if self.device == "cpu" else jax.local_devices()[0].memory_stats()
        return statistics and int(statistics["bytes_limit"])

    def traceable(self, function: Any) -> Callable[..., Any]:
        """Return the jitted function inside a function of PyTensor, whose own call moves every array through Python.

        `vm.jit_fn` is what PyTensor calls, on PyTensor 3.0.7 and 3.3.8.
        """
        run: Callable[..., Any] = function.vm.jit_fn
        return run

    def finish(self, function: Any, inputs: Sequence[Tensor], hot: bool, n_threads: int) -> Callable[..., Any]:
        """Compile a traceable function at once, for the shapes of its inputs."""
        compiled: Callable[..., Any] = function.lower(*_shapes(inputs)).compile(self._options(hot, n_threads))
        return compiled

    def serialize(self, function: Any, inputs: Sequence[Tensor]) -> bytes:
        """Return the graph as StableHLO, in the format of jax.export."""
        return bytes(export.export(function)(*_shapes(inputs)).serialize())

    def deserialize(self, graph: bytes) -> Callable[..., Any]:
        """Return StableHLO as a traceable function."""
        run: Callable[..., Any] = jax.jit(export.deserialize(bytearray(graph)).call)
        return run

    def loop(self, function: Any, step: Step, capacity: int, n_threads: int) -> CompiledLoop:
        """Compile a loop over a step."""
        return compile_loop(function, step, capacity, self._options(False, n_threads), self._mesh)

    def _options(self, hot: bool, n_threads: int) -> dict[str, Any]:
        """Return compile options of XLA."""
        if self.device != "cpu":
            return {}
        # XLA's debug options have no documentation, and JAX refuses a name that XLA does not have (jax 0.10.2).
        level = XLA_LEVEL_HOT if hot else XLA_LEVEL
        return {"xla_cpu_multi_thread_eigen": n_threads > 1, "xla_backend_optimization_level": level}

    def float_type(self, dtype: str) -> AbstractContextManager[Any]:
        """Switch float64 on or off.

        The switch is JAX's global state, or a thread's: each call sets it, so that both types fit in one process.
        """
        context: AbstractContextManager[Any] = jax.enable_x64(dtype == "float64")
        return context

    def precision(self, name: str) -> AbstractContextManager[Any]:
        """Set the precision of products; a GPU's default rounds to 10 bits (TF32), with gradients up to 0.5 off."""
        context: AbstractContextManager[Any] = jax.default_matmul_precision(MATMUL_PRECISIONS[name])
        return context

    @contextmanager
    def divided(self) -> Iterator[None]:
        """Set the context of tracing graphs whose rows are divided among devices."""
        token = DEVICES.set(self.peers.n_devices)
        try:
            yield
        finally:
            DEVICES.reset(token)

    def to_device(self, array: np.ndarray) -> Any:
        """Return a JAX array on the first device of this process."""
        return jax.device_put(array)

    def place(self, array: np.ndarray, axis: int | None = None) -> Any:
        """Return a JAX array on all devices of the loops."""
        return self._mesh.place(array, axis) if self._mesh else jax.device_put(array)

    def to_host(self, arrays: Any) -> Any:
        """Return JAX arrays as numpy arrays."""
        return self._mesh.fetch(arrays) if self._mesh else jax.device_get(arrays)


def _shapes(inputs: Sequence[Tensor]) -> list[jax.ShapeDtypeStruct]:
    return [jax.ShapeDtypeStruct(v.type.shape, v.type.dtype) for v in inputs]


def _check_version() -> None:
    """Raise InputError for a jaxlib that computes wrong numbers on the device."""
    installed = version("jaxlib")
    if installed in WRONG_ON_CPU and jax.default_backend() == "cpu":
        raise InputError(
            f"--backend jax: jaxlib {installed} computes wrong sums on a CPU (github.com/jax-ml/jax/issues/39103); pip "
            "install 'jax!=0.10.2', or take --backend numba"
        )


def _check_environment() -> None:
    """Raise InputError where JAX cannot compile, or has no device, because of its environment variables."""
    for name in HINDRANCES:
        if jax.config.values[name.lower()] not in (None, False, "allow", "log", "log_explicit"):
            raise InputError(
                f"{name}={os.environ.get(name, True)}: got a mode of JAX for debugging, in which compiled functions do "
                "not run as they are; unset it, or take --backend numba"
            )
    try:
        jax.default_backend()
    except (RuntimeError, AssertionError) as error:
        name = next((name for name in PLATFORM_NAMES if os.environ.get(name)), PLATFORM_NAMES[0])
        chosen = os.environ.get(name, jax.config.values["jax_platforms"])
        for option in PLATFORM_NAMES:  # with no platform demanded, JAX finds what there is
            jax.config.update(option.lower(), None)
        available = ", ".join(sorted({device.platform for device in jax.devices()}))
        reason = " ".join(str(error).split()).partition(" (")[0] or "JAX has no such device"
        raise InputError(
            f"{name}={chosen}: {reason}; available here: {available}; unset {name}, or set it to one of these"
        ) from None
