"""Compute every array that was exported from a 2015 installation again, and compare.

docs/compare.md explains what a file holds and how to write one. Times in the files are those of the released code,
which count from 0; the paper's times are one larger.
"""

import json
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dpm.base.arguments import check_names
from dpm.base.errors import InputError
from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.engines.parameters import Layout
from dpm.experiments.variants import RELEASED
from dpm.model import DiffusionModel, argument_names
from dpm.optimizers import RMSProp
from dpm.runs.blocks_checkpoint import PARAMETER_PREFIX, infer_arguments, read_blocks_checkpoint
from dpm.runs.folder import find_checkpoint
from dpm.sampler import Constraint, capture_times, generate_inpaint_mask, generate_samples

Arrays = dict[str, np.ndarray]
Items = Iterator[tuple[str, Any]]
BETA_PERTURB = "/diffusionmodel.beta_perturb_coefficients"


def relative_difference(ours: Any, theirs: Any) -> float:
    """Return the largest relative difference of two arrays.

    Each |ours - theirs| is divided by the larger of |theirs| and the root mean square of the whole array, so that an
    element near 0 is measured by the size of its neighbors. Infinite if shapes differ or a value is not finite.
    """
    ours, theirs = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    if ours.shape != theirs.shape or not np.isfinite(ours).all() or not np.isfinite(theirs).all():
        return float("inf")
    if not theirs.size:
        return 0.0
    size = np.maximum(np.abs(theirs), np.sqrt(np.mean(theirs**2)))
    difference = np.abs(ours - theirs)
    return float(np.max(np.where(difference == 0, 0, difference / np.where(size == 0, 1, size))))


