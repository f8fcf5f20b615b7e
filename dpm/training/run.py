"""Train a model: build data, model and loop from the settings, compile and run."""

import copy
import os
import platform
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import dpm
from dpm.base.atomic import writable_folder, write_json
from dpm.base.errors import InputError
from dpm.base.progress import Progress
from dpm.cluster.mapper import mapped
from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.extensions import standard_extensions
from dpm.graph.bricks.rebuilding import rebuild
from dpm.graph.diffusion import Diffusion
from dpm.graph.vector_model import VectorDiffusion
from dpm.model import DiffusionModel
from dpm.runs import checkpoint
from dpm.runs.data import IDENTITY, RunData
from dpm.runs.folder import NEWEST, find_checkpoint, find_newest_run, lock_folder
from dpm.runs.launch import check_choices
from dpm.runs.loading import Run
from dpm.runs.settings import Settings
from dpm.training.building import build_engine, build_loop, compile_functions, gray_level_noise, prepare_loop, restore
from dpm.training.cluster_run import check_cluster
from dpm.training.device_loop import DeviceLoop
from dpm.training.loop import Loop
from dpm.training.monitoring import HeldOutBound, Monitoring, Printing
from dpm.training.shared_run import build_shared_engine, check_settings, check_start, silent_extensions
from dpm.training.summary import divergence, report_end, summarize
from dpm.training.tensorboard import TensorBoard, check_installed
from dpm.training.toy_extensions import toy_extensions
from dpm.util import create_log_dir

INSTEAD = {
    **dict.fromkeys(("dataset", "data_path", "in_memory"), "its data from dpm.load"),
    "model_args": "a model, whose arguments these are",
    "backend": 'engine="jax", "numba" or "c"',
    "resume_file": "a model at its start; `dpm train --resume-file` continues a saved run",
    "tensorboard": "extensions=[TensorBoard(folder)] of dpm.training.tensorboard",
}  # settings of train.py that have no effect in `train`, and what has
OF_RUN_FOLDER = ("suffix", "ext_every_n", "keep", "plots", "plot_before_training")  # settings of what is written
LENGTH_OF_TIME = 20  # bytes of "-yymmddTHHMMSS" and a number in the name of a run folder

# ------------------------------------------------------------------ from Python


def train(
    model: Diffusion,
    data: RunData,
    *,
    engine: str | Engine = "auto",
    output_dir: str | Path | None = None,
    dequantize: bool = True,
    quiet: bool = False,
    extensions: Sequence[Any] = (),
    **settings: Any,
) -> Run:
    """Train a model and return the run; Ctrl-C stops after the minibatch and returns what is trained so far.

    Args:
        model: any Diffusion: a DiffusionModel, a VectorDiffusion, or a class of your own. It is not changed.
        data: training and test examples, from `dpm.load`.
        engine: "auto", "jax", "numba" or "c", or an Engine. With an Engine of several processes, the first one writes.
        output_dir: existing folder in which a run folder with checkpoint, log and plots is made; None: write nothing.
        dequantize: if `model.uniform_noise` is 0, add uniform noise of one gray level to 8-bit data, as train.py does.
            Without noise, K of quantized data is unbounded.
        quiet: print nothing but warnings.
        extensions: further objects with methods such as `after_epoch(loop)`; see dpm.extensions.
        **settings: settings of train.py by their names, such as epochs=6, hours=0.5, batch_size=64, lr=1e-3, seed=0,
            optimizer="adam", dtype="float64"; `dpm.Settings` lists them. Not accepted are dataset, data_path,
            in_memory, model_args, backend, resume_file and tensorboard, as data, model and engine are arguments here;
            without output_dir also suffix, ext_every_n, keep, plots and plot_before_training.

    Returns:
        A Run with the trained parameters.

    Raises:
        InputError: a setting is not accepted, the data do not fit the model, or training diverged.

    Example:
        >>> import dpm, numpy as np
        >>> images = np.random.default_rng(0).integers(0, 256, (40, 1, 8, 8), dtype=np.uint8)
        >>> model = dpm.DiffusionModel(spatial_width=8, n_colors=1, trajectory_length=10, n_hidden_conv=2,
        ...     n_layers_conv=1, n_hidden_dense_lower=0, n_layers_dense_upper=1, n_hidden_dense_upper=2)
        >>> run = dpm.train(model, dpm.load(images), epochs=2, batch_size=20, quiet=True)
        >>> run.epoch
        2
    """
    check_python_settings(settings, engine, output_dir)
    chosen = Settings.from_arguments(**settings, quiet=quiet)
    if model.example_shape != data.example_shape and chosen.crop is None:
        raise InputError(
            f"data: examples of shape {data.example_shape}; expected {model.example_shape}, that of the model"
        )
    if model.kernel.binary and data.scaling != IDENTITY:
        raise InputError(
            "data: scaled to mean 0 and variance 1; the model's kernel diffuses bits; expected dpm.load(..., "
            "binary=True)"
        )
    if not isinstance(engine, Engine):
        engine = build_engine(chosen, engine)
    chosen = chosen.replace(dtype=engine.dtype, backend=engine.name, precision=engine.precision)
    noise = model.uniform_noise or (gray_level_noise(chosen.variant, data) if dequantize else 0.0)
    model = copy_model(model, engine, noise)
    if engine.distributed:
        check_choices(chosen)
    loop = build_loop(chosen, data, CompiledModel(model, engine))
    chosen = resolve_device(chosen, loop)
    with ExitStack() as stack:
        path = config = None
        if output_dir is None:
            quiet = quiet or engine.peers.index > 0
            loop.extensions = [Monitoring(HeldOutBound(data.test)), Printing(quiet), *extensions]
        elif engine.peers.index:
            loop.extensions = [*silent_extensions(data, chosen), *extensions]
        else:
            chosen = chosen.replace(output_dir=str(output_dir))
            check_output(chosen)
            folder = make_folder(chosen, data, stack)
            config = run_config(chosen, data, model, ["dpm.train"])
            write_json(folder / "config.json", config)
            loop.extensions = [*standard_extensions(folder, config, data, chosen), *extensions]
            path = folder / NEWEST
        loop.run()
    if loop.diverged:
        raise InputError(divergence(loop))
    return Run(
        loop.compiled, loop.averaged_theta, data.scaling, data.quantized, chosen, config, path, data, loop.state.rows
    )


