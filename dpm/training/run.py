"""What train.py does: data, model and folder from the flags, then the main loop."""

import dataclasses
import platform
import sys
import time
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

import numpy as np

import dpm
from dpm.base import noise
from dpm.base.arguments import check_names
from dpm.base.atomic import writable_folder, write_json
from dpm.base.errors import InputError
from dpm.datasets.search import canonical_name
from dpm.engines import compile_times
from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.experiments.named import EXPERIMENTS
from dpm.experiments.toys import TOYS, decay_to_zero, make_data
from dpm.experiments.variants import CORRECTED, RELEASED, find_variant
from dpm.extensions import standard_extensions
from dpm.graph.networks.images import NETWORKS
from dpm.likelihood.estimates import example_costs
from dpm.model import DiffusionModel, argument_names
from dpm.optimizers import LBFGS, SFO, Adam, RMSProp
from dpm.optimizers.sfo import default_subspace
from dpm.runs import checkpoint
from dpm.runs import folder as run_folder
from dpm.runs.data import prepared_data
from dpm.runs.flags import FROZEN, TRAIN_FLAGS, check_saved, resolved, with_optimizer
from dpm.training.frozen_loop import SubfunctionLoop, default_number
from dpm.training.loop import MainLoop, TrainingState
from dpm.training.tensorboard import TensorBoard, check_installed
from dpm.training.toy_extensions import toy_extensions
from dpm.util import create_log_dir


def train(given):
    """Run train.py with the flags given (dict of key to value); returns the exit status."""
    if "dataset" in given:
        given = given | {"dataset": canonical_name(given["dataset"])}
    with ExitStack() as stack:
        folder = saved = None
        if given.get("resume_file") is not None:
            flags, variant, folder, saved = opened_run(given, stack)
        else:
            flags, variant = new_flags(given)
            checked_output(flags)  # the folder is made when all that can be wrong has been looked at
        if flags["tensorboard"]:
            check_installed()
        loop, data = prepared_loop(flags, variant, saved and saved[0]["config"]["data"])
        if saved:
            restore(loop, *saved)
        seconds = compile_functions(loop, data["test"], flags)
        if folder is None:
            folder = create_log_dir(flags["output_dir"], f"DiffusionModel_{data['name']}{flags['suffix']}")
            stack.enter_context(run_folder.lock_folder(folder))
        config = run_config(flags, variant, data, loop.compiled.model)
        write_json(folder / "config.json", config)
        if not flags["quiet"]:
            print(summary(loop, data, seconds, folder, flags["optimizer"]), flush=True)
        extensions = toy_extensions if flags["experiment"] in TOYS else standard_extensions
        loop.extensions = extensions(folder, config, data, flags)
        if flags["tensorboard"]:
            loop.extensions.append(TensorBoard(folder))
        return ended(loop, loop.run(), folder)


def prepared_loop(flags, variant, saved=None):
    """(Loop at its start, without extensions; the data, as prepared_data). saved: as there."""
    toy = TOYS.get(flags["experiment"])
    if toy:
        options_of_data = (flags[key] for key in ("model_args", "small", "seed", "dtype"))
        data = make_data(toy, flags["experiment"], *options_of_data)._asdict()
    else:
        data = prepared_data(flags, variant, saved)
    engine = Engine(flags["backend"], flags["dtype"], flags["threads"])
    with engine:
        model = toy.model(flags["model_args"]) if toy else build_model(flags, variant, data)
    loop = build_loop(flags, variant, data, CompiledModel(model, engine))
    loop.max_skipped, loop.hours = flags["max_skipped"], flags["hours"]
    return loop, data


