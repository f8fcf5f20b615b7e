"""The network of Appendix D.2 and its switch: against loops written from the equations, closed forms and facts."""

import re
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import convolve2d
from scipy.special import expit, logit
from scipy.stats import norm

from dpm.commands.sample import main as sample_main
from dpm.commands.train import build_parser as train_parser
from dpm.commands.train import main as train_main
from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.graph.networks.images import NETWORKS, paper_bumps
from dpm.model import DiffusionModel
from dpm.regression import MultiScaleConvolution
from dpm.runs import checkpoint
from dpm.runs.loading import open_run
from dpm.runs.settings import Settings
from tests.helpers import runs
from tests.helpers.graphs import TINY, constant, set_values, value

ROOT = Path(__file__).parents[3]
T, J, WIDTH, COLORS, FILTERS = 6, 3, 4, 2, 2
SIZES = TINY | {"n_layers_conv": 2, "n_scales": 2, "n_layers_dense_upper": 3, "n_hidden_dense_lower_output": 1}
BRICK = "/diffusionmodel/mlp_conv_dense/"
CONV = BRICK + "multilayerconvolution/multiscaleconvolution/layer{}_scale{}/convolutional"


def compiled_model(**arguments):
    engine = Engine("auto", "float64")
    with engine:
        model = DiffusionModel(**(SIZES | {"trajectory_length": T, "network": "paper-2015"} | arguments))
    return CompiledModel(model, engine)


# ---------------------------------------------------------------------- D.2.1 step by step, one image at a time


