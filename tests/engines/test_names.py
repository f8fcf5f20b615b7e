"""Names of engines and float types are known without importing a compiler."""

import subprocess
import sys

from dpm.engines.names import DTYPES, ENGINES


def test_names_are_imported_without_pytensor():
    code = "import sys, dpm.engines.names; sys.exit('pytensor' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert (ENGINES, DTYPES) == (("auto", "jax", "numba", "c"), ("float32", "float64"))
