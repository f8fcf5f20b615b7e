"""Settings of a training run: every flag of train.py, its default in 2015 and here, and all checks of their values.

The command line, the documentation's table and the JSON of a checkpoint are all made from the fields of Settings.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dpm.base.arguments import check_names, parse_literals, parse_switch
from dpm.base.errors import InputError
from dpm.experiments.named import EXPERIMENTS, Experiment
from dpm.experiments.variants import CORRECTED, RELEASED, Variant, find_variant

if TYPE_CHECKING:
    from dpm.experiments.toys import Toy

OPTIMIZERS = ("sfo", "lbfgs", "rmsprop", "adam")
FROZEN = ("sfo", "lbfgs")  # these minimize a fixed function, so the noise of each subfunction is frozen
TOY_CONFLICTS = ("dataset", "model", "data_path", "faithful", "dropout_rate", "crop", "in_memory")


@dataclass(frozen=True)
class Flag:
    """One flag of train.py.

    Attributes:
        name: the flag with hyphens; the spelling with underscores is accepted too.
        parse: function from the flag's text to its value; raises ValueError.
        default: the default of this program.
        default_2015: the default of the 2015 code, as text; "" for a new flag.
        help: the help text.
        on_resume: True if a resumed run may change the value.
    """

    name: str
    parse: Callable[[str], Any]
    default: Any
    default_2015: str
    help: str
    on_resume: bool

    @property
    def key(self) -> str:
        """The name with underscores, the field of Settings."""
        return self.name.replace("-", "_")


def flag(parse: Callable[[str], Any], default: Any, text: str, default_2015: str = "", on_resume: bool = False) -> Any:
    """Describe a flag as a dataclass field."""
    facts = {"parse": parse, "help": text, "default_2015": default_2015, "on_resume": on_resume, "default": default}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=dict, metadata=facts)
    return dataclasses.field(default=default, metadata=facts)


@dataclass(frozen=True)
class Settings:
    """Everything that a user chooses about a training run; docs/from-2015.md lists the flags of 2015.

    Make one with `from_arguments` (a new run) or `from_checkpoint` (a saved one), which check all values.

    Example:
        >>> settings = dpm.Settings.from_arguments(experiment="cifar10", seed=3)
        >>> settings.batch_size, settings.optimizer, settings.variant.name
        (200, 'rmsprop', 'corrected')
    """

    batch_size: int = flag(int, 512, "minibatch size (capped at the number of training examples)", default_2015="512")
    lr: float = flag(
        float,
        1e-3,
        "initial learning rate; multiplied by 10^(-1/1000) every 500 minibatches, not below 1e-4",
        default_2015="1e-3",
    )
    resume_file: str | None = flag(
        str,
        None,
        "checkpoint.h5 of a run to resume in its own folder; auto: the newest run in the output folder",
        default_2015="none",
    )
    suffix: str = flag(str, "", "suffix of the run folder's name", default_2015="''")
    output_dir: str = flag(str, "./", "existing folder in which the run folder is made", default_2015="./")
    ext_every_n: int = flag(int, 25, "epochs between plots and reported likelihoods", default_2015="25", on_resume=True)
    model_args: dict[str, Any] = flag(
        parse_literals, {}, 'arguments of DiffusionModel, as "n_hidden_conv=100,n_scales=3"', default_2015="''"
    )
    dropout_rate: float = flag(
        float, 0.0, "fraction of the inputs of every layer set to 0 in training", default_2015="0"
    )
    dataset: str = flag(
        str,
        "MNIST",
        "MNIST, FASHION_MNIST, CIFAR10, IMAGENET, BARK, BARK_LIKE, DEAD_LEAVES, or a file FILE.hdf5",
        default_2015="MNIST",
    )
    plot_before_training: bool = flag(
        parse_switch, False, "true: make all plots once before training", default_2015="False"
    )
    seed: int = flag(int, 0, "seed of all random numbers: initialization, order, noise, plots")
    epochs: int | None = flag(
        int,
        None,
        "passes over the data (with --crop over all pieces; default 100); with --faithful, 500 minibatches each "
        "(default 100,001)",
        on_resume=True,
    )
    hours: float | None = flag(
        float,
        None,
        "stop after this many hours, or after --epochs if that is earlier; compilation is not counted",
        on_resume=True,
    )
    keep: int = flag(
        int, 1, "number of recent checkpoints to keep, besides the one with the best test K", on_resume=True
    )
    max_skipped: int = flag(int, 100, "stop after this many skipped steps in a row", on_resume=True)
    data_path: str | None = flag(str, None, "folder(s) or file to search for the data", on_resume=True)
    backend: str = flag(str, "auto", "engine: jax, numba, c, or auto (jax if installed)", on_resume=True)
    threads: int | None = flag(
        int, None, "microbatches computed in parallel; default: the number of processors", on_resume=True
    )
    dtype: str = flag(str, "float32", "float type: float32 or float64")
    experiment: str | None = flag(
        str,
        None,
        "named experiment, which sets data, model and batch size: mnist, fashion, cifar10, deadleaves, bark, heartbeat "
        "or swissroll",
    )
    small: bool = flag(parse_switch, False, "a small variant of the experiment, which takes minutes on two cores")
    crop: int | None = flag(int, None, "train on random squares of this side, cropped from larger images")
    in_memory: str = flag(
        str, "auto", "yes: read all training images at once; no: read batches from the .hdf5 file; auto: decide by size"
    )
    model: str = flag(
        str, "reference-2015", "network for images: reference-2015 as released, or paper-2015 as in Appendix D.2"
    )
    optimizer: str | None = flag(
        str, None, "sfo, lbfgs, rmsprop or adam; default: the experiment's, or rmsprop", default_2015="RMSProp"
    )
    n_subfunctions: int | None = flag(
        int,
        None,
        "sfo and lbfgs: number of subfunctions, parts of the data with frozen noise; default sqrt(examples) / 10, or "
        "20 where each then has 100 examples",
    )
    refresh_noise: int = flag(int, 0, "sfo and lbfgs: passes after which the frozen noise is drawn again; 0: never")
    faithful: bool = flag(
        parse_switch, False, "train as released in 2015, without the corrections of docs/from-2015.md"
    )
    tensorboard: bool = flag(
        parse_switch, False, "also write the log for TensorBoard (extra tensorboard)", on_resume=True
    )
    quiet: bool = flag(parse_switch, False, "print only errors and the last line", on_resume=True)

    @classmethod
    def from_arguments(cls, **given: Any) -> "Settings":
        """Return the settings of a new run.

        Args:
            **given: values by the names of the fields; the others come from the experiment or are the defaults.

        Raises:
            InputError: a name or a value is not accepted, or two contradict each other.
        """
        check_numbers(given)
        if "dataset" in given:
            from dpm.datasets.search import canonical_name

            given = given | {"dataset": canonical_name(given["dataset"])}
        name = given.get("experiment")
        entry, toy = find_experiment(name)
        if toy is not None:
            return cls(**_resolve_toy(given, toy))
        variant = RELEASED if given.get("faithful") else CORRECTED
        if entry is not None:
            entry = entry.select_size(bool(given.get("small")))
        values = _resolve(given, entry, variant)
        values["optimizer"] = _check_optimizer(values, given, entry.optimizer if entry else "rmsprop")
        _check_network(values, variant)
        return cls(**values)

    @classmethod
    def from_checkpoint(cls, config: Mapping[str, Any], path: object, **given: Any) -> "Settings":
        """Return the settings of a saved run, with the changes that a resumed run may make.

        Args:
            config: the entry "config" of the checkpoint, or the content of config.json.
            path: the checkpoint's file, for messages and as `resume_file`.
            **given: changed values by the names of the fields.

        Raises:
            InputError: train.py did not write these settings, or a change is not possible in a resumed run.
        """
        saved = config["flags"]
        _check_saved(saved, path)
        # A run of an earlier version has the defaults of the flags that it did not know.
        values = {flag.key: flag.default for flag in TRAIN_FLAGS} | dict(saved)
        for flag in TRAIN_FLAGS:
            if flag.key not in given or flag.key == "resume_file":
                continue
            if not flag.on_resume and given[flag.key] != values[flag.key]:
                raise InputError(
                    f"--{flag.name} {given[flag.key]} contradicts --resume-file, whose run has {values[flag.key]}; "
                    "leave it out, or start a new run without --resume-file"
                )
            values[flag.key] = given[flag.key]
        settings = cls(**values | {"resume_file": str(path)})
        name = config.get("variant", config.get("face"))  # "face" in earlier versions
        try:
            fits = find_variant(name) is settings.variant
        except InputError as error:
            raise InputError(f"checkpoint {path}: {error}") from None
        if not fits:
            raise InputError(f"checkpoint {path}: variant {name!r} contradicts its flag faithful={settings.faithful}")
        return settings

    @property
    def variant(self) -> Variant:
        """The released code's habits, or the corrected ones."""
        return RELEASED if self.faithful else CORRECTED

    @property
    def toy(self) -> "Toy | None":
        """The toy problem of the run, or None for images."""
        return find_experiment(self.experiment)[1]

    @property
    def entry(self) -> Experiment | None:
        """The named experiment of the run, in its small variant if asked for, or None."""
        entry = find_experiment(self.experiment)[0]
        return entry and entry.select_size(self.small)

    @property
    def n_epochs(self) -> int:
        """The number of epochs."""
        return self.variant.epochs if self.epochs is None else self.epochs

    def flags(self) -> dict[str, Any]:
        """Return all values by name, as JSON can hold them."""
        return {flag.key: getattr(self, flag.key) for flag in TRAIN_FLAGS}

    def replace(self, **changes: Any) -> "Settings":
        """Return a copy with other values, which are not checked."""
        return dataclasses.replace(self, **changes)


