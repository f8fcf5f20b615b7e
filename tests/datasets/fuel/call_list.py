"""Calls of Fuel's interface, each a line of Python.

Of the names, H5PYDataset, DataStream and so on are those of one package; `P` is a file with 16 examples 1 x 8 x 8 in
the set train and 4 in the set test, `ds` is its set train, and `memory` the same kept in memory.
"""

CALLS = """
H5PYDataset(file_or_path=P, which_sets=("train",)).num_examples
H5PYDataset(h5py.File(P, "r"), which_sets=("train",)).num_examples
ds.open()
h = ds.open(); data = ds.get_data(h, slice(0, 3)); ds.close(h); data
h = ds.open(); data = ds.get_data(state=h, request=slice(0, 3)); ds.close(h); data
memory.get_data(request=slice(0, 3))
memory.get_data(None, slice(0, 3))
h = ds.open(); ds.get_data(h, 5)
memory.get_data(None, 5)
memory.get_data(0, 5)
memory.get_data()
h = ds.open(); ds.get_data(h)
h = ds.open(); ds.get_data(h, [3, 0, 3])
h = ds.open(); ds.get_data(h, [3, 0, 2])
memory.get_data(request=[3, 0, 3])
h = ds.open(); ds.get_data(h, [-1])
h = ds.open(); ds.get_data(h, [16])
h = ds.open(); ds.get_data(h, slice(None, None, 2))
h = ds.open(); ds.get_data(h, slice(12, 20))
h = ds.open(); ds.get_data(h, slice(-2, None))
h = ds.open(); ds.get_data(h, slice(5, 5))
h = ds.open(); ds.get_data(h, numpy.array([1, 2]))
h = ds.open(); ds.get_data(h, [])
h = ds.open(); ds.get_data(h, "train")
H5PYDataset("vlen.hdf5", ("train",)).get_data(None, [1])
h = ds.open(); ds.close(h)
H5PYDataset(P, which_sets="train").num_examples
H5PYDataset(P, which_sets=("valid",))
H5PYDataset(P, which_sets=["test"]).which_sets
H5PYDataset("missing.hdf5", which_sets=("train",))
H5PYDataset(P, ("train",), subset=slice(0, 4)).num_examples
H5PYDataset(P, ("train",), subset=slice(0, 8, 2))
H5PYDataset(P, ("train",), subset=[5, 1]).num_examples
H5PYDataset(P, ("train",), subset=[5, 1], load_in_memory=True).data_sources
H5PYDataset(P, ("train",), subset=slice(-4, None)).num_examples
H5PYDataset(P, ("train",), subset=slice(10, 30)).num_examples
H5PYDataset(P, ("train",), subset=[16])
H5PYDataset(P, ("train",), sources=("features",)).sources
H5PYDataset(P, ("train",), sources=("targets",))
H5PYDataset(P, ("train",), sources=())
H5PYDataset(P, ("train",), driver="core").num_examples
H5PYDataset("vlen.hdf5", ("train",), driver="none")
H5PYDataset(P, ("train",), sort_indices=False).num_examples
d = H5PYDataset(P, ("train",), sort_indices=False); h = d.open(); d.get_data(h, [1, 2, 9])
d = H5PYDataset(P, ("train",), sort_indices=False); h = d.open(); d.get_data(h, [2, 1])
H5PYDataset(P, ("train",), axis_labels=None).axis_labels
H5PYDataset(P, ("train",), seed=3)
ds.axis_labels
ds.default_axis_labels
ds.vlen_sources
ds.provides_sources
ds.which_sets, ds.load_in_memory, ds.driver, ds.sort_indices, ds.path
len(ds.subsets), ds.subsets[0].list_or_slice, ds.subsets[0].num_examples
memory.data_sources
ds.data_sources
type(ds.example_iteration_scheme).__name__
h = ds.open(); next(ds.get_example_stream().get_epoch_iterator())
type(ds.apply_default_transformers(DataStream(ds))).__name__
ds.default_transformers
h = ds.open(); ds.next_epoch(ds.reset(h))
ds.filter_sources((numpy.arange(2.0),))
H5PYDataset.create_split_array({"train": {"x": (0, 4)}, "test": {"y": (0, 1, h5py.Reference(), "few")}})["start"]
sorted(H5PYDataset.get_all_splits(h5py.File(P, "r")))
H5PYDataset.get_all_sources(h5py.File(P, "r")), H5PYDataset.get_vlen_sources(h5py.File(P, "r"))
H5PYDataset.get_axis_labels(h5py.File(P, "r"))
H5PYDataset.get_provided_sources(h5py.File(P, "r"), "test")
[s.num_examples for s in H5PYDataset.get_subsets(h5py.File(P, "r"), ("train", "test"), ("features",))]
H5PYDataset.interface_version
pickle.loads(pickle.dumps(ds)).num_examples
type(DataStream(ds, iteration_scheme=SequentialScheme(16, 4))).__name__
type(DataStream(dataset=ds, iteration_scheme=SequentialScheme(16, 4))).__name__
DataStream(ds, SequentialScheme(16, 4))
type(DataStream.default_stream(ds, iteration_scheme=SequentialScheme(16, 4))).__name__
next(stream.get_epoch_iterator())
next(stream.get_epoch_iterator(as_dict=True))
next(next(stream.iterate_epochs()))
next(next(stream.iterate_epochs(as_dict=True)))
stream.sources, stream.produces_examples, stream.axis_labels
stream.get_data(request=[0])
stream.get_data([0, 5])
stream.reset(), stream.next_epoch(), stream.close()
stream.produces_examples = True
list(SequentialScheme(examples=16, batch_size=4).get_request_iterator())
list(SequentialScheme(16, 5).get_request_iterator())
list(SequentialScheme([3, 1, 2], 2).get_request_iterator())
list(SequentialScheme(range(3, 9), 4).get_request_iterator())
list(SequentialScheme(0, 4).get_request_iterator())
SequentialScheme(2.5, 4)
list(ShuffledScheme(16, 4).get_request_iterator())
list(ShuffledScheme(16, 4, rng=numpy.random.RandomState(0)).get_request_iterator())
list(ShuffledScheme(16, 4, sorted_indices=True).get_request_iterator())
ShuffledScheme(16, 4, seed=1)
SequentialScheme(16, 4).requests_examples
[list(c.get_request_iterator()) for c in (ConstantScheme(3, times=2), ConstantScheme(3, num_examples=7))]
ConstantScheme(3, 5, 2)
list(SequentialExampleScheme(3).get_request_iterator())
list(ShuffledExampleScheme(9).get_request_iterator())
list(ConcatenatedScheme([SequentialScheme(3, 2), SequentialScheme([9], 1)]).get_request_iterator())
ConcatenatedScheme([SequentialScheme(3, 2), SequentialExampleScheme(2)])
[[list(s.get_request_iterator()) for s in fold] for fold in cross_validation(SequentialExampleScheme, 4, 2)]
list(cross_validation(SequentialExampleScheme, 5, 2))
MNIST(("train",)).num_examples, MNIST(("train",)).load_in_memory
CIFAR10(("test",)).get_data(request=[1])
CIFAR100.filename, BinarizedMNIST.filename, Iris.filename, Adult.filename, DogsVsCats.filename
CIFAR100(("train",))
SVHN(2, ("train",))
CelebA("64", ("train",))
CalTech101Silhouettes(("train",), size=20)
IndexableDataset({"a": numpy.arange(3), "b": [7, 8, 9]}).get_data(request=[2, 0])
IndexableDataset(numpy.arange(3)).get_data(None, slice(1, 3))
IndexableDataset({"a": numpy.arange(3)}).a
IndexableDataset({"a": numpy.arange(3), "b": [7]})
IndexableDataset({"a": numpy.arange(9)}, stop=4).get_data(request=[3])
IndexableDataset({"a": numpy.arange(9)}, start=2, stop=8).get_data(request=[3])
IndexableDataset(numpy.arange(3)).get_data(3, [1])
IterableDataset([1, 2]).num_examples
d = IterableDataset({"a": [1, 2], "b": "xy"}); h = d.open(); d.get_data(h), d.get_data(h)
IterableDataset([1, 2]).get_data()
IterableDataset(3)
list(DataStream(TextFile(["words.txt"], WORDS)).get_epoch_iterator())
list(DataStream(TextFile(["words.txt"], WORDS, None, None, level="character")).get_epoch_iterator())
TextFile(["words.txt"], {})
list(Flatten(stream).get_epoch_iterator())
list(Flatten(stream, which_sources=("targets",)).get_epoch_iterator())
list(ScaleAndShift(stream, 2.0, 1, which_sources=("features",)).get_epoch_iterator())
list(Mapping(stream, lambda data: (data[0] + 1,)).get_epoch_iterator())
list(Mapping(stream, lambda data: (data[0].sum(),), add_sources=("sum",)).get_epoch_iterator(as_dict=True))
SourcewiseTransformer(stream, False).get_epoch_iterator().__next__()
list(Cast(stream, "float32").get_epoch_iterator())
list(Cast(stream, "floatX").get_epoch_iterator())
h = ds.open(); list(Batch(ds.get_example_stream(), ConstantScheme(5)).get_epoch_iterator())
Batch(stream, ConstantScheme(5))
list(Filter(stream, lambda data: data[0].mean() > 127).get_epoch_iterator())
list(Merge([stream, stream], ("a", "b")).get_epoch_iterator(as_dict=True))
Merge([stream], ("a", "b"))
list(Unpack(stream).get_epoch_iterator())
list(Cache(stream, ConstantScheme(2)).get_epoch_iterator())
list(Rename(stream, {"features": "x"}).get_epoch_iterator(as_dict=True))
[list(data) for data in FilterSources(stream, ("features",)).get_epoch_iterator()]
"""

