"""The workers of a Dask cluster as a place where pieces are computed."""

import asyncio
import itertools
import queue
import signal
import sys
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from dpm.base.errors import InputError
from dpm.base.pieces import Compute, Report, ignore
from dpm.base.process import handle_signals
from dpm.cluster import workers
from dpm.cluster.address import parse_address
from dpm.cluster.local import LocalCluster
from dpm.cluster.quiet import quiet_logs, quiet_warnings
from dpm.cluster.recipes import write_recipe
from dpm.cluster.workers import Packed, WorkerError
from dpm.engines.compiled import CompiledModel

CONNECT, ANSWER = 8, 14  # seconds to wait for a scheduler, and for its answers, which are slow on a busy machine
FIRST_WORKER = 30  # seconds to wait for the first worker, which imports JAX
LOST = 30  # seconds without any worker after which they are taken for lost; a nanny starts one again in a few
POLL, FETCH = 1.0, 60  # seconds between looks at the workers, and to fetch a result
TASK_SECONDS = 10.0  # that a task should take
AHEAD = 4  # tasks for each worker that are submitted before their turn
MOST_LOSSES = 10  # times that Dask may give up a task, after some workers have died with it


class Task(NamedTuple):
    """Consecutive pieces that were submitted together."""

    number: int
    pieces: list[Any]


class Cluster:
    """Mapper that submits pieces to workers, and yields their results in order.

    A task has as many pieces as take TASK_SECONDS, and fewer towards the end, so that all workers end together. Dask
    computes the pieces of a killed worker again. The client's microbatch sizes are kept, so results have the bits of a
    single process on the same kind of machine. Several threads may map at the same time.

    Args:
        client: of Dask.
        name: the address as the user gave it.

    Attributes:
        dashboard: address of the dashboard, or "" where there is none.
    """

    is_remote = True

    def __init__(self, client: Any, name: str) -> None:
        self.client, self.name = client, name
        self._shared: OrderedDict[str, Any] = OrderedDict()
        self._packed: OrderedDict[int, tuple[Any, Packed]] = OrderedDict()
        self._expected, self.dashboard, self._sharing = workers.versions(), "", threading.Lock()
        self._seen, self._n_workers, self._looked = time.monotonic(), 1, 0.0

    def cut(self, n: int, size: int) -> list[slice]:
        """Return ranges of `size` of n examples."""
        return [slice(start, min(start + size, n)) for start in range(0, n, size)]

    def map(
        self, compute: Compute, shared: Sequence[Any], pieces: Iterable[Any], report: Report | None = None
    ) -> Iterator[Any]:
        """Yield the result of each piece, in order, as Mapper.map does.

        Raises:
            InputError: as of the computation; or no worker is left, or one cannot take part.
        """
        return Job(self, compute, shared, list(pieces), report or ignore).run()

    def pack(self, value: Any) -> Packed:
        """Return a shared object as bytes, packed once."""
        with self._sharing:
            if id(value) not in self._packed:
                recipe = write_recipe(value) if isinstance(value, CompiledModel) else value
                self._packed[id(value)] = value, workers.pack(recipe)  # the value is kept, so that its id stays its own
            workers.drop_oldest(self._packed, id(value))
            return self._packed[id(value)][1]

    def share(self, packed: Packed) -> Any:
        """Return the future of a shared object, which each worker fetches once."""
        with self._sharing:
            future = self._shared.get(packed.digest)
            if future is None or future.status in ("error", "cancelled", "lost"):
                with quiet_warnings():  # that the object is large
                    key = f"keep-{packed.digest[:16]}-{uuid.uuid4().hex[:8]}"
                    future = self.client.submit(workers.keep, packed.content, key=key)
                self._shared[packed.digest] = future
            workers.drop_oldest(self._shared, packed.digest)
            return future

    def submit(self, name: str, compute: Packed, shared: Sequence[Packed], pieces: Sequence[Any]) -> Any:
        """Submit one task; return its future."""
        digests, contents = [packed.digest for packed in shared], [self.share(packed) for packed in shared]
        with quiet_warnings():
            return self.client.submit(
                workers.compute_pieces,
                self._expected,
                tuple(compute),
                digests,
                contents,
                workers.pack(list(pieces)).content,
                key=f"{name}-{uuid.uuid4().hex}",
                pure=False,
            )

    def count_workers(self) -> int:
        """Return the number of workers, looked up once a second.

        Raises:
            InputError: the scheduler, or all workers for LOST seconds, cannot be reached.
        """
        now = time.monotonic()
        if now < self._looked + POLL:
            return self._n_workers
        self._looked = now
        if self.client.status != "running":
            raise self.lost_scheduler()
        with suppress(OSError, TimeoutError):
            if count := len(self.client.nthreads()):
                self._seen, self._n_workers = time.monotonic(), count
        if time.monotonic() > self._seen + LOST:
            raise InputError(
                f"--cluster {self.name}: all workers were lost, for {LOST} s; start some again (dask worker ADDRESS "
                "--nthreads 1), and then the command"
            )
        return self._n_workers

    def unusable(self, name: str, error: BaseException) -> WorkerError:
        """Return the error of a process of the cluster in which dpm cannot be used."""
        reason = str(error).partition("\n")[0] or type(error).__name__
        return WorkerError(
            f"--cluster: {name} cannot use dpm ({reason}); expected dpm {self._expected['dpm']}, as here; install the "
            "same there"
        )

    def lost_scheduler(self) -> InputError:
        """Return the error of a scheduler that does not answer any more."""
        return InputError(f"--cluster {self.name}: the scheduler was lost; start it, and the command, again")

    def check(self) -> None:
        """Wait for a first worker, and check the versions of all of them and of the scheduler.

        Raises:
            InputError: there is no worker.
            WorkerError: one has another version, or has no dpm.
        """
        try:
            if self.client.run_on_scheduler(workers.has_dashboard):
                self.dashboard = str(self.client.dashboard_link)
        except Exception as error:
            raise self.unusable(f"the scheduler {self.client.scheduler.address}", error) from None
        try:
            self.client.wait_for_workers(1, timeout=FIRST_WORKER)
        except TimeoutError:
            raise InputError(
                f"--cluster {self.name}: has no workers, after {FIRST_WORKER} s; start some with: dask worker "
                f"{self.client.scheduler.address} --nthreads 1"
            ) from None
        for worker, found in self.client.run(workers.versions, on_error="return").items():
            if isinstance(found, BaseException):
                raise self.unusable(f"worker {worker}", found)
            workers.check_versions(worker, found, self._expected)


