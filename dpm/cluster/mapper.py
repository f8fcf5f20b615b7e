"""The place where a command computes its pieces: here, or on the workers of the cluster that --cluster names."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from dpm.base.pieces import HERE, Mapper
from dpm.base.progress import Progress
from dpm.base.wording import count

if TYPE_CHECKING:
    from dpm.cluster.pool import Cluster
    from dpm.engines.compiled import CompiledModel


@contextmanager
def open_mapper(cluster: str | None, quiet: bool) -> Iterator[Mapper]:
    """Open the cluster of --cluster for a while, and say where it is; without one compute in this process."""
    if cluster is None:
        yield HERE
        return
    with open_cluster_of(cluster, quiet) as opened:
        yield opened


@contextmanager
def open_cluster_of(address: str, quiet: bool) -> Iterator["Cluster"]:
    """Open a cluster for a while, and say where it is."""
    from dpm.cluster.pool import open_cluster

    with ExitStack() as stack:
        with Progress(desc=f"cluster {address}", quiet=quiet):
            opened = stack.enter_context(open_cluster(address))
        if not quiet:
            place = f"; dashboard {opened.dashboard}" if opened.dashboard else ""
            print(f"cluster {address}: {count(opened.count_workers(), 'worker')}{place}", flush=True)
        yield opened


@contextmanager
def mapped(compiled: "CompiledModel", cluster: str | None, quiet: bool) -> Iterator[None]:
    """Compute what is asked of a model on the cluster of --cluster, if there is one, within a `with` block."""
    with open_mapper(cluster, quiet) as mapper, compiled.mapped_by(mapper):
        yield
