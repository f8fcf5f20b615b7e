"""Settings of a training run: the value of every flag of train.py, from a command line or a checkpoint.

The command line, the documentation's table and the JSON of a checkpoint are all made from the fields of Settings.
"""

from collections.abc import Mapping, Sequence
from types import UnionType
from typing import TYPE_CHECKING, Any, NamedTuple, get_origin

from dpm.base.errors import InputError
from dpm.runs.setting_checks import FROZEN, check_network, check_numbers, check_optimizer, check_recipe

# The parser needs none of these: `--help` answers at once.
if TYPE_CHECKING:
    from dpm.experiments.named import Experiment
    from dpm.experiments.toys import Toy
    from dpm.experiments.variants import Variant

# What a resumed run may change.
CHANGEABLE = frozenset(
    (
        *("ext_every_n", "epochs", "hours", "keep", "max_skipped", "data_path", "backend", "threads"),
        *("updates", "precision", "lr_schedule", "warmup", "plots", "tensorboard", "quiet"),
    )
)
UNLIMITED = 10**6  # epochs of a run that ends by its hours
TOY_CONFLICTS = ("dataset", "model", "data_path", "faithful", "dropout_rate", "crop", "in_memory")


class Settings(NamedTuple):
    """Everything that a user chooses about a training run; docs/from-2015.md lists the flags of 2015.

    Make one with `from_arguments` (a new run) or `from_checkpoint` (a saved one), which check all values.

    Example:
        >>> settings = dpm.Settings.from_arguments(experiment="cifar10", seed=3)
        >>> settings.batch_size, settings.optimizer, settings.variant.name
        (32, 'adam', 'corrected')
    """

    batch_size: int = 32
    lr: float = 5e-3
    resume_file: str | None = None
    suffix: str = ""
    output_dir: str = "./"
    ext_every_n: int = 25
    model_args: dict[str, Any] = {}  # noqa: RUF012 - never changed in place
    dropout_rate: float = 0.0
    dataset: str = "MNIST"
    plot_before_training: bool = False
    seed: int = 0
    epochs: int | None = None
    hours: float | None = None
    keep: int = 1
    max_skipped: int = 100
    data_path: str | None = None
    backend: str = "auto"
    threads: int | None = None
    dtype: str = "float32"
    updates: str | None = None
    noise: str | None = None
    precision: str = "float32"
    experiment: str | None = None
    small: bool = False
    crop: int | None = None
    in_memory: str = "auto"
    model: str = "reference-2015"
    optimizer: str = "adam"
    n_subfunctions: int | None = None
    subfunctions_ahead: int = 1
    refresh_noise: int = 0
    start: str | None = None
    times: str = "importance"
    objective: str = "K"
    lr_schedule: str = "cosine"
    warmup: int = 100
    clip_norm: float = 2.0
    ema: float = 0.998
    plots: str = "few"
    faithful: bool = False
    tensorboard: bool = False
    quiet: bool = False

    @classmethod
    def from_arguments(cls, **given: Any) -> "Settings":
        """Return the settings of a new run.

        Args:
            **given: values by the names of the fields; the others come from the experiment or are the defaults.

        Raises:
            InputError: a name or a value is not accepted, or two contradict each other.
        """
        check_numbers(given)
        given = given | _absolute_paths(given) | _length_by_hours(given)
        name = given.get("experiment")
        entry, toy = find_experiment(name)
        if toy is not None:
            return cls(**_resolve_toy(given, toy))
        if given.get("start") is not None:
            raise InputError(f"--start {given['start']}: is for --experiment swissroll; leave it out")
        variant = select_variant(bool(given.get("faithful")))
        if entry is not None:
            entry = entry.select_size(bool(given.get("small")))
        values = _resolve(given, entry, variant)
        check_optimizer(values, given)
        check_recipe(values)
        check_network(values, variant)
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
        given = given | _absolute_paths(given)
        values = complete_saved(saved)
        for key in DEFAULTS:
            if key not in given or key == "resume_file":
                continue
            if key not in CHANGEABLE and given[key] != values[key]:
                moved = "--data-path names the new place of moved data; " if key == "dataset" else ""
                raise InputError(
                    f"--{key.replace('_', '-')} {given[key]} contradicts --resume-file, whose run has {values[key]}; "
                    f"{moved}leave it out, or start a new run without --resume-file"
                )
            values[key] = given[key]
        settings = cls(**values | {"resume_file": str(path)})
        from dpm.experiments.variants import find_variant

        name = config.get("variant", config.get("face"))  # "face" in earlier versions
        try:
            fits = find_variant(name) is settings.variant
        except InputError as error:
            raise InputError(f"checkpoint {path}: {error}") from None
        if not fits:
            raise InputError(f"checkpoint {path}: variant {name!r} contradicts its flag faithful={settings.faithful}")
        return settings

    @property
    def variant(self) -> "Variant":
        """The released code's habits, or the corrected ones."""
        return select_variant(self.faithful)

    @property
    def toy(self) -> "Toy | None":
        """The toy problem of the run, or None for images."""
        return find_experiment(self.experiment)[1]

    @property
    def entry(self) -> "Experiment | None":
        """The named experiment of the run, in its small variant if asked for, or None."""
        entry = find_experiment(self.experiment)[0]
        return entry and entry.select_size(self.small)

    @property
    def has_bits(self) -> bool:
        """True for images of bits, which are diffused as they are."""
        return bool(self.toy is None and self.model_args.get("kernel") == "binomial")

    @property
    def n_epochs(self) -> int:
        """The number of epochs."""
        return self.variant.epochs if self.epochs is None else self.epochs

    def flags(self) -> dict[str, Any]:
        """Return all values by name, as JSON can hold them."""
        return self._asdict()

    def replace(self, **changes: Any) -> "Settings":
        """Return a copy with other values, which are not checked."""
        return self._replace(**changes)


