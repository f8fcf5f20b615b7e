"""Several streams as one, with sources renamed, added and left out."""

import numpy
from fuel.datasets import CIFAR10, MNIST, IterableDataset
from fuel.schemes import SequentialScheme, ShuffledScheme
from fuel.streams import DataStream
from fuel.transformers import FilterSources, Mapping, Merge, Rename

results = []
english = DataStream(IterableDataset(["Hello", "Goodbye", "Thanks"]))
french = DataStream(IterableDataset(["Bonjour", "Au revoir"]))
pairs = Merge((english, french), ("english", "french"))
results.append((pairs.sources, pairs.produces_examples, pairs.axis_labels, list(pairs.get_epoch_iterator())))
pairs.reset()
results.append(list(pairs.get_epoch_iterator(as_dict=True)))


def stream_of(dataset, seed):
    scheme = ShuffledScheme(dataset.num_examples, 6, rng=numpy.random.RandomState(seed))
    return DataStream(dataset, iteration_scheme=scheme)


digits, photographs = stream_of(MNIST(("train",)), 1), stream_of(CIFAR10(("train",)), 2)
both = Merge([digits, photographs], ("digit", "number", "photograph", "class"))
results.append((both.sources, both.produces_examples))
for _ in range(2):
    for digit, number, photograph, kind in both.get_epoch_iterator():
        results.append((digit, number, photograph, kind))
sums = Mapping(both, lambda data: (data[1].astype(int) + data[3],), add_sources=("sum",))
results.append((sums.sources, list(sums.get_epoch_iterator())))
renamed = Rename(digits, {"features": "x", "targets": "y"})
results.append((renamed.sources, renamed.axis_labels, list(renamed.get_epoch_iterator(as_dict=True))))
chosen = FilterSources(sums, ("sum", "digit"))
results.append((chosen.sources, [tuple(data) for data in chosen.get_epoch_iterator()]))
digits.close()
for wrong in (
    lambda: Merge([digits, english], ("a", "b", "c")),
    lambda: Merge([digits, photographs], ("a",)),
    lambda: FilterSources(digits, ("z",)),
):
    try:
        wrong()
    except ValueError:
        results.append("refused")
try:
    Rename(digits, {"pixels": "x"})
except KeyError:
    results.append("no such source")
ordered = DataStream(MNIST(("test",)), iteration_scheme=SequentialScheme(6, 3))
doubled = Merge([ordered, ordered], ("a", "b", "c", "d"))
results.append([len(data) for data in doubled.get_epoch_iterator()])
