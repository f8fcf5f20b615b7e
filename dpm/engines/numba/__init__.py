"""What depends on Numba. Importing it sets LLVM's level of optimization, unless the user set NUMBA_OPT.

LLVM's code generator takes the level of the moment at which the first function is decorated, so this runs before
PyTensor's part for Numba is imported, by an Engine or by `pytensor.function` in a mode of Numba.
"""

import os

from numba import config as numba_config

# Numba's own level is 3, which takes it a fifth longer to compile a model for steps that are no faster.
NUMBA_LEVEL = 2

if "NUMBA_OPT" not in os.environ:
    # numba.config has no documented setter: OPT is the value that NUMBA_OPT was parsed to (numba 0.65.1).
    numba_config.OPT = type(numba_config.OPT)(NUMBA_LEVEL)
