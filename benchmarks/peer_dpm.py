"""This program on one engine, as a worker of the benchmark; its commands are those of benchmarks/peer_torch.py.

python -m benchmarks.peer_dpm ENGINE [--model-args n_scales=2,...] [--dtype float64]
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.worker import peak_memory, serve, timed
from dpm.base.noise import ExampleNoise
from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.experiments.variants import CORRECTED
from dpm.extensions import EveryN, standard_extensions
from dpm.likelihood.bound import K_minus_L_null
from dpm.model import DiffusionModel
from dpm.optimizers import RMSProp
from dpm.runs.data import prepared_data
from dpm.runs.flags import DTYPES, parse_literals
from dpm.sampler import generate_samples, reverse_steps
from dpm.training.run import build_loop, gray_level_noise, new_flags, run_config

LEARNING_RATE = 1e-3
PICTURES = 49
EXAMPLES = 64  # that are exported; larger batches are these over and over


class Enough(Exception):
    """Ends a trajectory that is not wanted whole."""


class Peer:
    """What the lines on stdin name; each answers seconds, unless it says otherwise."""

    def __init__(self, engine_name, model_args, dtype):
        given = {"backend": engine_name, "quiet": True, "optimizer": "rmsprop"}
        self.flags, _ = new_flags(given | {"epochs": 10**9, "ext_every_n": 10**9})
        self.data = prepared_data(self.flags, CORRECTED, None)
        self.engine = Engine(engine_name, dtype)
        with self.engine:
            arguments = {"spatial_width": 28, "n_colors": 1, "uniform_noise": gray_level_noise(CORRECTED, self.data)}
            self.model = DiffusionModel(**(arguments | model_args))
        self.compiled = CompiledModel(self.model, self.engine)
        rng = np.random.default_rng(0)
        self.theta = self.compiled.start(rng)
        # Biases start at 0, with which a check would see little of them.
        self.theta += self.engine.asarray(0.01 * rng.standard_normal(self.theta.shape))
        self.rule = RMSProp(self.compiled.layout.size, dtype)
        shape = (EXAMPLES, *self.model.example_shape)
        t = rng.integers(2, self.model.trajectory_length + 1, EXAMPLES)
        arrays = rng.standard_normal(shape), t, rng.standard_normal(shape), rng.random(shape)
        self.examples = [self.engine.asarray(a) for a in arrays]
        self.loop = None
        names = ("export", "answers", "first", "step", "reverse", "K", "sampling", "epoch")
        self.commands = {name: getattr(self, name) for name in names} | {"memory": peak_memory}

    def batch(self, size):
        """(X, t, N, U, weights), the examples over and over."""
        arrays = [np.resize(a, (size, *a.shape[1:])) for a in self.examples]
        return *arrays, np.ones(size, self.engine.dtype)

    def export(self, path):
        """Write the case that a peer loads, arguments, parameters, examples and digits; answers how many parameters."""
        parameters = self.compiled.layout.split(self.theta)
        np.savez(
            path,
            arguments=json.dumps(self.model.arguments),
            **dict(zip("XtNU", self.examples, strict=True)),
            **{part: self.data[part] for part in ("train", "test")},
            **{f"parameter:{name}": array for name, array in parameters.items()},
        )
        return self.compiled.layout.size

    def answers(self, path):
        """Write what comes out for the examples: mu and sigma of X at t, cost and its gradient; answers the cost."""
        theta, batch = self.theta, self.batch(EXAMPLES)
        mu, sigma = self.compiled.reverse(EXAMPLES)(theta, *batch[:2])
        cost, gradient = self.compiled.objective(EXAMPLES)(theta, *batch)
        gradients = {f"gradient:{name}": array for name, array in self.compiled.layout.split(gradient).items()}
        np.savez(path, mu=mu, sigma=sigma, cost=cost, **gradients)
        return float(cost)

    def train(self, batch):
        """One step of RMSProp."""
        _, gradient = self.compiled.objective(len(batch[0]))(self.theta, *batch)
        self.theta = self.rule.step(self.theta, gradient, LEARNING_RATE)

    def first(self, size):
        """The first training step of the process: building, compiling and running it."""
        batch = self.batch(int(size))
        begin = time.perf_counter()
        self.train(batch)
        return time.perf_counter() - begin

    def step(self, size, calls=1):
        """A training step: cost, gradient, update."""
        batch = self.batch(int(size))
        return timed(lambda: self.train(batch), int(calls))

    def reverse(self, calls):
        """A reverse step of 49 pictures."""
        X, t, N, _, _ = self.batch(PICTURES)
        step = reverse_steps(self.compiled, PICTURES, 1)
        nothing = np.zeros_like(X), np.zeros_like(X), np.zeros_like(t)
        return timed(lambda: step(self.theta, X, *nothing, t[:, None], N[:, None]), int(calls))

    def K(self, size):
        """K over the test digits, one time each."""
        begin = time.perf_counter()
        K_minus_L_null(self.compiled, self.theta, self.data["test"], 0, int(size))
        return time.perf_counter() - begin

    def sampling(self, steps):
        """So many reverse steps of 49 pictures from t = T on, noise drawn at each."""
        last = self.model.trajectory_length - int(steps)

        def stop(t, X):
            if t == last:
                raise Enough

        begin = time.perf_counter()
        try:
            generate_samples(self.compiled, self.theta, PICTURES, ExampleNoise(0, 0, PICTURES), callback=stop)
        except Enough:
            return time.perf_counter() - begin
        raise ValueError(f"steps: {steps} is not accepted; it is a number below T - 1")

    def epoch(self, size):
        """An epoch of train.py, its log and checkpoint included, its pictures not."""
        if self.loop is None:
            self.flags["batch_size"] = int(size)
            self.loop = build_loop(self.flags, CORRECTED, self.data, self.compiled)
            config = run_config(self.flags, CORRECTED, self.data, self.model)
            self.folder = tempfile.TemporaryDirectory(prefix="bench")
            extensions = standard_extensions(Path(self.folder.name), config, self.data, self.flags)
            self.loop.extensions = [e for e in extensions if not isinstance(e, EveryN)]
            for extension in self.loop.extensions:
                if hasattr(extension, "before_training"):
                    extension.before_training(self.loop)
            self.loop._skipped_before = 0
        begin = time.perf_counter()
        self.loop.train_epoch()
        return time.perf_counter() - begin


def main():
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("engine")
    parser.add_argument("--model-args", default="")
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    options = parser.parse_args()
    serve(Peer(options.engine, parse_literals(options.model_args), options.dtype).commands)


if __name__ == "__main__":
    main()
