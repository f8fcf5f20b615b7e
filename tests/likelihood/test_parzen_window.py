"""Parzen windows: densities compared with closed forms and other libraries, and the choice of sigma."""

import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from dpm.base import blas
from dpm.likelihood.parzen_window import SIGMAS, log_density, parzen, squared_distances

ROOT = Path(__file__).parents[2]
D = 784


# ------------------------------------------------------------------ the density


def test_density_at_a_single_center_is_the_normalizer():
    """-D/2 log(2 pi sigma^2), D = 784: -720.4478 for sigma 1, +2890.0056 for 0.01."""
    zero = np.zeros((1, D))
    np.testing.assert_allclose(log_density(zero, zero, [1, 0.01]), [[-720.4478], [2890.0056]], atol=5e-5)


def test_density_of_far_points_is_finite():
    """Points at 100, centers at 0 and 1: D/2 99^2 / sigma^2 below the normalizer, with half of the weight."""
    centers = np.stack([np.zeros(D), np.ones(D)])
    sigma = 0.1
    expected = -(D / 2) * np.log(2 * np.pi * sigma**2) - D / 2 * (99 / sigma) ** 2 - np.log(2)
    np.testing.assert_allclose(log_density(np.full((3, D), 100.0), centers, [sigma]), [[expected] * 3], rtol=1e-13)


def test_density_equals_scipys_gaussian_kde():
    rng = np.random.default_rng(0)
    centers, X = rng.standard_normal((50, 3)), 2 * rng.standard_normal((20, 3))
    # scipy's width is a factor of the data's covariance: 1 by whitening.
    white = np.linalg.cholesky(np.linalg.inv(np.cov(centers.T)))
    for sigma in (0.2, 1.0):
        kde = stats.gaussian_kde((centers @ white).T, bw_method=sigma)
        np.testing.assert_allclose(
            log_density(X @ white, centers @ white, [sigma])[0], kde.logpdf((X @ white).T), rtol=1e-10
        )


def test_density_equals_scikit_learns_kernel_density():
    neighbors = pytest.importorskip("sklearn.neighbors")
    rng = np.random.default_rng(0)
    centers, X = rng.random((40, 30)), rng.random((20, 30))
    for sigma in (0.05, 0.3):
        kde = neighbors.KernelDensity(bandwidth=sigma, rtol=0, atol=0).fit(centers)
        np.testing.assert_allclose(log_density(X, centers, [sigma])[0], kde.score_samples(X), rtol=1e-10)


def test_density_does_not_depend_on_the_batches_and_reports_all(monkeypatch):
    rng = np.random.default_rng(0)
    centers, X = rng.random((7, 5)), rng.random((23, 5))
    whole = log_density(X, centers, [0.1, 1])
    reported = []
    monkeypatch.setattr("dpm.likelihood.parzen_window.CHUNK", 4 * 7)
    np.testing.assert_allclose(log_density(X, centers, [0.1, 1], reported.append), whole, rtol=1e-13)
    assert reported == [4] * 5 + [3]


def test_distances_keep_their_precision_far_from_the_mean():
    """Two clouds a million apart and 0.001 wide: a matrix product would lose all digits of the distances."""
    rng = np.random.default_rng(0)
    side = np.repeat([-5e5, 5e5], 20)[:, None]
    centers, X = (side + 1e-3 * rng.standard_normal((40, 10)) for _ in range(2))
    exponents = -((X[:, None] - centers) ** 2).sum(axis=2) / (2 * 1e-6)
    expected = logsumexp(exponents, axis=1) - np.log(40) - 10 * np.log(1e-3 * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(log_density(X, centers, [1e-3])[0], expected, rtol=1e-6)
    assert (squared_distances(X, X, 1e-9).diagonal() == 0).all()


def test_memory_is_limited_by_the_batches():
    """Float64 copies of both arguments and three arrays of 32 MB: far below all distances, 384 MB here."""
    rng = np.random.default_rng(0)
    centers, X = rng.random((12_000, 4), dtype=np.float32), rng.random((4_000, 4), dtype=np.float32)
    tracemalloc.start()
    log_density(X, centers, [0.1, 1])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * 2**25 + 6 * 8 * (centers.size + X.size)


@pytest.mark.slow
def test_size_of_the_protocol_takes_less_than_2_gigabytes():
    """10,000 x 10,000 examples of 784 numbers, all widths: the whole process with its data."""
    code = (
        "import resource, numpy as np\nfrom dpm.likelihood.parzen_window import SIGMAS, log_density\n"
        "rng = np.random.default_rng(0)\n"
        "log_density(rng.random((10_000, 784)), rng.random((10_000, 784)), SIGMAS)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) * 1024 < 2e9


# ------------------------------------------------------------------ the choice of sigma


def test_sigma_is_chosen_on_validation_examples_and_the_value_computed_on_test_examples():
    """Centers, validation and test examples of three Gaussians: a wide window fits the validation examples, a narrow
    one the test examples, which must not affect the choice."""
    rng = np.random.default_rng(0)
    centers, valid, test = (s * rng.standard_normal((200, 2)) for s in (1, 2.2, 0.1))
    sigmas = [0.1, 0.5, 1, 2, 4]
    result = parzen(centers, valid, test, sigmas)
    by_sigma = [
        logsumexp(-((valid[:, None] - centers) ** 2).sum(2) / (2 * s**2), axis=1, b=1 / 200) - 2 * np.log(s)
        for s in sigmas
    ]
    assert result.sigma == sigmas[np.argmax(np.mean(by_sigma, axis=1))] == 2
    kernel = stats.multivariate_normal([0, 0], 4)
    expected = [logsumexp(kernel.logpdf(x - centers), b=1 / 200) for x in test]
    np.testing.assert_allclose(result.value, np.mean(expected), rtol=1e-10)
    np.testing.assert_allclose(result.standard_error, stats.sem(expected), rtol=1e-8)


def test_value_approaches_the_closed_form_for_many_samples():
    """Samples of N(0, 1) in one dimension, sigma small: the density is that of N(0, 1 + sigma^2)."""
    rng = np.random.default_rng(0)
    centers, valid, test = (rng.standard_normal((n, 1)) for n in (20_000, 200, 1000))
    result = parzen(centers, valid, test, [0.1])
    expected = stats.norm(scale=np.sqrt(1.01)).logpdf(test).mean()
    assert result.value == pytest.approx(expected, abs=5e-3)


def test_grid_of_widths_is_that_of_the_protocol():
    """Ten widths from 10^-1 to 10^0, evenly spaced in their logarithm (Goodfellow et al. 2014)."""
    np.testing.assert_allclose(np.diff(np.log10(SIGMAS)), 1 / 9)
    assert (len(SIGMAS), SIGMAS[0], SIGMAS[-1]) == (10, 0.1, 1)


@pytest.mark.parametrize(("D", "m", "n"), [(784, 3000, 500), (4, 100, 7)])
def test_threads_do_not_change_the_bits(D, m, n):
    """OpenBLAS's own threads change the last bits of 784 dimensions."""
    rng = np.random.default_rng(0)
    X, centers = rng.random((n, D)), rng.random((m, D))
    found = []
    for threads in (1, 2, 4):
        with blas.controller().limit(limits=threads, user_api="blas"):
            found.append(log_density(X, centers, [0.2, 0.5]))
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])
