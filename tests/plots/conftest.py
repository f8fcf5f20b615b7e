"""Fixtures of the tests of plots."""

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from dpm.plots import charts


@pytest.fixture
def drawn(monkeypatch):
    """Provide a list that receives each matplotlib figure that is rendered."""
    figures = []

    class Canvas(FigureCanvasAgg):
        def __init__(self, figure):
            figures.append(figure)
            super().__init__(figure)

    monkeypatch.setattr(charts, "FigureCanvasAgg", Canvas)
    yield figures
    figures.clear()
