"""Tables 1 and 2 of the paper, as printed: the rows that a model of this package can be compared with."""

from typing import NamedTuple


class Published(NamedTuple):
    """A row of Table 1: data set, K and K - L_null as printed, and their unit."""

    name: str
    K: float
    K_minus_L_null: float
    unit: str

    @property
    def L_null(self) -> float:
        """Return the log likelihood of the prior, which the table gives only as a difference."""
        return self.K - self.K_minus_L_null


TABLE_1 = {
    "swissroll": Published("Swiss Roll", 2.35, 6.45, "bits"),
    "heartbeat": Published("Binary Heartbeat", -2.414, 12.024, "bits/seq."),
    "BARK": Published("Bark", -0.55, 1.5, "bits/pixel"),
    "DEAD_LEAVES": Published("Dead Leaves", 1.489, 3.536, "bits/pixel"),
    "CIFAR10": Published("CIFAR-10", 11.895, 18.037, "bits/pixel"),
}

# Model: (value, standard error). The paper calls them bits; the code that computed them used natural logarithms.
TABLE_2_MNIST = {
    "Stacked CAE": (121, 1.6),
    "DBN": (138, 2),
    "Deep GSN": (214, 1.1),
    "Diffusion": (220, 1.9),
    "Adversarial net": (225, 2),
}
TABLE_2_DEAD_LEAVES = {"MCGSM": 1.244, "Diffusion": 1.489}  # bits/pixel; MCGSM: log likelihood, Diffusion: K