class Reference:
    """One exported file and the same model here.

    Args:
        arrays: exported arrays by name.
        parameters: parameters by Blocks path.
        arguments: arguments of DiffusionModel.
        engine: engine that computes ours.
    """

    def __init__(self, arrays: Arrays, parameters: Arrays, arguments: dict[str, Any], engine: Engine) -> None:
        self.arrays, self.engine = arrays, engine
        with engine:
            self.model = DiffusionModel(**check_names(arguments, argument_names()), **RELEASED.model_arguments)
        layout = Layout(self.model.parameters())
        self.compiled = CompiledModel(self.model, engine, layout)
        n_basis = self.model.n_temporal_basis
        parameters = {BETA_PERTURB: np.zeros(n_basis)} | parameters
        if parameters.keys() == {BETA_PERTURB}:  # a file with schedule arrays only
            parameters |= {p: np.zeros(v.shape) for p, v in layout.parameters.items() if p != BETA_PERTURB}
        self.theta = layout.flatten(parameters, engine.dtype)

    def compute(self) -> Items:
        """Yield (name, ours) for all arrays that can be computed from the inputs in the file."""
        noise = ("fwd_X0", "fwd_N", "fwd_U")
        parts: list[tuple[tuple[str, ...], Any]] = [
            ((), self.schedule),
            (("musig_X_noisy", "musig_t"), lambda: self.mu_sigma("musig_X_noisy", "musig_t", "musig_")),
            (("X_noisy", "t"), lambda: self.mu_sigma("X_noisy", "t", "")),
            ((*noise, "fwd_t"), self.forward),
            ((*noise, "fwd_t"), self.schedule_gradients),
            ((*noise, "grad_t"), self.gradients),
            ((*noise, "train_t", "train_lr"), self.training),
            (("sample_X_true",), self.sampling),
        ]
        for inputs, part in parts:
            if all(name in self.arrays for name in inputs):
                yield from part()

    def schedule(self) -> Items:
        """Yield beta_arr, temporal_basis and beta_full_trajectory, also with the perturbation at zero (`_zero`)."""
        beta = self.compiled.function(lambda: [self.model.beta_arr, self.model.get_beta_full_trajectory()], [])
        layout = self.compiled.layout
        zero = self.theta.copy()
        zero[layout.slices[BETA_PERTURB]] = 0
        for suffix, theta in (("", self.theta), ("_zero", zero)):
            beta_arr, full = beta(theta)
            yield f"beta_arr{suffix}", beta_arr.reshape(-1, 1)
            yield f"beta_full_trajectory{suffix}", full
        yield "temporal_basis", self.model.temporal_basis

    def mu_sigma(self, images: str, times: str, prefix: str) -> Items:
        """Yield p(x_{t-1} | x_t) and its intermediate results at each of the times."""
        X = self.engine.asarray(self.arrays[images])

        def build(X: Any, t: Any) -> list[Any]:
            p = self.model.get_mu_sigma(X, t)
            state = self.model.internal_state(X, t)
            beta = self.model.get_beta_forward(t)[:, 0, 0, 0]
            channels_last: Any = state["Z"]
            inside = [state["mu_coeff"], state["beta_coeff"], channels_last.transpose(0, 2, 3, 1)]
            return [*p, beta, *inside, *([state["conv"]] if "conv" in state else [])]

        function = self.compiled.function(build, self.compiled.reverse_inputs(len(X)))
        results = [function(self.theta, X, self._times(t, len(X))) for t in self.arrays[times]]
        mu, sigma, beta, mu_coeff, beta_coeff = (np.stack(r) for r in list(zip(*results, strict=True))[:5])
        yield f"{prefix}mu", mu
        yield f"{prefix}sigma", sigma
        yield f"{prefix}mu_coeff", mu_coeff
        yield f"{prefix}beta_coeff", beta_coeff
        yield f"{prefix}beta_forward", beta[:, 0]
        yield f"{prefix}Z", results[0][5]
        if len(results[0]) > 6:
            yield f"{prefix}conv_out", results[0][6]

    def forward(self) -> Items:
        """Yield x_t, the posterior and the model's step for frozen noise, at each time of the file."""

        def build(X: Any, t: Any, N: Any, U: Any) -> list[Any]:
            X_noisy, q = self.model.generate_forward_diffusion_sample(X, t, N, U)
            return [X_noisy, *q, *self.model.get_mu_sigma(X_noisy, t), self.model.cost_single_t(X, t, N, U)]

        X, N, U = self._noise()
        function = self.compiled.function(build, self.compiled.forward_inputs(len(X)))
        results = [function(self.theta, X, self._times(t, len(X)), N, U) for t in self.arrays["fwd_t"]]
        X_noisy, mu_q, sigma_q, mu_p, sigma_p, cost = (np.stack(r) for r in zip(*results, strict=True))
        yield "fwd_X_noisy", X_noisy
        yield "fwd_mu_posterior", mu_q
        yield "fwd_sigma_posterior", sigma_q[:, 0, 0, 0, 0]
        yield "fwd_mu_p", mu_p
        yield "fwd_sigma_p", sigma_p
        yield "fwd_cost", cost.mean(axis=1)

    def gradients(self) -> Items:
        """Yield the cost and its gradient with respect to each parameter at grad_t."""
        cost, gradient = self._objective(self.theta, self.arrays["grad_t"])
        gradients = self.compiled.layout.split(gradient)
        yield "grad_cost", cost
        yield "grad_beta_perturb_coefficients", gradients.pop(BETA_PERTURB)
        for path, value in gradients.items():
            yield f"grad:{path}", value

    def schedule_gradients(self) -> Items:
        """Yield the gradient with respect to the schedule's coefficients at every time of the file."""
        where = self.compiled.layout.slices[BETA_PERTURB]
        by_time = [self._objective(self.theta, t)[1][where] for t in self.arrays["fwd_t"]]
        yield "grad_beta_perturb_all_t", np.stack(by_time)

    def training(self) -> Items:
        """Yield the costs before each RMSProp step of the file, and the parameters after the last step."""
        layout = self.compiled.layout
        rule = RMSProp(layout.size, self.engine.dtype, blocks=list(layout.slices.values()))
        theta, costs = self.theta, []
        for t in self.arrays["train_t"]:
            cost, gradient = self._objective(theta, t)
            gradient = gradient.copy()
            gradient[layout.slices[BETA_PERTURB]] = 0
            theta = rule.step(theta, gradient, float(self.arrays["train_lr"]))
            costs.append(cost)
        yield "train_cost", np.array(costs)
        for path, value in layout.split(theta).items():
            yield f"train_param:{path}", value

    def sampling(self) -> Items:
        """Yield reverse trajectories with numpy's legacy generator and seed 12345, with which the file was made."""
        X_true = self.arrays["sample_X_true"]
        shape = X_true.shape
        middle = capture_times(self.model.trajectory_length)[1]
        kinds = {"plain": None, "inpaint": None, "denoise1": 1.0, "denoise0p5": 0.5}
        for kind, sigma in kinds.items():
            rng = np.random.RandomState(12345)
            noise = partial(_draw_normal, rng)
            constraint = None
            if kind == "inpaint":
                constraint = Constraint(X_true, known=generate_inpaint_mask(*shape[:3]))
            elif sigma:
                constraint = Constraint(X_true + sigma * noise(shape), sigma=sigma)
            states: dict[int, np.ndarray] = {}
            generate_samples(self.compiled, self.theta, shape[0], noise, constraint, states.__setitem__)
            yield f"sample_{kind}_XT", states[self.model.trajectory_length]
            yield f"sample_{kind}_mid", states[middle]
            yield f"sample_{kind}_X0", states[0]
            yield f"sample_{kind}_capture_t", np.array(capture_times(self.model.trajectory_length))

    def _noise(self) -> Iterator[np.ndarray]:
        return (self.engine.asarray(self.arrays[f"fwd_{name}"]) for name in ("X0", "N", "U"))

    def _times(self, t: Any, n: int) -> np.ndarray:
        """Return the released code's time t, which counts from 0, as the paper's, for n images."""
        return np.full(n, t + 1, dtype=self.engine.dtype)

    def _objective(self, theta: np.ndarray, t: Any) -> tuple[Any, np.ndarray]:
        X, N, U = self._noise()
        weights = np.ones(len(X), dtype=self.engine.dtype)
        return self.compiled.objective(len(X))(theta, X, self._times(t, len(X)), N, U, weights)


