"""This program on one engine, as a worker of the benchmark; its commands are those of benchmarks/peer_torch.py.

python -m benchmarks.peer_dpm ENGINE [--model-args n_scales=2,...] [--dtype float64]
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.worker import peak_memory, serve, time_calls
from dpm.base.arguments import parse_literals
from dpm.base.noise import ExampleNoise
from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.engines.names import DTYPES
from dpm.extensions import standard_extensions
from dpm.likelihood.bound import terms
from dpm.model import DiffusionModel
from dpm.optimizers import RMSProp
from dpm.runs.data import load_data
from dpm.runs.settings import Settings
from dpm.sampler import generate_samples, reverse_steps
from dpm.training.building import build_loop, gray_level_noise
from dpm.training.loop import Loop
from dpm.training.monitoring import EveryN
from dpm.training.run import run_config

LEARNING_RATE = 1e-3
IMAGES = 49
EXAMPLES = 64  # exported; larger batches repeat them


class Enough(Exception):
    """Raised to end a trajectory early."""


class Peer:
    """Commands of the worker; each answers seconds, unless it says otherwise."""

    def __init__(self, engine_name: str, model_args: dict[str, Any], dtype: str) -> None:
        given = {"backend": engine_name, "quiet": True, "optimizer": "rmsprop"}
        self.settings = Settings.from_arguments(**given, epochs=10**9, ext_every_n=10**9)
        self.data = load_data(self.settings)
        self.engine = Engine(engine_name, dtype)
        with self.engine:
            noise = gray_level_noise(self.settings.variant, self.data)
            arguments = {"spatial_width": 28, "n_colors": 1, "uniform_noise": noise}
            self.model = DiffusionModel(**(arguments | model_args))
        self.compiled = CompiledModel(self.model, self.engine)
        rng = np.random.default_rng(0)
        self.theta = self.compiled.start(rng)
        # Biases start at 0, where a check would see little of them.
        self.theta += self.engine.asarray(0.01 * rng.standard_normal(self.theta.shape))
        self.rule = RMSProp(self.compiled.layout.size, dtype)
        shape = (EXAMPLES, *self.model.example_shape)
        t = rng.integers(2, self.model.trajectory_length + 1, EXAMPLES)
        arrays = rng.standard_normal(shape), t, rng.standard_normal(shape), rng.random(shape)
        self.examples = [self.engine.asarray(a) for a in arrays]
        self.loop: Loop | None = None
        names = ("export", "answers", "first", "step", "reverse", "K", "sampling", "epoch")
        self.commands = {name: getattr(self, name) for name in names} | {"memory": peak_memory}

    def batch(self, size: int) -> list[np.ndarray]:
        """Return X, t, N, U and weights of a batch that repeats the examples."""
        arrays = [np.resize(a, (size, *a.shape[1:])) for a in self.examples]
        return [*arrays, np.ones(size, self.engine.dtype)]

    def export(self, path: str) -> int:
        """Write the case that a peer loads, with parameters, examples and digits; answer the number of parameters."""
        parameters = self.compiled.layout.split(self.theta)
        arrays = dict(zip("XtNU", self.examples, strict=True)) | {"train": self.data.train, "test": self.data.test}
        arrays |= {f"parameter:{name}": array for name, array in parameters.items()}
        np.savez(path, arguments=np.array(json.dumps(self.model.arguments)), **arrays)
        return self.compiled.layout.size

    def answers(self, path: str) -> float:
        """Write the results for the examples: mu and sigma, cost and its gradient; answer the cost."""
        theta, batch = self.theta, self.batch(EXAMPLES)
        mu, sigma = self.compiled.reverse(EXAMPLES)(theta, *batch[:2])
        cost, gradient = self.compiled.objective(EXAMPLES)(theta, *batch)
        gradients = {f"gradient:{name}": array for name, array in self.compiled.layout.split(gradient).items()}
        np.savez(path, mu=mu, sigma=sigma, cost=cost, **gradients)
        return float(cost)

    def train(self, batch: list[np.ndarray]) -> None:
        """Take one step of RMSProp."""
        _, gradient = self.compiled.objective(len(batch[0]))(self.theta, *batch)
        self.theta = self.rule.step(self.theta, gradient, LEARNING_RATE)

    def first(self, size: str) -> float:
        """Time the first training step of the process: building, compiling and running it."""
        batch = self.batch(int(size))
        begin = time.perf_counter()
        self.train(batch)
        return time.perf_counter() - begin

    def step(self, size: str, calls: str = "1") -> float:
        """Time a training step: cost, gradient, update."""
        batch = self.batch(int(size))
        return time_calls(lambda: self.train(batch), int(calls))

    def reverse(self, calls: str) -> float:
        """Time a reverse step of 49 images."""
        X, t, N, _, _ = self.batch(IMAGES)
        step = reverse_steps(self.compiled, IMAGES, 1)
        nothing = np.zeros_like(X), np.zeros_like(X), np.zeros_like(t)
        return time_calls(lambda: step(self.theta, X, *nothing, t[:, None], N[:, None]), int(calls))

    def K(self, size: str) -> float:
        """Time K over the test digits, one time t each, with the measurement of their density."""
        begin = time.perf_counter()
        terms(self.compiled, self.theta, self.data.test, 0, times_per_example=1, batch_size=int(size))
        return time.perf_counter() - begin

    def sampling(self, steps: str) -> float:
        """Time the first reverse steps of 49 images from t = T, each with new noise."""
        last = self.model.trajectory_length - int(steps)

        def stop(t: int, X: np.ndarray) -> None:
            if t == last:
                raise Enough

        begin = time.perf_counter()
        try:
            generate_samples(self.compiled, self.theta, IMAGES, ExampleNoise(0, 0, IMAGES), callback=stop)
        except Enough:
            return time.perf_counter() - begin
        raise ValueError(f"steps: got {steps}; expected a number below T - 1")

    def epoch(self, size: str) -> float:
        """Time an epoch of training, with its log and checkpoint, without its plots."""
        if self.loop is None:
            self.loop = self.prepare_loop(int(size))
        begin = time.perf_counter()
        self.loop.train_epoch()
        return time.perf_counter() - begin

    def prepare_loop(self, size: int) -> Loop:
        """Return the loop of a training run, ready for its first epoch."""
        settings = self.settings.replace(batch_size=size)
        loop = build_loop(settings, self.data, self.compiled)
        config = run_config(settings, self.data, self.model, ["benchmark"])
        self.folder = tempfile.TemporaryDirectory(prefix="bench")
        extensions = standard_extensions(Path(self.folder.name), config, self.data, settings)
        loop.extensions = [e for e in extensions if not isinstance(e, EveryN)]
        for extension in loop.extensions:
            if hasattr(extension, "before_training"):
                extension.before_training(loop)
        loop._skipped_before = 0
        return loop


def main() -> None:
    """Serve the commands."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("engine")
    parser.add_argument("--model-args", default="")
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    options = parser.parse_args()
    serve(Peer(options.engine, parse_literals(options.model_args), options.dtype).commands)


if __name__ == "__main__":
    main()
