"""The next item of a sequence worked out by a thread, while its caller is busy with the one before."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def one_ahead(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """function(item) of each, in order: of those that follow what the caller has, one is begun and no more.

    items are taken in the caller's thread. What function raises is raised where its result is asked for.
    """
    with ThreadPoolExecutor(1, "ahead") as pool:
        results = (pool.submit(function, item) for item in items)
        upcoming = next(results, None)
        while upcoming:
            result, upcoming = upcoming.result(), next(results, None)
            yield result
