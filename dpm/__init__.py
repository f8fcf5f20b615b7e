"""Diffusion probabilistic models (Sohl-Dickstein et al., ICML 2015) as symbolic graphs in PyTensor.

The names below are imported when they are first used, so that `import dpm` is fast.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from dpm import optimizers, viz
    from dpm.base.errors import InputError
    from dpm.cluster.pool import use_cluster
    from dpm.datasets import Scaling
    from dpm.engines.engine import Engine
    from dpm.engines.kernel_checks import check_kernel
    from dpm.graph import bricks, kernels, networks, schedules
    from dpm.graph.diffusion import Diffusion
    from dpm.graph.kernels.binomial import BinomialKernel
    from dpm.graph.kernels.full_gaussian import FullGaussianKernel
    from dpm.graph.kernels.gaussian import GaussianKernel
    from dpm.graph.vector_model import VectorDiffusion
    from dpm.model import DiffusionModel
    from dpm.reports.graphs.page import draw
    from dpm.runs.data import RunData, load
    from dpm.runs.evaluation import bound, evaluate
    from dpm.runs.loading import Run, open_run
    from dpm.runs.samples import denoise, inpaint, sample
    from dpm.runs.settings import Settings
    from dpm.training.run import train

# Public modules, and the modules that hold the other public names.
_MODULES = {
    "bricks": "dpm.graph.bricks",
    "kernels": "dpm.graph.kernels",
    "networks": "dpm.graph.networks",
    "optimizers": "dpm.optimizers",
    "schedules": "dpm.graph.schedules",
    "viz": "dpm.viz",
}
_HOMES = {
    "BinomialKernel": "dpm.graph.kernels.binomial",
    "Diffusion": "dpm.graph.diffusion",
    "DiffusionModel": "dpm.model",
    "Engine": "dpm.engines.engine",
    "FullGaussianKernel": "dpm.graph.kernels.full_gaussian",
    "GaussianKernel": "dpm.graph.kernels.gaussian",
    "InputError": "dpm.base.errors",
    "Run": "dpm.runs.loading",
    "RunData": "dpm.runs.data",
    "Scaling": "dpm.datasets",
    "Settings": "dpm.runs.settings",
    "VectorDiffusion": "dpm.graph.vector_model",
    "bound": "dpm.runs.evaluation",
    "check_kernel": "dpm.engines.kernel_checks",
    "denoise": "dpm.runs.samples",
    "draw": "dpm.reports.graphs.page",
    "evaluate": "dpm.runs.evaluation",
    "inpaint": "dpm.runs.samples",
    "load": "dpm.runs.data",
    "open_run": "dpm.runs.loading",
    "sample": "dpm.runs.samples",
    "train": "dpm.training.run",
    "use_cluster": "dpm.cluster.pool",
}

__all__ = [
    "BinomialKernel",
    "Diffusion",
    "DiffusionModel",
    "Engine",
    "FullGaussianKernel",
    "GaussianKernel",
    "InputError",
    "Run",
    "RunData",
    "Scaling",
    "Settings",
    "VectorDiffusion",
    "bound",
    "bricks",
    "check_kernel",
    "denoise",
    "draw",
    "evaluate",
    "inpaint",
    "kernels",
    "load",
    "networks",
    "open_run",
    "optimizers",
    "sample",
    "schedules",
    "train",
    "use_cluster",
    "viz",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'dpm' has no attribute {name!r}")
    if name in _MODULES:
        value: Any = importlib.import_module(_MODULES[name])
    else:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