class Job:
    """The pieces of one computation, on their way.

    Args:
        cluster: the workers.
        compute, shared, pieces, report: as in Mapper.map.
    """

    def __init__(
        self, cluster: Cluster, compute: Compute, shared: Sequence[Any], pieces: list[Any], report: Report
    ) -> None:
        self.cluster, self.pieces, self.report = cluster, pieces, report
        self.name = str(getattr(compute, "__name__", "pieces"))
        self.compute, self.shared = cluster.pack(compute), [cluster.pack(value) for value in shared]
        self.begin, self.numbers = 0, itertools.count()
        self.seconds: float | None = None  # that a piece takes
        self.pending: dict[Any, Task] = {}
        self.losses: dict[int, int] = {}
        self.done: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def run(self) -> Iterator[Any]:
        """Yield all results in order; release everything in the end."""
        ready: dict[int, list[Any] | Exception] = {}
        upcoming = 0
        try:
            while self.begin < len(self.pieces) or self.pending or upcoming in ready:
                failed = any(isinstance(found, Exception) for found in ready.values())
                while not failed and self.begin < len(self.pieces) and len(self.pending) < self.most():
                    self.submit(self.take())
                if upcoming not in ready:
                    number, found = self.receive()
                    ready[number] = found
                    continue
                found = ready.pop(upcoming)
                upcoming += 1
                if isinstance(found, Exception):
                    raise found
                yield from found
        finally:
            for future in self.pending:
                future.release()

    def most(self) -> int:
        """Return how many tasks may be pending."""
        return AHEAD * self.cluster.count_workers()

    def take(self) -> Task:
        """Return the next task: pieces for TASK_SECONDS, but no more than half the share of a worker in the rest."""
        left = len(self.pieces) - self.begin
        share = -(-left // (2 * self.cluster.count_workers()))
        fitting = 1 if self.seconds is None else int(TASK_SECONDS / max(self.seconds, 1e-9))
        end = self.begin + max(1, min(fitting, share))
        task = Task(next(self.numbers), self.pieces[self.begin : end])
        self.begin = end
        return task

    def submit(self, task: Task) -> None:
        """Submit a task."""
        future = self.cluster.submit(self.name, self.compute, self.shared, task.pieces)
        self.pending[future] = task
        future.add_done_callback(self.done.put)

    def receive(self) -> tuple[int, list[Any] | Exception]:
        """Wait for a task; return its number, and its results or the error that it raised."""
        from distributed.scheduler import KilledWorker

        while True:
            self.cluster.count_workers()
            try:
                future = self.done.get(timeout=POLL)
            except queue.Empty:
                continue
            task = self.pending[future]
            try:
                answer = future.result(timeout=FETCH)
            except TimeoutError:  # the worker with the result has died; Dask computes it again
                future.add_done_callback(self.done.put)
                continue
            except KilledWorker as error:
                del self.pending[future]
                self.losses[task.number] = self.losses.get(task.number, 0) + 1
                if self.losses[task.number] > MOST_LOSSES:
                    return task.number, InputError(
                        f"--cluster {self.cluster.name}: {error.allowed_failures + 1} workers died with the same task, "
                        f"{MOST_LOSSES + 1} times, the last one {error.last_worker.address}; give them more memory, "
                        "and see their logs"
                    )
                self.submit(task)
                continue
            except CancelledError:
                raise self.cluster.lost_scheduler() from None
            except Exception as error:
                del self.pending[future]
                return task.number, error
            del self.pending[future]
            self.note_time(answer.seconds / len(task.pieces))
            self.report(answer.reported)
            return task.number, answer.results

    def note_time(self, seconds: float) -> None:
        """Keep the shortest time of a piece: others include compiling, or a busy machine."""
        self.seconds = min(seconds, self.seconds or seconds)


@contextmanager
def open_cluster(text: str) -> Iterator[Cluster]:
    """Start or join a cluster, and leave or end it afterwards.

    Args:
        text: see dpm.cluster.address.

    Raises:
        InputError: Dask is not installed, nothing answers at the address, or its workers cannot be used.
    """
    address = parse_address(text)
    try:
        with quiet_warnings():
            from distributed import Client
    except ImportError as error:
        raise InputError(f"--cluster {text}: needs Dask ({error}); pip install '.[cluster]'") from None
    # SIGTERM exits through the blocks below, so that the workers and their folder go too.
    ending = [signal.SIGTERM] if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL else []
    with quiet_logs(), handle_signals(lambda *_: sys.exit(128 + signal.SIGTERM), *ending):
        local = LocalCluster(address.workers) if address.workers else None
        try:
            client = _connect(Client, text, local.address if local else address.scheduler)
            try:
                if local:
                    local.wait(client)
                cluster = Cluster(client, text)
                cluster.check()
                yield cluster
            finally:
                client.close(timeout=2)
        finally:
            if local:
                local.close()


@contextmanager
def use_cluster(address: str, run: Any) -> Iterator[Cluster]:
    """Let the workers of a Dask cluster compute what is asked of a run within a `with` block.

    Args:
        address: "local" or "local:N" for workers on this machine, the tcp:// or tls:// address of a scheduler, or the
            JSON file that a scheduler wrote.
        run: a trained model, for `dpm.evaluate`, `dpm.bound`, `dpm.sample`, `dpm.inpaint` and `dpm.denoise`.

    Returns:
        A context, whose value is the Cluster.

    Raises:
        InputError: nothing answers at the address, or its workers cannot be used.

    Example:
        >>> with dpm.use_cluster("local:1", run):
        ...     X = dpm.sample(run, n=4)
        >>> bool((X == dpm.sample(run, n=4)).all())
        True
    """
    with open_cluster(address) as cluster, run.compiled.mapped_by(cluster):
        yield cluster


def _connect(client: Any, text: str, address: str) -> Any:
    """Return a client of the scheduler at an address, by the security of Dask's configuration."""
    reached: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

    async def reach() -> None:
        # Tried by an asynchronous client, which is closed: one that failed in __init__ is closed by __del__, and then
        # can wait for a lock that the thread of the next client holds.
        first = client(address, timeout=CONNECT, set_as_default=False, asynchronous=True)
        try:
            # Dask itself waits without end for a server that is no scheduler.
            await asyncio.wait_for(first, ANSWER)
        finally:
            await first.close(timeout=1)

    def try_once() -> None:
        try:
            reached.put(asyncio.run(reach()))
        except Exception as error:  # Dask and ssl raise many types
            reached.put(error)

    with quiet_warnings():  # of versions, which Cluster.check compares
        # In a thread, since a notebook's own has a loop already.
        threading.Thread(target=try_once, daemon=True, name="connect").start()
        error = reached.get()
        if error is None:
            return client(address, timeout=CONNECT, set_as_default=False)
    reason = str(error).partition("\n")[0]
    if not reason or isinstance(error, TypeError):  # of a worker, which has another interface
        reason = "what listens there is no scheduler"
    tls = ", with the certificates of distributed.comm.tls in Dask's configuration" * address.startswith("tls:")
    raise InputError(
        f"--cluster {text}: no scheduler answers ({reason}); start one with: dask scheduler, and take its address{tls}"
    )
