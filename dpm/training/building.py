"""Build the model and the loop of a training run from its settings, compile them, and restore a checkpoint."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from dpm.base import noise
from dpm.base.arguments import check_names
from dpm.base.errors import InputError
from dpm.base.progress import Progress
from dpm.base.wording import plural
from dpm.engines import compile_times
from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.experiments.variants import PLAIN, Variant
from dpm.graph.networks.vectors import GaussianNetwork
from dpm.likelihood.bound import batch_size_of, default_times, terms
from dpm.model import DiffusionModel, argument_names
from dpm.optimizers import LBFGS, SFO, Adam, RMSProp
from dpm.optimizers.sfo import default_subspace
from dpm.runs import checkpoint
from dpm.runs.data import RunData, load_data
from dpm.runs.setting_checks import FROZEN
from dpm.runs.settings import Settings
from dpm.training import bernoulli_readouts
from dpm.training.device_loop import DeviceLoop
from dpm.training.frozen_loop import SubfunctionLoop, default_number
from dpm.training.loop import Loop, MainLoop
from dpm.training.readout_loop import KNOTS, ReadoutLoop
from dpm.training.recipe import Recipe
from dpm.training.state import TrainingState
from dpm.training.variable_projection import ProjectionLoop


def prepare_loop(settings: Settings, saved: Any = None, engine: Engine | None = None) -> tuple[Loop, RunData]:
    """Return the loop at its start, without extensions, and the data.

    Args:
        settings: of the run.
        saved: as in load_data.
        engine: that of the settings if None.
    """
    data = load_data(settings, saved)
    engine = engine or build_engine(settings)
    with engine:
        model = settings.toy.model(settings.model_args) if settings.toy else build_model(settings, data)
    loop = build_loop(settings, data, CompiledModel(model, engine))
    return loop, data


def build_engine(settings: Settings, name: str | None = None) -> Engine:
    """Return the engine of the settings; without a choice of noise, the device draws it only for updates there.

    name: of the engine, if not the settings'.
    """
    on_host = settings.updates == "host" or settings.toy or settings.optimizer in FROZEN
    noise_source = "host" if settings.noise is None and on_host else settings.noise
    name = settings.backend if name is None else name
    return Engine(name, settings.dtype, settings.threads, settings.precision, noise_source)


def updates_in_graph(settings: Settings, engine: Engine) -> bool:
    """Return True where the optimizer is part of the graph: as chosen, or for images on an accelerator."""
    if settings.updates is None and engine.noise == "device":
        return True
    default = not engine.on_cpu and not settings.toy and settings.optimizer not in FROZEN
    return default if settings.updates is None else settings.updates == "graph"


def build_model(settings: Settings, data: RunData) -> DiffusionModel:
    """Return the DiffusionModel of the settings for the data."""
    _, n_colors, width, _ = data.test.shape
    arguments: dict[str, Any] = {"spatial_width": width, "n_colors": n_colors}
    arguments["uniform_noise"] = gray_level_noise(settings.variant, data)
    for key in ("spatial_width", "n_colors"):
        if settings.model_args.get(key, arguments[key]) != arguments[key]:
            raise InputError(
                f"--model-args {key}={settings.model_args[key]!r} contradicts the data, whose {key} is {arguments[key]}"
            )
    arguments |= {"network": settings.model} | settings.variant.model_arguments
    return DiffusionModel(**(arguments | check_names(settings.model_args, argument_names())))


def gray_level_noise(variant: Variant, data: RunData) -> float:
    """Return the width, in the model's units, of the noise that dequantizes 8-bit levels; 0 for continuous data."""
    if not data.quantized:
        return 0.0
    scale = data.scaling.scale
    return scale / 255 if variant.dequantize_multiplied else 1 / 255 / scale


def build_loop(settings: Settings, data: RunData, compiled: CompiledModel) -> Loop:
    """Return the loop at its start, without extensions."""
    rng = noise.generator(settings.seed, noise.START, 1)
    if settings.toy and (compiled.model.arguments or {}).get("readouts") == "solved":
        loop: Loop = build_solving_loop(settings, data.train, compiled, rng)
    else:
        build = build_frozen_loop if settings.optimizer in FROZEN else build_main_loop
        loop = build(settings, data.train, compiled, compiled.start(rng))
    loop.max_skipped, loop.hours, loop.quiet = settings.max_skipped, settings.hours, settings.quiet
    return loop


