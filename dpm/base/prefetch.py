"""The next item of a sequence worked out by a thread, while its caller is busy with the one before."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetch(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """function(item) of each, in order: of those that follow what the caller has, one is begun and no more.

    items are taken in the caller's thread. What they or function raise is raised after the results before it. A result
    is let go when it is handed over, so that large ones do not wait here for the next.
    """
    with ThreadPoolExecutor(1, "ahead") as pool:
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
