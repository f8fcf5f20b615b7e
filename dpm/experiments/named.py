"""The image experiments of `dpm train --experiment NAME`."""

from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Experiment:
    """Data, model and training of one named experiment; a contradicting flag on the command line is an error.

    Attributes:
        dataset: name of a data set, one of dpm.datasets.NAMES.
        epochs: number of epochs, or None for the variant's default.
        ext_every_n: epochs between plots and reported likelihoods.
        crop: side of the random crops to train on, or None for whole images.
        first: numbers of training and test images to use, or None for all.
        model_args: arguments of DiffusionModel that differ from its defaults.
        rates: arguments of DiffusionModel that set the schedule, without --faithful and unless others are given.
        network_args: further arguments, by the name of the network.
        released: settings of the 2015 code's command for it, with --faithful.
        small: fields that change with --small; its model_args are merged into those above.
    """

    dataset: str
    epochs: int | None = None
    ext_every_n: int = 25
    crop: int | None = None
    first: tuple[int, int] | None = None
    model_args: dict = field(default_factory=dict)
    rates: dict = field(default_factory=dict)
    network_args: dict = field(default_factory=dict)
    released: dict = field(default_factory=dict)
    small: dict = field(default_factory=dict)

    def select_size(self, small: bool) -> "Experiment":
        """Return the experiment itself, or with `small` its small version."""
        if not small:
            return self
        return replace(self, **(self.small | {"model_args": self.model_args | self.small.get("model_args", {})}))


DIGITS = {"epochs": 20, "first": (4000, 1000)}
# Even log signal-to-noise ratios. The released rates end at a noise of 0.002 of the variance, which limits K
# (docs/schedules.md).
EVEN_LOG_SNR = {"schedule": "log-snr", "beta_1": 1e-5}
# "For MNIST, the dense pathway was used to the exclusion of the multi-scale convolutional pathway" (Figure D.1).
DENSE_ONLY = {"paper-2015": {"n_hidden_conv": 0}}
EXPERIMENTS = {
    "mnist": Experiment(dataset="MNIST", network_args=DENSE_ONLY, small=DIGITS),
    "fashion": Experiment(dataset="FASHION_MNIST", network_args=DENSE_ONLY, small=DIGITS),
    "cifar10": Experiment(
        dataset="CIFAR10",
        rates=EVEN_LOG_SNR,
        released={"batch_size": 200},
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
    # Of the next two the paper gives only T (D.2.1).
    "deadleaves": Experiment(
        dataset="DEAD_LEAVES",
        rates=EVEN_LOG_SNR,
        model_args={"n_hidden_dense_lower": 0, "n_hidden_conv": 50, "n_layers_conv": 5, "n_scales": 3},
        small={
            "epochs": 4,
            "first": (2000, 500),
            "model_args": {"n_hidden_conv": 20, "n_layers_conv": 3},
        },
    ),
    "bark": Experiment(
        dataset="BARK",
        crop=64,
        rates=EVEN_LOG_SNR,
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
            "first": (64, 8),
            "model_args": {"n_hidden_conv": 20, "n_layers_conv": 3, "n_scales": 3},
        },
    ),
}
# Photographs that everybody has, to replace those of bark.
EXPERIMENTS["texture"] = replace(EXPERIMENTS["bark"], dataset="TEXTURE")
