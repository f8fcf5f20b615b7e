"""This program with everything on the device, as a worker of benchmarks/gpu.py.

python -m benchmarks.peer_device [--experiment cifar10] [--precision tf32] [--noise host --dtype float64]

With --noise host it is the reference for the results. The commands device_step, K_all and samples are those of
benchmarks/peer_torch.py.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from benchmarks.worker import serve, time_calls
from dpm.base import noise
from dpm.engines.compiled import CompiledModel, cost_and_gradient
from dpm.engines.device_arrays import LoopArrays, make_keys
from dpm.engines.engine import Engine
from dpm.engines.inputs import StepInputs
from dpm.engines.names import DTYPES, NOISE_SOURCES, PRECISIONS
from dpm.likelihood.bound import terms
from dpm.runs.data import RunData, load, load_data
from dpm.runs.settings import Settings
from dpm.training.building import build_engine, build_loop, build_model
from dpm.training.loop import Loop
from dpm.trajectories.draws import draw_batches

EXAMPLES = 64  # of the check
IMAGES = 4000, 1000  # random ones in place of CIFAR-10, which is not part of this repository


class Traffic:
    """Counts what an engine compiles, and the bytes that calls send and fetch.

    Args:
        engine: its methods are replaced by counting ones.
    """

    def __init__(self, engine: Engine) -> None:
        self.functions = self.sent = self.fetched = 0
        for name in ("function", "cached_function", "loop"):
            setattr(engine, name, self._count_call(getattr(engine, name)))
        to_device, to_host = engine.to_device, engine.to_host

        def send(array: Any) -> Any:
            self.sent += array.nbytes if isinstance(array, np.ndarray) else 0
            return to_device(array)

        def fetch(arrays: Any) -> Any:
            self.fetched += count_bytes(arrays)
            return to_host(arrays)

        engine.to_device, engine.to_host = send, fetch  # type: ignore[method-assign]

    def _count_call(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            self.functions += 1
            return function(*arguments, **named)

        return call


def count_bytes(arrays: Any) -> int:
    """Return the bytes of arrays in any nest of lists."""
    if isinstance(arrays, list | tuple):
        return sum(map(count_bytes, arrays))
    return int(arrays.nbytes)


class Peer:
    """Commands of the worker; each answers seconds, unless it says otherwise.

    Args:
        settings: of a training run.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings, self.data = settings, read_data(settings)
        self.engine = build_engine(settings)
        self.traffic = Traffic(self.engine)
        with self.engine:
            self.model = build_model(settings, self.data)
        self.compiled = CompiledModel(self.model, self.engine)
        rng = np.random.default_rng(0)
        self.theta = self.compiled.start(rng)
        # Biases start at 0, where a check would see little of them.
        self.theta += self.engine.asarray(0.01 * rng.standard_normal(self.theta.shape))
        self.loops: dict[int, Loop] = {}
        names = ("facts", "outputs", "compare", "first", "device_step", "step_traffic", "K_all", "K_value", "samples")
        self.commands = {name: getattr(self, name) for name in names}

    def facts(self) -> dict[str, Any]:
        """Answer the device, and the number of parameters."""
        import jax

        return {"device": jax.devices()[0].device_kind, "cpu": self.engine.on_cpu, "size": self.compiled.layout.size}

    # ------------------------------------------------------------------ results

    def outputs(self, path: str) -> float:
        """Write what the device draws for a step and what it computes from that; answer the cost."""
        compiled, asarray = self.compiled, self.engine.asarray
        X, t, weights = (compiled.examples("X", EXAMPLES), *(compiled.numbers(n, EXAMPLES) for n in ("t", "weights")))
        drawn = tuple((compiled.examples(name, EXAMPLES), kind) for name, kind in (("N", "normal"), ("U", "uniform")))
        build = partial(_cost_gradient_and_draws, self.model, tuple(compiled.layout.parameters))
        inputs = StepInputs((), (X, t, weights), (), drawn)
        loop = compiled.loop(build, inputs, 1)
        rng = np.random.default_rng(1)
        times = rng.integers(2, self.model.trajectory_length + 1, EXAMPLES)
        constants = [self.data.train[:EXAMPLES], times, np.full(EXAMPLES, 1 / EXAMPLES)]
        keys = make_keys(noise.device_key(0, noise.TRAINING), [0], range(EXAMPLES))
        arrays = LoopArrays(self.engine, inputs, self.theta, [], [*map(asarray, constants)], [], keys)
        values = [array[0] for array in self.engine.to_host(arrays.run(loop, 0, 1))]
        names = ("cost", "gradient", "N", "U", "X", "t", "weights")
        np.savez(path, theta=self.theta, **dict(zip(names, [*values, *constants], strict=True)))
        return float(values[0])

    def compare(self, path: str) -> dict[str, float]:
        """Answer how far the cost and the gradient at this path are from those of this engine, as shares."""
        with np.load(path, allow_pickle=False) as file:
            given = {name: self.engine.asarray(file[name]) for name in file.files}
        function = self.compiled.objective(EXAMPLES)
        cost, gradient = function(given["theta"], *(given[name] for name in ("X", "t", "N", "U", "weights")))
        return {"cost": abs(float(given["cost"] / cost - 1)), "gradient": distance(given["gradient"], gradient)}

    def K_value(self, n: str) -> float:
        """Answer K of test examples over every t, in nats per example."""
        return float(terms(self.compiled, self.theta, self.data.test[: int(n)], 0).K.mean())

    # ------------------------------------------------------------------ speed

    def loop(self, size: int, examples: int | None = None) -> Loop:
        """Return a loop of this batch size, over all training data or the first ones."""
        data = replace(self.data, train=self.data.train[:examples])
        loop = build_loop(self.settings.replace(batch_size=size), data, self.compiled)
        loop.extensions = []
        return loop

    def first(self, size: str) -> float:
        """Time the first training step of the process."""
        loop = self.loop(int(size), int(size))
        begin = time.perf_counter()
        loop.train_epoch()
        return time.perf_counter() - begin

    def device_step(self, size: str, epochs: str = "1", examples: str = "4000") -> float:
        """Time a training step, as a share of an epoch: minibatch, noise, cost, gradient, update."""
        if int(size) not in self.loops:
            self.loops[int(size)] = self.loop(int(size), int(examples))
        loop = self.loops[int(size)]
        return time_calls(loop.train_epoch, int(epochs)) / loop.epoch_length

    def step_traffic(self, size: str, examples: str) -> dict[str, float]:
        """Answer the bytes sent and fetched for a training step, and the number of functions compiled so far."""
        self.device_step(size, "1", examples)
        loop, before = self.loops[int(size)], (self.traffic.sent, self.traffic.fetched)
        loop.train_epoch()
        sent, fetched = (now - b for now, b in zip((self.traffic.sent, self.traffic.fetched), before, strict=True))
        return {
            "sent": sent / loop.epoch_length,
            "fetched": fetched / loop.epoch_length,
            "functions": self.traffic.functions,
        }

    def K_all(self, n: str) -> float:
        """Time K of test examples over every t."""
        begin = time.perf_counter()
        self.K_value(n)
        return time.perf_counter() - begin

    def samples(self, n: str) -> float:
        """Time whole reverse trajectories of n images."""
        begin = time.perf_counter()
        for _ in draw_batches(self.compiled, self.theta, int(n), 0):
            pass
        return time.perf_counter() - begin


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Return the length of a - b as a share of that of b."""
    return float(np.linalg.norm(np.subtract(a, b, dtype=np.float64)) / np.linalg.norm(b.astype(np.float64)))


def read_data(settings: Settings) -> RunData:
    """Return the digits, or random images in place of CIFAR-10."""
    if settings.experiment is None:
        return load_data(settings)
    rng = np.random.default_rng(0)
    train, test = (rng.integers(0, 256, (n, 3, 32, 32), np.uint8) for n in IMAGES)
    return load((train, test), dtype=settings.dtype)


def _cost_gradient_and_draws(model: Any, paths: Sequence[str], X: Any, t: Any, weights: Any, N: Any, U: Any) -> Any:
    """Return cost, gradient, N and U as graphs."""
    return [*cost_and_gradient(model, paths, X, t, N, U, weights), N, U]


def main() -> None:
    """Serve the commands."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--experiment", choices=("cifar10",))
    parser.add_argument("--precision", choices=PRECISIONS, default="float32")
    parser.add_argument("--noise", choices=NOISE_SOURCES, default="device")
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    options = {name: value for name, value in vars(parser.parse_args()).items() if value is not None}
    updates = "graph" if options["noise"] == "device" else "host"
    more = {"backend": "jax", "quiet": True, "optimizer": "rmsprop", "epochs": 10**9, "updates": updates}
    serve(Peer(Settings.from_arguments(**options, **more)).commands)


if __name__ == "__main__":
    main()
