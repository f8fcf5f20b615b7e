"""Names of engines and float types; importing this module imports no compiler."""

ENGINES = ("auto", "jax", "numba", "c")
DTYPES = ("float32", "float64")
