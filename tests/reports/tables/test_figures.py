"""Each figure of the paper that shows a model has an entry, made from a row trained for it."""

from dpm.reports.tables.figures import FIGURES
from dpm.reports.tables.rows import TABLES


def test_figures_1_to_5_use_the_rows_of_their_page():
    assert [title for title, *_ in FIGURES] == [f"Figure {number}" for number in range(1, 6)]
    assert {name for _, _, name, _ in FIGURES} == set(TABLES["figures"])
