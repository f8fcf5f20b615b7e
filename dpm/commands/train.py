"""`dpm train`, and train.py: train a model, or resume a run."""

import importlib.util
import sys
from collections.abc import Sequence
from typing import Any

from dpm.base.command_line import run_command
from dpm.base.errors import InputError
from dpm.base.progress import Progress
from dpm.runs.flags import build_train_parser as build_parser
from dpm.runs.flags import parse_flags
from dpm.runs.launch import Launch, check_choices, explain_loss, take_cluster, take_launch
from dpm.runs.setting_checks import check_numbers
from dpm.runs.settings import Settings

__all__ = ["build_parser", "main"]


def main(arguments: Sequence[str] | None = None, prog: str = "dpm train") -> int:
    """Run the command; return the exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    given, command = parse_flags(words, prog), [*prog.split(), *words]

    def action() -> int:
        cluster, flags = take_cluster(given)
        launch, flags = take_launch(flags)
        check_numbers(flags)
        if launch is None:
            return train(flags, command, cluster=cluster)
        check_jax(flags)
        if flags.get("resume_file") is None:
            check_choices(Settings.from_arguments(**flags))
        from dpm.base.watch import run_watched

        return run_watched(
            prog, lambda: run_command(prog, lambda: train_together(flags, command, launch)), explain_loss
        )

    return run_command(prog, action)


def train(given: dict[str, Any], command: Sequence[str], process: int | None = None, cluster: str | None = None) -> int:
    """Load the program and train; process: number of this one of a distributed run; cluster: address, or None."""
    with Progress(desc="loading the program", quiet=given.get("quiet", False)):
        from dpm.training.run import run_training

    return run_training(given, command, process, cluster)


def train_together(given: dict[str, Any], command: Sequence[str], launch: Launch) -> int:
    """Train as one of the processes of a run, or with all devices of this one."""
    from dpm.engines.jax.processes import joined

    with joined(*launch) as process:
        return train(given, command, process)


def check_jax(given: dict[str, Any]) -> None:
    """Raise InputError where a distributed run cannot have the engine that it needs."""
    backend = given.get("backend", "auto")
    if backend not in ("auto", "jax"):
        raise InputError(f"--backend {backend}: several processes need JAX; take --backend jax")
    if importlib.util.find_spec("jax") is None:
        raise InputError("--distributed: several processes need JAX, which is not installed; pip install '.[jax]'")
