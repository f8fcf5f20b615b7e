"""Memory and open files do not grow in long runs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import runs

ROOT = Path(__file__).parents[2]
WATCH = """
import json, os, sys
import pytest
from dpm.commands import train
from tests.helpers import runs

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20
"""
TRAIN = (
    WATCH
    + """
seen = {}

class Watch:
    def after_batch(self, loop):
        if loop.state.step % 500 == 0:
            seen[loop.state.step] = resident(), len(os.listdir("/proc/self/fd"))

runs.without_plots(pytest.MonkeyPatch(), Watch())
assert train.main() == 0
print(json.dumps(seen))
"""
)
SAMPLE = (
    WATCH
    + """
import numpy as np
from dpm.engines.engine import Engine
from dpm.model import DiffusionModel
from dpm.base.noise import ExampleNoise
from dpm.engines.compiled import CompiledModel
from dpm.sampler import generate_samples

T, n, seen = 1000, 100, {}
engine = Engine()
with engine:
    model = DiffusionModel(spatial_width=16, n_colors=1, trajectory_length=T, n_hidden_conv=2, n_layers_conv=1,
                           n_hidden_dense_lower=0, n_hidden_dense_upper=2, n_temporal_basis=2)
compiled = CompiledModel(model, engine)
theta = compiled.start(np.random.default_rng(0))

def watch(t, X):
    if T - t in (10, T):
        seen[T - t] = resident()

generate_samples(compiled, theta, n, ExampleNoise(0, 0, n), callback=watch)
print(json.dumps(seen))
"""
)


def run_script(script, *arguments):
    """Run a script; return the JSON of its last line, with integer keys."""
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr
    return {int(key): value for key, value in json.loads(done.stdout.splitlines()[-1]).items()}


@pytest.mark.thorough
@pytest.mark.parametrize("steps", [2000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_memory_of_training_does_not_grow_after_500_steps(tmp_path, steps):
    """At most 20 MB more, while a minibatch with its noise takes 20 kB, and not one more open file."""
    runs.write_data(tmp_path, runs.pixels(2500), runs.pixels(100, seed=1))
    seen = run_script(TRAIN, *runs.arguments(tmp_path, tmp_path, "--epochs", steps // 100))
    assert list(seen) == list(range(500, steps + 1, 500))
    memory, files = zip(*seen.values(), strict=True)
    print(f"resident MB every 500 steps: {memory}; open files: {files}")
    assert max(memory) - memory[0] <= 20
    assert len(set(files)) == 1


@pytest.mark.thorough
def test_memory_of_sampling_does_not_grow_after_10_steps():
    """T = 1000; keeping all states would take 100 MB."""
    seen = run_script(SAMPLE)
    print(f"resident MB after 10 and 1000 steps: {seen}")
    assert seen[1000] - seen[10] <= 50