def opened_run(given, stack):
    """(flags, face, folder, what its checkpoint holds) of the run that goes on; its folder is locked until the end."""
    name, quiet = given["resume_file"], given.get("quiet")
    if name.endswith(".pkl"):
        raise InputError(
            f"--resume-file {name}: a model.pkl of 2015 can be sampled from, not gone on with, since its pickle is "
            "never opened; give a checkpoint.h5"
        )
    messages: list[str] = []
    if name == "auto":
        path, saved, messages = run_folder.newest_run(given.get("output_dir", "."))
        given = {k: v for k, v in given.items() if k != "output_dir"} | {"resume_file": str(path)}
    else:
        saved = checkpoint.load_run(name)
    flags, variant = resumed_flags(given, saved[0]["config"])
    folder = checked_output(flags)
    if left := stack.enter_context(run_folder.lock_folder(folder)):
        messages.append(f"the run's last user ended without an end: {left}")
    for message in [] if quiet else messages:
        print(message)
    return flags, variant, folder, saved


def ended(loop, finished, folder):
    """Say how training ended; the exit status: 0, 1 where something was not saved, and an InputError's 2."""
    place = f"{folder / run_folder.NEWEST} (epoch {loop.epoch}, step {loop.state.step})"
    if loop.diverged:
        if any(np.isfinite(row["train_K"]) for row in loop.state.rows) or loop.state.weight_sum:
            advice = "take a smaller --lr" if loop.learning_rate else "take another --optimizer"
        else:
            advice = "no step was ever finite: look at the data's range, at --model-args and --lr"
        raise InputError(
            f"training diverged: {loop.state.skipped_in_a_row} steps in a row were skipped, as the cost or its "
            f"gradient was not finite (--max-skipped); {advice}. The parameters before them are in {place}"
        )
    state = "finished" if finished else "stopped; --resume-file goes on with it"
    if loop.ended_by_itself:
        state += f", as {loop.ended_by_itself}"
    if loop.out_of_time:
        state += f", as --hours {loop.hours:g} are used up"
    print(f"{state}: {place}")
    if loop.unsaved:
        print(f"not saved: {', '.join(sorted(loop.unsaved))}; the warnings above say why", file=sys.stderr)
    return 1 if loop.unsaved else 0


def new_flags(given):
    """(all flags, face) of a new run. Raises InputError for a contradiction."""
    name = given.get("experiment")
    if name is not None and name not in (*EXPERIMENTS, *TOYS):
        raise InputError(f"--experiment: {name!r} is unknown; accepted: {', '.join((*EXPERIMENTS, *TOYS))}")
    if name in TOYS:
        return toy_flags(TOYS[name], given), CORRECTED
    variant = RELEASED if given.get("faithful") else CORRECTED
    experiment = EXPERIMENTS[name].select_size(given.get("small")) if name else None
    flags = resolved(given, experiment, variant.epochs)
    flags = with_optimizer(flags, given, experiment.optimizer if experiment else "rmsprop")
    check_network(flags, variant)
    for key in set(check_names(flags["model_args"], argument_names())) & set(variant.model_arguments):
        raise InputError(
            f"--model-args {key}={flags['model_args'][key]!r} contradicts --faithful, which sets "
            f"{key}={variant.model_arguments[key]!r}; leave one out"
        )
    return flags, variant


def check_network(flags, variant):
    """Raise InputError for a --model that is unknown, contradicts --faithful, or is named in --model-args instead."""
    name = flags["model"]
    if name not in NETWORKS:
        raise InputError(f"--model: {name!r} is unknown; accepted: {', '.join(NETWORKS)}")
    if variant.model_arguments.get("network", name) != name:
        raise InputError(
            f"--model {name} contradicts --faithful, which trains {variant.model_arguments['network']} as released; "
            "leave one out"
        )
    if "network" in flags["model_args"]:
        raise InputError("--model-args network: the network is named by --model; give it there")


def toy_flags(toy, given):
    """All flags of a toy problem. Raises InputError for one that has no meaning there."""
    for key in ("dataset", "model", "data_path", "faithful", "dropout_rate", "crop", "in_memory"):
        if given.get(key):
            raise InputError(
                f"--{key.replace('_', '-')} {given[key]} contradicts --experiment {given['experiment']}, which makes "
                "its own data and has its own model; leave one out"
            )
    flags = resolved(given, None, toy.epochs)
    for key in ("batch_size", "lr"):
        flags[key] = given.get(key, getattr(toy, key))
    toy.complete(flags["model_args"])
    return with_optimizer(flags, given, toy.optimizer)


