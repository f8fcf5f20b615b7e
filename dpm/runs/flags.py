"""Every flag of train.py: its names, the default of 2015, ours, and what it does. The docs' table is made of this."""

from dataclasses import dataclass
from typing import Any

from dpm.base.arguments import parse_literals, parse_switch
from dpm.base.errors import InputError

OPTIMIZERS = ("sfo", "lbfgs", "rmsprop", "adam")
FROZEN = ("sfo", "lbfgs")  # they need a function that does not change: noise is frozen for each part of the data


@dataclass(frozen=True)
class Flag:
    """One flag.

    name: hyphenated; the spelling with underscores is accepted too. kind: how its text becomes a value.
    default: ours; default_2015: as text, "" where the flag is new. on_resume: whether a resumed run may change it.
    """

    name: str
    kind: Any
    default: Any
    default_2015: str
    help: str
    on_resume: bool = False

    @property
    def key(self):
        """The name with underscores."""
        return self.name.replace("-", "_")


TRAIN_FLAGS = (
    Flag("batch-size", int, 512, "512", "pictures in a minibatch; more than there are count as all"),
    Flag(
        "lr",
        float,
        1e-3,
        "1e-3",
        "first learning rate; times 10^(-1/1000) every 500 minibatches, not below 1e-4",
    ),
    Flag(
        "resume-file",
        str,
        None,
        "none",
        "checkpoint.h5 of a run to go on with, in its own folder; auto: the newest in the output folder's runs",
    ),
    Flag("suffix", str, "", "''", "text behind the run folder's name"),
    Flag("output-dir", str, "./", "./", "folder, which must exist, in which the run folder is made"),
    Flag("ext-every-n", int, 25, "25", "epochs between pictures and reported likelihoods", on_resume=True),
    Flag(
        "model-args",
        parse_literals,
        {},
        "''",
        'arguments of DiffusionModel, as "n_hidden_conv=100,n_scales=3"',
    ),
    Flag("dropout-rate", float, 0.0, "0", "share of the inputs of every layer set to 0 in training"),
    Flag(
        "dataset",
        str,
        "MNIST",
        "MNIST",
        "MNIST, FASHION_MNIST, CIFAR10, IMAGENET, BARK, BARK_LIKE, DEAD_LEAVES, or a file FILE.hdf5",
    ),
    Flag("plot-before-training", parse_switch, False, "False", "true: make all pictures once before training"),
    Flag("seed", int, 0, "", "of all random numbers: start, order, noise, pictures"),
    Flag(
        "epochs",
        int,
        None,
        "",
        "passes over the data, with --crop over all pieces; default 100. With --faithful 500 minibatches each, default "
        "100,001",
        on_resume=True,
    ),
    Flag(
        "hours",
        float,
        None,
        "",
        "hours of training after which it ends, however many epochs are left; all but compiling counts",
        on_resume=True,
    ),
    Flag(
        "keep",
        int,
        1,
        "",
        "how many of the last epochs' checkpoints to keep; that of the best test K is kept besides",
        on_resume=True,
    ),
    Flag("max-skipped", int, 100, "", "steps skipped in a row after which training ends", on_resume=True),
    Flag("data-path", str, None, "", "folder(s) or file to look for the data in", on_resume=True),
    Flag("backend", str, "auto", "", "engine: jax, numba, c, or auto (jax where installed)", on_resume=True),
    Flag(
        "threads",
        int,
        None,
        "",
        "parts of a minibatch computed at the same time; default: as many as the machine has processors",
        on_resume=True,
    ),
    Flag("dtype", str, "float32", "", "float type: float32 or float64"),
    Flag(
        "experiment",
        str,
        None,
        "",
        "named run: mnist, fashion, cifar10, deadleaves, bark, heartbeat or swissroll; sets data, model, batch size",
    ),
    Flag("small", parse_switch, False, "", "a small variant of the experiment, which ends in minutes on two cores"),
    Flag("crop", int, None, "", "train on random squares of this side, cut out of larger pictures"),
    Flag(
        "in-memory",
        str,
        "auto",
        "",
        "yes: read all training pictures at once; no: in batches from their .hdf5 file; auto: by their size",
    ),
    Flag(
        "model",
        str,
        "reference-2015",
        "",
        "network of pictures: reference-2015 as released, or paper-2015 as in appendix D.2",
    ),
    Flag(
        "optimizer",
        str,
        None,
        "RMSProp",
        "sfo, lbfgs, rmsprop or adam; default: what --experiment names, else rmsprop",
    ),
    Flag(
        "n-subfunctions",
        int,
        None,
        "",
        "sfo and lbfgs: parts of the data, each with frozen noise; default sqrt(examples) / 10, and 20 where that "
        "leaves each 100",
    ),
    Flag("refresh-noise", int, 0, "", "sfo and lbfgs: passes after which the frozen noise is drawn anew; 0: never"),
    Flag(
        "faithful", parse_switch, False, "", "train as released in 2015, without the corrections of docs/from-2015.md"
    ),
    Flag(
        "tensorboard", parse_switch, False, "", "write the log for TensorBoard too (extra tensorboard)", on_resume=True
    ),
    Flag("quiet", parse_switch, False, "", "print nothing but errors and the last line", on_resume=True),
)