TRAIN_FLAGS = tuple(
    Flag(
        field.name.replace("_", "-"),
        **{key: field.metadata[key] for key in ("parse", "default", "default_2015", "help", "on_resume")},
    )
    for field in dataclasses.fields(Settings)
)


def find_experiment(name: str | None) -> "tuple[Experiment | None, Toy | None]":
    """Return the experiment with images, or the toy problem, of a name. Raises InputError for an unknown name."""
    if name is None or name in EXPERIMENTS:
        return EXPERIMENTS.get(name or ""), None
    from dpm.experiments.toys import TOYS

    if name not in TOYS:
        raise InputError(f"--experiment: {name!r} is unknown; accepted: {', '.join((*EXPERIMENTS, *TOYS))}")
    return None, TOYS[name]


def check_numbers(given: Mapping[str, Any]) -> None:
    """Raise InputError for a number that no run accepts, be it new or resumed."""
    for name in ("batch_size", "ext_every_n", "epochs", "crop", "keep", "max_skipped", "threads", "n_subfunctions"):
        if given.get(name) is not None and given[name] < 1:
            raise InputError(f"--{name.replace('_', '-')}: {given[name]} is not accepted; take 1 or more")
    for name in ("hours", "lr"):
        if given.get(name) is not None and not 0 < given[name] < float("inf"):
            raise InputError(f"--{name}: {given[name]} is not accepted; take a number above 0")
    if given.get("refresh_noise", 0) < 0:
        raise InputError(f"--refresh-noise: {given['refresh_noise']} is not accepted; take 0, for never, or more")
    if given.get("small") and not given.get("experiment") and not given.get("resume_file"):
        raise InputError("--small: is a variant of an experiment; name one with --experiment")
    if not 0 <= given.get("dropout_rate", 0) < 1:
        raise InputError(f"--dropout-rate: {given['dropout_rate']} is not accepted; take 0 up to below 1")
    if given.get("seed", 0) < 0:
        raise InputError(f"--seed: {given['seed']} is not accepted; take 0 or more")