def build_main_loop(settings: Settings, X: Any, compiled: CompiledModel, theta: np.ndarray) -> MainLoop:
    """Return the loop of an optimizer that steps after each minibatch."""
    kind = DeviceLoop if updates_in_graph(settings, compiled.engine) else MainLoop
    return kind(compiled, theta, build_rule(settings, compiled, theta), X, **_main_arguments(settings))


def build_solving_loop(settings: Settings, X: Any, compiled: CompiledModel, rng: np.random.Generator) -> MainLoop:
    """Return the loop of a toy problem that solves for its readouts: of a Gaussian in each step, of bits at last.

    Args:
        settings, compiled: of the run.
        X: training data.
        rng: draws the initial parameters.

    Raises:
        InputError: a choice of training has no effect in this loop.
    """
    advice = "leave it out, or set --model-args readouts='gradient'"
    if settings.optimizer in FROZEN:
        raise InputError(
            f"--optimizer {settings.optimizer} contradicts --model-args readouts='solved', which trains with adam or "
            f"rmsprop; {advice}"
        )
    if updates_in_graph(settings, compiled.engine):
        raise InputError(
            "--updates graph, --noise device: each step solves for the readouts on the host; leave them out, or set "
            "--model-args readouts='gradient'"
        )
    if isinstance(getattr(compiled.model, "network", None), GaussianNetwork):
        if settings.dtype != "float64":
            raise InputError(
                f"--dtype {settings.dtype}: has too few digits to solve for the readouts in each step; take float64, "
                "or set --model-args readouts='gradient'"
            )
        for key in ("times", "objective"):
            if getattr(settings, key) != PLAIN[key]:
                raise InputError(
                    f"--{key} {getattr(settings, key)} has no effect where each step solves for the readouts of all "
                    f"t; {advice}"
                )
        theta = compiled.start(rng)
        return ProjectionLoop(compiled, theta, build_rule(settings, compiled, theta), X, **_main_arguments(settings))
    if settings.hours is not None:
        raise InputError(
            f"--hours {settings.hours:g}: contradicts readouts='solved' of bits, which are solved for in the last "
            "epoch; leave it out and give --epochs, or set --model-args readouts='gradient'"
        )
    with compiled.engine:
        smooth = CompiledModel(bernoulli_readouts.smooth_model(compiled.model, KNOTS), compiled.engine)
    theta = smooth.start(rng)
    rule = build_rule(settings, smooth, theta)
    return ReadoutLoop(compiled, theta, rule, X, smooth=smooth, **_main_arguments(settings))


def build_rule(settings: Settings, compiled: CompiledModel, theta: np.ndarray) -> RMSProp | Adam:
    """Return the optimizer that steps after each minibatch."""
    layout = compiled.layout
    if settings.optimizer == "adam":
        return Adam(layout.size, theta.dtype, clip_norm=settings.clip_norm)
    blocks = list(layout.slices.values()) if settings.variant.step_by_parameter else None
    return RMSProp(layout.size, theta.dtype, blocks=blocks)


def _main_arguments(settings: Settings) -> dict[str, Any]:
    """Return the arguments of a MainLoop that are settings."""
    return {
        "variant": settings.variant,
        "batch_size": settings.batch_size,
        "lr": settings.lr,
        "epochs": settings.n_epochs,
        "seed": settings.seed,
        "dropout_rate": settings.dropout_rate,
        "recipe": build_recipe(settings),
    }


def build_recipe(settings: Settings) -> Recipe:
    """Return how a run trains."""
    return Recipe(*(getattr(settings, name) for name in Recipe._fields))


