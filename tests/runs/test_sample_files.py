"""Sample files: a checksum of model, seed and engine, from which sampling resumes."""

import numpy as np

from dpm.runs.sample_files import SampleFiles


def test_only_samples_of_the_same_model_seed_and_engine_are_read(tmp_path):
    files = SampleFiles(tmp_path, b"model 1", (2,))
    assert files.read().shape == (0, 2)
    files.write(files.partial, [np.ones((3, 2), np.float32), np.zeros((1, 2), np.float32)])
    assert len(files.read()) == 4
    files.write(files.whole, [np.ones((5, 2), np.float32)])
    assert len(files.read()) == 5
    assert SampleFiles(tmp_path, b"model 2", (2,)).read().shape == (0, 2)
    assert SampleFiles(tmp_path, b"model 1", (3,)).read().shape == (0, 3)


def test_partial_file_is_written_once_a_minute(tmp_path, monkeypatch):
    files = SampleFiles(tmp_path, b"model", (1,))
    files.write_periodically([np.ones((1, 1), np.float32)])
    assert not files.partial.exists()
    files.written -= 61
    files.write_periodically([np.ones((2, 1), np.float32)])
    assert len(files.read()) == 2
