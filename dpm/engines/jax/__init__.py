"""JAX backend. Import it before jax, whose C++ part reads its level of messages when it is loaded."""

import os

# jaxlib 0.10.1 writes an error for each function that it loads from its cache, since the machine lacks two features
# that are no features of a processor. A message that ends the program is still written.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
