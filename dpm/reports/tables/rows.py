"""What each row of the paper's tables takes here: data, training, evaluation."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A model that is trained for a row.

    name: of its folder; what: in words; train: flags of train.py; evaluate: flags of dpm.commands.evaluate.
    whole: it ends by itself, in minutes; others train until the budget is used up.
    needs: a data set that cannot be made, or "". full, data, pictures, epochs: flags of the paper's size, the command
    that gets its data, how many pictures, or pieces of them, an epoch has, and the epochs of which the hours are
    estimated; () where `train` is it.
    small, small_evaluate: those of the miniature in the place of train and evaluate, which shows that the row can be
    made and nothing else.
    """

    name: str
    what: str
    train: tuple[str, ...]
    evaluate: tuple[str, ...]
    small: tuple[str, ...]
    small_evaluate: tuple[str, ...] = ("--t-per-example", "5", "--n-examples", "10")
    whole: bool = False
    needs: str = ""
    full: tuple[str, ...] = ()
    data: str = ""
    pictures: int = 0
    epochs: int = 100

    @property
    def unit(self):
        """What its figures are stated in."""
        return "bits/example" if self.whole else "bits/pixel"

    def flags(self, small):
        """(flags of train.py, flags of dpm.commands.evaluate)."""
        return (self.small, self.small_evaluate) if small else (self.train, self.evaluate)


FOREVER = ("--epochs", "1000000", "--ext-every-n", "1000000")  # until the budget is used up
TINY = "trajectory_length=10,n_hidden_conv=2,n_layers_conv=1,n_layers_dense_upper=1,n_hidden_dense_upper=4"


def pictures(name, what, train, small, evaluate, pictures, data, **more):
    """The Row of an experiment with pictures."""
    experiment = ("--experiment", name)
    return Row(
        name,
        what,
        (*experiment, *train, *FOREVER),
        ("--n-examples", evaluate[0], "--t-per-example", evaluate[1]),
        (*experiment, "--small", "--model-args", f"{TINY},{small}" if small else TINY, "--epochs", "1"),
        full=experiment,
        data=f"python -m dpm datasets {data}",
        pictures=pictures,
        **more,
    )


ROWS = {
    row.name: row
    for row in (
        Row(
            "heartbeat",
            "whole",
            ("--experiment", "heartbeat"),
            ("--n-examples", "5000"),
            ("--experiment", "heartbeat", "--small", "--epochs", "1", "--model-args", "trajectory_length=20,hidden=8"),
            whole=True,
        ),
        Row(
            "swissroll",
            "whole; the paper's noise is not known, this has 0.0024",
            ("--experiment", "swissroll"),
            (),
            (
                *("--experiment", "swissroll", "--small", "--epochs", "1"),
                *("--model-args", "trajectory_length=10,hidden=16,schedule='even_log_snr'"),
            ),
            whole=True,
        ),
        pictures(
            "mnist",
            "digits, the default network",
            ("--batch-size", "128"),
            "n_hidden_dense_lower=4,n_layers_dense_lower=1",
            ("1000", "100"),
            60_000,
            "fetch MNIST",
        ),
        pictures(
            "deadleaves",
            "dead leaves made here, a smaller network than D.2 suggests",
            ("--batch-size", "64", "--lr", "5e-4", "--model-args", "n_hidden_conv=20,n_layers_conv=4"),
            "",
            ("500", "50"),
            50_000,
            "make DEAD_LEAVES --n 50000",
        ),
        pictures(
            "bark",
            "pieces of a made texture that is no bark unless the photographs are there, a smaller network",
            (
                *("--batch-size", "32", "--lr", "5e-4", "--crop", "32"),
                *("--model-args", "n_hidden_conv=20,n_layers_conv=4,n_scales=3"),
            ),
            "n_scales=2",
            ("500", "50"),
            64 * 16,
            "convert BARK --input FOLDER",
            epochs=125,
        ),
        pictures(
            "cifar10",
            "a smaller network",
            (
                *("--batch-size", "50", "--lr", "5e-4"),
                *("--model-args", "n_hidden_dense_lower=0,n_hidden_conv=20,n_layers_conv=4,n_layers_dense_upper=2"),
            ),
            "",
            ("500", "50"),
            50_000,
            "fetch CIFAR10",
            needs="CIFAR10",
        ),
    )
}
TABLES = {
    "table1": tuple(ROWS),
    "table2": ("mnist",),
    "figures": ("swissroll", "heartbeat", "cifar10", "deadleaves", "bark"),
}
