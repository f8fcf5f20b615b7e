"""The flags of train.py: what the command line and the documentation say of each field of Settings, and the parser."""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from dpm.base.arguments import parse_literals, parse_switch
from dpm.base.command_line import Parser, argument_type, run_command
from dpm.engines.names import DTYPES, ENGINES, NOISE_SOURCES, PRECISIONS
from dpm.runs.launch import FLAGS as LAUNCH_FLAGS
from dpm.runs.setting_checks import LR_SCHEDULES, OBJECTIVES, OPTIMIZERS, PLOTS, STARTS, TIMES, UPDATES
from dpm.runs.settings import CHANGEABLE, DEFAULTS, field_types

CHOICES = {
    "backend": ENGINES,
    "dtype": DTYPES,
    "optimizer": OPTIMIZERS,
    "in-memory": ("auto", "yes", "no"),
    "start": STARTS,
    "times": TIMES,
    "objective": OBJECTIVES,
    "lr-schedule": LR_SCHEDULES,
    "plots": PLOTS,
    "updates": UPDATES,
    "noise": NOISE_SOURCES,
    "precision": PRECISIONS,
}

PARSERS: dict[type, Callable[[str], Any]] = {bool: parse_switch, dict: parse_literals}
#: The groups of --help. A flag of 2015 is in the first one, one that is not named here in the last.
GROUPS = {
    "flags of 2015": (),
    "data": ("experiment", "small", "data_path", "crop", "in_memory"),
    "length": ("epochs", "hours", "max_skipped"),
    "training": (
        *("faithful", "model", "optimizer", "start", "times", "objective", "lr_schedule", "warmup"),
        *("clip_norm", "ema", "seed"),
    ),
    "sfo and lbfgs": ("n_subfunctions", "subfunctions_ahead", "refresh_noise"),
    "speed": ("backend", "threads", "dtype", "updates", "noise", "precision"),
    "output": ("plots", "keep", "tensorboard", "quiet"),
}
HELP = {
    "batch_size": "minibatch size (capped at the number of training examples)",
    "lr": "largest learning rate; default with rmsprop 1e-3; it follows --lr-schedule",
    "resume_file": (
        "run to resume in its own folder: the folder or its checkpoint.h5; auto: the newest run in the output folder"
    ),
    "suffix": "suffix of the run folder's name",
    "output_dir": "existing folder in which the run folder is made",
    "ext_every_n": "epochs between plots and reported likelihoods",
    "model_args": 'arguments of DiffusionModel, as "n_hidden_conv=100,n_scales=3"; help: list those of the experiment',
    "dropout_rate": "fraction of the inputs of every layer set to 0 in training",
    "dataset": "MNIST, FASHION_MNIST, CIFAR10, IMAGENET, BARK, BARK_LIKE, TEXTURE, DEAD_LEAVES, or a file FILE.hdf5",
    "plot_before_training": "true: make all plots once before training",
    "seed": "seed of all random numbers: initialization, order, noise, plots",
    "epochs": (
        "passes over the data (with --crop over all pieces; default 100); with --faithful, 500 minibatches "
        "each (default 100,001)"
    ),
    "hours": (
        "stop after this many hours, or after --epochs if that is given, or was for a resumed run, and is earlier; "
        "compilation is not counted"
    ),
    "keep": "number of recent checkpoints to keep, besides the one with the best test K",
    "max_skipped": "stop after this many skipped steps in a row",
    "data_path": "folder(s) or file to search for the data",
    "backend": "engine: jax, numba, c, or auto (jax if installed)",
    "threads": "microbatches computed in parallel; default: the number of processors",
    "dtype": "float type: float32 or float64",
    "updates": (
        "graph: many steps in one call, with parameters and data on the device, default on an accelerator; host: numpy "
        "moves the parameters, default on a CPU"
    ),
    "noise": (
        "host: random numbers of numpy, the same for every engine, default on a CPU; device: of JAX, other numbers, "
        "default on an accelerator"
    ),
    "precision": "products of float32 numbers: float32, whole; tf32 or bf16, rounded and faster, on a GPU only",
    "experiment": (
        "named experiment, which sets data, model and defaults of training: mnist, fashion, cifar10, deadleaves, bark, "
        "texture, heartbeat or swissroll"
    ),
    "small": "a small variant of the experiment, which takes minutes on two cores",
    "crop": "train on random squares of this side, cropped from larger images",
    "in_memory": "yes: read all training images at once; no: read batches from the .hdf5 file; auto: decide by size",
    "model": "network for images: reference-2015 as released, or paper-2015 as in Appendix D.2",
    "optimizer": "sfo, lbfgs, rmsprop or adam",
    "n_subfunctions": (
        "sfo and lbfgs: number of subfunctions, parts of the data with frozen noise; default sqrt(examples) /"
        " 10, or 20 where each then has 100 examples"
    ),
    "subfunctions_ahead": (
        "sfo: subfunctions evaluated at each point; the workers of --cluster share the microbatches of all of them"
    ),
    "refresh_noise": "sfo and lbfgs: passes after which the frozen noise is drawn again; 0: never",
    "start": (
        "swissroll: readouts before the first epoch: closed-form, solved for (default); zero, so that training is seen "
        "to learn them"
    ),
    "times": "how training draws t: stratified, evenly; importance, more often where the terms of K are large",
    "objective": "weights of the terms of K by t: K, as they are; balanced, each divided by its size; balanced-then-K",
    "lr_schedule": (
        "constant; linear or cosine to 0 over --epochs or --hours; late-linear, from half of the run on, default of "
        "the toy problems, but cosine for the swiss roll with form='paper' or --start zero; release, times "
        "10^(-1/1000) every 500 minibatches, not below 1e-4"
    ),
    "warmup": (
        "steps in which the learning rate rises to its value; at most a tenth of the run where it falls to 0 later"
    ),
    "clip_norm": (
        "adam: largest norm of the gradient, as a multiple of the root mean square norm of earlier steps; 0: no limit"
    ),
    "ema": "decay of averaged weights, such as 0.999, which are then evaluated, sampled and stored; 0: no average",
    "plots": (
        "none; few: samples, in-painting, trajectories, curves, entropies and schedule; all: also denoising, "
        "parameters, gradients and the network's inside, the default with --faithful"
    ),
    "faithful": "train as released in 2015, without the corrections of docs/from-2015.md",
    "tensorboard": "also write the log for TensorBoard (extra tensorboard)",
    "quiet": "print only errors and the last line",
}
# Of runs on several processes or devices (dpm/runs/launch.py), which are not settings of a run.
LAUNCH_GROUP = "several processes (docs/scaling.md)"
LAUNCH_HELP = {
    "distributed": "divide each minibatch among all devices of the processes that a launcher, as srun, has started",
    "coordinator": "without a launcher: HOST:PORT at which process 0 listens",
    "processes": "without a launcher: number of processes",
    "process": "without a launcher: number of this process, from 0",
    "cluster": "with sfo or lbfgs: compute the microbatches on the workers of a Dask cluster: local[:N], "
    "tcp://HOST:PORT or scheduler.json",
}
# Of the 2015 code, as text.
DEFAULTS_2015 = {
    "batch_size": "512",
    "lr": "1e-3",
    "resume_file": "none",
    "suffix": "''",
    "output_dir": "./",
    "ext_every_n": "25",
    "model_args": "''",
    "dropout_rate": "0",
    "dataset": "MNIST",
    "plot_before_training": "False",
    "optimizer": "RMSProp",
}
EXAMPLES = (
    ("--epochs 6", "train on MNIST, or on the embedded digits where it is not found"),
    ("--experiment swissroll --model-args help", "list the arguments of the swiss roll's model"),
    ("--resume-file DiffusionModel_MNIST-... --epochs 12 --lr-schedule cosine", "train a run further"),
)
MODEL_ARGS_HELP = "help"


