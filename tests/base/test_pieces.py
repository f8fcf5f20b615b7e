"""Pieces computed in this process: all at once, in order, lazily."""

from dpm.base.pieces import HERE


def squares(offset, pieces, report):
    for piece in pieces:
        yield piece**2 + offset
        report(piece)


def test_results_come_in_order_and_pieces_are_taken_when_they_are_needed():
    taken, reported = [], []
    found = HERE.map(squares, (1,), (taken.append(n) or n for n in range(4)), reported.append)
    assert (next(found), taken) == (1, [0])
    assert list(found) == [2, 5, 10]
    assert reported == [0, 1, 2, 3]


def test_without_a_report_nothing_is_told():
    assert list(HERE.map(squares, (0,), [3])) == [9]


def test_examples_are_a_single_piece():
    assert HERE.cut(10, 3) == [slice(0, 10)]