def check_python_settings(settings: Mapping[str, Any], engine: str | Engine, output_dir: str | Path | None) -> None:
    """Raise InputError for a setting of `train` that would have no effect, or contradicts the given engine."""
    for key, instead in INSTEAD.items():
        if settings.get(key) is not None:
            raise InputError(f"{key}: dpm.train takes {instead}; leave {key} out")
    for key in OF_RUN_FOLDER if output_dir is None else ():
        if (value := settings.get(key)) and value != "none":
            raise InputError(f"{key}: {value!r} is for a run folder; give output_dir, or leave {key} out")
    if isinstance(engine, Engine):
        for key in ("dtype", "precision", "threads", "noise"):
            if settings.get(key) not in (None, own := getattr(engine, key)):
                raise InputError(
                    f"{key}: {settings[key]!r} contradicts the given engine, which has {own!r}; leave it out, or make "
                    "an Engine with it"
                )


def copy_model(model: Diffusion, engine: Engine, uniform_noise: float) -> Diffusion:
    """Return a copy of a model in the float type of an engine, with uniform noise of that width."""
    if model.dtype == engine.dtype:
        model = copy.copy(model)
    else:
        with engine:
            model = rebuild(model)
    model.uniform_noise = uniform_noise
    if model.arguments is not None and "uniform_noise" in model.arguments:
        model.arguments = model.arguments | {"uniform_noise": uniform_noise}
    return model


# ------------------------------------------------------------------ from the command line


def run_training(
    given: dict[str, Any], command: Sequence[str], process: int | None = None, cluster: str | None = None
) -> int:
    """Train, or resume, with the flags of a command line.

    Args:
        given: the given flags, by the names of Settings.
        command: the command line, which config.json keeps.
        process: number of this process of a distributed run, of which number 0 writes and prints; None for a run of one
            process and one device.
        cluster: address of a Dask cluster that computes the microbatches, or None.

    Returns:
        The exit status: 0, or 1 if something could not be saved.

    Raises:
        InputError: a flag, a file or the training itself is at fault.
    """
    with ExitStack() as stack:
        folder = saved = engine = None
        if given.get("resume_file") is not None:
            settings, folder, saved = open_saved_run(given, stack, process)
        else:
            settings = Settings.from_arguments(**given)
        check_cluster(cluster, settings)
        if process:
            settings = settings.replace(quiet=True, tensorboard=False)
        elif folder is None:
            check_output(settings)  # the folder is made after everything that can be wrong has been checked
        if settings.tensorboard:
            check_installed()
        if process is not None:
            engine = build_shared_engine(settings)
            check_settings(engine, settings)
        with Progress(desc="preparing data and model", quiet=settings.quiet):
            loop, data = prepare_loop(settings, saved and saved[0]["config"]["data"], engine)
        if saved:
            restore(loop, *saved, new_schedule="lr_schedule" in given)
        if engine is not None:
            check_start(engine, loop, data)
        stack.enter_context(mapped(loop.compiled, cluster, settings.quiet))
        seconds = compile_functions(loop, data.test, settings)
        if process:
            loop.extensions = silent_extensions(data, settings)
            loop.run()
            if loop.diverged:
                raise InputError(divergence(loop))
            return 0
        settings = resolve_device(settings, loop)
        folder = folder or make_folder(settings, data, stack)
        add_extensions(loop, folder, settings, data, command)
        if not settings.quiet:
            print(summarize(loop, data, seconds, folder, settings.optimizer), flush=True)
        return report_end(loop, loop.run(), folder)


