"""The two variants, by their names of today and of earlier versions; reading them imports nothing heavy."""

import subprocess
import sys
from pathlib import Path

import pytest

from dpm.base.errors import InputError
from dpm.experiments.variants import CORRECTED, RELEASED, VARIANTS, find_variant

ROOT = Path(__file__).parents[2]


def test_variants_by_name():
    assert VARIANTS == {"corrected": CORRECTED, "released": RELEASED}
    assert RELEASED.epoch_batches == 500
    assert CORRECTED.epoch_batches is None


@pytest.mark.parametrize(
    ("name", "variant"), [("corrected", CORRECTED), ("released", RELEASED), ("exact", CORRECTED)], ids=str
)
def test_saved_names_are_found(name, variant):
    assert find_variant(name) is variant


@pytest.mark.parametrize("name", ["sideways", ["exact"], None, 1])
def test_unknown_variant_is_an_error(name):
    with pytest.raises(InputError, match="is unknown; expected corrected or released"):
        find_variant(name)


def test_importing_names_imports_nothing_heavy():
    code = (
        "import sys, dpm.experiments.named, dpm.experiments.variants\n"
        "assert not {'pytensor', 'numpy', 'scipy', 'jax', 'h5py'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
