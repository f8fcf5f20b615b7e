"""Transformers in a chain, and some of one's own."""

import numpy
from fuel import config
from fuel.datasets import CIFAR10, MNIST
from fuel.schemes import SequentialScheme
from fuel.streams import DataStream
from fuel.transformers import (
    AgnosticSourcewiseTransformer,
    Cast,
    Filter,
    Flatten,
    ForceFloatX,
    Mapping,
    ScaleAndShift,
    SourcewiseTransformer,
    Transformer,
)
from fuel.transformers.defaults import uint8_pixels_to_floatX

results = []


class Mirror(SourcewiseTransformer):
    def __init__(self, data_stream, **kwargs):
        super(Mirror, self).__init__(data_stream, produces_examples=data_stream.produces_examples, **kwargs)

    def transform_source_example(self, source_example, source_name):
        return source_example[..., ::-1]

    def transform_source_batch(self, source_batch, source_name):
        return source_batch[..., ::-1]


class Difference(AgnosticSourcewiseTransformer):
    def __init__(self, data_stream, **kwargs):
        super(Difference, self).__init__(data_stream, data_stream.produces_examples, **kwargs)

    def transform_any_source(self, source_data, source_name):
        return numpy.diff(source_data, axis=-1)


class FirstHalf(Transformer):
    """Only for batches."""

    def transform_batch(self, batch):
        return tuple(values[: len(values) // 2] for values in batch)


def check(stream):
    results.append((stream.sources, stream.produces_examples, stream.axis_labels))
    results.append([list(epoch) for _, epoch in zip(range(2), stream.iterate_epochs())])


for dataset in (MNIST(("test",)), CIFAR10(("test",), load_in_memory=False)):
    batches = DataStream(dataset, iteration_scheme=SequentialScheme(dataset.num_examples, 4))
    for stream in (batches, dataset.get_example_stream()):
        images = {"which_sources": ("features",)}
        check(Flatten(stream))
        check(Flatten(stream, **images))
        check(ScaleAndShift(stream, 1 / 255.0, -0.5, **images))
        check(Cast(stream, "float32", **images))
        check(Cast(ScaleAndShift(Flatten(stream, **images), 2.0, 1, **images), "floatX"))
        check(Mirror(stream, **images))
        check(Difference(Mirror(ScaleAndShift(stream, 0.1, 0, **images), **images), **images))
        check(Filter(stream, lambda data: numpy.mean(data[1]) < 5))
        check(Mapping(stream, lambda data: (data[1], data[0])))
        config.floatX = "float32"
        check(ForceFloatX(ScaleAndShift(stream, 3, 0, **images)))
        config.floatX = "float64"
    check(FirstHalf(batches, produces_examples=False))
    examples = FirstHalf(dataset.get_example_stream(), produces_examples=True)
    try:
        next(examples.get_epoch_iterator())
    except NotImplementedError:
        results.append("batches only")
    try:
        Flatten(batches).get_data([0])
    except ValueError:
        results.append("no requests")
results.append([(kind.__name__, arguments, keys) for kind, arguments, keys in uint8_pixels_to_floatX(("features",))])