# A and B are packages, and the line is made with Fuel for both, with either for each, and with dpm for both.
MIXED = """
list(A.DataStream(B.ds, iteration_scheme=A.SequentialScheme(16, 4)).get_epoch_iterator())
list(A.DataStream(B.memory, iteration_scheme=A.SequentialScheme(16, 4)).get_epoch_iterator(as_dict=True))
list(A.DataStream(B.ds, iteration_scheme=B.ShuffledScheme(16, 4, rng=numpy.random.RandomState(3))).get_epoch_iterator())
list(A.DataStream.default_stream(B.MNIST(("train",)), iteration_scheme=B.SequentialScheme(20, 8)).get_epoch_iterator())
list(A.DataStream.default_stream(B.ds, iteration_scheme=A.SequentialScheme(16, 4)).get_epoch_iterator())
list(A.DataStream(B.ds, iteration_scheme=B.ds.example_iteration_scheme).get_epoch_iterator())
list(A.Flatten(B.stream).get_epoch_iterator())
list(A.Cast(B.ScaleAndShift(A.Flatten(B.stream), 2.0, 1), "float32").get_epoch_iterator())
list(A.Mapping(B.stream, lambda data: (data[0] + 1,)).get_epoch_iterator(as_dict=True))
list(A.Batch(B.memory.get_example_stream(), A.ConstantScheme(5)).get_epoch_iterator())
list(A.Batch(B.memory.get_example_stream(), B.ConstantScheme(5)).get_epoch_iterator())
list(A.Unpack(B.stream).get_epoch_iterator())
list(A.Merge([B.stream, A.stream], ("a", "b")).get_epoch_iterator(as_dict=True))
list(A.Rename(B.Filter(B.stream, lambda data: data[0].mean() > 127), {"features": "x"}).get_epoch_iterator())
list(A.DataStream(B.IterableDataset([1, 2, 3])).get_epoch_iterator())
list(A.DataStream(B.IndexableDataset(numpy.arange(6)), iteration_scheme=A.SequentialScheme(6, 4)).get_epoch_iterator())
list(FuelStream(A.DataStream(B.ds, iteration_scheme=B.SequentialScheme(16, 4))).get_epoch_iterator(generator))
list(FuelStream(A.DataStream(B.ds, iteration_scheme=B.SequentialScheme(16, 4))).get_epoch_iterator())
len(FuelStream(A.Mapping(B.stream, lambda data: data)))
list(FuelStream(Dictionaries(A.Flatten(B.stream))).get_epoch_iterator())
len(FuelStream(A.DataStream(B.memory, iteration_scheme=B.ConstantScheme(4, times=4))))
list(FuelStream(A.Batch(B.letters, A.ConstantScheme(4)), "data").get_epoch_iterator())
list(FuelStream(A.DataStream(B.ds, iteration_scheme=A.SequentialExampleScheme(16)), batch_size=4).get_epoch_iterator())
list(FuelStream(B.memory.get_example_stream(), batch_size=5).get_epoch_iterator())
"""
