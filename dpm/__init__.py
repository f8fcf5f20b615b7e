"""Diffusion probabilistic models (Sohl-Dickstein et al., ICML 2015) as symbolic graphs in PyTensor."""

__version__ = "0.1.0"
