"""Graphs as interactive pages: nodes in groups by brick and by equation, before and after PyTensor's rewriting."""
