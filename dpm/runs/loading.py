"""Open a run: its model, engine, parameters, settings and data, from a checkpoint of ours or of 2015."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from dpm.base.arguments import check_names
from dpm.base.errors import InputError
from dpm.datasets import Scaling
from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.experiments.variants import RELEASED
from dpm.graph.bricks.rebuilding import rebuild
from dpm.graph.diffusion import Diffusion
from dpm.model import DiffusionModel, argument_names
from dpm.runs import checkpoint
from dpm.runs.blocks_checkpoint import PARAMETER_PREFIX, infer_arguments, read_blocks_checkpoint
from dpm.runs.data import RunData, cut_pieces, is_quantized, load_data
from dpm.runs.folder import find_checkpoint
from dpm.runs.settings import Settings


@dataclass
class Run:
    """A trained model, and what is known of its training.

    Attributes:
        compiled: the compiled functions of the model on its engine.
        theta: the parameters as one flat vector, in the order of `compiled.layout`.
        scaling: the affine map from data units to model units.
        quantized: True if the data are 8-bit levels.
        settings: of the training; None for a model.pkl of 2015.
        config: the checkpoint's config; None for a model.pkl of 2015 and for a run without a folder.
        path: the checkpoint's file, or None.
        run_data: the data, where they are in memory already.
        log: one row per epoch, with the columns of log.csv.

    Example:
        >>> run.epoch, run.engine.dtype, len(run.parameters) > 0
        (2, 'float32', True)
        >>> run.data("test").shape
        (20, 1, 8, 8)
    """

    compiled: CompiledModel
    theta: np.ndarray
    scaling: Scaling
    quantized: bool
    settings: Settings | None = None
    config: Mapping[str, Any] | None = None
    path: Path | None = None
    run_data: RunData | None = None
    log: list[dict[str, Any]] = field(default_factory=list)

    @property
    def epoch(self) -> int:
        """Number of completed epochs."""
        return int(self.log[-1]["epoch"]) if self.log else 0

    @property
    def model(self) -> Diffusion:
        """The model, as a symbolic graph."""
        return self.compiled.model

    @property
    def engine(self) -> Engine:
        """The engine that computes the graphs."""
        return self.compiled.engine

    @cached_property
    def parameters(self) -> dict[str, np.ndarray]:
        """The parameters by Blocks path."""
        return self.compiled.layout.split(self.theta)

    @property
    def has_images(self) -> bool:
        """True for a model of images, (c, h, w); False for vectors, (size,)."""
        return len(self.model.example_shape) == 3

    def load_data(self, data_path: str | None = None) -> RunData:
        """Return the data that the run was trained on; they are read, or generated, at the first call.

        Args:
            data_path: folder(s) or file where the data are now, if they were moved.

        Raises:
            InputError: the data are not found or are not those of the run.
        """
        if self.run_data is None:
            if self.settings is None or self.config is None:
                raise InputError(f"{self.path}: a model.pkl does not name its data; give --input FILE")
            settings = self.settings
            if data_path is not None:
                if settings.toy is not None:
                    raise InputError(
                        f"--data-path {data_path}: {settings.experiment} generates its own data; leave it out"
                    )
                settings = settings.replace(data_path=data_path)
            self.run_data = load_data(settings, self.config["data"])
        return self.run_data

    def data(self, split: str = "test", data_path: str | None = None) -> np.ndarray:
        """Return the scaled examples of a split, "train" or "test", (n, ...); of cropped images all their pieces."""
        data = self.load_data(data_path)
        if split == "test":
            return data.test
        return cut_pieces(data.train[:], self.settings.crop if self.settings else None)


def open_run(
    path: str | Path,
    engine: str = "auto",
    threads: int | None = None,
    *,
    size: int | None = None,
    model: Diffusion | None = None,
    quiet: bool = True,
    model_args: Mapping[str, Any] | None = None,
    scale: float | None = None,
    shift: float | None = None,
    noise: str | None = None,
    precision: str = "float32",
) -> Run:
    """Open a trained model.

    Args:
        path: checkpoint.h5, or a model.pkl of 2015 (which is never unpickled), or the run folder that holds it.
        engine: "auto", "jax", "numba" or "c".
        threads: microbatches computed in parallel; default: the number of processors.
        size: height and width of the images, where the model can draw another size than it was trained on.
        model: the model, for a run whose model, schedule, kernel or network is the user's own; its parameters are
            loaded into it.
        quiet: print nothing while data are read.
        model_args: model.pkl only: arguments of DiffusionModel that its arrays do not determine.
        scale: model.pkl only: the model's units are scale * x + shift (default 1).
        shift: model.pkl only (default 0).
        noise: where random numbers are drawn, "host" or "device"; by default on an accelerator, if there is one.
        precision: of products of float32 numbers on a GPU, "float32", "tf32" or "bf16".

    Returns:
        A Run with the trained parameters; its data are loaded when they are asked for.

    Raises:
        InputError: the file is missing, damaged, or not a checkpoint; or an argument does not go with it.

    Example:
        >>> run = dpm.open_run(folder)  # a folder that train.py, or dpm.train(..., output_dir=...), has made
        >>> run.model.example_shape, run.settings.batch_size
        ((1, 8, 8), 25)
    """
    path = find_checkpoint(path)
    make_engine = partial(Engine, engine, threads=threads, precision=precision, noise=noise)
    if path.suffix == ".pkl":
        if size is not None:
            raise InputError(
                f"--size {size}: a model.pkl of 2015 draws images of the size it was trained on only; leave it out"
            )
        return _open_2015(path, make_engine(dtype="float32"), dict(model_args or {}), scale, shift)
    for name, value in (("model_args", model_args), ("scale", scale), ("shift", shift)):
        if value not in (None, {}):
            flag = name.replace("_", "-")
            raise InputError(f"--{flag} is for a model.pkl of 2015; {path} holds its own, leave it out")
    meta, arrays = checkpoint.load_run(path)
    config = meta["config"]
    settings = Settings.from_checkpoint(config, path, quiet=quiet)
    data = config["data"]
    build = model if model is not None else _builder(settings, meta["model"], size)
    run = compile_run(build, checkpoint.split(arrays)[0], make_engine(dtype=settings.dtype))
    scaling = Scaling(data["scale"], data["shift"])
    return Run(*run, scaling, is_quantized(data), settings, config, path, log=list(meta["state"]["rows"]))


def compile_run(build: Any, parameters: Mapping[str, np.ndarray], engine: Engine) -> tuple[CompiledModel, np.ndarray]:
    """Return the compiled model and its flat parameters. build: a model, or a function that builds it."""
    with engine:
        model = rebuild(build) if isinstance(build, Diffusion) else build()
    compiled = CompiledModel(model, engine)
    return compiled, compiled.layout.flatten(parameters, engine.dtype)


def _builder(settings: Settings, arguments: Mapping[str, Any], size: int | None) -> Any:
    """Return a function that builds the model of a checkpoint."""
    toy = settings.toy
    if toy is not None:
        if size is not None:
            raise InputError("--size is for images; this model draws vectors: leave it out")
        # As training builds it: a toy's complete arguments may hold one that has no meaning next to the others. A form
        # may have had other values when the run was made.
        now = toy.complete(settings.model_args)
        then = {name: arguments[name] for name in now if arguments.get(name, now[name]) != now[name]}
        return partial(toy.model, settings.model_args | then)
    if not arguments:
        raise InputError(
            f"{settings.resume_file}: was trained with a class, schedule, kernel or network of your own, which a "
            "checkpoint does not hold; give open_run(..., model=...) a model like it"
        )
    return partial(DiffusionModel, **_resize(dict(arguments), size))


def _resize(arguments: dict[str, Any], size: int | None) -> dict[str, Any]:
    """Return the saved arguments of DiffusionModel for images of `size`; raise InputError if the model has one size."""
    arguments = check_names(arguments, argument_names())
    width = arguments["spatial_width"]
    if size is None or size == width:
        return arguments
    dense = arguments["n_hidden_dense_lower"] > 0 and arguments["n_layers_dense_lower"] > 0
    if dense or arguments.get("conv_biases") != "shared":
        raise InputError(
            f"--size {size}: the model draws {width} x {width} only; one trained with --model-args "
            "\"n_hidden_dense_lower=0,conv_biases='shared'\" draws any size"
        )
    return arguments | {"spatial_width": size}


def _open_2015(path: Path, engine: Engine, model_args: dict[str, Any], scale: float | None, shift: float | None) -> Run:
    """Open a model.pkl."""
    arrays = read_blocks_checkpoint(path)
    for name in set(check_names(model_args, argument_names())) & set(RELEASED.model_arguments):
        raise InputError(f"--model-args {name}: a model.pkl has {RELEASED.model_arguments[name]!r}; leave it out")
    arguments = infer_arguments(arrays) | model_args | RELEASED.model_arguments
    parameters = {p: v for p, v in arrays.items() if p.startswith(PARAMETER_PREFIX)}
    scale = 1.0 if scale is None else scale
    shift = 0.0 if shift is None else shift
    if not 0 < scale < np.inf:
        raise InputError(f"--scale: {scale} is not accepted; take a number above 0")
    if not np.isfinite(shift):
        raise InputError(f"--shift: {shift} is not accepted; take a number")
    run = compile_run(partial(DiffusionModel, **arguments), parameters, engine)
    return Run(*run, Scaling(scale, shift), quantized=True, path=path)