def resumed_flags(given, config):
    """(all flags, face) of a run that goes on: the saved ones, and those that may change as given.

    config: of the checkpoint given["resume_file"]. Raises InputError for a contradiction, or where it was made by hand.
    """
    check_saved(config["flags"], given["resume_file"])
    # A run from before a flag was there has its default.
    flags = {flag.key: flag.default for flag in TRAIN_FLAGS} | config["flags"]
    for flag in TRAIN_FLAGS:
        if flag.key not in given or flag.key == "resume_file":
            continue
        if not flag.on_resume and given[flag.key] != flags[flag.key]:
            raise InputError(
                f"--{flag.name} {given[flag.key]} contradicts --resume-file, whose run has {flags[flag.key]}; "
                "leave it out, or start a new run without --resume-file"
            )
        flags[flag.key] = given[flag.key]
    flags["resume_file"] = given["resume_file"]
    try:
        return flags, find_variant(config["face"])
    except InputError as error:
        raise InputError(f"checkpoint {given['resume_file']}: {error}") from None


def checked_output(flags):
    """The folder of the run that goes on, or None for a new run; raises InputError where it cannot be written."""
    if flags["resume_file"] is not None:
        folder = Path(flags["resume_file"]).resolve().parent
    else:
        folder = Path(flags["output_dir"])
    writable_folder("--output-dir", folder)
    if "/" in flags["suffix"] or "\0" in flags["suffix"]:
        raise InputError(f"--suffix: {flags['suffix']!r} would leave the output folder; take a text without slashes")
    return folder if flags["resume_file"] is not None else None


def build_model(flags, variant, data):
    """The DiffusionModel of the flags for the data."""
    _, n_colors, width, _ = data["test"].shape
    arguments = {"spatial_width": width, "n_colors": n_colors, "uniform_noise": gray_level_noise(variant, data)}
    for key in ("spatial_width", "n_colors"):
        if flags["model_args"].get(key, arguments[key]) != arguments[key]:
            raise InputError(
                f"--model-args {key}={flags['model_args'][key]!r} contradicts the data, whose {key} is {arguments[key]}"
            )
    arguments |= {"network": flags["model"]} | variant.model_arguments
    return DiffusionModel(**(arguments | check_names(flags["model_args"], argument_names())))


def gray_level_noise(variant, data):
    """Width of the noise that makes gray levels continuous, in the model's units; 0 where data are not 8-bit."""
    if not data["quantized"]:
        return 0.0
    scale = data["scaling"].scale
    return scale / 255 if variant.dequantize_multiplied else 1 / 255 / scale


def build_loop(flags, variant, data, compiled):
    """The Loop, at its start, without extensions."""
    toy = TOYS.get(flags["experiment"])
    layout, X, dtype = compiled.layout, data["train"], flags["dtype"]
    theta = compiled.start(noise.generator(flags["seed"], noise.START, 1))
    if flags["optimizer"] in FROZEN:
        return frozen_loop(flags, variant, compiled, theta, X)
    blocks = list(layout.slices.values()) if variant.step_by_parameter else None
    rule: RMSProp | Adam = (
        Adam(layout.size, dtype) if flags["optimizer"] == "adam" else RMSProp(layout.size, dtype, blocks=blocks)
    )
    return MainLoop(
        compiled,
        theta,
        rule,
        X,
        variant,
        batch_size=flags["batch_size"],
        lr=flags["lr"],
        epochs=flags["epochs"],
        seed=flags["seed"],
        dropout_rate=flags["dropout_rate"],
        decay=decay_to_zero if toy else None,
    )


