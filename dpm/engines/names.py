"""Names of engines and float types; importing this module imports no compiler."""

ENGINES = ("auto", "jax", "numba", "c")
DTYPES = ("float32", "float64")

#: Precision of the products of float32 numbers: whole, or their factors rounded to 10 or 7 bits on a GPU.
PRECISIONS = ("float32", "tf32", "bf16")

#: Sources of random numbers: numpy on the host, the same for every engine, or JAX on the device.
NOISE_SOURCES = ("host", "device")
