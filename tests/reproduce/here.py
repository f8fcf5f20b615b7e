"""The programs that dpm.reproduce runs, in this process."""

from dpm import evaluate, parzen
from dpm.cli import sample_main, train_main
from dpm.datasets.__main__ import main as datasets_main
from dpm.reproduce import running, speed

PROGRAMS = {
    running.TRAIN: train_main,
    running.SAMPLE: sample_main,
    "dpm.evaluate": evaluate.main,
    "dpm.parzen": parzen.main,
    "dpm.datasets": datasets_main,
    "dpm.reproduce.speed": speed.main,
}


def here(monkeypatch):
    """From now on they run in this process, which saves their imports; returns the list of commands that will be."""
    seen = []

    def run(program, *arguments):
        seen.append(running.shown(program, arguments))
        assert PROGRAMS[program]([str(a) for a in arguments]) == 0, seen[-1]

    monkeypatch.setattr(running, "run", run)
    return seen