class Flag(NamedTuple):
    """One flag of train.py.

    Attributes:
        name: the flag with hyphens; the spelling with underscores is accepted too.
        parse: function from the flag's text to its value; raises ValueError.
        default: the default of this program.
        default_2015: the default of the 2015 code, as text; "" for a new flag.
        help: the help text.
        group: a key of GROUPS.
        on_resume: True if a resumed run may change the value.
    """

    name: str
    parse: Callable[[str], Any]
    default: Any
    default_2015: str
    help: str
    group: str
    on_resume: bool

    @property
    def key(self) -> str:
        """The name with underscores, the field of Settings."""
        return self.name.replace("-", "_")


def describe_flag(key: str, default: Any) -> Flag:
    """Return the flag of a field of Settings."""
    kind = field_types(key)[0]
    parse = PARSERS.get(kind, kind)
    of_2015, *others = GROUPS
    group = next((name for name in others if key in GROUPS[name]), of_2015 if key in DEFAULTS_2015 else others[-1])
    return Flag(key.replace("_", "-"), parse, default, DEFAULTS_2015.get(key, ""), HELP[key], group, key in CHANGEABLE)


TRAIN_FLAGS = tuple(describe_flag(key, default) for key, default in DEFAULTS.items())


def build_train_parser(prog: str = "dpm train") -> Parser:
    """Return the parser of train.py; flags that are not given are not set."""
    parser = Parser(
        prog=prog,
        usage="%(prog)s [FLAGS]",
        description="Train a diffusion probabilistic model (Sohl-Dickstein et al., ICML 2015).",
        examples=EXAMPLES,
        argument_default=argparse.SUPPRESS,
    )
    for title in GROUPS:
        parser.group(title)
    for flag in TRAIN_FLAGS:
        show_default = flag.default is not False and flag.default not in (None, "", {})
        options: dict[str, Any] = {
            "dest": flag.key,
            "help": flag.help + (f" (default: {flag.default})" if show_default else ""),
        }
        parse = parse_model_args if flag.name == "model-args" else flag.parse
        if parse is parse_switch:
            options |= {"nargs": "?", "const": True, "metavar": "true|false"}
        elif flag.name in CHOICES:
            options |= {"choices": CHOICES[flag.name]}
        else:
            options |= {"metavar": parse.__name__.upper() if parse in (int, float) else "TEXT"}
        parser.group(flag.group).add_argument(f"--{flag.name}", type=argument_type(parse), **options)
    switch = {"type": argument_type(parse_switch), "nargs": "?", "const": True, "metavar": "true|false"}
    number = {"type": int, "metavar": "INT"}
    kinds: tuple[dict[str, Any], ...] = switch, {"metavar": "HOST:PORT"}, number, number, {"metavar": "ADDRESS"}
    for name, kind in zip(LAUNCH_FLAGS, kinds, strict=True):
        parser.group(LAUNCH_GROUP).add_argument(f"--{name}", help=LAUNCH_HELP[name], **kind)
    return parser


def parse_model_args(text: str) -> dict[str, Any] | str:
    """Return the arguments of a text; MODEL_ARGS_HELP as it is."""
    return text if text == MODEL_ARGS_HELP else parse_literals(text)


def parse_flags(words: Sequence[str], prog: str = "dpm train") -> dict[str, Any]:
    """Return the given flags of a command line by the names of Settings.

    Exit with status 2 for one that is not accepted, and with status 0 after `--model-args help` has printed its list.
    """
    given = vars(build_train_parser(prog).parse_args(words))
    if given.get("model_args") == MODEL_ARGS_HELP:
        from dpm.runs.model_help import print_arguments

        given = {key: value for key, value in given.items() if key not in ("model_args", "resume_file")}
        sys.exit(run_command(prog, lambda: print_arguments(**given)))
    return given
