"""Photographs of different sizes."""

import numpy
from fuel.datasets import H5PYDataset
from fuel.schemes import SequentialExampleScheme, SequentialScheme, ShuffledScheme
from fuel.streams import DataStream
from fuel.transformers import Filter, Mapping, Padding, SortMapping

results = []
for in_memory in (False, True):
    dataset = H5PYDataset("vlen.hdf5", which_sets=("train", "test"), load_in_memory=in_memory)
    results.append((dataset.vlen_sources, dataset.axis_labels, dataset.num_examples))
    for scheme in (SequentialScheme(6, 4), ShuffledScheme(6, 4, rng=numpy.random.RandomState(8))):
        stream = DataStream(dataset, iteration_scheme=scheme)
        for (images,) in stream.get_epoch_iterator():
            results.append((images.dtype, [image.shape for image in images], images))
        stream.close()
    examples = DataStream(dataset, iteration_scheme=SequentialExampleScheme(dataset.num_examples))
    results.append((examples.axis_labels, list(examples.get_epoch_iterator())))
    tall = Filter(dataset.get_example_stream(), lambda data: data[0].shape[1] > 4)
    results.append([image.shape for (image,) in tall.get_epoch_iterator()])
    state = dataset.open()
    results.append((dataset.get_data(state, 3), dataset.get_data(state, [3]), dataset.get_data(state, slice(1, 3))))
    dataset.close(state)


def rows(data):
    return ([image.reshape(-1, 1) for image in data[0]],)


test = H5PYDataset("vlen.hdf5", which_sets=("test",), load_in_memory=True)
stream = DataStream(test, iteration_scheme=SequentialScheme(test.num_examples, 2))
padded = Padding(Mapping(stream, rows), mask_dtype="uint8")
results.append((padded.sources, list(padded.get_epoch_iterator())))
by_size = Mapping(Mapping(stream, rows), SortMapping(lambda data: -len(data[0])))
results.append([[image.shape for image in images] for (images,) in by_size.get_epoch_iterator()])
