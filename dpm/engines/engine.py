"""Which engine compiles a graph, and in which float type: the only file that knows the modes of PyTensor.

One graph serves three engines: JAX (preferred, an extra), Numba (always there) and C (a cross-check that needs
g++). Building and compiling happen inside `with engine:`, which sets the float type of the constants.
"""

import importlib.util
import logging
import math
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from functools import cache, cached_property
from types import FunctionType

import numpy as np
import pytensor
from pytensor import config
from pytensor.compile.mode import get_mode
from pytensor.graph.rewriting.basic import out2in
from pytensor.tensor.rewriting.shape import local_shape_ground
from threadpoolctl import ThreadpoolController

from dpm.base.errors import InputError
from dpm.base.prefetch import prefetch
from dpm.engines import graph_cache
from dpm.engines.compile_times import cache_folder
from dpm.engines.names import DTYPES, ENGINES

PIXELS_PER_MICROBATCH = 32 * 28 * 28  # at most, unless the model has many parameters
PARAMETERS_PER_PIXEL = 72  # at most: each turn reads all parameters, and in training writes as long a gradient
PIXELS_PER_THREAD = 8 * 28 * 28  # at least: fewer are not worth a thread
# How far XLA optimizes for a CPU. At 3, its own choice, it takes more than twice as long as at 2 to compile; of all
# functions only the gradient is faster for it, by 3 %, and nothing else is called often enough to be worth the wait.
XLA_LEVEL, XLA_LEVEL_OF_GRADIENTS = 2, 3
# Numba's own level is 3, which takes it a fifth longer to compile a model for steps that are no faster.
NUMBA_LEVEL = 2
MODES = {"numba": "NUMBA", "c": "CVM"}


