"""Single examples, collected in batches and taken apart again."""

import numpy
from fuel.datasets import CIFAR10, MNIST, IterableDataset
from fuel.schemes import ConstantScheme, SequentialExampleScheme, SequentialScheme, ShuffledExampleScheme
from fuel.streams import DataStream
from fuel.transformers import Batch, Cache, Unpack

results = []
mnist = MNIST(("test",))
stream = mnist.get_example_stream()
results.append((stream.produces_examples, stream.axis_labels, type(mnist.example_iteration_scheme).__name__))
results.append(list(stream.get_epoch_iterator()))
for strictness in (0, 1):
    batches = Batch(stream, iteration_scheme=ConstantScheme(4), strictness=strictness)
    results.append((batches.produces_examples, batches.axis_labels, batches.sources))
    results.append([list(epoch) for _, epoch in zip(range(2), batches.iterate_epochs(as_dict=True))])
try:
    list(Batch(stream, iteration_scheme=ConstantScheme(4), strictness=2).get_epoch_iterator())
except ValueError:
    results.append("two images are left")
few = Batch(stream, iteration_scheme=ConstantScheme(4, num_examples=5))
results.append(list(few.get_epoch_iterator()))

cifar = CIFAR10(("train",), load_in_memory=False)
order = ShuffledExampleScheme(cifar.num_examples, rng=numpy.random.RandomState(4))
shuffled = DataStream(cifar, iteration_scheme=order)
for targets in [[int(target[0]) for _, target in epoch] for _, epoch in zip(range(2), shuffled.iterate_epochs())]:
    results.append(targets)
large = DataStream(mnist, iteration_scheme=SequentialScheme(mnist.num_examples, 4))
unpacked = Unpack(large)
results.append((unpacked.produces_examples, unpacked.axis_labels, list(unpacked.get_epoch_iterator())))
cached = Cache(large, ConstantScheme(2))
results.append((cached.axis_labels, list(cached.get_epoch_iterator()), list(cached.get_epoch_iterator())))
some = DataStream(mnist, iteration_scheme=SequentialExampleScheme([5, 0, 3]))
results.append(list(some.get_epoch_iterator(as_dict=True)))
for wrong in (
    lambda: Batch(large, ConstantScheme(2)),
    lambda: Unpack(stream),
    lambda: Cache(large, SequentialScheme(4, 2)),
):
    try:
        wrong()
    except ValueError:
        results.append("refused")
letters = Batch(DataStream(IterableDataset({"letter": "abcde", "code": range(5)})), ConstantScheme(3))
results.append(list(letters.get_epoch_iterator()))
