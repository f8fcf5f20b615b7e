"""Orders that are drawn with a seed."""

import numpy
from fuel.datasets import MNIST
from fuel.schemes import ShuffledExampleScheme, ShuffledScheme
from fuel.streams import DataStream

results = []
rng = numpy.random.RandomState(seed=1234)
scheme = ShuffledScheme(examples=23, batch_size=7, rng=rng)
for _ in range(3):
    results.append(list(scheme.get_request_iterator()))
results.append(rng.randint(1000))
results.append(list(ShuffledScheme(10, 4).get_request_iterator()))
results.append(list(ShuffledScheme(10, 4, sorted_indices=True).get_request_iterator()))
results.append(list(ShuffledScheme([5, 9, 2, 2, 8], 2, rng=numpy.random.RandomState(3)).get_request_iterator()))
examples = ShuffledExampleScheme(12, rng=numpy.random.RandomState(99))
results.append([list(examples.get_request_iterator()) for _ in range(2)])
results.append((examples.requests_examples, scheme.requests_examples))
large = list(ShuffledScheme(70000, 512, rng=numpy.random.RandomState(2015)).get_request_iterator())
results.append((len(large), large[0], large[-1]))

# Two streams that share one generator draw from it in turn.
shared = numpy.random.RandomState(5)
for in_memory in (True, False):
    mnist = MNIST(("train", "test"), load_in_memory=in_memory)
    stream = DataStream(mnist, iteration_scheme=ShuffledScheme(mnist.num_examples, 9, rng=shared))
    for _ in range(2):
        for features, targets in stream.get_epoch_iterator():
            results.append((features, targets))
    stream.close()