def resolved(given, experiment, face_epochs):
    """All flags with a value: what was given, else the experiment's, else the default.

    given: dict of key to value for the flags on the command line; experiment: an Experiment or None;
    face_epochs: default for epochs. Raises InputError where a flag contradicts the experiment.
    """
    values = {flag.key: flag.default for flag in TRAIN_FLAGS}
    values["epochs"] = face_epochs
    if experiment is not None:
        plain = given.get("dataset", experiment.dataset).upper().replace("-", "").replace("_", "")
        if plain != experiment.dataset.replace("_", ""):
            raise InputError(
                f"--dataset {given['dataset']} contradicts --experiment {given['experiment']}, which is about "
                f"{experiment.dataset}; leave one out"
            )
        for key in ("dataset", "batch_size", "lr", "crop", "ext_every_n"):
            values[key] = getattr(experiment, key)
        values["epochs"] = experiment.epochs or face_epochs
    values |= given
    if experiment is not None:
        of_network = experiment.network_args.get(values["model"], {})
        values["model_args"] = experiment.model_args | of_network | values["model_args"]
    return values


def with_optimizer(flags, given, default):
    """flags with the optimizer named; raises InputError for a flag given that has no meaning with it.

    default: the optimizer of the experiment.
    """
    name = flags["optimizer"] or default
    if flags["faithful"] and name != "rmsprop":
        raise InputError(f"--optimizer {name} contradicts --faithful, which trains with rmsprop; leave one out")
    meaningless = ("batch_size", "lr", "dropout_rate") if name in FROZEN else ("n_subfunctions", "refresh_noise")
    for key in meaningless:
        if given.get(key):
            instead = "sfo and lbfgs" if name not in FROZEN else "rmsprop and adam"
            raise InputError(
                f"--{key.replace('_', '-')} {given[key]} has no meaning with --optimizer {name}, but with {instead}; "
                "leave it out"
            )
    return flags | {"optimizer": name}


def check_saved(flags, path):
    """Raise InputError, naming the checkpoint, unless a command line could have given the flags that it holds."""
    kinds = {int: int, float: int | float, str: str, parse_switch: bool, parse_literals: dict}
    known = {flag.key: flag for flag in TRAIN_FLAGS}
    for key, value in flags.items():
        flag = known.get(key)
        fits = flag is not None and (
            isinstance(value, kinds[flag.kind]) and (type(value) is bool) == (flag.kind is parse_switch)
            if value is not None
            else flag.default is None
        )
        if not fits:
            raise InputError(f"checkpoint {path}: its flag {key!r} is {value!r}, which train.py does not write")
    try:
        check_numbers({key: value for key, value in flags.items() if value is not None})
    except InputError as error:
        raise InputError(f"checkpoint {path}: {error}") from None


def check_numbers(given):
    """Raise InputError for a number on the command line that no run takes, be it new or resumed."""
    for name in ("batch_size", "ext_every_n", "epochs", "crop", "keep", "max_skipped", "threads"):
        if given.get(name, 1) < 1:
            raise InputError(f"--{name.replace('_', '-')}: {given[name]} is not accepted; take 1 or more")
    if not 0 < given.get("hours", 1) < float("inf"):
        raise InputError(f"--hours: {given['hours']} is not accepted; take a number above 0")
    if given.get("n_subfunctions", 1) < 1:
        raise InputError(f"--n-subfunctions: {given['n_subfunctions']} is not accepted; take 1 or more")
    if given.get("refresh_noise", 0) < 0:
        raise InputError(f"--refresh-noise: {given['refresh_noise']} is not accepted; take 0, for never, or more")
    if given.get("small") and not given.get("experiment") and not given.get("resume_file"):
        raise InputError("--small: is a variant of an experiment; name one with --experiment")
    if not 0 < given.get("lr", 1) < float("inf"):
        raise InputError(f"--lr: {given['lr']} is not accepted; take a number above 0")
    if not 0 <= given.get("dropout_rate", 0) < 1:
        raise InputError(f"--dropout-rate: {given['dropout_rate']} is not accepted; take 0 up to below 1")
    if given.get("seed", 0) < 0:
        raise InputError(f"--seed: {given['seed']} is not accepted; take 0 or more")
