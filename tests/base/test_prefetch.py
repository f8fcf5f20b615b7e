"""One item is worked out ahead of the caller, in order, and no more."""

import threading
import time
import weakref

import pytest

from dpm.base.prefetch import prefetch


def test_results_come_in_order_and_one_is_begun_ahead():
    """Items are taken where the caller is, since a stream of minibatches is read by one thread alone."""
    begun, seen, takers = [], [], set()

    def items():
        for i in range(4):
            takers.add(threading.current_thread())
            yield i

    for i in prefetch(lambda i: begun.append(i) or 10 * i, items()):
        time.sleep(0.2)
        seen.append((i, begun[-1]))
    assert seen == [(0, 1), (10, 2), (20, 3), (30, 3)]
    assert takers == {threading.main_thread()}
    assert list(prefetch(str, [])) == []


def test_an_error_is_raised_where_its_result_is_asked_for():
    results = prefetch(lambda i: 1 // (1 - i), range(3))
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_an_error_among_the_items_comes_after_the_results_before_it():
    """A file that breaks off takes nothing from the minibatches that were read."""

    def items():
        yield from (1, 2)
        raise OSError("broke off")

    results = prefetch(str, items())
    assert [next(results), next(results)] == ["1", "2"]
    with pytest.raises(OSError, match="broke off"):
        next(results)


def test_a_result_is_let_go_when_it_is_handed_over():
    """Of large results there are the caller's and the next one."""

    class Large:
        pass

    made = []

    def make(i):
        large = Large()
        made.append(weakref.ref(large))
        return large

    results = prefetch(make, range(3))
    first = next(results)
    assert made[0]() is first
    del first
    assert made[0]() is None


def test_a_caller_that_stops_leaves_no_thread():
    before = threading.active_count()
    results = prefetch(str, range(9))
    next(results)
    results.close()
    assert threading.active_count() == before
