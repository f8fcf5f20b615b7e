"""What a command and its workers tell each other besides pieces: questions to all workers, events, who still waits."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from dpm.cluster.pool import Cluster
from dpm.cluster.workers import WorkerError


def ask_workers(cluster: Cluster, function: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
    """Return what a function returns on each worker that is there now, by the worker's address.

    Raises:
        WorkerError: it fails on one.
    """
    answers: dict[str, Any] = cluster.client.run(function, *arguments, on_error="return")
    for worker, found in answers.items():
        if isinstance(found, WorkerError):
            raise found
        if isinstance(found, BaseException):
            raise cluster.unusable(f"worker {worker}", found)
    return answers


@contextmanager
def listen(cluster: Cluster, topic: str, handle: Callable[[Any], object]) -> Iterator[None]:
    """Call a function, in another thread, with each message that a worker sends on a topic."""
    cluster.client.subscribe_topic(topic, lambda event: handle(event[1]))
    try:
        yield
    finally:
        if cluster.client.status == "running":
            cluster.client.unsubscribe_topic(topic)


def tell(topic: str, message: Any) -> None:
    """Send a message from a worker to those who listen to a topic."""
    from distributed import get_worker

    get_worker().log_event(topic, message)


def is_wanted() -> bool:
    """Return False once nobody waits for the task that this thread computes, as its command has ended."""
    from distributed import get_worker

    worker = get_worker()
    task = worker.state.tasks.get(worker.get_current_task())
    return task is not None and task.state != "cancelled"
