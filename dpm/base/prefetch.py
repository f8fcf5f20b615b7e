"""Prefetch: a thread computes the next item of a sequence while the caller works with the previous one."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetch(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield function(item) of each item, in order, and compute one of them ahead.

    An error in `items` or `function` is raised after the results before it. A result is released when it is yielded,
    so that at most two are in memory: the caller's and the next one.

    Args:
        function: called in a thread.
        items: iterated in the caller's thread.
    """
    with ThreadPoolExecutor(1, "prefetch") as pool:
        futures = (pool.submit(function, item) for item in items)
        upcoming, failure = next(futures, None), None
        while upcoming:
            ready = [upcoming.result()]
            try:
                upcoming = next(futures, None)
            except Exception as error:
                upcoming, failure = None, error
            yield ready.pop()
        if failure:
            raise failure