def _resolve(given: dict[str, Any], entry: Experiment | None, variant: Variant) -> dict[str, Any]:
    """Return a value for every flag: the given one, else the experiment's, else the default."""
    known = [flag.key for flag in TRAIN_FLAGS]
    if unknown := [key for key in given if key not in known]:
        raise InputError(f"setting {unknown[0]!r} is unknown; accepted: {', '.join(known)}")
    values = {flag.key: flag.default for flag in TRAIN_FLAGS} | {"epochs": variant.epochs}
    if entry is not None:
        plain = given.get("dataset", entry.dataset).upper().replace("-", "").replace("_", "")
        if plain != entry.dataset.replace("_", ""):
            raise InputError(
                f"--dataset {given['dataset']} contradicts --experiment {given['experiment']}, which is about "
                f"{entry.dataset}; leave one out"
            )
        for key in ("dataset", "batch_size", "lr", "crop", "ext_every_n"):
            values[key] = getattr(entry, key)
        values["epochs"] = entry.epochs or variant.epochs
    values |= given
    if entry is not None:
        of_network = entry.network_args.get(values["model"], {})
        values["model_args"] = entry.model_args | of_network | values["model_args"]
    return values


def _resolve_toy(given: dict[str, Any], toy: "Toy") -> dict[str, Any]:
    """Return a value for every flag of a toy problem. Raises InputError for a flag that it does not use."""
    for key in TOY_CONFLICTS:
        if given.get(key):
            raise InputError(
                f"--{key.replace('_', '-')} {given[key]} contradicts --experiment {given['experiment']}, which makes "
                "its own data and has its own model; leave one out"
            )
    values = _resolve(given, None, CORRECTED) | {"epochs": given.get("epochs", toy.epochs)}
    for key in ("batch_size", "lr"):
        values[key] = given.get(key, getattr(toy, key))
    toy.complete(values["model_args"])
    values["optimizer"] = _check_optimizer(values, given, toy.optimizer)
    return values