class Engine:
    """An engine and a float type.

    name: one of ENGINES; "auto" takes JAX where it is installed and Numba otherwise.
    dtype: "float32" or "float64". threads: parts of a minibatch computed at the same time, or None for as many as fit.
    Raises InputError for an unknown name or type, for an engine that this machine lacks or that has no folder to
    compile in, and for threads on an accelerator.
    """

    def __init__(self, name="auto", dtype="float32", threads=None):
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
        self._threads = threads
        self._stack = ExitStack()
        if name == "jax":
            _prepare_jax()
            if threads not in (None, 1) and not self.on_cpu:
                raise InputError(
                    f"--threads: {threads} is not accepted, as an accelerator computes a minibatch at once; "
                    "give --threads 1"
                )
            return
        if threads is not None:
            self._blas.limit(limits=threads, user_api="blas")
        try:
            config.compiledir  # noqa: B018  made when first asked for
        except (OSError, ValueError):
            raise InputError(
                f"--backend: {name!r} keeps what it compiled in {config.base_compiledir}, which cannot be written; set "
                "HOME to a folder that can, or PYTENSOR_FLAGS=base_compiledir=FOLDER"
            ) from None
        if name == "numba":
            _prepare_numba()

    def __enter__(self):
        self._stack = ExitStack()
        self._stack.enter_context(config.change_flags(floatX=self.dtype))
        return self

    def __exit__(self, *exception):
        self._stack.close()

    @cached_property
    def on_cpu(self):
        """Whether the CPU computes, and not an accelerator."""
        if self.name != "jax":
            return True
        import jax

        return jax.default_backend() == "cpu"

    @cached_property
    def threads(self):
        """How many turns of a minibatch are computed at the same time; the C engine can do no two."""
        if self.name == "c" or not self.on_cpu:
            return 1
        return self._threads or len(os.sched_getaffinity(0))

    def count_microbatches(self, n, n_pixels, n_parameters=0):
        """In how many equal turns to compute n pictures of n_pixels with n_parameters.

        On a CPU few pictures at once, so that its cache holds what the layers pass on (docs/performance.md), something
        for each thread, and not many for a model of many parameters; on an accelerator all.
        """
        if not self.on_cpu:
            return 1
        turns = math.ceil(n * n_pixels / max(PIXELS_PER_MICROBATCH, n_parameters / PARAMETERS_PER_PIXEL))
        at_once = max(1, min(self.threads, n * n_pixels // PIXELS_PER_THREAD))
        return min(n, math.ceil(turns / at_once) * at_once)

    def map(self, function, items):
        """function(item) of each, in the order of the items, some at the same time; yields the results."""
        items = list(items)
        if self.threads == 1 or len(items) == 1:
            yield from map(function, items)
            return
        with self._blas.limit(limits=1, user_api="blas") if self.name == "numba" else nullcontext():
            yield from self._pool.map(function, items)

    def prefetch(self, function, items):
        """function(item) of each; yields the results, and computes the next one while the caller works with one."""
        alone = self.threads == 1 and self.on_cpu
        yield from (map if alone else prefetch)(function, items)

    @cached_property
    def _pool(self):
        return ThreadPoolExecutor(self.threads, "turn")

    @cached_property
    def _blas(self):
        # Numba multiplies by scipy's library, which can be limited only once it is loaded.
        import scipy.linalg.cython_blas  # noqa: F401

        return ThreadpoolController()

    def to_device(self, array):
        """An array that goes into several calls, where the engine computes."""
        if self.name != "jax":
            return array
        import jax

        with self._float_type():
            return jax.device_put(array)

    def asarray(self, value):
        """value as a numpy array of the engine's float type."""
        return np.asarray(value, dtype=self.dtype)

    def function(self, inputs, outputs, givens=None, level=XLA_LEVEL):
        """Compile outputs as a function of inputs; the results are numpy arrays.

        givens: pairs (variable, its replacement in the graph). level: of XLA_LEVEL's kind.
        """
        with self._guard():
            compiled = self._by_pytensor(inputs, outputs, givens)
            if self.name == "jax":
                run = self._by_xla(compiled.vm.jit_fn, inputs, level)
            else:
                run = _by_numba(compiled) if self.name == "numba" else compiled
        return self._checked(run, inputs, isinstance(outputs, list))

    def cached_function(self, facts, inputs, build, level=XLA_LEVEL):
        """As function, of the graph that build() -> (list of outputs, givens) makes; JAX has it built only once.

        facts: what determines the graph besides the code of this program, as JSON can hold it. With JAX the graph is
        kept among the caches (dpm/graph_cache.py), and is compiled from there the first time too: the same bits.
        """
        if self.name != "jax" or not graph_cache.possible():
            outputs, givens = build()
            return self.function(inputs, outputs, givens, level)
        import jax
        from jax import export

        with self._guard():
            shapes = [[str(v.type.dtype), v.type.shape] for v in inputs]
            key = graph_cache.key(facts, shapes, config.get_config_hash(), jax.default_backend())
            graph = graph_cache.load(key)
            if graph is None:
                compiled = self._by_pytensor(inputs, *build())
                graph = bytes(export.export(compiled.vm.jit_fn)(*_shapes(inputs)).serialize())
                graph_cache.keep(key, graph)
            run = self._by_xla(jax.jit(export.deserialize(bytearray(graph)).call), inputs, level)
        return self._checked(run, inputs, True)

    def _by_pytensor(self, inputs, outputs, givens):
        """What PyTensor makes of a graph for this engine."""
        mode = _jax_mode() if self.name == "jax" else MODES[self.name]
        return pytensor.function(inputs, outputs, givens=givens, mode=mode, on_unused_input="ignore")

    def _checked(self, run, inputs, many):
        """run with its arguments looked at and its results as numpy arrays; many: whether they are a list."""
        types = [variable.type for variable in inputs]

        def call(*arguments):
            # Numba and JAX would compile anew, without a word.
            for kind, given in zip(types, arguments, strict=True):
                if given.dtype != kind.dtype or not all(
                    b in (None, a) for a, b in zip(given.shape, kind.shape, strict=True)
                ):
                    raise TypeError(f"{given.dtype} {given.shape} is given; the graph takes {kind.dtype} {kind.shape}")
            with self._float_type():
                values = run(*arguments)
                if many:
                    return [np.asarray(value) for value in values]
                return np.asarray(values[0] if isinstance(values, tuple) else values)

        return call

    def _by_xla(self, jit_function, inputs, level):
        """What JAX computes, compiled at once for its inputs' shapes; threads may share it."""
        options = {}
        if self.on_cpu:
            options = {"xla_cpu_multi_thread_eigen": self.threads > 1, "xla_backend_optimization_level": level}
        return jit_function.lower(*_shapes(inputs)).compile(options)

    @contextmanager
    def _guard(self):
        """Around all that traces and compiles."""
        with warnings.catch_warnings(), self._float_type(), ExitStack() as stack:
            stack.enter_context(config.change_flags(floatX=self.dtype))
            # What PyTensor and JAX say of their own insides is nothing that a user could act on.
            warnings.simplefilter("ignore")
            if self.name == "jax":
                import jax

                # A GPU would round what it multiplies to 10 bits (TF32), with gradients up to half of their size off.
                stack.enter_context(jax.default_matmul_precision("float32"))
            yield

    def _float_type(self):
        """Around each call into JAX, whose switch for float64 is global, or a thread's: both types fit in a process."""
        if self.name != "jax":
            return nullcontext()
        import jax

        return jax.enable_x64(self.dtype == "float64")

    def __repr__(self):
        return f"{self.name} ({self.dtype}, PyTensor {pytensor.__version__})"


@cache
def _jax_mode():
    """PyTensor's mode for JAX without its inference of shapes, a third of the time that PyTensor 3.0 takes to rewrite.

    JAX wants all shapes known, and known ones are in the variables' types.
    """
    # Once at the start, and once for the shapes that other rewrites ask for, before the last constants are folded.
    passes = [(out2in(local_shape_ground, name=f"known_shapes_{place}"), place) for place in (0.1, 1.55)]
    return get_mode("JAX").excluding("ShapeOpt").register(*passes)


def _shapes(inputs):
    """The inputs of a graph as JAX wants to know them."""
    import jax

    return [jax.ShapeDtypeStruct(v.type.shape, v.type.dtype) for v in inputs]


def _by_numba(compiled):
    """What a PyTensor function has Numba compute, without Python's lock, so that threads may share it."""
    from pytensor.link.numba.cache import CACHED_SRC_FUNCTIONS as kept
    from pytensor.link.numba.dispatch.basic import numba_njit

    function = compiled.vm.jit_fn.py_func
    if function in kept:
        # Numba finds what it kept by the file's name and PyTensor's key. The graph's own function is in a file of a
        # random name, so PyTensor calls it from one in a file of a fixed name, and Numba optimizes all of the graph
        # for both. With the fixed name the graph's own function is found, and one is enough.
        graph, key = function.__globals__["jitable_func"].py_func, kept[function]
        code = graph.__code__.replace(co_filename=function.__code__.co_filename)
        function = FunctionType(code, graph.__globals__, graph.__name__)
        kept[function] = key
    return numba_njit(function, final_function=True, cache=function in kept, nogil=True)


def _prepare_numba():
    from numba import config as numba_config

    if "NUMBA_OPT" not in os.environ:
        # Before a function is decorated, when LLVM's code generator takes the level of that moment.
        numba_config.OPT = type(numba_config.OPT)(NUMBA_LEVEL)
    import dpm.engines.numba.convolution  # noqa: F401  registers the convolution


def _prepare_jax():
    logging.getLogger("jax._src.xla_bridge").setLevel(logging.ERROR)
    import jax

    import dpm.engines.jax.convolution  # noqa: F401  registers the convolution

    if not jax.config.values["jax_compilation_cache_dir"]:
        # What XLA compiled is found again by the next run; where the folder cannot be written, JAX goes on without.
        jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "jax"))
