"""The mapper of --cluster."""

from dpm.base.pieces import HERE
from dpm.cluster.mapper import open_mapper
from tests.helpers import pieces


def test_without_an_address_pieces_are_computed_here():
    with open_mapper(None, quiet=False) as mapper:
        assert mapper is HERE


def test_the_line_names_cluster_and_workers_unless_quiet(capsys):
    for quiet in (False, True):
        with open_mapper("local:1", quiet) as mapper:
            assert list(mapper.map(pieces.squares, [1], [2])) == [5]
        assert capsys.readouterr().out.startswith("" if quiet else "cluster local:1: 1 worker")
