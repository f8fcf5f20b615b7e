"""Time dense products with one and two BLAS threads, on an idle machine and on one with busy cores.

    python -m benchmarks.blas_threads [--repeats 10] [--burners 2] [CASE ...]

Two threads of OpenBLAS wait for each other by spinning. Where other programs have the cores, a small product then takes
more processor time than work. Printed are medians of wall time and of processor time (all threads) per call. The
program's own limits (dpm.base.blas) are lifted for this.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import numpy as np
from threadpoolctl import threadpool_limits

from dpm.base import blas

BURNER = "while True: pass"


def closed_form() -> Callable[[], object]:
    """Return the solution for the readout of the mean of one step of the swiss roll: 80,000 x 257."""
    from dpm.training.least_squares import EXAMPLES, least_squares

    rng = np.random.default_rng(0)
    A, weights, y = rng.standard_normal((EXAMPLES, 257)), rng.uniform(1, 2, EXAMPLES), rng.standard_normal(EXAMPLES)
    return lambda: least_squares(A, weights, y)


def newton() -> Callable[[], object]:
    """Return a step of Newton's method for the readout of one step of the heartbeat: 10,000 x 51, 20 bits."""
    from dpm.training.bernoulli_readouts import EXAMPLES, newton

    rng = np.random.default_rng(0)
    A, target = rng.standard_normal((EXAMPLES, 51)), rng.uniform(size=(EXAMPLES, 20))
    return lambda: newton(A, target, np.zeros_like(target), np.zeros((51, 20)), prior=10.0)


def projection() -> Callable[[], object]:
    """Return a gradient of the swiss roll whose readouts the engine solves for: 39 times 17 unknowns, 500 points."""
    from dpm.runs.settings import Settings
    from dpm.training.building import prepare_loop

    given = {"experiment": "swissroll", "model_args": {"form": "paper"}, "small": True, "quiet": True}
    loop, data = prepare_loop(Settings.from_arguments(**given))
    inputs = loop.inputs(data.train[:500], 0)
    return lambda: loop.objective(inputs)


def sfo() -> Callable[[], object]:
    """Return 50 steps of SFO for 230 parameters in 31 subfunctions."""
    from benchmarks.sfo import Quadratics
    from dpm.optimizers import SFO

    optimizer = SFO(Quadratics(230, 31, "float64"), np.zeros(230), range(31), rng=np.random.default_rng(0))

    def steps() -> None:
        for _ in range(50):
            optimizer.step()

    return steps


def parzen() -> Callable[[], object]:
    """Return the Parzen window of 400 digits with 5,000 centers."""
    from dpm.likelihood.parzen_window import log_density

    rng = np.random.default_rng(0)
    X, centers = rng.standard_normal((400, 784)), rng.standard_normal((5000, 784))
    return lambda: log_density(X, centers, [0.2])


def density_model() -> Callable[[], object]:
    """Return the fit of 20 Gaussians of full covariance to 4,000 points."""
    from dpm.likelihood.density_models import gaussian_mixture

    X = np.random.default_rng(0).standard_normal((4000, 2))
    return lambda: gaussian_mixture(X, np.random.default_rng(0), "full", 1e-6, 20)


def exact_density() -> Callable[[], object]:
    """Return the density of the swiss roll at 100 points."""
    from dpm.experiments.exact.swiss_roll import log_density

    X = np.random.default_rng(0).standard_normal((100, 2))
    return lambda: log_density(X, 0.0024)


CASES = {f.__name__: f for f in (closed_form, newton, projection, sfo, parzen, density_model, exact_density)}


@contextmanager
def burners(n: int) -> Iterator[None]:
    """Run n processes that do nothing but use a core each."""
    with ExitStack() as stack:
        for _ in range(n):
            process = stack.enter_context(subprocess.Popen([sys.executable, "-c", BURNER]))
            stack.callback(process.kill)
        yield


def measure(call: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Return the median wall time and the median processor time of a call, in milliseconds."""
    times = []
    call()
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        call()
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    wall, cpu = (1e3 * statistics.median(values) for values in zip(*times, strict=True))
    return wall, cpu


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; default: all")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--burners", type=int, default=2)
    options = parser.parse_args(arguments)
    if unknown := set(options.cases) - set(CASES):
        parser.error(f"unknown case: {', '.join(unknown)}; expected of {', '.join(CASES)}")
    blas.SMALL = 0  # no product is small
    print("| case | burners | threads | wall, ms | processor, ms |\n|---|---|---|---|---|")
    for name in options.cases or CASES:
        call = CASES[name]()
        for n in sorted({0, options.burners}):
            with burners(n):
                for threads in (1, 2):
                    with threadpool_limits(threads, user_api="blas"):
                        wall, cpu = measure(call, options.repeats)
                    print(f"| {name} | {n} | {threads} | {wall:.1f} | {cpu:.1f} |", flush=True)


if __name__ == "__main__":
    main()
