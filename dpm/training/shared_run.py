"""Distributed training: its engine, checks that all processes agree, and extensions for processes that do not write.

Process 0 writes the run folder and prints. The other processes call the same compiled loops in the same order.
"""

from importlib.metadata import version
from typing import Any

import dpm
from dpm.base.hashing import hash_array
from dpm.engines.engine import Engine
from dpm.engines.peers import check_alike
from dpm.extensions import DrawSamples, LogLikelihood
from dpm.runs.data import RunData
from dpm.runs.launch import check_choices
from dpm.runs.settings import Settings
from dpm.training.loop import Loop
from dpm.training.monitoring import EveryN, HeldOutBound, Monitoring, WriteResult

# Settings that may differ: what a process prints, and where things are on its host.
OF_A_PROCESS = ("quiet", "tensorboard", "output_dir", "resume_file", "data_path", "threads", "suffix", "keep")
PACKAGES = ("pytensor", "jax", "numpy")


def build_shared_engine(settings: Settings) -> Engine:
    """Return the engine of a distributed run, which divides each minibatch among all devices of all processes.

    Raises:
        InputError: as check_choices.
    """
    check_choices(settings)
    return Engine(settings.backend, settings.dtype, settings.threads, settings.precision, distributed=True)


def check_settings(engine: Engine, settings: Settings) -> None:
    """Raise InputError, in all processes, unless all have the same settings and versions."""
    flags = {f"--{k.replace('_', '-')}": v for k, v in settings.flags().items() if k not in OF_A_PROCESS}
    versions = {"dpm": dpm.__version__, **{name: version(name) for name in PACKAGES}}
    check_alike(engine.peers, flags | versions)


def check_start(engine: Engine, loop: Loop, data: RunData) -> None:
    """Raise InputError, in all processes, unless all have the same data and begin at the same step and parameters."""
    start = {"data": data.hash, "step": loop.state.step, "parameters": hash_array(loop.averaged_theta)}
    check_alike(engine.peers, start)


def silent_extensions(data: RunData, settings: Settings) -> list[Any]:
    """Return the extensions of a process that writes nothing: those that call loops, in the order of process 0."""
    every, before = settings.ext_every_n, settings.plot_before_training
    held_out = HeldOutBound(data.test, every)
    samples = DrawSamples(data, settings.plots == "all")
    plots = [] if settings.plots == "none" else [EveryN(samples, every, before)]
    line = EveryN(LogLikelihood(held_out, quiet=True), every)
    return [Monitoring(held_out), WriteResult(None, held_out, {}), *plots, line]
