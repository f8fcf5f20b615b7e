"""JAX backend: XLA's cache, PyTensor's mode without shape inference, and graphs as StableHLO."""

import os
import subprocess
import sys

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.tensor.shape import Shape, Shape_i

from dpm.base.errors import InputError
from dpm.engines.engine import Engine

pytest.importorskip("jax")

import jax

from dpm.engines.jax import compiling
from dpm.engines.jax.compiling import JaxBackend
from tests.helpers.runs import ROOT


def test_jax_caches_what_it_compiled():
    """The cache is a folder of the user, unless JAX was configured with another."""
    Engine("jax")
    assert jax.config.jax_compilation_cache_dir


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_graph_written_as_stablehlo_computes_the_same(dtype):
    engine, backend = Engine("jax", dtype), JaxBackend()
    with engine:
        x = pt.tensor("x", dtype=dtype, shape=(3,))
        compiled = engine._compile_graph([x], [pt.exp(x), x.sum()], None)
    values = np.linspace(0, 1, 3).astype(dtype)
    with engine._guard():
        graph = backend.serialize(backend.traceable(compiled), [x])
        functions = backend.traceable(compiled), backend.deserialize(graph)
        results = [
            backend.finish(function, [x], hot, threads)(values)
            for function, hot, threads in zip(functions, (True, False), (1, 2), strict=True)
        ]
    for a, b, expected in zip(*results, [np.exp(values), values.sum()], strict=True):
        assert a.dtype == b.dtype == dtype
        np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(a, expected, rtol=1e-6)


def test_the_mode_leaves_out_shape_inference():
    """Shapes that the types of the variables hold are constants all the same."""
    mode, x = JaxBackend().mode, pt.tensor("x", shape=(3, 4))
    assert "ShapeOpt" in mode.provided_optimizer.exclude
    nodes = pytensor.function([x], x * x.shape[0], mode=mode).maker.fgraph.apply_nodes
    assert not [node for node in nodes if isinstance(node.op, Shape | Shape_i)]


@pytest.mark.parametrize(
    ("variable", "words"),
    [
        ("JAX_PLATFORMS=cuda", ["JAX_PLATFORMS=cuda: ", "available here: cpu; unset JAX_PLATFORMS"]),
        ("JAX_PLATFORM_NAME=gpu", ["JAX_PLATFORM_NAME=gpu: ", "available here: cpu"]),
        ("JAX_DISABLE_JIT=1", ["JAX_DISABLE_JIT=1: ", "unset it, or take --backend numba"]),
        ("JAX_TRANSFER_GUARD=disallow", ["JAX_TRANSFER_GUARD=disallow: ", "unset it"]),
        ("JAX_ENABLE_X64=banana", ["jax cannot start: ", "JAX_ENABLE_X64", "--backend numba"]),
    ],
)
def test_environment_in_which_jax_cannot_work_is_named(variable, words):
    """JAX reads its variables when it is imported, so each case is a process of its own."""
    if jax.default_backend() != "cpu":
        pytest.skip("a machine with an accelerator has other platforms")
    name, _, value = variable.partition("=")
    program = (
        "from dpm.base.errors import InputError\nfrom dpm.engines.engine import Engine\n"
        "try: Engine('jax')\nexcept InputError as error: print(error)"
    )
    others = {key: text for key, text in os.environ.items() if not key.startswith("JAX_PLATFORM")}
    done = subprocess.run(
        [sys.executable, "-c", program], env=others | {name: value}, cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = done.stdout.splitlines()
    assert all(text in line for text in words), line


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_product_followed_by_a_short_sum_is_right_for_many_rows(dtype):
    """jaxlib 0.10.2 got it wrong from 4,096 rows on (github.com/jax-ml/jax/issues/39103)."""
    rng, n = np.random.default_rng(0), 20_000
    values = [
        rng.integers(0, 2, (n, 3)),
        rng.dirichlet(np.ones(4), n),
        [[0.25], [0.5], [0.75], [0.9]],
        rng.random((n, 3)),
    ]
    values = [np.asarray(value, dtype) for value in values]
    inputs = [pt.tensor(dtype=dtype, shape=value.shape) for value in values]

    def compute(x, weights, column, noise, use):
        """Signs of x with bits flipped, and the log odds of the share that is kept."""
        kept = 1 - use.dot(weights, column)
        rate = kept * x + (1 - kept) / 2
        signs = (2.0 * (noise < rate) - 1).sum(axis=1, keepdims=True)
        return signs * (use.log1p(kept) - use.log1p(-kept))

    function = Engine("jax", dtype).function(inputs, pt.cast(compute(*inputs, pt), dtype))
    np.testing.assert_allclose(function(*values), compute(*values, np), atol=1e-4)


def test_a_version_that_computes_wrong_sums_is_refused_on_a_cpu(monkeypatch):
    monkeypatch.setattr(compiling, "version", lambda package: "0.10.2")
    with pytest.raises(InputError, match=r"--backend jax: jaxlib 0\.10\.2 .*pip install 'jax!=0\.10\.2'"):
        Engine("jax")
