"""Training speed, measured without extensions."""

import json

from dpm.reports.tables import speed
from tests.helpers import runs
from tests.training.test_loop import Clock


def test_seconds_per_image_count_only_the_steps(tmp_path, monkeypatch, capsys):
    """Steps of 25 images take 2 s each."""
    runs.share_compiled(monkeypatch)
    Clock(monkeypatch, 2)
    given = ["--data-path", str(runs.data(tmp_path)), "--model-args", runs.MODEL, "--batch-size", "25"]
    assert speed.main([str(tmp_path / "speed.json"), *given]) == 0
    found = json.loads((tmp_path / "speed.json").read_text())
    assert found["seconds_a_picture"] == 2 / 25
    assert speed.main([str(tmp_path / "speed.json"), "--lr", "-1"]) == 2
    assert "--lr: -1.0 is not accepted" in capsys.readouterr().err
