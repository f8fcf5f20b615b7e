"""Small things that several modules need; names as in the 2015 repository."""

import pytensor.tensor as pt


def logit(p):
    """log(p / (1 - p)), the inverse of the sigmoid; symbolic."""
    return pt.log(p) - pt.log1p(-p)