def _draw_normal(rng: np.random.RandomState, shape: tuple[int, ...]) -> np.ndarray:
    return rng.normal(size=shape)


def read_config(path: str | Path, value: np.ndarray) -> dict[str, Any]:
    """Return the dict in a config_json, text or bytes (Python 2 saves a str as bytes). Raises InputError otherwise."""
    try:
        arguments = json.loads(value.item())
    except (TypeError, ValueError):
        arguments = None
    if not isinstance(arguments, dict):
        raise InputError(f"{path}: config_json is not the JSON dict of DiffusionModel's arguments, see docs/compare.md")
    for name in set(check_names(arguments, argument_names())) & set(RELEASED.model_arguments):
        raise InputError(f"{path}: config_json names {name}, which 2015 did not have; leave it out")
    return arguments


def read_npz(path: str | Path) -> Arrays:
    """Return the arrays of an exported file, numbers and texts. Raises InputError for another file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, AttributeError, zipfile.BadZipFile, EOFError) as error:
        # numpy advises to allow pickles, which is never done here.
        objects = isinstance(error, (ValueError, AttributeError))
        reason = "it is no npz file, or holds Python objects" if objects else " ".join(str(error).split())
        raise InputError(
            f"{path}: cannot be read as an exported npz ({reason}); docs/compare.md describes how to make one"
        ) from None


def load_npz(path: str | Path) -> tuple[Arrays, Arrays, dict[str, Any]]:
    """Return (arrays, parameters, arguments) of an exported file. Raises InputError for another file."""
    arrays = read_npz(path)
    if "config_json" not in arrays:
        raise InputError(f"{path}: holds no config_json; see docs/compare.md for what to export")
    arguments = read_config(path, arrays.pop("config_json"))
    parameters = {name[6:]: arrays.pop(name) for name in list(arrays) if name.startswith("param:")}
    if "beta_perturb_coefficients" in arrays:
        parameters[BETA_PERTURB] = arrays.pop("beta_perturb_coefficients")
    arrays.pop("param_names", None)
    return arrays, parameters, arguments


def load_blocks(path: str | Path, evaluation: Path) -> tuple[Arrays, Arrays, dict[str, Any]]:
    """Return (arrays, parameters, arguments) of a 2015 checkpoint and the eval.npz next to it."""
    checkpoint = read_blocks_checkpoint(path)
    if not evaluation.is_file():
        raise InputError(
            f"{evaluation}: no such file; expected an npz with X_noisy, t, mu and sigma, see docs/compare.md"
        )
    arrays = read_npz(evaluation)
    parameters = {p: v for p, v in checkpoint.items() if p.startswith(PARAMETER_PREFIX)}
    arguments = infer_arguments(checkpoint)
    if "config_json" in arrays:
        arguments |= read_config(evaluation, arrays.pop("config_json"))
    return arrays, parameters, arguments


INPUTS = {
    "musig_X_noisy", "musig_t", "X_noisy", "t", "fwd_X0", "fwd_N", "fwd_U", "fwd_t", "grad_t", "train_t", "train_lr",
    "sample_X_true",
}  # fmt: skip


def compare(arrays: Arrays, parameters: Arrays, arguments: dict[str, Any], engine: Engine) -> list[tuple[str, float]]:
    """Return (name, largest relative difference) for every array that is not an input; infinite for unknown ones."""
    reference = Reference(arrays, parameters, arguments, engine)
    ours = {name: value for name, value in reference.compute() if name in arrays}
    rows = [(name, relative_difference(value, arrays[name])) for name, value in ours.items()]
    return rows + [(name, float("inf")) for name in arrays if name not in ours and name not in INPUTS]


def load(path: str | Path) -> tuple[Arrays, Arrays, dict[str, Any]]:
    """Load an exported npz, or a Blocks checkpoint `model.pkl`, or its folder, with the eval.npz in that folder."""
    path = find_checkpoint(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; give an exported .npz, or a model.pkl of 2015 or its folder")
    if path.suffix == ".pkl":
        return load_blocks(path, path.with_name("eval.npz"))
    return load_npz(path)


def compare_file(path: str | Path, engine: Engine) -> list[tuple[str, float]]:
    """Return the rows of one file. Raises InputError for a file whose arrays do not fit together."""
    arrays, parameters, arguments = load(path)
    try:
        return compare(arrays, parameters, arguments, engine)
    except InputError:
        raise
    except (TypeError, ValueError, IndexError) as error:
        first = str(error).partition("\n")[0]
        raise InputError(f"{path}: its arrays do not fit together or to the model ({first})") from None
