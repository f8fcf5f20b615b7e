"""The lines that a run prints before training and at its end."""

import sys
from pathlib import Path

import numpy as np

from dpm.base.errors import InputError
from dpm.base.wording import count, plural
from dpm.experiments.variants import RELEASED
from dpm.graph.diffusion import Diffusion
from dpm.runs.data import RunData
from dpm.runs.folder import NEWEST
from dpm.runs.setting_checks import FROZEN
from dpm.runs.settings import ends_by_hours
from dpm.training.cluster_run import describe_cluster
from dpm.training.device_loop import DeviceLoop
from dpm.training.loop import Loop
from dpm.training.variable_projection import ProjectionLoop


def summarize(loop: Loop, data: RunData, seconds: float, folder: Path, optimizer: str | None) -> str:
    """Return the lines that are printed before training."""
    steps = plural(loop.epoch_length, "subfunction" if optimizer in FROZEN else "step")
    model = loop.compiled.model
    shape = "x".join(map(str, model.example_shape))
    resumed = f"resumed at epoch {loop.epoch}, step {loop.state.step}; " if loop.state.step else ""
    name = (model.arguments or {}).get("network", type(model).__name__)
    lines = [
        f"data     {data.name} from {data.path}: {len(data.train)} train, {len(data.test)} test, {shape}",
        f"         {data.units}",
        *describe_dequantization(data, model),
        f"model    {name}: {loop.compiled.layout.size:,} parameters, T = {model.trajectory_length}, "
        f"trained {'as released' if loop.variant is RELEASED else 'with the corrections'} (docs/from-2015.md)",
        *describe_unused(model),
        f"engine   {loop.compiled.engine}; compiled in {seconds:.1f} s",
        f"training {optimizer}, {loop.epoch_length} {steps} per epoch, {describe_length(loop)}, {resumed}"
        f"seed {loop.seed}",
        describe_objective(loop),
        *describe_device(loop),
        *describe_cluster(loop),
        f"folder   {folder}",
    ]
    return "\n".join(([data.note] if data.note else []) + lines)


def describe_dequantization(data: RunData, model: Diffusion) -> list[str]:
    """Return a line on the uniform noise of 8-bit levels; no line for other data."""
    if not data.quantized:
        return []
    if not model.uniform_noise:
        return ["         not dequantized, as uniform_noise=0: only beta_1 limits K (docs/schedules.md)"]
    return [f"         dequantized by uniform noise of width {model.uniform_noise:.5g}"]


def describe_unused(model: Diffusion) -> list[str]:
    """Return a line on an argument of the model that has no effect next to the others, or no line."""
    arguments = model.arguments or {}
    depth = arguments.get(str(arguments.get("dense_lower_depth")))
    if depth == 1 and arguments["n_hidden_dense_lower"]:
        return ["         n_hidden_dense_lower has no effect: a dense path of one layer has no hidden units"]
    return []


def describe_length(loop: Loop) -> str:
    """Return the epochs or hours after which training ends."""
    if loop.hours is None:
        return count(loop.epochs, "epoch")
    hours = f"{loop.hours:g} {plural(loop.hours, 'hour')}"
    return hours if ends_by_hours(loop.epochs, loop.hours) else f"{count(loop.epochs, 'epoch')} or {hours}"


def describe_objective(loop: Loop) -> str:
    """Return a line that names the objective and the times."""
    if isinstance(loop, ProjectionLoop):
        return "         objective K, all times of each example (docs/training.md)"
    if loop.variant.single_time:
        return "         objective K, one time for each minibatch, as released (docs/from-2015.md)"
    names = (loop.time_weights.objective, loop.time_weights.times) if loop.time_weights else ("K", "stratified")
    return "         objective {}, {} times (docs/training.md)".format(*names)


def describe_device(loop: Loop) -> list[str]:
    """Return a line on updates in the graph, or no line."""
    if not isinstance(loop, DeviceLoop):
        return []
    line = f"         updates in the graph, noise from the {loop.compiled.engine.noise} (docs/performance.md)"
    if not loop.compiled.engine.distributed:
        return [line]
    peers = loop.compiled.engine.peers
    devices = f"{count(peers.n_devices, 'device')} of {count(peers.count, 'process')}"
    return [line, f"         minibatches divided among {devices} (docs/scaling.md)"]


def report_end(loop: Loop, finished: bool, folder: Path) -> int:
    """Print how training ended and return the exit status. Raises InputError if it diverged."""
    step = loop.saved_step
    place = f"{folder / NEWEST} (epoch {step // loop.epoch_length}, step {step})"
    if NEWEST in loop.unsaved:
        place += f"; what was trained after it, up to step {loop.state.step}, is lost"
    if loop.diverged:
        raise InputError(f"{divergence(loop)}. The parameters before them are in {place}")
    state = "finished" if finished else "stopped; resume it with --resume-file"
    if loop.ended_by_itself:
        state += f", as {loop.ended_by_itself}"
    if loop.out_of_time:
        state += f", as --hours {loop.hours:g} are used up"
    print(f"{state}: {place}")
    if loop.time_weights and (n := loop.time_weights.sizes.not_finite):
        print(f"{count(n, 'term')} of K {'was' if n == 1 else 'were'} not finite and left out of their sizes")
    if loop.unsaved:
        print(f"not saved: {', '.join(sorted(loop.unsaved))}; the warnings above say why", file=sys.stderr)
    return 1 if loop.unsaved else 0


def divergence(loop: Loop) -> str:
    """Return an explanation of why training was given up."""
    if any(np.isfinite(row["train_K"]) for row in loop.state.rows) or loop.state.weight_sum:
        advice = "take a smaller --lr" if loop.learning_rate else "take another --optimizer"
    else:
        advice = "no step was ever finite: check the data's range, --model-args and --lr"
    n = loop.state.skipped_in_a_row
    skipped = "a step was skipped" if n == 1 else f"{n} steps in a row were skipped"
    return f"training diverged: {skipped}, as the cost or its gradient was not finite (--max-skipped); {advice}"
