"""Limits on the threads of BLAS, as threadpoolctl reads them from the libraries."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from dpm.base import blas
from dpm.experiments.exact import swiss_roll
from dpm.likelihood import density_models, parzen_window
from dpm.optimizers import SFO
from dpm.training import bernoulli_readouts, least_squares, variable_projection

COMPILED = SimpleNamespace(
    model=SimpleNamespace(trajectory_length=2), examples=lambda *given: None, numbers=lambda *given: None, function=None
)
X = np.zeros((4, 2))


def threads():
    """Return the numbers of threads of all BLAS libraries in the process."""
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@pytest.fixture
def two_threads():
    with blas.controller().limit(limits=2, user_api="blas"):
        if threads() != {2}:
            pytest.skip("this BLAS has no second thread")
        yield


@pytest.mark.usefixtures("two_threads")
def test_one_thread_inside_and_the_former_number_after():
    with blas.one_blas_thread():
        assert threads() == {1}
    assert threads() == {2}
    with pytest.raises(ZeroDivisionError), blas.one_blas_thread():
        _ = 1 / 0
    assert threads() == {2}


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(("dimension", "expected"), [(blas.SMALL - 1, 1), (blas.SMALL, 2)])
def test_large_products_keep_their_threads(dimension, expected):
    with blas.one_blas_thread(dimension):
        assert threads() == {expected}


@pytest.fixture
def seen(monkeypatch):
    """Return a list that gets the numbers of threads at each call of a replaced function."""
    found = []

    def watch(module, name):
        function = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *given, **more: (found.append(threads()), function(*given, **more))[1])

    return found, watch


@pytest.mark.usefixtures("two_threads")
def test_exact_density_and_windows_in_the_plane_take_one_thread(seen):
    found, watch = seen
    watch(swiss_roll, "_log_sum_exp")
    swiss_roll.log_density(np.zeros((3, 2)), 0.1)

    class Watched(np.ndarray):
        def __matmul__(self, other):
            found.append(threads())
            return np.asarray(self) @ np.asarray(other)

    parzen_window.squared_distances(X.view(Watched), X, 1.0)
    assert found == [{1}, {1}]


@pytest.mark.usefixtures("two_threads")
def test_a_step_of_sfo_takes_one_thread_and_the_function_all(seen):
    """The function may be a network whose engine multiplies with BLAS."""
    found, watch = seen
    watch(sys.modules["dpm.optimizers.sfo"], "make_solver")
    inside = []

    def f(theta, i):
        inside.append(threads())
        return float((theta - i) @ (theta - i)), 2 * (theta - i)

    SFO(f, np.zeros(3), range(4), rng=np.random.default_rng(0)).optimize(num_steps=6)
    assert len(found) == len(inside) == 6
    assert set(map(tuple, found)) == {(1,)}
    assert set(map(tuple, inside)) == {(2,)}


@pytest.mark.usefixtures("two_threads")
def test_density_models_of_few_dimensions_take_one_thread():
    found = []

    def fit(X, rng):
        found.append(threads())

    kind = density_models.Kind("watched", {}, fit, density_models.skip_nothing)
    for dimension in (2, blas.SMALL):
        density_models.choose_model(kind, np.zeros((4, dimension)), 2, np.random.default_rng(0), print)
    assert found == [{1}, {2}]


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(
    ("module", "name", "call"),
    [
        (least_squares, "fit_step", lambda: least_squares.refit(COMPILED, X[0], X, 0, quiet=True)),
        (bernoulli_readouts, "readout_views", lambda: bernoulli_readouts.solve(COMPILED, X[0], X, 0, [2])),
        (bernoulli_readouts, "_readout", lambda: bernoulli_readouts.start_as_null(COMPILED, X[0], X, 0)),
        (COMPILED, "function", lambda: projection().solve(X[0])),
        (COMPILED, "function", lambda: projection().objective([X, X])),
    ],
)
def test_solvers_of_readouts_take_one_thread(monkeypatch, module, name, call):
    """Each is stopped at the first function that it calls."""
    monkeypatch.setattr(least_squares, "readout_views", lambda *given: {})
    found = []

    def stop(*given, **more):
        found.append(threads())
        raise InterruptedError

    monkeypatch.setattr(module, name, stop)
    with pytest.raises(InterruptedError):
        call()
    assert found == [{1}]


def projection():
    """Return a ProjectionLoop that has only a model and data."""
    loop = object.__new__(variable_projection.ProjectionLoop)
    loop.compiled, loop.features = COMPILED, X
    return loop


@pytest.mark.usefixtures("two_threads")
def test_threads_are_counted_as_they_are_limited():
    assert blas.count_threads() == 2
    with blas.one_blas_thread():
        assert blas.count_threads() == 1
