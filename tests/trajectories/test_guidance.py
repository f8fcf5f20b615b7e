"""Guidance schedules at their two ends."""

import numpy as np
import pytest

from dpm.graph import schedules
from dpm.trajectories.guidance import GUIDANCE, exponents


@pytest.mark.parametrize("guidance", GUIDANCE)
def test_r_enters_in_full_at_the_end_and_never_more(guidance):
    c = exponents(guidance, schedules.released(20))
    assert c.shape == (21,)
    assert c[0] == 1
    assert (np.diff(c) <= 0).all()
    assert c.min() >= 0