def build_frozen_loop(settings: Settings, X: Any, compiled: CompiledModel, theta: np.ndarray) -> SubfunctionLoop:
    """Return the loop of SFO or L-BFGS. Raises InputError if a checkpoint could not hold the optimizer's history."""
    number = settings.n_subfunctions or default_number(len(X))
    if number > len(X):
        raise InputError(
            f"--n-subfunctions: {number} is more than the {len(X)} training {plural(len(X), 'example')}; take fewer"
        )
    ahead = settings.subfunctions_ahead
    if ahead > number:
        raise InputError(f"--subfunctions-ahead: {ahead} is more than the {number} subfunctions; take fewer")
    is_sfo, size, epochs = settings.optimizer == "sfo", compiled.layout.size, settings.n_epochs
    passes = min(settings.refresh_noise or epochs, epochs)
    most = checkpoint.LARGEST_ARRAY / (size * (theta.itemsize if is_sfo else 8))
    rows = default_subspace(number) if is_sfo else passes
    if rows > most:
        advice = f"--refresh-noise or --epochs up to {int(most)}"
        if is_sfo:
            advice = f"--n-subfunctions up to {int(most / 3)}"
        raise InputError(
            f"--optimizer {settings.optimizer}: would store {rows} vectors of {size:,} parameters, more than a "
            f"checkpoint holds; take {advice}, or another optimizer"
        )
    kind: Callable[..., Any] = SFO if is_sfo else LBFGS
    return SubfunctionLoop(
        compiled,
        theta,
        kind,
        X,
        settings.variant,
        number,
        epochs=epochs,
        seed=settings.seed,
        refresh_noise=settings.refresh_noise,
        time_weights=build_recipe(settings).time_weights(compiled.model.trajectory_length),
        options={"n_ahead": ahead, "init_subf": max(2, ahead)} if is_sfo else {},
    )


def compile_functions(loop: Loop, test: np.ndarray, settings: Settings) -> float:
    """Compile the functions of an epoch, after a line that announces how long it may take; return the seconds."""
    engine = loop.compiled.engine
    choices = [settings.batch_size, settings.optimizer, settings.dropout_rate]
    key = compile_times.key_of(str(engine), engine.threads, loop.compiled.model.arguments, choices)
    before = compile_times.last_seconds(key)
    if not settings.quiet:
        estimate = "the first time with this model" if before is None else f"{before:.0f} s the last time"
        print(f"compiling with {engine.name}, {estimate} ...", flush=True)
    start = time.perf_counter()
    with Progress(desc="compiling", quiet=settings.quiet, expected=before):
        loop.compile()
        examples = test[: batch_size_of(loop.compiled, len(test))]
        terms(loop.compiled, loop.averaged_theta, examples, loop.seed, default_times(loop.compiled.model))
    seconds = time.perf_counter() - start
    compile_times.keep_seconds(key, seconds)
    return seconds


def restore(loop: Loop, meta: Any, arrays: dict[str, np.ndarray], new_schedule: bool = False) -> None:
    """Put a loop where the checkpoint was.

    Args:
        loop: at its start.
        meta, arrays: contents of the checkpoint.
        new_schedule: begin the schedule of the learning rate here.

    Raises:
        InputError: the checkpoint is of another model, or the learning rate is 0 for the rest of the run.
    """
    parameters, optimizer = checkpoint.split(arrays)
    theta = loop.compiled.layout.flatten(parameters, str(loop.theta.dtype))
    kinds = {name: type(value) for name, value in vars(TrainingState()).items()}
    for name, value in meta["state"].items():
        if not isinstance(value, kinds.get(name, ())):
            raise InputError(f"checkpoint {meta.path}: its state {name!r} is {value!r}, which train.py does not write")
    loop.state = TrainingState(**meta["state"])
    loop.load(theta, optimizer)
    if new_schedule:
        loop.state.schedule_step, loop.state.schedule_seconds = loop.state.step, loop.state.seconds
    elif loop.going and _schedule_ended(loop, meta):
        raise InputError(
            "--resume-file: the learning rate of this run has fallen to 0; give --lr-schedule, such as cosine, for the "
            "training that is added"
        )


def _schedule_ended(loop: Loop, meta: Any) -> bool:
    """Return True if the learning rate had come to its end under the settings of the checkpoint."""
    saved, epoch = meta["config"]["flags"], loop.state.step / loop.epoch_length
    return isinstance(loop, MainLoop) and loop.recipe.has_ended(
        epoch, saved.get("epochs"), loop.state.seconds, saved.get("hours")
    )
