"""A data iterator hands requests to its stream."""

import pytest

from dpm.datasets.fuel.iterator import DataIterator


class Squares:
    sources = ("n", "square")

    def get_data(self, request=None):
        if request is None:
            raise StopIteration
        return request, request**2


def test_data_are_tuples_or_dictionaries():
    assert list(DataIterator(Squares(), iter([2, 3]))) == [(2, 4), (3, 9)]
    assert list(DataIterator(Squares(), iter([2]), as_dict=True)) == [{"n": 2, "square": 4}]


def test_without_requests_the_stream_ends_the_epoch():
    iterator = DataIterator(Squares())
    assert iter(iterator) is iterator
    with pytest.raises(StopIteration):
        next(iterator)