def frozen_loop(flags, variant, compiled, theta, X):
    """The SubfunctionLoop of SFO or L-BFGS. Raises InputError where a checkpoint could not hold what it remembers."""
    number = flags["n_subfunctions"] or default_number(len(X))
    if number > len(X):
        raise InputError(f"--n-subfunctions: {number} is more than the {len(X)} training examples; take fewer")
    sfo, size = flags["optimizer"] == "sfo", compiled.layout.size
    passes = min(flags["refresh_noise"] or flags["epochs"], flags["epochs"])
    most = checkpoint.LARGEST_ARRAY / (size * (theta.itemsize if sfo else 8))
    rows = default_subspace(number) if sfo else passes
    if rows > most:
        advice = f"--n-subfunctions up to {int(most / 3)}" if sfo else f"--refresh-noise or --epochs up to {int(most)}"
        raise InputError(
            f"--optimizer {flags['optimizer']}: would remember {rows} vectors of {size:,} parameters, more than a "
            f"checkpoint holds; take {advice}, or another optimizer"
        )
    kind, names = SFO if sfo else LBFGS, ("epochs", "seed", "refresh_noise")
    return SubfunctionLoop(compiled, theta, kind, X, variant, number, **{name: flags[name] for name in names})


def compile_functions(loop, test, flags):
    """Compile what each epoch needs, and say how long it may take; returns the seconds.

    The engines compile some of it at the first call.
    """
    engine, choices = loop.compiled.engine, [flags[key] for key in ("batch_size", "optimizer", "dropout_rate")]
    key = compile_times.key_of(str(engine), engine.threads, loop.compiled.model.arguments, choices)
    if not flags["quiet"]:
        before = compile_times.last_seconds(key)
        told = "the first time with this model" if before is None else f"{before:.0f} s the last time"
        print(f"compiling with {engine.name}, {told} ...", flush=True)
    start = time.perf_counter()
    loop.first_gradient()
    size = min(loop.batch_size, len(test))
    example_costs(loop.compiled, loop.theta, test[:size], loop.seed, size)
    seconds = time.perf_counter() - start
    compile_times.keep_seconds(key, seconds)
    return seconds


def restore(loop, meta, arrays):
    """Put a loop where the checkpoint was. Raises InputError where that is of another model."""
    parameters, optimizer = checkpoint.split(arrays)
    theta = loop.compiled.layout.flatten(parameters, loop.theta.dtype)
    kinds = {name: type(value) for name, value in vars(TrainingState()).items()}
    for name, value in meta["state"].items():
        if not isinstance(value, kinds.get(name, ())):
            raise InputError(f"checkpoint {meta.path}: its state {name!r} is {value!r}, which train.py does not write")
    loop.state = TrainingState(**meta["state"])
    loop.load(theta, optimizer)


def run_config(flags, variant, data, model):
    """All that is needed to run again, as JSON can hold it."""
    described = {key: data[key] for key in ("name", "path", "hash", "dtype", "range", "quantized", "in_memory")}
    described |= dataclasses.asdict(data["scaling"])
    packages = ("pytensor", "numpy", "h5py")
    return {
        "command": ["train.py", *sys.argv[1:]],
        "flags": flags,
        "face": variant.name,
        "data": described,
        "model": model.arguments,
        "versions": {"dpm": dpm.__version__, "python": platform.python_version()}
        | {name: version(name) for name in packages},
    }


def summary(loop, data, seconds, folder, optimizer):
    """The block printed before training."""
    steps = "subfunctions" if optimizer in FROZEN else "steps"
    model = loop.compiled.model
    shape = "x".join(map(str, model.example_shape))
    resumed = f"resumed at epoch {loop.epoch}, step {loop.state.step}; " if loop.state.step else ""
    lines = [
        f"data     {data['name']} from {data['path']}: {len(data['train'])} train, {len(data['test'])} test, {shape}",
        f"         {data['units']}",
        f"model    {model.arguments['network']}: {loop.compiled.layout.size:,} parameters, "
        f"T = {model.trajectory_length}, "
        f"trained {'as released' if loop.variant is RELEASED else 'with the corrections'} (docs/from-2015.md)",
        f"engine   {loop.compiled.engine}; compiled in {seconds:.1f} s",
        f"training {optimizer}, {loop.epoch_length} {steps} an epoch, {loop.epochs} epochs, {resumed}seed {loop.seed}",
        f"folder   {folder}",
    ]
    return "\n".join(([data["note"]] if data["note"] else []) + lines)
