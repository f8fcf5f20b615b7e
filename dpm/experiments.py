"""Named choices: the two faces of the program, and one entry for each experiment."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Face:
    """What of the released code's habits is kept, where it differs from the paper (docs/from-2015.md, the numbers).

    model_arguments: the arguments of DiffusionModel that name a difference (2, 3; the network: 5, 6, 9).
    dequantise_multiplied: the noise that fills a grey level is scaled as the data are; divided as released (1).
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
    dequantise_multiplied: bool = True
    single_time: bool = False
    scaling_from_minibatch: bool = False
    step_by_parameter: bool = False
    learning_rate_floor_raises: bool = False
    epoch_batches: int | None = None
    epochs: int = 100
    likelihood_draws: int | None = None


EXACT = Face(name="exact")
RELEASED = Face(
    name="released",
    model_arguments={
        "kl_terms": "T",
        "dense_lower_depth": "n_layers_conv",
        "constants": "float32",
        "network": "reference-2015",
    },
    dequantise_multiplied=False,
    single_time=True,
    scaling_from_minibatch=True,
    step_by_parameter=True,
    learning_rate_floor_raises=True,
    epoch_batches=500,
    epochs=100_001,
    likelihood_draws=10_000,
)
FACES = {face.name: face for face in (EXACT, RELEASED)}


@dataclass(frozen=True)
class Experiment:
    """Data, model and training of one named run; each flag given on the command line must agree or is refused.

    dataset: a name of dpm.datasets.NAMES; model_args: arguments of DiffusionModel that are not the default;
    network_args: further ones by the name of the network; optimizer: one of dpm.flags.OPTIMIZERS.
    """

    dataset: str
    optimizer: str = "rmsprop"
    batch_size: int = 512
    lr: float = 1e-3
    model_args: dict = field(default_factory=dict)
    network_args: dict = field(default_factory=dict)


EXPERIMENTS = {
    # "For MNIST, the dense pathway was used to the exclusion of the multi-scale convolutional pathway" (Figure D.1).
    "mnist": Experiment(dataset="MNIST", network_args={"paper-2015": {"n_hidden_conv": 0}}),
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
    ),
}
