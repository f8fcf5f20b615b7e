"""Read the parameters of a checkpoint that the 2015 code wrote (Blocks' model.pkl) without opening its pickle.

The file is a zip archive. Each shared variable is an npy member, which numpy reads with pickling switched off; the
member `pkl`, the pickled main loop, is never read.
"""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from dpm.base.errors import InputError

PARAMETER_PREFIX = "/diffusionmodel/"
# RuntimeError: an encrypted member.
ARCHIVE_ERRORS = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError)
LARGEST_MEMBER = 2**31  # bytes; the largest array of the released models has 2**25


def read_blocks_checkpoint(path: str | Path) -> dict[str, np.ndarray]:
    """Return the arrays by name: parameters by Blocks path, others ("temporal basis", ...) by their names.

    Raises:
        InputError: the file is not such a checkpoint.
    """
    arrays = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member.filename == "pkl":
                    continue
                if member.file_size > LARGEST_MEMBER:
                    raise InputError(f"{path}: member {member.filename!r} claims {member.file_size} bytes; too large")
                with archive.open(member) as stream:
                    array = np.lib.format.read_array(stream, allow_pickle=False)
                arrays[_path(member.filename)] = array
    except InputError:
        raise
    except (*ARCHIVE_ERRORS, OSError, ValueError, TypeError, EOFError) as error:
        raise InputError(f"{path}: cannot be read as a Blocks checkpoint of 2015 ({error})") from None
    if not any(name.startswith(PARAMETER_PREFIX) for name in arrays):
        raise InputError(f"{path}: holds no parameters of a DiffusionModel")
    return arrays


def _path(member: str) -> str:
    """Return the Blocks path of a member's name, in which slashes were replaced by hyphens."""
    path = "/" + member.replace("-", "/")
    return path if path.startswith(PARAMETER_PREFIX) else member


def infer_arguments(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Infer the arguments of DiffusionModel from the arrays of a Blocks checkpoint.

    Raises:
        InputError: the arrays do not fit together.
    """
    conv = PARAMETER_PREFIX + "mlp_conv_dense/multilayerconvolution/multiscaleconvolution/layer{}_scale{}/convolutional"
    lower = PARAMETER_PREFIX + "mlp_conv_dense/MLP dense lower/linear_{}"
    upper = PARAMETER_PREFIX + "mlp_conv_dense/MLP dense upper/linear_{}"

    def count(pattern: str, *rest: int) -> int:
        n = 0
        while pattern.format(n, *rest) + ".W" in arrays:
            n += 1
        return n

    n_conv, n_lower, n_upper = count(conv, 0), count(lower), count(upper)
    try:
        n_basis, trajectory_length = arrays["temporal basis"].shape
        n_colors = arrays[upper.format(n_upper - 1) + ".b"].shape[0] // (2 * n_basis)
        arguments: dict[str, Any] = {
            "n_colors": n_colors,
            "trajectory_length": trajectory_length,
            "n_temporal_basis": n_basis,
            "step1_beta": max(0.0, float(arrays["min beta"][0] - arrays["min beta"][-1])),
            "n_layers_conv": n_conv if n_conv else n_lower,
            "n_layers_dense_lower": n_lower,
            "n_layers_dense_upper": n_upper,
            "n_hidden_conv": 0,
            "n_hidden_dense_lower": 0,
        }
        if n_upper > 1:
            arguments["n_hidden_dense_upper"] = arrays[upper.format(0) + ".b"].shape[0]
        if n_conv:
            filters, width, _ = arrays[conv.format(0, 0) + ".b"].shape
            n_scales = count(conv.replace("layer{}_scale{}", "layer0_scale{}"))
            arguments |= {"n_hidden_conv": filters, "spatial_width": width - 2, "n_scales": n_scales}
        if n_lower:
            inputs, hidden = arrays[lower.format(0) + ".W"].shape
            width = round((inputs / n_colors) ** 0.5)
            outputs = arrays[lower.format(n_lower - 1) + ".b"].shape[0] // width**2
            arguments |= {
                "n_hidden_dense_lower": hidden,
                "spatial_width": width,
                "n_hidden_dense_lower_output": outputs,
            }
    except (KeyError, ValueError, IndexError, ZeroDivisionError) as error:
        raise InputError(f"the arrays of the Blocks checkpoint do not make a DiffusionModel ({error})") from None
    return arguments
