"""Plots of bounds, vectors and the paper's figures, and the toolbox that they and :mod:`dpm.viz` share."""
