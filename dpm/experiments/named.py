"""Named choices: the two faces of the program, and one entry for each experiment."""

from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Variant:
    """What of the released code's habits is kept, where it differs from the paper (docs/from-2015.md, the numbers).

    model_arguments: the arguments of DiffusionModel that name a difference (2, 3; the network: 5, 6, 9).
    dequantize_multiplied: the noise that fills a gray level is scaled as the data are; divided as released (1).
    single_time: one time for all pictures of a minibatch, as released; otherwise one each, spread evenly (8).
    scaling_from_minibatch: scale and shift from one random minibatch, as released; otherwise all training data (13).
    step_by_parameter: a gradient that is not finite stops the step of its parameter only, as released (14).
    learning_rate_floor_raises: a rate below the floor 1e-4 is raised to it, as released (15).
    epoch_batches: batches that an "epoch" has, or None for one pass over the data.
    epochs: after how many of them training ends.
    likelihood_draws: minibatches of a single time for the reported likelihood, or None for the whole test split
        with times spread evenly (16).
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


CORRECTED = Variant(name="exact")
RELEASED = Variant(
    name="released",
    model_arguments={
        "kl_terms": "T",
        "dense_lower_depth": "n_layers_conv",
        "constants": "float32",
        "network": "reference-2015",
    },
    dequantize_multiplied=False,
    single_time=True,
    scaling_from_minibatch=True,
    step_by_parameter=True,
    learning_rate_floor_raises=True,
    epoch_batches=500,
    epochs=100_001,
    likelihood_draws=10_000,
)
VARIANTS = {variant.name: variant for variant in (CORRECTED, RELEASED)}


@dataclass(frozen=True)
class Experiment:
    """Data, model and training of one named run; each flag given on the command line must agree or is refused.

    dataset: a name of dpm.datasets.NAMES; crop: side of the pieces that are trained on, or None for whole pictures;
    model_args: arguments of DiffusionModel that are not the default; network_args: further ones by the name of the
    network; optimizer: one of dpm.runs.flags.OPTIMIZERS. first: how many training and test pictures are taken, or None for
    all. small: what is otherwise with --small, a dict of these fields; model_args are added to those above.
    """

    dataset: str
    optimizer: str = "rmsprop"
    batch_size: int = 512
    lr: float = 1e-3
    epochs: int | None = None
    ext_every_n: int = 25
    crop: int | None = None
    first: tuple[int, int] | None = None
    model_args: dict = field(default_factory=dict)
    network_args: dict = field(default_factory=dict)
    small: dict = field(default_factory=dict)

    def chosen(self, small):
        """Itself, or its small variant."""
        if not small:
            return self
        return replace(self, **(self.small | {"model_args": self.model_args | self.small.get("model_args", {})}))


DIGITS = {"batch_size": 64, "lr": 5e-4, "epochs": 6, "first": (4000, 1000)}
# "For MNIST, the dense pathway was used to the exclusion of the multi-scale convolutional pathway" (Figure D.1).
DENSE_ALONE = {"paper-2015": {"n_hidden_conv": 0}}
EXPERIMENTS = {
    "mnist": Experiment(dataset="MNIST", network_args=DENSE_ALONE, small=DIGITS),
    "fashion": Experiment(dataset="FASHION_MNIST", network_args=DENSE_ALONE, small=DIGITS),
    "cifar10": Experiment(
        dataset="CIFAR10",
        batch_size=200,
        model_args={
            "n_hidden_dense_lower": 1000,
            "n_hidden_dense_lower_output": 5,
            "n_hidden_conv": 100,
            "n_layers_conv": 6,
            "n_layers_dense_lower": 6,
            "n_layers_dense_upper": 4,
            "n_hidden_dense_upper": 100,
        },
        small={
            "batch_size": 50,
            "lr": 5e-4,
            "epochs": 4,
            "first": (2000, 500),
            "model_args": {
                "n_hidden_dense_lower": 0,
                "n_hidden_conv": 20,
                "n_layers_conv": 4,
                "n_layers_dense_lower": 0,
                "n_layers_dense_upper": 2,
            },
        },
    ),
    # The paper gives no sizes for the next two, but T (D.2.2).
    "deadleaves": Experiment(
        dataset="DEAD_LEAVES",
        batch_size=200,
        model_args={"n_hidden_dense_lower": 0, "n_hidden_conv": 50, "n_layers_conv": 5, "n_scales": 3},
        small={
            "batch_size": 50,
            "lr": 5e-4,
            "epochs": 4,
            "first": (2000, 500),
            "model_args": {"n_hidden_conv": 20, "n_layers_conv": 3},
        },
    ),
    "bark": Experiment(
        dataset="BARK",
        batch_size=32,
        crop=64,
        model_args={
            "trajectory_length": 500,
            "n_hidden_dense_lower": 0,
            "n_hidden_conv": 50,
            "n_layers_conv": 5,
            "n_scales": 4,
            "conv_biases": "shared",
        },
        epochs=125,
        ext_every_n=12,
        small={
            "crop": 32,
            "epochs": 5,
            "ext_every_n": 2,
            "lr": 5e-4,
            "first": (64, 8),
            "model_args": {"n_hidden_conv": 20, "n_layers_conv": 3, "n_scales": 3},
        },
    ),
}