def add_extensions(loop: Loop, folder: Path, settings: Settings, data: RunData, command: Sequence[str]) -> None:
    """Write config.json, and add the extensions that watch and keep a run."""
    config = run_config(settings, data, loop.compiled.model, command)
    write_json(folder / "config.json", config)
    make_extensions = toy_extensions if settings.toy else standard_extensions
    loop.extensions = make_extensions(folder, config, data, settings)
    if settings.tensorboard:
        loop.extensions.append(TensorBoard(folder))


def resolve_device(settings: Settings, loop: Loop) -> Settings:
    """Return the settings with where the updates are computed and the noise is drawn, which the config then says."""
    return settings.replace(
        updates="graph" if isinstance(loop, DeviceLoop) else "host", noise=loop.compiled.engine.noise
    )


def make_folder(settings: Settings, data: RunData, stack: ExitStack) -> Path:
    """Make the run folder and lock it until the stack is closed."""
    folder = create_log_dir(settings.output_dir, folder_name(data.name, settings))
    stack.enter_context(lock_folder(folder))
    return folder


def open_saved_run(
    given: dict[str, Any], stack: ExitStack, process: int | None = None
) -> tuple[Settings, Path, checkpoint.Contents]:
    """Return settings, folder and checkpoint of the run to resume.

    The folder is locked until the stack is closed, unless `process` is the number of one that only reads.
    """
    name, quiet = given["resume_file"], given.get("quiet")
    if find_checkpoint(name).suffix == ".pkl":
        raise InputError(
            f"--resume-file {name}: a model.pkl of 2015 can be sampled from, not resumed, since its pickle is never "
            "opened; give a checkpoint.h5"
        )
    messages: list[str] = []
    path = find_checkpoint(name)
    if name == "auto":
        path, saved, messages = find_newest_run(given.get("output_dir", "."))
        given = {key: value for key, value in given.items() if key != "output_dir"}
    else:
        saved = checkpoint.load_run(path)
    settings = Settings.from_checkpoint(saved[0]["config"], path, **given)
    if process:
        return settings, path.parent, saved
    folder = check_output(settings)
    if left := stack.enter_context(lock_folder(folder)):
        messages.append(f"the previous process did not exit cleanly: {left}")
    for message in [] if quiet else messages:
        print(message)
    return settings, folder, saved


def check_output(settings: Settings) -> Path:
    """Return the folder of a resumed run, or the output folder of a new one; raise InputError if it is not writable."""
    if settings.resume_file is not None:
        folder = Path(settings.resume_file).resolve().parent
        if not os.access(folder, os.W_OK | os.X_OK):
            raise InputError(
                f"--resume-file: the run folder {folder} cannot be written; copy it to a place that can, and resume it "
                "there"
            )
        return folder
    folder = writable_folder("--output-dir", settings.output_dir)
    if "/" in settings.suffix or "\0" in settings.suffix:
        raise InputError(f"--suffix: {settings.suffix!r} would leave the output folder; take a text without slashes")
    longest = os.pathconf(folder, "PC_NAME_MAX") - LENGTH_OF_TIME
    if (length := len(os.fsencode(folder_name(Path(settings.dataset).stem, settings)))) > longest:
        raise InputError(
            f"--suffix: the run folder's name would have {length} bytes; accepted: up to {longest}; take a shorter "
            "suffix, or a shorter name of the data"
        )
    return folder


def folder_name(data_name: str, settings: Settings) -> str:
    """Return the name of a run folder without its time."""
    return f"DiffusionModel_{data_name}{settings.suffix}"


def run_config(settings: Settings, data: RunData, model: Diffusion, command: Sequence[str]) -> dict[str, Any]:
    """Return all that is needed to run again, as JSON can hold it."""
    packages = ("pytensor", "numpy", "h5py", *(["jax"] if find_spec("jax") else []))
    return {
        "command": list(command),
        "flags": settings.flags(),
        "variant": settings.variant.name,
        "data": data.describe(),
        "model": describe_model(model),
        "versions": {"dpm": dpm.__version__, "python": platform.python_version()}
        | {name: version(name) for name in packages},
    }


def describe_model(model: Diffusion) -> dict[str, Any]:
    """Return the arguments from which a checkpoint builds the model again; {} for a class of the user's own."""
    ours = type(model) in (DiffusionModel, VectorDiffusion)
    return model.arguments or {} if ours else {}
