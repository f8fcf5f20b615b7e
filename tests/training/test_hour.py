"""One hour of training on the embedded digits (slow). DPM_TRAINING_SECONDS sets a shorter time."""

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dpm.commands.sample import main as sample_main

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_one_hour_of_training_of_the_default_model(tmp_path):
    """K - L_null of the test digits exceeds 3.3 bits/pixel with a small spread; the samples stay for inspection."""
    command = [sys.executable, str(ROOT / "train.py"), "--batch-size", "128", "--epochs", "100000"]
    command += ["--ext-every-n", "100000", "--output-dir", str(tmp_path)]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        process.wait(float(os.environ.get("DPM_TRAINING_SECONDS", 3600)))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
    assert process.wait(120) == 0
    (folder,) = tmp_path.glob("DiffusionModel_*")
    rows = list(csv.DictReader((folder / "log.csv").open()))
    last = np.array([float(row["test_K_minus_L_null"]) for row in rows[-10:]])
    assert np.median(last) > 3.3
    assert sample_main([str(folder / "checkpoint.h5"), "--output-dir", str(tmp_path), "--quiet"]) == 0
    print(f"median of the last ten epochs {np.median(last):.3f} bits/pixel; look at {tmp_path / 'samples.png'}")