DEFAULTS: dict[str, Any] = Settings._field_defaults
RATES = {"schedule", "beta_1", "step1_beta"}  # arguments of DiffusionModel, which replace the rates of an experiment


def field_types(name: str) -> list[type]:
    """Return the types that a field of Settings accepts besides None, the one that the command line parses first."""
    annotation = Settings.__annotations__[name]
    kinds = annotation.__args__ if isinstance(annotation, UnionType) else [annotation]
    plain = [get_origin(kind) or kind for kind in kinds if kind is not type(None)]
    return [*plain, int] if plain == [float] else plain


def complete_saved(saved: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's saved values, and for flags that its version did not know values that change nothing."""
    earlier = {"optimizer": "rmsprop", "plots": "all", "updates": "host", "noise": "host"}
    return DEFAULTS | earlier | plain_training(saved.get("experiment")) | dict(saved)


def select_variant(faithful: bool) -> "Variant":
    """Return the variant of training that --faithful chooses."""
    from dpm.experiments.variants import CORRECTED, RELEASED

    return RELEASED if faithful else CORRECTED


def find_experiment(name: str | None) -> "tuple[Experiment | None, Toy | None]":
    """Return the experiment with images, or the toy problem, of a name. Raises InputError for an unknown name."""
    from dpm.experiments.named import EXPERIMENTS

    if name is None or name in EXPERIMENTS:
        return EXPERIMENTS.get(name or ""), None
    from dpm.experiments.toys import TOYS

    if name not in TOYS:
        raise InputError(f"--experiment: {name!r} is unknown; accepted: {', '.join((*EXPERIMENTS, *TOYS))}")
    return None, TOYS[name]


def _absolute_paths(given: Mapping[str, Any]) -> dict[str, str]:
    """Return the given names of data with absolute paths, which hold wherever the run is opened later."""
    from dpm.datasets.search import absolute_data_path, canonical_name

    convert = {"dataset": canonical_name, "data_path": absolute_data_path}
    return {key: change(given[key]) for key, change in convert.items() if given.get(key) is not None}


def _resolve(given: dict[str, Any], entry: "Experiment | None", variant: "Variant") -> dict[str, Any]:
    """Return a value for every flag: the given one, else the experiment's, else the default."""
    if unknown := [key for key in given if key not in DEFAULTS]:
        raise InputError(f"setting {unknown[0]!r} is unknown; accepted: {', '.join(DEFAULTS)}")
    values = DEFAULTS | {"epochs": variant.epochs} | variant.training
    values |= _training_of_optimizer(given.get("optimizer"))
    if entry is not None:
        plain = given.get("dataset", entry.dataset).upper().replace("-", "").replace("_", "")
        if plain != entry.dataset.replace("_", ""):
            raise InputError(
                f"--dataset {given['dataset']} contradicts --experiment {given['experiment']}, which is about "
                f"{entry.dataset}; leave one out"
            )
        for key in ("dataset", "crop", "ext_every_n"):
            values[key] = getattr(entry, key)
        values["epochs"] = entry.epochs or variant.epochs
        if given.get("faithful"):
            values |= entry.released
    values |= given
    if entry is not None:
        of_network = entry.network_args.get(values["model"], {})
        own_rates = values["faithful"] or RATES & values["model_args"].keys()
        rates = {} if own_rates else entry.rates
        values["model_args"] = entry.model_args | rates | of_network | values["model_args"]
    return values


def _resolve_toy(given: dict[str, Any], toy: "Toy") -> dict[str, Any]:
    """Return a value for every flag of a toy problem. Raises InputError for a flag that it does not use."""
    for key in TOY_CONFLICTS:
        if given.get(key):
            raise InputError(
                f"--{key.replace('_', '-')} {given[key]} contradicts --experiment {given['experiment']}, which makes "
                "its own data and has its own model; leave one out"
            )
    start, arguments = toy.resolve_start(given.get("start"), given.get("model_args", {}))
    given = given | {"start": start, "model_args": arguments}
    of_toy = plain_training(given["experiment"]) | toy.training_defaults(toy.complete(arguments))
    chosen = {key: value for key, value in given.items() if value is not None}
    values = _resolve(of_toy | chosen, None, select_variant(False))
    check_optimizer(values, given)
    check_recipe(values)
    return values


def ends_by_hours(epochs: int, hours: float | None) -> bool:
    """Return True for a run whose length is given by hours only."""
    return hours is not None and epochs >= UNLIMITED


def _length_by_hours(given: Mapping[str, Any]) -> dict[str, int]:
    """Return the number of epochs for a run that is given hours only, so that it uses them up; else nothing."""
    return {"epochs": UNLIMITED} if given.get("hours") is not None and given.get("epochs") is None else {}


def plain_training(experiment: str | None) -> dict[str, Any]:
    """Return choices of training that change nothing, with the learning rate's schedule of images or of a toy."""
    from dpm.experiments.variants import PLAIN

    return PLAIN | ({"lr_schedule": "late-linear"} if find_experiment(experiment)[1] else {})


def _training_of_optimizer(optimizer: str | None) -> dict[str, Any]:
    """Return the defaults of training that differ with a given optimizer."""
    from dpm.experiments.variants import RELEASED

    if optimizer in FROZEN:
        return plain_training(None)
    return {"lr": RELEASED.training["lr"], "clip_norm": 0.0} if optimizer == "rmsprop" else {}


def _has_type(value: object, types: Sequence[type]) -> bool:
    """Return True for a value of one of the types; a bool is not a number here."""
    return isinstance(value, tuple(types)) and isinstance(value, bool) == (bool in types)


def _check_saved(saved: Mapping[str, Any], path: object) -> None:
    """Raise InputError, naming the checkpoint, unless a command line could have given these values."""
    for key, value in saved.items():
        fits = key in DEFAULTS and (DEFAULTS[key] is None if value is None else _has_type(value, field_types(key)))
        if not fits:
            raise InputError(f"checkpoint {path}: its flag {key!r} is {value!r}, which train.py does not write")
    try:
        check_numbers(saved)
    except InputError as error:
        raise InputError(f"checkpoint {path}: {error}") from None
