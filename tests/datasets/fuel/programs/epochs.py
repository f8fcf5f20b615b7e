"""Epochs of a list of numbers and of arrays, and starting again."""

import numpy
from fuel.datasets import IndexableDataset, IterableDataset
from fuel.schemes import SequentialScheme, ShuffledExampleScheme
from fuel.streams import DataStream

results = []
numbers = IterableDataset([1, 4, 9, 16])
results.append((numbers.sources, numbers.provides_sources, numbers.num_examples, numbers.example_iteration_scheme))
stream = DataStream(numbers)
for number, epoch in enumerate(stream.iterate_epochs()):
    results.append([data for data in epoch])
    if number == 2:
        break

epoch = stream.get_epoch_iterator()
results.append(next(epoch))
stream.reset()
results.append(list(stream.get_epoch_iterator()))
stream.close()

seeds = numpy.random.RandomState(0)
features, targets = seeds.normal(size=(9, 2, 2)), seeds.randint(4, size=(9, 1))
arrays = IndexableDataset({"features": features, "targets": targets}, axis_labels={"features": ("batch", "y", "x")})
results.append((arrays.num_examples, arrays.sources, arrays.axis_labels, arrays.features, arrays.targets))
batches = DataStream(arrays, iteration_scheme=SequentialScheme(arrays.num_examples, 4))
results.append([list(epoch) for _, epoch in zip(range(2), batches.iterate_epochs())])
results.append((batches.produces_examples, batches.axis_labels))
single = DataStream(arrays, iteration_scheme=ShuffledExampleScheme(arrays.num_examples))
results.append([list(epoch) for _, epoch in zip(range(3), single.iterate_epochs(as_dict=True))])
results.append((single.produces_examples, single.axis_labels))
words = IterableDataset({"english": ["one", "two"], "french": ["un", "deux"]})
results.append(list(DataStream(words).get_epoch_iterator(as_dict=True)))
results.append(IterableDataset(iter("abc")).num_examples)
