"""Exact log likelihoods of the toy data, and the ceiling that K (Eq. 14) has on them.

A *ceiling* is the value of K that the best reverse kernel of a given form reaches: factorial over bits for the
heartbeat, Gaussian for the swiss roll. No trained network of that form exceeds it. All values are in bits per example.
"""

from dpm.experiments.exact import heartbeat, swiss_roll

__all__ = ["heartbeat", "swiss_roll"]
