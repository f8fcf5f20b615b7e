"""Choose sources, their order, and a data set of one's own."""

import numpy
from fuel.datasets import CIFAR10, Dataset, H5PYDataset, IndexableDataset
from fuel.schemes import ConstantScheme, SequentialScheme
from fuel.streams import DataStream

results = []
for sources in (("features",), ("targets",), ("targets", "features"), None):
    dataset = CIFAR10(("test",), sources=sources)
    results.append((dataset.sources, dataset.provides_sources, dataset.axis_labels))
    results.append(dataset.get_data(None, [3, 0]))
    stream = DataStream(dataset, iteration_scheme=SequentialScheme(dataset.num_examples, 3))
    results.append((stream.sources, list(stream.get_epoch_iterator())))
for sources in ((), ("pixels",)):
    try:
        CIFAR10(("test",), sources=sources)
    except ValueError:
        results.append(("refused", sources))
path = dataset.path
features = H5PYDataset(path, ("train",), sources=("features",), axis_labels={"features": ("n", "c", "y", "x")})
results.append(features.axis_labels)
results.append(features.filter_sources((numpy.ones(2), numpy.zeros(2))))


class Walk(Dataset):
    """Steps of a random walk; its state is the generator and the position."""

    provides_sources = ("position", "step")

    def open(self):
        return {"rng": numpy.random.RandomState(7), "at": 0}

    def get_data(self, state=None, request=None):
        steps = state["rng"].randint(-1, 2, size=request)
        start, state["at"] = state["at"], state["at"] + steps.sum()
        return self.filter_sources((start + numpy.cumsum(steps), steps))


for chosen in (None, ("step",)):
    walk = DataStream(Walk(sources=chosen), iteration_scheme=ConstantScheme(4, times=3))
    results.append([list(epoch) for _, epoch in zip(range(2), walk.iterate_epochs(as_dict=True))])
try:
    walk.dataset.example_iteration_scheme
except AttributeError:
    results.append("no example iteration scheme")
pairs = IndexableDataset({"a": [10, 20, 30], "b": numpy.arange(6).reshape(3, 2)}, sources=("b",))
results.append((pairs.sources, pairs.b, pairs.get_data(request=[2, 0]), pairs.get_data(request=1)))
lists = IndexableDataset([5, 6, 7, 8])
results.append((lists.sources, lists.get_data(request=slice(1, 3)), lists.get_data(request=[3, 1])))
