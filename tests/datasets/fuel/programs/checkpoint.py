"""Stop in the middle of an epoch, save everything, and go on."""

import pickle

import numpy
from fuel.datasets import MNIST, H5PYDataset
from fuel.schemes import ShuffledScheme
from fuel.streams import DataStream
from fuel.transformers import Flatten, ScaleAndShift

results = []
for dataset in (MNIST(("train",)), H5PYDataset("custom_indices.hdf5", ("train", "valid"), subset=[6, 1, 3, 2])):
    scheme = ShuffledScheme(dataset.num_examples, 3, rng=numpy.random.RandomState(6))
    stream = Flatten(ScaleAndShift(DataStream(dataset, iteration_scheme=scheme), 0.5, 1, which_sources=("features",)))
    epoch = stream.get_epoch_iterator()
    results.append(next(epoch))
    saved = pickle.dumps((stream, epoch))
    rest = list(epoch)
    restored, resumed = pickle.loads(saved)
    restored.data_stream.data_stream.dataset.open()
    again = list(resumed)
    results.append((rest, again, list(restored.get_epoch_iterator()), list(stream.get_epoch_iterator())))
    copy = pickle.loads(pickle.dumps(dataset))
    results.append((copy.num_examples, copy.sources, copy.axis_labels))
    state = copy.open()
    results.append(copy.get_data(state, [2, 0]))
    copy.close(state)
