"""Recompute every array that the unmodified 2015 code computed (tests/golden)."""

import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.commands.compare import TOLERANCE
from dpm.engines.engine import Engine
from dpm.runs.reference import compare, load, load_npz, relative_difference

FILES = ("a_mnist28_dense_conv.npz", "b_conv16_scales3.npz", "c_color8_scales2_dense.npz", "d_beta_T1000.npz")
CHECKPOINT = "checkpoint/model.pkl"
# Number of results in each file; a smaller one would mean that some were not compared.
COUNTS = {FILES[0]: 55, FILES[1]: 59, FILES[2]: 80, FILES[3]: 5, CHECKPOINT: 2}


def assert_all_agree(engine, path, name):
    rows = compare(*load(path), engine)
    assert len(rows) == COUNTS[name]
    failures = [(array, d) for array, d in rows if not d <= TOLERANCE[engine.dtype]]
    assert not failures


@pytest.mark.representative
@pytest.mark.parametrize("name", [*FILES, CHECKPOINT])
def test_all_arrays_agree_on_the_default_engine(golden, name):
    assert_all_agree(Engine("auto", "float64"), golden / name, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*FILES, CHECKPOINT])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_all_arrays_agree_on_every_engine(golden, engine_name, name, dtype):
    assert_all_agree(Engine(engine_name, dtype), golden / name, name)


@pytest.mark.thorough
@pytest.mark.parametrize("engine", ["numba", pytest.param("c", marks=pytest.mark.slow)])
def test_schedule_cost_and_gradients_agree_on_the_other_engines(golden, engine):
    """The arrays of one objective function (color, two scales, dense path): cost, all gradients, RMSProp."""
    try:
        chosen = Engine(engine, "float64")
    except InputError:
        pytest.skip("this machine has no C compiler")
    arrays, parameters, arguments = load_npz(golden / FILES[2])
    results = ("grad", "train", "beta", "temporal")
    inputs = ("fwd_X0", "fwd_N", "fwd_U")
    arrays = {k: v for k, v in arrays.items() if k.startswith(results) or k in inputs}
    arrays.pop("grad_beta_perturb_all_t")
    rows = compare(arrays, parameters, arguments, chosen)
    assert len(rows) == 50
    assert not [row for row in rows if not row[1] <= 1e-7]


def test_relative_difference_measures_small_elements_by_the_whole_array():
    """|ours - theirs| / max(|theirs|, root mean square), checked by hand."""
    assert relative_difference([1.0, 2.0], [1.0, 2.0]) == 0
    assert relative_difference([0.1, 2.0], [0.0, 2.0]) == pytest.approx(0.1 / np.sqrt(2))
    assert relative_difference([0.0, 2.2], [0.0, 2.0]) == pytest.approx(0.1)
    assert relative_difference(0.0, 0.0) == 0
    assert relative_difference(1e-9, 0.0) == 1e-9
    assert relative_difference([1.0], [1.0, 2.0]) == float("inf")
    assert relative_difference([np.nan], [1.0]) == float("inf")


@pytest.mark.parametrize("kind", ["checkpoint", "text", "objects", "empty"])
def test_files_that_are_no_exported_npz_are_refused_without_the_advice_to_unpickle(tmp_path, trained, kind):
    path = tmp_path / "x.npz"
    if kind == "checkpoint":
        path = trained
    elif kind == "objects":
        np.savez(path, config_json=np.array([{}, None], dtype=object))
    else:
        path.write_text("text" if kind == "text" else "")
    with pytest.raises(InputError) as refusal:
        load_npz(path)
    assert "cannot be read as an exported npz (" in str(refusal.value)
    assert "pickle" not in str(refusal.value)
