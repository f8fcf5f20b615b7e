"""The two variants of training: corrected, and as released in 2015 (docs/from-2015.md numbers the differences)."""

from dataclasses import dataclass, field

from dpm.base.errors import InputError


@dataclass(frozen=True)
class Variant:
    """Choices between the released code and the paper.

    The numbers refer to the list of differences in docs/from-2015.md.

    Attributes:
        name: "corrected" or "released".
        model_arguments: the arguments of DiffusionModel that differ (2, 3; in the network 5, 6, 9), or that the release
            has not.
        dequantize_multiplied: multiply the dequantization noise by the scale of the data; the release divides (1).
        single_time: use one t for the whole minibatch, as released, instead of one evenly spread t per image (8).
        scaling_from_minibatch: fit scale and shift to one random minibatch, as released, not to all training data (13).
        step_by_parameter: a non-finite gradient skips the step of its own parameter only, as released (14).
        learning_rate_floor_raises: raise a learning rate below the floor of 1e-4 to it, as released (15).
        epoch_batches: minibatches per "epoch", or None for one pass over the data.
        epochs: default number of epochs.
        likelihood_draws: minibatches of a single t for the reported likelihood, or None for the whole test split with
            evenly spread t (16).
        training: the defaults of Settings that differ (18).
    """

    name: str
    model_arguments: dict = field(default_factory=dict)
    dequantize_multiplied: bool = True
    single_time: bool = False
    scaling_from_minibatch: bool = False
    step_by_parameter: bool = False
    learning_rate_floor_raises: bool = False
    epoch_batches: int | None = None
    epochs: int = 100
    likelihood_draws: int | None = None
    training: dict = field(default_factory=dict)


# Choices of training that change nothing: even times, each term as in K, gradients as they are, no average.
PLAIN = {
    "times": "stratified",
    "objective": "K",
    "lr_schedule": "release",
    "warmup": 0,
    "clip_norm": 0.0,
    "ema": 0.0,
}
CORRECTED = Variant(name="corrected")
RELEASED = Variant(
    name="released",
    model_arguments={
        "kl_terms": "T",
        "dense_lower_depth": "n_layers_conv",
        "constants": "float32",
        "network": "reference-2015",
        "schedule": "released",
        "beta_1": None,
        "kernel": "gaussian",
        "base_rate": None,
    },
    dequantize_multiplied=False,
    single_time=True,
    scaling_from_minibatch=True,
    step_by_parameter=True,
    learning_rate_floor_raises=True,
    epoch_batches=500,
    epochs=100_001,
    likelihood_draws=10_000,
    training={"optimizer": "rmsprop", "batch_size": 512, "lr": 1e-3, "plots": "all"} | PLAIN,
)
VARIANTS = {variant.name: variant for variant in (CORRECTED, RELEASED)}
# Names in the files of earlier versions.
EARLIER_NAMES = {"exact": "corrected"}


def find_variant(name: object) -> Variant:
    """Return the variant that a saved configuration names.

    Args:
        name: "corrected" or "released"; "exact" is the earlier name of "corrected".

    Raises:
        InputError: no variant has this name.
    """
    variant = VARIANTS.get(EARLIER_NAMES.get(name, name)) if isinstance(name, str) else None
    if variant is None:
        raise InputError(f"variant {name!r} is unknown; expected {' or '.join(VARIANTS)}")
    return variant
