"""Times of the default MNIST model on each engine: compile, training step, reverse step, peak memory.

python benchmarks/steps.py [ENGINE ...]     each engine in a process of its own, table and JSON on stdout
"""

import argparse
import json
import platform
import resource
import subprocess
import sys
import time

import numpy as np


def measure(engine_name, batch, repeats):
    """One engine: dict of seconds (medians and spreads), and MiB."""
    from dpm.backend import Engine
    from dpm.model import DiffusionModel
    from dpm.objective import CompiledModel

    engine = Engine(engine_name, "float32")
    with engine:
        model = DiffusionModel(28, 1, uniform_noise=0.0127)
    compiled = CompiledModel(model, engine)
    rng = np.random.default_rng(0)
    theta = compiled.start(rng)
    shape = (batch, 1, 28, 28)
    X, N, U = rng.standard_normal(shape), rng.standard_normal(shape), rng.random(shape)
    t = rng.integers(2, 1001, batch)
    inputs = [engine.asarray(a) for a in (X, t, N, U, np.ones(batch))]
    known, observed, precision = (engine.asarray(np.zeros(s)) for s in ((49, 1, 28, 28), (49, 1, 28, 28), 49))

    from dpm.sampler import diffusion_step

    begin = time.perf_counter()
    objective = compiled.objective(batch)
    objective(theta, *inputs)
    compile_training = time.perf_counter() - begin
    begin = time.perf_counter()
    step = compiled.get("reverse", 49, "XtNKOw", lambda *a: diffusion_step(model, *a))
    reverse_inputs = (theta, inputs[0][:49], inputs[1][:49], inputs[2][:49], known, observed, precision)
    step(*reverse_inputs)
    compile_sampling = time.perf_counter() - begin
    return {
        "parameters": compiled.layout.size,
        "compile training": compile_training,
        "compile sampling": compile_sampling,
        f"training step, batch {batch}": timed(lambda: objective(theta, *inputs), repeats),
        "reverse step, 49 pictures": timed(lambda: step(*reverse_inputs), 4 * repeats),
        "peak memory, MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def timed(function, repeats):
    """[median, smallest, largest] seconds."""
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - begin)
    return [float(np.median(seconds)), min(seconds), max(seconds)]


def main():
    """Measure each engine twice, the second time with warm caches."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("engines", nargs="*", default=["jax", "numba"])
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.batch, options.repeats)))
        return
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}")
    for engine in options.engines:
        for temperature in ("first run", "second run"):
            command = [sys.executable, __file__, "--one", engine]
            command += ["--batch", str(options.batch), "--repeats", str(options.repeats)]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            for name, value in json.loads(output.splitlines()[-1]).items():
                shown = value if isinstance(value, list) else [value]
                print(
                    f"{engine:6} {temperature:11} {name:28} " + "  ".join(f"{v:.3f}" for v in shown),
                    flush=True,
                )


if __name__ == "__main__":
    main()
