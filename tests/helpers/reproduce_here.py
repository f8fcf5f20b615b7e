"""Run the programs of dpm.reports.tables in this process."""

from dpm.commands import evaluate, parzen
from dpm.commands.datasets import main as datasets_main
from dpm.commands.sample import main as sample_main
from dpm.commands.train import main as train_main
from dpm.reports.tables import running, speed

PROGRAMS = {
    "train": train_main,
    "sample": sample_main,
    "evaluate": evaluate.main,
    "parzen": parzen.main,
    "datasets": datasets_main,
    "speed": speed.main,
}


def here(monkeypatch):
    """Run the programs in this process, which saves their imports; return the growing list of commands."""
    seen = []

    def run(program, *arguments):
        seen.append(running.format_command(program, arguments))
        assert PROGRAMS[program]([str(a) for a in arguments]) == 0, seen[-1]

    monkeypatch.setattr(running, "run", run)
    return seen