def multi_scale_layer(p, layer, x):
    """D.2.1, steps 1 to 4; x: (channels, w, w). The bias and the crop are the release's: the text has neither."""
    width = x.shape[-1]
    out = np.zeros((FILTERS, width, width))
    for scale in range(2):
        block = 2**scale
        W, b = (p[CONV.format(layer, scale) + end] for end in (".W", ".b"))
        for f in range(FILTERS):
            full = b[f].copy()
            for c, plane in enumerate(x):
                small = np.array(
                    [
                        [plane[i : i + block, j : j + block].mean() for j in range(0, width, block)]
                        for i in range(0, width, block)
                    ]
                )
                full = full + convolve2d(small, W[f, c], mode="full")
            inside = full[1:-1, 1:-1]
            for i in range(width):
                for j in range(width):
                    out[f, i, j] += inside[i // block, j // block]
    return np.log(1 + np.exp(out))


def coefficients(p, x):
    """Return y of D.2.1, (w, w, COLORS, 2, J): both paths, then the layers per pixel; x: (COLORS, w, w)."""
    features = x
    for layer in range(2):
        features = multi_scale_layer(p, layer, features)
    dense = x.reshape(-1)
    for i in range(2):
        dense = np.tanh(dense @ p[f"{BRICK}MLP dense lower/linear_{i}.W"] + p[f"{BRICK}MLP dense lower/linear_{i}.b"])
    dense = dense.reshape(WIDTH, WIDTH, 1)
    y = np.zeros((WIDTH, WIDTH, COLORS * 2 * J))
    for i in range(WIDTH):
        for j in range(WIDTH):
            h = np.concatenate([features[:, i, j] / FILTERS**0.5, dense[i, j]])
            for k in range(3):
                h = h @ p[f"{BRICK}MLP dense upper/linear_{k}.W"] + p[f"{BRICK}MLP dense upper/linear_{k}.b"]
                h = np.tanh(h) if k < 2 else h
            y[i, j] = h
    return y.reshape(WIDTH, WIDTH, COLORS, 2, J)


def bump(j, t, T, J):
    """g_j(t) of Eq. 64, j from 0."""
    w = T / J
    weights = [norm.pdf(t, w * (k + 0.5), w) for k in range(J)]
    return weights[j] / sum(weights)


def reverse(p, x, t):
    """Return mu and Sigma of Eq. 63 to 66 of one image, each (COLORS, w, w)."""
    y = coefficients(p, x)
    rate = 1e-6 + (0.001 if t == 1 else 0)  # the release's schedule, which both networks share
    beta = rate + (1 - rate - 1e-5) / np.linspace(T, 2, T)[t - 1]
    mu, Sigma = np.zeros((2, COLORS, WIDTH, WIDTH))
    for c, i, j in np.ndindex(mu.shape):
        z_mu, z_Sigma = (sum(y[i, j, c, kind, k] * bump(k, t, T, J) for k in range(J)) for kind in range(2))
        Sigma[c, i, j] = expit(z_Sigma + logit(beta))
        mu[c, i, j] = (x[c, i, j] - z_mu) * (1 - Sigma[c, i, j]) + z_mu
    return mu, Sigma


def test_mean_and_variance_by_a_loop_over_pixels():
    """D.2.1 from image to mu and Sigma: multi-scale convolution, tanh layers, Eq. 63 to 66, at three times."""
    compiled = compiled_model()
    rng = np.random.default_rng(0)
    theta = 0.5 * rng.standard_normal(compiled.layout.size)
    p = compiled.layout.split(theta)
    X, times = rng.standard_normal((3, COLORS, WIDTH, WIDTH)), (2, 4, T)
    mu, sigma = compiled.reverse(3)(theta, X, np.array(times, dtype=float))
    for n, t in enumerate(times):
        expected_mu, expected_Sigma = reverse(p, X[n], t)
        np.testing.assert_allclose(mu[n], expected_mu, rtol=1e-10)
        np.testing.assert_allclose(sigma[n] ** 2, expected_Sigma, rtol=1e-10)


def test_a_layer_is_linear_up_to_one_softplus():
    """D.2.1: steps 1 to 3 are linear, so with biases of 0 the inverse of log(1 + exp) of the layer's output is
    additive; for the release's layer, whose non-linearity acts at each scale, no pointwise inverse is."""
    layer = MultiScaleConvolution(0, 1, 1, spatial_width=4, num_scales=3, form=NETWORKS["paper-2015"].layers)
    rng = np.random.default_rng(0)
    set_values(
        layer,
        {path: rng.standard_normal(p.shape) * (p.role == "weight") for path, p in layer.parameters().items()},
    )
    x, y = rng.standard_normal((2, 4, 4))
    out = layer.apply(constant(np.stack([x, y, x + y])[..., None])).eval(mode="FAST_COMPILE")
    before = np.log(np.expm1(out))
    np.testing.assert_allclose(before[2], before[0] + before[1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("T", "J"), [(7, 3), (1000, 10)])
def test_bumps_are_as_wide_as_they_are_apart(T, J):
    """Eq. 64: log g_{j+1}(t) - log g_j(t) is a line in t of slope 1/w where w is the spacing of the centers, and 0
    midway between them: T/J, 2T/J, ..., so that all centers are inside (0, T)."""
    bumps = paper_bumps(T, J)
    np.testing.assert_allclose(bumps.sum(axis=0), 1, rtol=1e-14)
    w, time = T / J, np.arange(1, T + 1)
    for j in range(J - 1):
        np.testing.assert_allclose(np.log(bumps[j + 1] / bumps[j]), (time - w * (j + 1)) / w, rtol=1e-9, atol=1e-9)
    naive = [[bump(j, t, T, J) for t in (1, T // 2, T)] for j in range(J)]
    np.testing.assert_allclose(bumps[:, [0, T // 2 - 1, T - 1]], naive, rtol=1e-10)


def test_bumps_of_more_than_steps_are_finite():
    """Eq. 64 where every bump is narrow: no division of 0 by 0."""
    assert np.isfinite(paper_bumps(2, 500)).all()


def test_zero_coefficients_and_the_fixed_point_of_the_mean():
    """Eq. 65: z = 0 gives Sigma = beta_t. Eq. 66: x = z stays, whatever Sigma is; z = 0 gives x (1 - Sigma)."""
    form = NETWORKS["paper-2015"]
    beta, Sigma, z = constant(0.3), constant(0.2), constant([-1.5, 2.0])
    assert value(form.variance(constant(0.0), beta, 1000)) == pytest.approx(0.3, rel=1e-14)
    np.testing.assert_allclose(value(form.mean(z, z, beta, Sigma)), [-1.5, 2.0], rtol=1e-14)
    assert value(form.mean(constant(5.0), constant(0.0), beta, Sigma)) == pytest.approx(4.0, rel=1e-14)


# ---------------------------------------------------------------------- the bound


@pytest.mark.parametrize("network", NETWORKS)
def test_bound_of_a_zeroed_network_on_normal_data(network):
    """K - L_null of N(0, 1) data with coefficients of 0: 0 for the release, whose mean is then the forward kernel's,
    which is the true reverse kernel. The mean x (1 - beta_t) of Eq. 66 differs from x sqrt(1 - beta_t), which costs
    sum over t = 2..T of (1 - beta_t) (1 - sqrt(1 - beta_t))^2 / (2 beta_t) nats (Eq. 14).

    The cost is of second degree in x_0 and the noise: its mean over their four signs is its expectation.
    """
    steps = 50
    compiled = compiled_model(network=network, trajectory_length=steps)
    theta = np.zeros(compiled.layout.size)
    beta = compiled.beta(theta)
    signs = np.array([[1, 1, -1, -1], [1, -1, 1, -1]], dtype=float)
    x, N = np.tile(signs, steps - 1)
    X, N = (np.broadcast_to(a[:, None, None, None], (len(a), COLORS, WIDTH, WIDTH)).copy() for a in (x, N))
    t = np.repeat(np.arange(2.0, steps + 1), 4)
    bits = -compiled.costs(len(t))(theta, X, t, N, np.full_like(X, 0.5)).mean() / COLORS
    b = beta[1:]
    nats = ((1 - b) * (1 - np.sqrt(1 - b)) ** 2 / (2 * b)).sum()
    expected = {"reference-2015": 0.0, "paper-2015": -nats / np.log(2)}[network]
    assert bits == pytest.approx(expected, abs=1e-10)
    assert network == "reference-2015" or expected < -0.5


@pytest.mark.thorough
def test_gradient_by_central_differences():
    """The cost's gradient through D.2.1 and Eq. 63 to 66, along a random direction of each parameter and of all."""
    compiled = compiled_model()
    rng = np.random.default_rng(0)
    theta = 0.3 * rng.standard_normal(compiled.layout.size)
    X, N = rng.standard_normal((2, 2, COLORS, WIDTH, WIDTH))
    frozen = (X, np.array([2.0, 5.0]), N, rng.random(X.shape), np.array([1.0, 0.5]))
    function = compiled.objective(2)
    _, gradient = function(theta, *frozen)
    for block in [*compiled.layout.slices.values(), slice(None)]:
        direction = np.zeros_like(theta)
        direction[block] = rng.standard_normal(theta[block].shape)
        above, below = (function(theta + step * direction, *frozen)[0] for step in (1e-6, -1e-6))
        assert gradient @ direction == pytest.approx((above - below) / 2e-6, rel=1e-6, abs=1e-7)


def test_cost_and_gradient_are_finite_from_the_usual_start():
    """In float32 at T = 1000 with only the dense path, as for MNIST (Figure D.1); every parameter has an effect."""
    engine = Engine("auto", "float32")
    with engine:
        model = DiffusionModel(**(SIZES | {"n_hidden_conv": 0}), trajectory_length=1000, network="paper-2015")
    compiled = CompiledModel(model, engine)
    rng = np.random.default_rng(0)
    start = model.initialize(rng)
    theta = compiled.layout.flatten({p: start[p] for p in compiled.layout.slices}, "float32")
    X, N = (engine.asarray(a) for a in rng.standard_normal((2, 3, COLORS, WIDTH, WIDTH)))
    times = np.array([2, 500, 1000], dtype="float32")
    cost, gradient = compiled.objective(3)(theta, X, times, N, np.zeros_like(X), np.ones_like(times))
    assert np.isfinite(cost)
    assert np.isfinite(gradient).all()
    assert all(np.abs(g).max() > 0 for g in compiled.layout.split(gradient).values())


# ---------------------------------------------------------------------- the switch


def test_reference_2015_is_the_default_and_has_the_same_parameters():
    """The golden numbers of the default are in test_compare.py; names, shapes and start are common to both."""
    models = [
        DiffusionModel(**SIZES, **more) for more in ({}, {"network": "reference-2015"}, {"network": "paper-2015"})
    ]
    assert models[0].arguments == models[1].arguments
    starts = [model.initialize(np.random.default_rng(0)) for model in models]
    for start in starts[1:]:
        assert list(start) == list(starts[0])
        assert all(np.array_equal(start[path], starts[0][path]) for path in start)


@pytest.fixture
def folder(train):
    """A run of two epochs with the paper's network; tests only read it."""
    return train("--model", "paper-2015", "--model-args", f"{runs.MODEL},n_scales=2")


def draw(folder, out):
    """Return three samples of a run, which sample.py writes into the folder `out`."""
    out.mkdir()
    given = [str(folder / "checkpoint.h5"), "--n", "3", "--quiet", "--output-dir", str(out)]
    assert sample_main(given) == 0
    with np.load(out / "samples.npz") as file:
        return file["X"]


@pytest.mark.thorough
def test_a_run_trains_samples_and_resumes(train, folder, tmp_path):
    """sample.py rebuilds the network by its name; a resumed run equals an uninterrupted one, bit for bit."""
    assert all(np.isfinite(list(row.values())).all() for row in runs.rows(folder))
    assert np.isfinite(draw(folder, tmp_path / "drawn")).all()
    assert open_run(folder / "checkpoint.h5").model.network == "paper-2015"
    first = train("--model", "paper-2015", "--model-args", f"{runs.MODEL},n_scales=2", "--epochs", 1)
    assert train_main(["--resume-file", str(first / "checkpoint.h5"), "--epochs", "2"]) == 0
    assert runs.same(first, folder)


@pytest.mark.thorough
def test_a_checkpoint_without_a_network_name_is_reference_2015(train, tmp_path):
    """A checkpoint of an earlier version, which names no network, resumes and samples as the default does."""
    folder = train("--epochs", 1)
    expected, samples = train(), draw(folder, tmp_path / "first")
    meta, arrays = checkpoint.load_run(folder / "checkpoint.h5")
    for part in (meta["model"], meta["config"]["model"]):
        part.pop("network", None)
    del meta["config"]["flags"]["model"]
    checkpoint.save(folder / "checkpoint.h5", meta, arrays)
    np.testing.assert_array_equal(draw(folder, tmp_path / "second"), samples)
    resume = ["--resume-file", str(folder / "checkpoint.h5"), "--epochs", "2"]
    assert train_main([*resume, "--model", "reference-2015"]) == 0
    assert runs.same(folder, expected)


@pytest.mark.thorough
def test_another_network_on_resuming_is_refused(capsys, folder):
    line = runs.refused(capsys, train_main, "--resume-file", folder / "checkpoint.h5", "--model", "reference-2015")
    assert "--model reference-2015 contradicts --resume-file, whose run has paper-2015" in line


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--faithful", "--model", "paper-2015"), "--model paper-2015 contradicts --faithful"),
        (
            ("--experiment", "heartbeat", "--model", "paper-2015"),
            "--model paper-2015 contradicts --experiment heartbeat",
        ),
        (
            ("--experiment", "swissroll", "--model", "paper-2015"),
            "--model paper-2015 contradicts --experiment swissroll",
        ),
        (("--model", "paper"), "--model: 'paper' is unknown; accepted: reference-2015, paper-2015"),
        (("--model-args", "network='paper-2015'"), "the network is named by --model"),
    ],
)
def test_contradictions_are_refused(refused, given, words):
    assert words in refused(train_main, *given)


def test_the_release_has_the_reference_network(golden, refused):
    """--faithful accepts the name of its network; a model.pkl accepts no other."""
    settings = Settings.from_arguments(faithful=True, model="reference-2015")
    assert settings.variant.model_arguments["network"] == "reference-2015"
    line = refused(sample_main, golden / "checkpoint/model.pkl", "--model-args", "network='paper-2015'")
    assert "a model.pkl has 'reference-2015'" in line


def test_mnist_has_only_the_dense_path_in_the_paper():
    """Figure D.1; the release's MNIST run has both paths, and so does CIFAR-10 in both. A given value counts more."""
    for name, network, given, conv in (
        ("mnist", "paper-2015", {}, 0),
        ("mnist", "paper-2015", {"n_hidden_conv": 7}, 7),
        ("mnist", "reference-2015", {}, None),
        ("cifar10", "paper-2015", {}, 100),
    ):
        settings = Settings.from_arguments(experiment=name, model=network, model_args=given)
        assert settings.model_args.get("n_hidden_conv") == conv


def test_the_page_is_linked_and_its_commands_are_accepted():
    """docs/paper-and-release.md: its links and paths exist, its commands parse, both names are in it."""
    page = (ROOT / "docs/paper-and-release.md").read_text()
    for other in ("index.md", "from-2015.md"):
        assert "(paper-and-release.md)" in (ROOT / "docs" / other).read_text()
    commands = re.findall(r"^python train\.py (.+)$", page, re.MULTILINE)
    assert {vars(train_parser().parse_args(c.split()))["model"] for c in commands} == set(NETWORKS)
    named = set(re.findall(r"\b(?:dpm|tests|docs)/[\w/-]+\.(?:py|md)\b", page))
    linked = {link for link in re.findall(r"\]\(([^)#]+)", page) if "://" not in link}
    assert all((ROOT / path).is_file() for path in named)
    assert all((ROOT / "docs" / path).is_file() for path in linked)
