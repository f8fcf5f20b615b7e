"""Parts of a set: a validation set by slices, lists of positions, and sets that the file defines by positions."""

from fuel.datasets import MNIST, H5PYDataset
from fuel.schemes import SequentialScheme, ShuffledScheme
from fuel.streams import DataStream
from fuel.utils import Subset

results = []
train = MNIST(("train",), subset=slice(None, 15), sources=("targets",))
valid = MNIST(("train",), subset=slice(15, None), sources=("targets",))
for part in (train, valid):
    results.append((part.num_examples, part.get_data(request=slice(None)), part.get_data(request=[2, 1])))
    stream = DataStream(part, iteration_scheme=ShuffledScheme(part.num_examples, 4))
    results.append(list(stream.get_epoch_iterator()))
for in_memory in (True, False):
    for which in (("train",), ("valid",), ("test",), ("valid", "train"), ("test", "valid")):
        for subset in (None, slice(1, 3), [2, 0]):
            dataset = H5PYDataset("custom_indices.hdf5", which, subset=subset, load_in_memory=in_memory)
            stream = DataStream(dataset, iteration_scheme=SequentialScheme(dataset.num_examples, 2))
            results.append((dataset.num_examples, [s.get_list_representation() for s in dataset.subsets]))
            results.append(list(stream.get_epoch_iterator()))
            stream.close()
for bad in (slice(0, 8, 2), [25], [-1], slice(5, 5)):
    try:
        MNIST(("train",), subset=bad)
    except ValueError:
        results.append("refused")

some, more = Subset([4, 1, 2, 2], 10), Subset(slice(3, 6), 10)
for subset in (some, more, some + more, Subset.empty_subset(10) + some, Subset.subset_of(more, [2, 0])):
    results.append((subset.is_list, subset.list_or_slice, subset.num_examples, subset.is_empty))
    results.append((subset.get_list_representation(), subset[[1, 0]], subset[slice(0, 2)]))
    results.append(subset.index_within_subset(list("abcdefghij"), [1, 0]))
