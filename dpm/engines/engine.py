"""Engine: compiles graphs by JAX, Numba or C in one float type, and computes microbatches in threads.

One graph serves three engines: JAX (preferred, an extra), Numba (always installed) and C (a cross-check that needs
g++). Build and compile inside `with engine:`, which sets the float type of the constants.
"""

import importlib.util
import math
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from functools import cached_property
from typing import Any, Self, TypeVar

import numpy as np
import pytensor
from pytensor import config
from pytensor.tensor import TensorVariable

from dpm.base import blas, memory
from dpm.base.errors import InputError
from dpm.base.prefetch import prefetch
from dpm.engines import graph_cache
from dpm.engines.backend import Backend
from dpm.engines.loops import CompiledLoop, Keys, Step
from dpm.engines.names import DTYPES, ENGINES, NOISE_SOURCES, PRECISIONS
from dpm.graph import Tensor

PIXELS_PER_MICROBATCH = 32 * 28 * 28  # at most, unless the model has many parameters
PARAMETERS_PER_PIXEL = 72  # at most: a microbatch reads all parameters, and in training writes a gradient as long
PIXELS_PER_THREAD = 8 * 28 * 28  # at least: fewer are not worth a thread

Item = TypeVar("Item")
Result = TypeVar("Result")
Givens = Iterable[tuple[Tensor, Tensor]]
Outputs = Tensor | Sequence[Tensor]


