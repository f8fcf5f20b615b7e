"""The flags of runs on several processes, and the line after a loss."""

import pytest

from dpm.base.errors import InputError
from dpm.runs.launch import Launch, explain_loss, take_cluster, take_launch

BY_HAND = {"coordinator": "10.0.0.1:1234", "processes": 4, "process": 3}


def test_flags_are_taken_from_the_settings():
    launch, settings = take_launch(BY_HAND | {"seed": 1})
    assert launch == Launch("10.0.0.1:1234", 4, 3)
    assert settings == {"seed": 1}
    assert take_launch({"distributed": True, "lr": 0.1}) == (Launch(), {"lr": 0.1})
    assert take_launch({"distributed": False}) == take_launch({}) == (None, {})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"coordinator": None}, "--coordinator: is missing"),
        ({"processes": None}, "--processes: is missing"),
        ({"process": None}, "--process: is missing"),
        ({"processes": 0, "process": 0}, "--processes: got 0; expected 1 or more"),
        ({"processes": -2}, "--processes: got -2"),
        ({"process": 4}, "--process: got 4; expected 0 to 3"),
        ({"process": -1}, "--process: got -1"),
        ({"coordinator": "host"}, "--coordinator: got 'host'; expected HOST:PORT"),
        ({"coordinator": ":80"}, "--coordinator: got ':80'"),
        ({"coordinator": "host:0"}, "--coordinator: got 'host:0'"),
        ({"coordinator": "host:65536"}, "--coordinator: got 'host:65536'"),
        ({"coordinator": "host:x"}, "--coordinator: got 'host:x'"),
        ({"distributed": False}, "--distributed false contradicts --coordinator"),
    ],
)
def test_what_does_not_name_processes_is_refused(change, message):
    with pytest.raises(InputError, match=f"^{message}"):
        take_launch(BY_HAND | change)


# What jaxlib 0.10.1 wrote, shortened, when one, two and the first of the processes had been killed.
UNHEALTHY = (
    "Terminating process because the JAX distributed service detected fatal errors. absl::Status: UNAVAILABLE: The "
    "following tasks are unhealthy (stopped sending heartbeats):\n{}\nThe tasks have crashed. Check the task logs"
)
FIRST = "absl::Status: UNAVAILABLE: Failed to send RPC to coordination service. Either the leader task was preempted"


@pytest.mark.parametrize(
    ("log", "begin"),
    [
        (UNHEALTHY.format("1"), "process 1 of the run was lost; "),
        (UNHEALTHY.format("3\n12"), "processes 3, 12 of the run were lost; "),
        (FIRST, "process 0 of the run was lost; "),
        ("", "this process of the run was ended by SIGABRT; "),
    ],
)
def test_the_lost_process_is_named(log, begin):
    line = explain_loss("SIGABRT", log)
    assert line.startswith(begin)
    assert "--resume-file auto" in line


def test_a_cluster_is_taken_from_the_settings():
    assert take_cluster({"cluster": "local", "distributed": False, "seed": 1}) == (
        "local",
        {"distributed": False, "seed": 1},
    )
    assert take_cluster({"seed": 1}) == (None, {"seed": 1})


@pytest.mark.parametrize(("others", "name"), [({"distributed": True}, "distributed"), (BY_HAND, "coordinator")])
def test_a_cluster_and_processes_contradict_each_other(others, name):
    with pytest.raises(InputError, match=f"^--cluster local contradicts --{name}, which divides minibatches"):
        take_cluster(others | {"cluster": "local"})