def _check_optimizer(values: dict[str, Any], given: dict[str, Any], default: str) -> str:
    """Return the optimizer's name; raise InputError for a given flag that it does not use."""
    name = values["optimizer"] or default
    if values["faithful"] and name != "rmsprop":
        raise InputError(f"--optimizer {name} contradicts --faithful, which trains with rmsprop; leave one out")
    unused: Iterable[str] = ("batch_size", "lr", "dropout_rate")
    if name not in FROZEN:
        unused = ("n_subfunctions", "refresh_noise")
    for key in unused:
        if given.get(key):
            instead = "sfo and lbfgs" if name not in FROZEN else "rmsprop and adam"
            raise InputError(
                f"--{key.replace('_', '-')} {given[key]} is not used by --optimizer {name}, only by {instead}; "
                "leave it out"
            )
    return str(name)


def _check_network(values: dict[str, Any], variant: Variant) -> None:
    """Raise InputError for a network that is unknown or contradicts the variant or --model-args."""
    from dpm.graph.networks.images import NETWORKS
    from dpm.model import argument_names

    name, arguments = values["model"], values["model_args"]
    if name not in NETWORKS:
        raise InputError(f"--model: {name!r} is unknown; accepted: {', '.join(NETWORKS)}")
    if variant.model_arguments.get("network", name) != name:
        raise InputError(
            f"--model {name} contradicts --faithful, which trains {variant.model_arguments['network']} as released; "
            "leave one out"
        )
    if "network" in arguments:
        raise InputError("--model-args network: the network is named by --model; give it there")
    for key in set(check_names(arguments, argument_names())) & set(variant.model_arguments):
        raise InputError(
            f"--model-args {key}={arguments[key]!r} contradicts --faithful, which sets "
            f"{key}={variant.model_arguments[key]!r}; leave one out"
        )


def _check_saved(saved: Mapping[str, Any], path: object) -> None:
    """Raise InputError, naming the checkpoint, unless a command line could have given these values."""
    kinds: dict[Any, Any] = {int: int, float: int | float, str: str, parse_switch: bool, parse_literals: dict}
    known = {flag.key: flag for flag in TRAIN_FLAGS}
    for key, value in saved.items():
        flag = known.get(key)
        fits = flag is not None and (
            isinstance(value, kinds[flag.parse]) and (type(value) is bool) == (flag.parse is parse_switch)
            if value is not None
            else flag.default is None
        )
        if not fits:
            raise InputError(f"checkpoint {path}: its flag {key!r} is {value!r}, which train.py does not write")
    try:
        check_numbers(saved)
    except InputError as error:
        raise InputError(f"checkpoint {path}: {error}") from None
