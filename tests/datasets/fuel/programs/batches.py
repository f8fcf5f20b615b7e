"""Write a file with a training and a test set, and read it in batches."""

import h5py
import numpy
from fuel.datasets.hdf5 import H5PYDataset
from fuel.schemes import ConcatenatedScheme, ConstantScheme, SequentialScheme, cross_validation
from fuel.streams import DataStream

results = []
seeds = numpy.random.RandomState(1)
f = h5py.File("made.hdf5", mode="w")
f["image_features"] = seeds.randint(256, size=(12, 3, 4, 4)).astype("uint8")
f["targets"] = seeds.randint(10, size=(12, 1)).astype("uint8")
for axis, label in enumerate(("batch", "channel", "height", "width")):
    f["image_features"].dims[axis].label = label
f["targets"].dims[0].label = "batch"
f["targets"].dims[1].label = "index"
split_dict = {
    "train": {"image_features": (0, 9), "targets": (0, 9)},
    "test": {"image_features": (9, 12)},
}
split = H5PYDataset.create_split_array(split_dict)
f.attrs["split"] = split
f.flush()
f.close()
results.append([[row[name] for name in ("split", "source", "start", "stop", "available", "comment")] for row in split])
results.append((split.dtype.names, split.shape, split.dtype["split"].str, split.dtype["comment"].str))

train_set = H5PYDataset("made.hdf5", which_sets=("train",))
test_set = H5PYDataset("made.hdf5", which_sets=("test",), load_in_memory=True)
both = H5PYDataset("made.hdf5", which_sets=("train", "test"))
for dataset in (train_set, test_set, both):
    results.append((dataset.num_examples, dataset.provides_sources, dataset.sources, dataset.axis_labels))
    results.append((dataset.which_sets, dataset.load_in_memory, dataset.path))
    scheme = SequentialScheme(examples=dataset.num_examples, batch_size=5)
    data_stream = DataStream(dataset=dataset, iteration_scheme=scheme)
    for data in data_stream.get_epoch_iterator():
        results.append((type(data).__name__, data))
    data_stream.close()

handle = train_set.open()
results.append(train_set.get_data(handle, slice(0, 9)))
results.append(train_set.get_data(handle, [8, 2, 5]))
results.append(train_set.get_data(state=handle, request=4))
handle = train_set.reset(handle)
handle = train_set.next_epoch(handle)
results.append(train_set.get_data(handle, slice(2, 8, 3)))
results.append(train_set.close(handle))

indices = SequentialScheme([7, 1, 3, 0], batch_size=3)
results.append(list(indices.get_request_iterator()))
results.append(list(ConcatenatedScheme([indices, SequentialScheme(5, 2)]).get_request_iterator()))
results.append([list(ConstantScheme(*arguments).get_request_iterator()) for arguments in ((4, 10), (4, None, 2))])
results.append((indices.requests_examples, ConstantScheme(3).requests_examples, indices.batch_size))
for train, valid in cross_validation(SequentialScheme, 6, 3, batch_size=2):
    results.append((list(train.get_request_iterator()), list(valid.get_request_iterator())))
for train, valid, size in cross_validation(SequentialScheme, 7, 3, strict=False, batch_size=4):
    results.append((list(train.get_request_iterator()), list(valid.get_request_iterator()), size))
