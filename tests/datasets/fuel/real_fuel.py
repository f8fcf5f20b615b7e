"""Checks of dpm.datasets against Fuel 0.2.0, which test_real_fuel.py runs in a subprocess."""

from pathlib import Path

import numpy as np
import pytest

from dpm.datasets import DataStream, FuelStream, H5PYDataset, Scaling, SequentialScheme, write_hdf5
from dpm.datasets.fuel.datasets import IndexableDataset
from dpm.datasets.stored import PreparedImages
from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.experiments.variants import CORRECTED
from dpm.model import DiffusionModel
from dpm.optimizers import RMSProp
from dpm.training.loop import MainLoop
from tests.datasets.fuel import aliases  # noqa: F401 before the next line

from fuel import datasets, schemes, streams, transformers  # isort: skip

GOLDEN = Path(__file__).parents[2] / "golden" / "fuel"
LABELS = {
    "features": ("batch", "channel", "height", "width"),
    "scores": ("batch", "feature"),
    "targets": ("batch", "index"),
}
LABELS_8 = {"features": LABELS["features"], "targets": LABELS["targets"]}
IN_MEMORY = pytest.mark.parametrize("in_memory", [True, False])


def examples(n, seed):
    rng = np.random.default_rng(seed)
    return {
        "features": rng.integers(0, 256, (n, 3, 4, 5), np.uint8),
        "scores": rng.normal(size=(n, 2)).astype(np.float32),
        "targets": np.arange(n, dtype=np.uint8)[:, None],
    }


@pytest.fixture
def sets():
    return {"train": examples(11, 0), "test": examples(5, 1)}


@pytest.fixture
def path(tmp_path, sets):
    write_hdf5(tmp_path / "set.hdf5", sets, axis_labels=LABELS)
    return str(tmp_path / "set.hdf5")


def rows(dataset, request):
    handle = dataset.open()
    try:
        return dataset.get_data(handle, request)
    finally:
        dataset.close(handle)


def assert_same(ours, theirs):
    assert len(ours) == len(theirs)
    for mine, fuels in zip(ours, theirs, strict=True):
        assert mine.dtype == fuels.dtype
        if mine.dtype == object:
            assert_same(mine, fuels)
        else:
            np.testing.assert_array_equal(mine, fuels)


@IN_MEMORY
@pytest.mark.parametrize("which", [("train",), ("test",), ("train", "test")], ids="+".join)
def test_fuel_reads_what_dpm_wrote(path, sets, which, in_memory):
    dataset = datasets.H5PYDataset(path, which, load_in_memory=in_memory)
    expected = [np.concatenate([sets[name][source] for name in which]) for source in LABELS]
    assert dataset.num_examples == len(expected[0])
    assert dataset.provides_sources == dataset.sources == tuple(LABELS)
    assert dataset.axis_labels == LABELS
    assert_same(expected, rows(dataset, slice(0, dataset.num_examples)))
    assert_same([array[[3, 0, 4]] for array in expected], rows(dataset, [3, 0, 4]))


@IN_MEMORY
def test_source_marked_unavailable_is_not_provided_by_fuel(tmp_path, sets, in_memory):
    del sets["test"]["targets"]
    path = str(tmp_path / "part.hdf5")
    write_hdf5(path, sets)
    for which, sources in ((("train",), tuple(LABELS)), (("train", "test"), ("features", "scores"))):
        dataset = datasets.H5PYDataset(path, which, load_in_memory=in_memory)
        assert dataset.sources == sources
        assert len(rows(dataset, [0])) == len(sources)


SETS = {
    "mnist": (["train"], ["test"], ["train", "test"]),
    "cifar10": (["train"], ["test"], ["train", "test"]),
    "custom_indices": (["train"], ["valid"], ["test"], ["train", "valid"], ["valid", "test"]),
    "vlen": (["train"], ["train", "test"]),
}


@pytest.mark.parametrize(("name", "which"), [(name, which) for name in SETS for which in SETS[name]])
def test_fuel_and_dpm_read_the_same_rows_of_fuels_files(name, which):
    path = GOLDEN / f"{name}.hdf5"
    ours = H5PYDataset(path, which)
    for in_memory in (True, False):
        theirs = datasets.H5PYDataset(str(path), which, load_in_memory=in_memory)
        assert ours.num_examples == theirs.num_examples
        assert ours.provides_sources == theirs.provides_sources
        assert ours.sources == theirs.sources
        assert ours.axis_labels == theirs.axis_labels
        for request in ([2, 0, 1], [1], slice(1, 3), slice(0, theirs.num_examples)):
            assert_same(ours.get_data(request=request), rows(theirs, request))
    ours.close(None)


@pytest.mark.parametrize("subset", [slice(1, 4), [6, 0, 2]], ids=str)
def test_fuel_and_dpm_agree_on_subsets(subset):
    path = GOLDEN / "custom_indices.hdf5"
    which = ["train", "valid"]
    theirs = datasets.H5PYDataset(str(path), which, subset=subset, load_in_memory=True)
    ours = H5PYDataset(path, which, subset=subset)
    assert ours.num_examples == theirs.num_examples == 3
    assert_same(ours.get_data(request=slice(None)), rows(theirs, slice(None)))
    assert_same(ours.get_data(request=[2, 0]), rows(theirs, [2, 0]))
    ours.close(None)


