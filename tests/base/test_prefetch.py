"""One item is computed ahead of the caller, in order, and not more."""

import threading
import time
import weakref

import pytest

from dpm.base.prefetch import prefetch


def test_results_come_in_order_and_one_is_computed_ahead():
    """Items are iterated in the caller's thread, since a stream of minibatches is read by one thread."""
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


def test_an_error_is_raised_where_its_result_would_come():
    results = prefetch(lambda i: 1 // (1 - i), range(3))
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_an_error_of_the_items_is_raised_after_the_results_before_it():
    """When reading a file fails, the minibatches before are still delivered."""

    def items():
        yield from (1, 2)
        raise OSError("unreadable")

    results = prefetch(str, items())
    assert [next(results), next(results)] == ["1", "2"]
    with pytest.raises(OSError, match="unreadable"):
        next(results)


def test_a_result_is_released_when_it_is_yielded():
    """At most two large results are in memory: the caller's and the next one."""

    class Large:
        pass

    references = []

    def make(i):
        large = Large()
        references.append(weakref.ref(large))
        return large

    results = prefetch(make, range(3))
    first = next(results)
    assert references[0]() is first
    del first
    assert references[0]() is None


def test_a_caller_that_stops_leaves_no_thread():
    before = threading.active_count()
    results = prefetch(str, range(9))
    next(results)
    results.close()
    assert threading.active_count() == before
