"""The rows of the paper's tables and figures: data, training and evaluation of each, at a size for two cores."""

from dataclasses import dataclass
from typing import Any

from dpm.runs.settings import UNLIMITED


@dataclass(frozen=True)
class Row:
    """A model that is trained for a row.

    Attributes:
        name: of the row and its folder.
        description: of data and model, for the page.
        train: flags of `dpm train`.
        evaluate: flags of `dpm evaluate`.
        small: flags of `dpm train` for the miniature, which only shows that the row works.
        small_evaluate: flags of `dpm evaluate` for the miniature.
        whole: training ends by itself, in minutes; otherwise it ends when the budget of hours is used up.
        needs: data set that must be there and cannot be generated, or "".
        full: flags of `dpm train` for the paper's size; () where `train` is that size.
        data: command that gets the data of the paper's size.
        images: images, or crops of them, in an epoch of the paper's size.
        epochs: epochs for which the hours of the paper's size are estimated.
    """

    name: str
    description: str
    train: tuple[str, ...]
    evaluate: tuple[str, ...]
    small: tuple[str, ...]
    small_evaluate: tuple[str, ...] = ("--t-per-example", "5", "--n-examples", "10")
    whole: bool = False
    needs: str = ""
    full: tuple[str, ...] = ()
    data: str = ""
    images: int = 0
    epochs: int = 100

    @property
    def unit(self) -> str:
        """Return the unit of K."""
        return "bits/example" if self.whole else "bits/pixel"

    def flags(self, small: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the flags of training and of evaluation, of the miniature if `small`."""
        return (self.small, self.small_evaluate) if small else (self.train, self.evaluate)


UNTIL_BUDGET = ("--epochs", str(UNLIMITED), "--ext-every-n", str(UNLIMITED))
TINY = "trajectory_length=10,n_hidden_conv=2,n_layers_conv=1,n_layers_dense_upper=1,n_hidden_dense_upper=4"

# Balanced weights of t were measured at this rate only.
ONE_LAYER = (
    *("--batch-size", "128", "--objective", "balanced-then-K", "--lr", "3e-3", "--clip-norm", "0"),
    *("--model-args", "n_layers_conv=1,n_hidden_conv=4,n_temporal_basis=20"),
)
SMALL_CROPS = ("--crop", "32", "--model-args", "n_hidden_conv=20,n_layers_conv=4,n_scales=3")
SMALL_COLOR = "n_hidden_dense_lower=0,n_hidden_conv=24,n_layers_conv=4,n_layers_dense_upper=2"
# Rows of CIFAR-10: name, description, further --model-args. beta_1 limits K (docs/schedules.md).
COLOR_ROWS = (
    ("cifar10", "the released rates, beta_1 0.002", "schedule='released'"),
    (
        "cifar10-learned",
        "the released rates with their coefficients, and with them beta_1, learned",
        "schedule='released-learned'",
    ),
    (
        "cifar10-log-snr",
        "rates of even log signal-to-noise ratios from beta_1 = 1e-5 on",
        "schedule='log-snr',beta_1=1e-5",
    ),
    (
        "cifar10-levels",
        "such rates from beta_1 = 1e-6 on, without dequantization: K is a density at the 256 levels, which counts the "
        "gaps between them, and no bound on their probability",
        "schedule='log-snr',beta_1=1e-6,uniform_noise=0",
    ),
)


def make_image_row(
    name: str,
    description: str,
    train: tuple[str, ...],
    small: str,
    evaluate: tuple[str, str],
    images: int,
    data: str,
    experiment: str = "",
    full: tuple[str, ...] = (),
    **more: Any,
) -> Row:
    """Return the row of an image experiment.

    Args:
        name: of the row.
        description: of data and model.
        train: flags that differ from the experiment's.
        small: --model-args of the miniature besides TINY.
        evaluate: numbers of examples and of t per example.
        images: images in an epoch of the paper's size.
        data: arguments of `dpm datasets` that get the data of the paper's size.
        experiment: its name, if that is not the row's.
        full: flags of the paper's size that differ from the experiment's.
        **more: further fields of Row.
    """
    chosen = ("--experiment", experiment or name)
    return Row(
        name,
        description,
        (*chosen, *train, *UNTIL_BUDGET),
        ("--n-examples", evaluate[0], "--t-per-example", evaluate[1]),
        (*chosen, "--small", "--model-args", f"{TINY},{small}" if small else TINY, "--epochs", "1"),
        full=(*chosen, *full),
        data=f"python -m dpm datasets {data}",
        images=images,
        **more,
    )


ROWS = {
    row.name: row
    for row in (
        Row(
            "heartbeat",
            "the further form: one readout for all steps predicts the bits of x_0",
            ("--experiment", "heartbeat"),
            ("--t-per-example", "100"),
            ("--experiment", "heartbeat", "--small", "--epochs", "1", "--model-args", "trajectory_length=20,hidden=8"),
            whole=True,
        ),
        Row(
            "heartbeat-paper",
            "the paper's form (D.1.2): three sigmoid layers, and a readout of the rates for each step",
            ("--experiment", "heartbeat", "--model-args", "form='paper'"),
            ("--t-per-example", "100"),
            (
                *("--experiment", "heartbeat", "--small", "--epochs", "2"),
                *("--model-args", "form='paper',trajectory_length=20,hidden=24"),
            ),
            whole=True,
        ),
        Row(
            "swissroll",
            "the further form: 256 random features and the schedule that is best for the known density; noise 0.0024, "
            "as the paper does not state its own",
            ("--experiment", "swissroll"),
            (),
            (
                *("--experiment", "swissroll", "--small", "--epochs", "1"),
                *("--model-args", "trajectory_length=10,hidden=16,schedule='even_log_snr'"),
            ),
            whole=True,
        ),
        Row(
            "swissroll-paper",
            "the paper's form (D.1.1): 16 normalized radial basis functions, and a learned schedule that does not know "
            "the density; noise 0.0024, as the paper does not state its own",
            ("--experiment", "swissroll", "--model-args", "form='paper'"),
            (),
            (
                *("--experiment", "swissroll", "--small", "--epochs", "1", "--batch-size", "4000"),
                *("--model-args", "form='paper',trajectory_length=10"),
            ),
            whole=True,
        ),
        make_image_row(
            "mnist",
            "the default network on digits",
            (),
            "n_hidden_dense_lower=4,n_layers_dense_lower=1",
            ("1000", "100"),
            60_000,
            "fetch MNIST",
        ),
        make_image_row(
            "mnist-one-layer",
            "one convolutional layer of four filters, so that the dense path has to model digits, 20 bumps over time, "
            "and weights that begin balanced over t",
            ONE_LAYER,
            "n_hidden_dense_lower=4,n_layers_dense_lower=1",
            ("1000", "100"),
            60_000,
            "fetch MNIST",
            "mnist",
            ONE_LAYER,
        ),
        make_image_row(
            "deadleaves",
            "a smaller network than in D.2, on generated dead leaves",
            ("--model-args", "n_hidden_conv=20,n_layers_conv=4"),
            "",
            ("500", "50"),
            50_000,
            "make DEAD_LEAVES --n 50000",
        ),
        make_image_row(
            "bark",
            "a smaller network, on 32 x 32 crops of a generated texture (of bark, if the photographs are installed)",
            SMALL_CROPS,
            "n_scales=2",
            ("500", "50"),
            64 * 16,
            "convert BARK --input FOLDER",
            epochs=125,
        ),
        make_image_row(
            "texture",
            "the same on 32 x 32 crops of photographs of brick, grass and gravel",
            SMALL_CROPS,
            "n_scales=2",
            ("192", "50"),
            48 * 16,
            "convert TEXTURE",
            needs="TEXTURE",
            epochs=125,
        ),
        *(
            make_image_row(
                name,
                f"a smaller network, {description}",
                ("--model-args", f"{SMALL_COLOR},{arguments}"),
                arguments,
                ("500", "50"),
                50_000,
                "fetch CIFAR10",
                "cifar10",
                ("--model-args", arguments),
                needs="CIFAR10",
            )
            for name, description, arguments in COLOR_ROWS
        ),
    )
}
TABLES = {
    "table1": tuple(name for name in ROWS if name != "mnist-one-layer"),
    "table2": ("mnist", "mnist-one-layer"),
    "figures": (
        "swissroll-paper",
        "heartbeat-paper",
        "cifar10-log-snr",
        "deadleaves",
        "bark",
        "texture",
        "mnist-one-layer",
    ),
}