TRANSFORMED = {
    "as it is": (lambda stream: stream, lambda features: features),
    "Flatten": (
        lambda stream: transformers.Flatten(stream, which_sources=("features",)),
        lambda features: features.reshape(len(features), -1),
    ),
    "ScaleAndShift": (
        lambda stream: transformers.ScaleAndShift(stream, 2 / 255, -1, which_sources=("features",)),
        lambda features: features * (2 / 255) - 1,
    ),
    "Cast": (
        lambda stream: transformers.Cast(stream, "float32", which_sources=("features",)),
        lambda features: features.astype(np.float32),
    ),
}


@IN_MEMORY
@pytest.mark.parametrize("name", TRANSFORMED)
def test_epoch_of_fuels_stream_is_tuples_with_each_example_once(path, sets, name, in_memory):
    transform, expect = TRANSFORMED[name]
    dataset = datasets.H5PYDataset(path, ("train",), load_in_memory=in_memory)
    plain = streams.DataStream(dataset, iteration_scheme=schemes.ShuffledScheme(11, 4))
    stream = transform(plain)
    assert stream.sources == tuple(LABELS)
    assert not stream.produces_examples
    orders = []
    for _ in range(2):
        epoch = list(stream.get_epoch_iterator())
        assert [type(batch) for batch in epoch] == [tuple] * 3
        assert [len(array) for batch in epoch for array in batch] == [4] * 6 + [3] * 3
        for features, scores, targets in epoch:
            seen = targets[:, 0]
            assert_same((expect(sets["train"]["features"][seen]), sets["train"]["scores"][seen]), (features, scores))
        orders.append(np.concatenate([targets[:, 0] for *_, targets in epoch]).tolist())
        assert sorted(orders[-1]) == list(range(11))
    assert orders[0] != orders[1]
    stream.close()


def test_epoch_of_fuels_stream_is_dictionaries_on_request(path, sets):
    dataset = datasets.H5PYDataset(path, ("test",), load_in_memory=True)
    stream = streams.DataStream(dataset, iteration_scheme=schemes.SequentialScheme(5, 2))
    epoch = list(stream.get_epoch_iterator(as_dict=True))
    for source in LABELS:
        np.testing.assert_array_equal(np.concatenate([batch[source] for batch in epoch]), sets["test"][source])


def test_stream_of_single_examples_is_marked(path, sets):
    """Neither its arrays nor its axis labels have a batch axis."""
    stream = datasets.H5PYDataset(path, ("test",), load_in_memory=True).get_example_stream()
    assert stream.produces_examples
    assert stream.axis_labels == {source: labels[1:] for source, labels in LABELS.items()}
    epoch = list(stream.get_epoch_iterator())
    assert len(epoch) == 5
    assert_same(epoch[2], [sets["test"][source][2] for source in LABELS])


@pytest.mark.parametrize("name", ["as it is", "Cast", "examples"])
def test_fuels_stream_and_an_array_train_the_same_model(tmp_path, name):
    """In the same sequential order, both streams give the same parameters."""
    features = np.random.default_rng(0).integers(0, 256, (10, 1, 8, 8), np.uint8)
    write_hdf5(tmp_path / "x.hdf5", {"train": {"features": features, "targets": np.arange(10)[:, None]}}, LABELS_8)
    scaling = Scaling.fit(features / 255)
    prepare = PreparedImages(features, 1, scaling, "float32").prepare
    fuels = datasets.H5PYDataset(str(tmp_path / "x.hdf5"), ("train",))
    plain = streams.DataStream(fuels, iteration_scheme=schemes.SequentialScheme(10, 4))
    fuel_stream = fuels.get_example_stream() if name == "examples" else TRANSFORMED[name][0](plain)
    theirs = FuelStream(fuel_stream, prepare=lambda batch: prepare(batch.astype(np.uint8)))
    assert len(theirs) == 10
    arrays = IndexableDataset({"features": prepare(features)})
    ours = FuelStream(DataStream(arrays, iteration_scheme=SequentialScheme(10, 4)))
    engine = Engine("auto", "float32")
    with engine:
        model = DiffusionModel(8, 1, trajectory_length=8, n_hidden_dense_lower=4, n_hidden_conv=2, n_layers_conv=1)
    compiled = CompiledModel(model, engine)
    ends = []
    for stream in (theirs, ours):
        theta = compiled.start(np.random.default_rng(0))
        X = theirs if stream is theirs else prepare(features)
        loop = MainLoop(compiled, theta, RMSProp(theta.size, "float32"), X, CORRECTED, 4, 1e-3, 2, 0)
        if stream is ours:
            loop.stream = ours
        assert loop.stream.num_batches == 3
        loop.run()
        assert (loop.epoch, loop.state.step) == (2, 6)
        ends.append(loop.theta)
    np.testing.assert_array_equal(*ends)
