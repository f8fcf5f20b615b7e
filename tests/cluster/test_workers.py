"""What a worker does: it checks versions and bytes, builds shared objects once, and passes errors on."""

import pickle

import numpy as np
import pytest

import dpm
from dpm.base.errors import InputError
from dpm.cluster import workers
from dpm.cluster.recipes import write_recipe
from dpm.cluster.workers import WorkerError, pack
from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from tests.helpers import pieces


def compute(function, shared, work, expected=None):
    packed = [pack(value) for value in shared]
    return workers.compute_pieces(
        workers.versions() if expected is None else expected,
        tuple(pack(function)),
        [p.digest for p in packed],
        [p.content for p in packed],
        pickle.dumps(work),
    )


def test_results_come_in_order_with_the_work_reported():
    answer = compute(pieces.squares, [1], [1, 2, 3])
    assert (answer.results, answer.reported) == ([2, 5, 10], 6)
    assert answer.seconds >= 0


def test_a_mistake_of_the_user_keeps_its_text():
    with pytest.raises(InputError, match=r"^piece: got 2; expected another$"):
        compute(pieces.fail, [], [1, 2])


def test_versions_are_those_of_this_process():
    assert workers.versions()["numpy"] == np.__version__
    assert workers.versions()["dpm"].startswith(dpm.__version__)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"numpy": "1.0"}, f"has numpy {np.__version__}; expected 1.0, as here"),
        ({"dpm": "9.9 (files 0)"}, "has dpm 0.1.0 .*; expected 9.9 .files 0., as here"),
        ({"Python": "2.7"}, "has Python 3.*; expected 2.7, as here"),
        ({"other": "1"}, "has other none; expected 1, as here"),
    ],
)
def test_a_worker_with_another_version_is_refused_by_name(change, words):
    with pytest.raises(WorkerError, match=f"^--cluster: worker here {words}; install the same there$"):
        compute(pieces.squares, [1], [1], workers.versions() | change)


def test_other_bytes_than_were_sent_are_refused():
    theta, other = (pack(np.full(3, value)) for value in (1.0, 2.0))
    with pytest.raises(WorkerError, match=r"^--cluster: worker here got other parameters or data than were sent"):
        workers.compute_pieces(
            workers.versions(), tuple(pack(pieces.squares)), [theta.digest], [other.content], pickle.dumps([1])
        )


def test_a_model_is_built_once_and_old_objects_are_dropped(monkeypatch):
    monkeypatch.setattr(workers, "MOST_OBJECTS", 3)
    engine = Engine("numba")
    with engine:
        recipe = pack(write_recipe(CompiledModel(dpm.DiffusionModel(8, 1, n_layers_dense_lower=0), engine)))
    first = workers._unpack("here", recipe)
    assert isinstance(first, CompiledModel)
    assert workers._unpack("here", recipe) is first
    for number in range(3):
        workers._unpack("here", pack(number))
    assert len(workers._objects) == 3
    assert workers._unpack("here", recipe) is not first


def test_a_function_of_the_user_is_written_out():
    factor = 3
    (value,) = compute(lambda values, report: (factor * v for v in values), [], [2]).results
    assert value == 6
