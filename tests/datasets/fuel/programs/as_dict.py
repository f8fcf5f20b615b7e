"""Digits and photographs as dictionaries, scaled to 0 .. 1."""

from fuel import config
from fuel.datasets import CIFAR10, MNIST
from fuel.schemes import SequentialScheme
from fuel.streams import DataStream
from fuel.utils import find_in_data_path

results = [config.floatX, config.default_seed, len(config.data_path), find_in_data_path("mnist.hdf5")[-10:]]
for dataset_class in (MNIST, CIFAR10):
    dataset = dataset_class(("train",))
    results.append((dataset.num_examples, dataset.load_in_memory, dataset.filename))
    raw = DataStream(dataset, iteration_scheme=SequentialScheme(dataset.num_examples, 8))
    for batch in raw.get_epoch_iterator(as_dict=True):
        results.append(batch["features"])
        results.append(batch)
    stream = DataStream.default_stream(dataset, iteration_scheme=SequentialScheme(dataset.num_examples, 8))
    results.append((type(stream).__name__, stream.sources, stream.axis_labels, stream.produces_examples))
    results.append(list(stream.get_epoch_iterator(as_dict=True)))
config.floatX = "float32"
test = MNIST(("test",), sources=("features",), load_in_memory=False, subset=slice(0, 4))
stream = test.apply_default_transformers(DataStream(test, iteration_scheme=SequentialScheme(test.num_examples, 3)))
results.append(list(stream.get_epoch_iterator(as_dict=True)))
config.floatX = "float64"
try:
    find_in_data_path("not_there.hdf5")
except IOError:
    results.append("not found")
