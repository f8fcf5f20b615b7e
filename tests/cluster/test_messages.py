"""Questions to all workers, messages of them, and tasks that nobody waits for."""

import pytest

from dpm.cluster import messages
from dpm.cluster.pool import open_cluster
from dpm.cluster.workers import WorkerError
from tests.helpers import clusters, pieces


@pytest.fixture(scope="module")
def scheduler():
    """Return the address of a scheduler with one worker."""
    with clusters.scheduler() as (address, _, _), clusters.workers(address, 1):
        yield address


def test_answers_have_the_addresses_of_the_workers(scheduler):
    with open_cluster(scheduler) as cluster:
        (address,) = cluster.map(pieces.addresses, [], [0])
        assert messages.ask_workers(cluster, pieces.double, 4) == {address: 8}
        with pytest.raises(WorkerError, match=f"^--cluster: worker {address} cannot use dpm .division by zero"):
            messages.ask_workers(cluster, pieces.divide, 0)


def test_messages_arrive_while_the_pieces_are_computed(scheduler):
    heard = set()
    with (
        open_cluster(scheduler) as cluster,
        messages.listen(cluster, "topic", lambda message: heard.add(message["piece"])),
    ):
        list(cluster.map(pieces.tell, ["topic"], [1, 2]))
        clusters.wait_for(lambda: heard == {1, 2})


def test_a_piece_learns_that_nobody_waits_for_it(scheduler, tmp_path):
    file = tmp_path / "left"
    with open_cluster(scheduler) as cluster:
        compute, shared = cluster.pack(pieces.wait_until_left), cluster.pack(str(file))
        future = cluster.submit("left", compute, [shared], [0])
        clusters.wait_for((tmp_path / "left.begun").exists)
        assert not file.exists()
        future.release()
        clusters.wait_for(file.exists)