class Engine:
    """Compiler and float type.

    Args:
        name: one of ENGINES; "auto" takes JAX where it is installed and Numba otherwise.
        dtype: "float32" or "float64".
        threads: number of microbatches computed at the same time; None takes one for each core.
        precision: of products of float32 numbers, one of PRECISIONS.
        noise: where random numbers are drawn: "host", by numpy, the same for every engine; "device", by JAX; None for
            the device if that is an accelerator.
        distributed: divide the rows of loops among all devices of all processes (dpm/engines/jax/mesh.py); with several
            processes call jax.distributed.initialize first. Noise then comes from the device.

    Attributes:
        peers: the processes that compute loops together, and their devices.

    Raises:
        InputError: an unknown name or type, an engine that this machine lacks or that has no folder to compile in,
            several threads on an accelerator, or what needs JAX or a GPU without it.

    Example:
        >>> engine = dpm.Engine("numba", "float64")
        >>> engine.name, engine.dtype, engine.asarray([1, 2]).dtype
        ('numba', 'float64', dtype('float64'))
    """

    def __init__(
        self,
        name: str = "auto",
        dtype: str = "float32",
        threads: int | None = None,
        precision: str = "float32",
        noise: str | None = None,
        distributed: bool = False,
    ) -> None:
        self.name = _installed_engine(name)
        if dtype not in DTYPES:
            raise InputError(f"--dtype: {dtype!r} is not a float type; accepted: {', '.join(DTYPES)}")
        memory.keep_freed_memory()
        self.dtype, self._threads = dtype, threads
        self._stack = ExitStack()
        if threads is not None:  # JAX's matrix factorizations are those of scipy's BLAS too
            blas.controller().limit(limits=threads, user_api="blas")
        if self.name != "jax":
            self._check_compile_folder()
        self._backend = _load_backend(self.name, distributed)
        self.peers, self.distributed = self._backend.peers, distributed
        if threads not in (None, 1) and not self.on_cpu:
            raise InputError(
                f"--threads: {threads} is not accepted, as an accelerator computes a minibatch at once; "
                "give --threads 1"
            )
        on_host = self.on_cpu and not distributed
        self.precision, self.noise = precision, noise or ("host" if on_host else "device")
        self._check_choices()

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        self._stack.enter_context(config.change_flags(floatX=self.dtype))
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def __repr__(self) -> str:
        return f"{self.name} ({self.dtype}, PyTensor {pytensor.__version__})"

    # ------------------------------------------------------------------ compiling

    def function(
        self, inputs: Sequence[Tensor], outputs: Outputs, givens: Givens | None = None, hot: bool = False
    ) -> Callable[..., Any]:
        """Compile a graph as a function of numpy arrays that returns numpy arrays.

        Args:
            inputs: symbolic inputs; their types fix the shapes and the float type of the arguments.
            outputs: one variable, or a list of them.
            givens: pairs (variable, its replacement in the graph).
            hot: called thousands of times, so that a longer compilation is worth it.

        Returns:
            A function that returns one array, or a list of them where `outputs` is a list. It raises TypeError for an
            argument of another shape or float type.

        Raises:
            InputError: an input has another float type than the engine.
        """
        self._check_types(inputs)
        with self._guard():
            compiled = self._compile_graph(inputs, outputs, givens)
            run = self._finish(self._backend.traceable(compiled), inputs, hot)
        return self._checked(run, inputs, not isinstance(outputs, TensorVariable))

    def cached_function(
        self,
        facts: Sequence[object],
        inputs: Sequence[Tensor],
        build: Callable[[], tuple[Sequence[Tensor], Givens]],
        hot: bool = False,
    ) -> Callable[..., list[np.ndarray]]:
        """Compile a graph as `function` does; with JAX a later process need not build it.

        The graph is stored in the user's cache folder (dpm/engines/graph_cache.py). The first process compiles what it
        stored too, so that all processes compute the same bits.

        Args:
            facts: what determines the graph besides the types of the inputs and the code of this program, as JSON can
                hold it.
            inputs: symbolic inputs.
            build: returns the outputs and the givens of the graph.
            hot: as in `function`.

        Raises:
            InputError: as in `function`.
        """
        self._check_types(inputs)
        with self._guard():
            run = self._finish(self._load_or_build(facts, inputs, build), inputs, hot)
        return self._checked(run, inputs, True)

    def loop(self, step: Step, capacity: int, facts: Sequence[object] | None = None) -> CompiledLoop:
        """Compile a loop over a step that stays on the device.

        Args:
            step: inputs and graph of one step.
            capacity: largest number of steps of a call, the length of what has another value at each step.
            facts: as in `cached_function`, or None to build the graph in every process.

        Raises:
            InputError: an input has another float type than the engine, or the engine is not JAX.
        """
        self._check_types(step.inputs)
        self.check_loops()

        def build() -> tuple[Sequence[Tensor], Givens]:
            updates, outputs, givens = step.build()
            return [*updates, *outputs], givens

        with self._guard(), self._backend.divided():
            facts = None if step.divided and self.peers.n_devices > 1 else facts  # a sum over devices is not written
            function = self._load_or_build(facts, step.inputs, build)
            run = self._backend.loop(function, step, capacity, self.threads)

        def call(
            carried: Sequence[Any], constants: Sequence[Any], sequences: Sequence[Any], keys: Keys, begin: int, end: int
        ) -> tuple[list[Any], list[Any]]:
            bounds = [self.place(np.array(number, np.int32)) for number in (begin, end)]
            with self._backend.float_type(self.dtype):
                return run(carried, constants, sequences, keys, *bounds)

        return call

    def check_loops(self) -> None:
        """Raise InputError where the engine compiles no loops that stay on the device."""
        if not self._backend.loops:
            raise InputError(
                f"--backend {self.name}: updates in the graph and noise on the device need JAX; give --backend jax, or "
                "--updates host --noise host"
            )

    def asarray(self, value: object) -> np.ndarray:
        """Return `value` as a numpy array of the engine's float type."""
        return np.asarray(value, dtype=self.dtype)

    def to_device(self, array: np.ndarray) -> Any:
        """Return an array that goes into several calls of a function, moved to where this process computes."""
        with self._backend.float_type(self.dtype):
            return self._backend.to_device(array)

    def place(self, array: np.ndarray, axis: int | None = None) -> Any:
        """Return an array moved to where loops compute.

        Args:
            array: the whole array, or what this process has of it.
            axis: of the rows, of which a process has `peers.own_rows`; None for an array that is whole on every device.
        """
        with self._backend.float_type(self.dtype):
            return self._backend.place(array, axis)

    @property
    def memory(self) -> int | None:
        """Bytes of the accelerator's memory, or None on a CPU."""
        return self._backend.memory

    def to_host(self, arrays: Any) -> Any:
        """Return arrays from where the engine computes, in any nest of lists, as numpy arrays."""
        return self._backend.to_host(arrays)

    def _load_or_build(
        self,
        facts: Sequence[object] | None,
        inputs: Sequence[Tensor],
        build: Callable[[], tuple[Sequence[Tensor], Givens]],
    ) -> Callable[..., Any]:
        """Return the traceable function of a graph; one that facts identify is loaded from the cache, or stored."""
        if facts is None or not self._backend.serializes or not graph_cache.is_available():
            return self._backend.traceable(self._compile_graph(inputs, *build()))
        types = [[str(v.type.dtype), v.type.shape] for v in inputs]
        key = graph_cache.make_key(facts, types, config.get_config_hash(), self._backend.device, self.precision)
        graph = graph_cache.load(key)
        if graph is None:
            function = self._backend.traceable(self._compile_graph(inputs, *build()))
            graph = self._backend.serialize(function, inputs)
            graph_cache.store(key, graph)
        return self._backend.deserialize(graph)

    def _compile_graph(self, inputs: Sequence[Tensor], outputs: Outputs, givens: Givens | None) -> Any:
        """Return PyTensor's own compiled function."""
        return pytensor.function(inputs, outputs, givens=givens, mode=self._backend.mode, on_unused_input="ignore")

    def _finish(self, function: Any, inputs: Sequence[Tensor], hot: bool) -> Callable[..., Any]:
        return self._backend.finish(function, inputs, hot, self.threads)

    def _check_types(self, inputs: Sequence[Tensor]) -> None:
        for variable in inputs:
            if variable.dtype in DTYPES and variable.dtype != self.dtype:
                raise InputError(
                    f"{variable.name or 'input'}: got {variable.dtype}; expected {self.dtype}, the engine's float "
                    "type; build the graph within `with engine:`"
                )

    def _checked(self, run: Callable[..., Any], inputs: Sequence[Tensor], returns_list: bool) -> Callable[..., Any]:
        """Return `run` with its arguments checked and its results as numpy arrays."""
        types = [variable.type for variable in inputs]

        def call(*arguments: Any) -> Any:
            # Numba and JAX would compile again, silently.
            for expected, given in zip(types, arguments, strict=True):
                if given.dtype != expected.dtype or not all(
                    b in (None, a) for a, b in zip(given.shape, expected.shape, strict=True)
                ):
                    raise TypeError(
                        f"argument of a compiled function: got {given.dtype} {given.shape}; "
                        f"expected {expected.dtype} {expected.shape}"
                    )
            with self._backend.float_type(self.dtype):
                values = run(*arguments)
                if returns_list:
                    return [np.asarray(value) for value in values]
                return np.asarray(values[0] if isinstance(values, tuple) else values)

        return call

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """Set the context of all tracing and compiling."""
        with warnings.catch_warnings(), ExitStack() as stack:
            stack.enter_context(self._backend.float_type(self.dtype))
            stack.enter_context(self._backend.precision(self.precision))
            stack.enter_context(config.change_flags(floatX=self.dtype))
            # PyTensor and JAX warn about their internals, where a user can do nothing.
            warnings.simplefilter("ignore")
            yield

    def _check_choices(self) -> None:
        for name, accepted in (("precision", PRECISIONS), ("noise", NOISE_SOURCES)):
            if getattr(self, name) not in accepted:
                raise InputError(f"--{name}: got {getattr(self, name)!r}; expected {', '.join(accepted)}")
        if self.precision != "float32" and self.dtype != "float32":
            raise InputError(f"--precision {self.precision}: is for float32; give --dtype float32, or leave it out")
        if self.precision != "float32" and self.on_cpu:
            raise InputError(
                f"--precision {self.precision}: a CPU multiplies whole float32 numbers; leave it out, or run on a GPU"
            )
        if self.distributed and self.noise == "host":
            raise InputError(
                "--noise host: several processes or devices draw on the device, each for its own examples; leave it out"
            )
        if self.noise == "device":
            self.check_loops()

    def _check_compile_folder(self) -> None:
        try:
            config.compiledir  # noqa: B018  created when first read
        except (OSError, ValueError):
            raise InputError(
                f"--backend: {self.name!r} keeps what it compiled in {config.base_compiledir}, which cannot be "
                "written; set HOME to a folder that can, or PYTENSOR_FLAGS=base_compiledir=FOLDER"
            ) from None

    # ------------------------------------------------------------------ threads

    @cached_property
    def on_cpu(self) -> bool:
        """True where the CPU computes, and not an accelerator."""
        return self._backend.device == "cpu"

    @cached_property
    def threads(self) -> int:
        """Number of microbatches computed at the same time; the C engine cannot compute two."""
        if self.name == "c" or not self.on_cpu:
            return 1
        return self._threads or len(os.sched_getaffinity(0))

    def count_microbatches(self, n: int, n_pixels: int, n_parameters: int = 0) -> int:
        """Return the number of equal microbatches in which to compute n examples.

        On a CPU a microbatch is small, so that the cache holds the activations (docs/performance.md); there is one for
        each thread; and there are fewer for a model of many parameters. An accelerator computes all at once.

        Args:
            n: number of examples.
            n_pixels: number of pixels of an example.
            n_parameters: number of parameters of the model.
        """
        if not self.on_cpu:
            return 1
        microbatches = math.ceil(n * n_pixels / max(PIXELS_PER_MICROBATCH, n_parameters / PARAMETERS_PER_PIXEL))
        at_once = max(1, min(self.threads, n * n_pixels // PIXELS_PER_THREAD))
        return min(n, math.ceil(microbatches / at_once) * at_once)

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield function(item) of each item, in their order, computed in several threads."""
        items = list(items)
        if self.threads == 1 or len(items) == 1:
            yield from map(function, items)
            return
        with blas.one_blas_thread() if self.name == "numba" else nullcontext():
            yield from self._pool.map(function, items)

    def prefetch(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield function(item) of each item; a thread computes the next one while the caller works with one."""
        one_core = self.threads == 1 and self.on_cpu
        yield from (map if one_core else prefetch)(function, items)

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self.threads, "microbatch")


def _installed_engine(name: str) -> str:
    """Return the engine of a name, "auto" resolved; raise InputError where it is unknown or not installed."""
    if name not in ENGINES:
        raise InputError(f"--backend: {name!r} is not an engine; accepted: {', '.join(ENGINES)}")
    has_jax = importlib.util.find_spec("jax") is not None
    if name == "auto":
        return "jax" if has_jax else "numba"
    if name == "jax" and not has_jax:
        raise InputError("--backend: 'jax' is not installed; pip install '.[jax]', or take --backend numba")
    if name == "c" and not config.cxx:
        raise InputError("--backend: 'c' needs the compiler g++ and none was found; take --backend numba or jax")
    return name


def _load_backend(engine: str, distributed: bool) -> Backend:
    """Import and prepare the backend of an engine."""
    if distributed and engine != "jax":
        raise InputError(f"--backend {engine}: several processes or devices need JAX; take --backend jax")
    if engine == "jax":
        try:
            from dpm.engines.jax.compiling import JaxBackend
        except ValueError as error:  # of an environment variable, which JAX reads when it is imported
            raise InputError(f"--backend: jax cannot start: {error}; correct it, or take --backend numba") from None
        return JaxBackend(distributed)
    if engine == "numba":
        from dpm.engines.numba.compiling import NumbaBackend

        return NumbaBackend()
    return Backend()
