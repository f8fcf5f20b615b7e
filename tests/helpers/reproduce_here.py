"""The programs that dpm.reports.tables runs, in this process."""

from dpm.commands import evaluate, parzen
from dpm.commands.cli import sample_main, train_main
from dpm.commands.datasets import main as datasets_main
from dpm.reports.tables import running, speed

PROGRAMS = {
    running.TRAIN: train_main,
    running.SAMPLE: sample_main,
    "dpm.commands.evaluate": evaluate.main,
    "dpm.commands.parzen": parzen.main,
    "dpm.datasets": datasets_main,
    "dpm.reports.tables.speed": speed.main,
}


def here(monkeypatch):
    """From now on they run in this process, which saves their imports; returns the list of commands that will be."""
    seen = []

    def run(program, *arguments):
        seen.append(running.shown(program, arguments))
        assert PROGRAMS[program]([str(a) for a in arguments]) == 0, seen[-1]

    monkeypatch.setattr(running, "run", run)
    return seen
