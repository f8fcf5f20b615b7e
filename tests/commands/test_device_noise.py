"""sample, evaluate and parzen with --noise device, here on JAX's CPU."""

import json

import numpy as np
import pytest

pytest.importorskip("jax")

from dpm.commands import evaluate, parzen, sample


@pytest.fixture(scope="module")
def command(trained, tmp_path_factory):
    """Return a function that runs a command with a source of noise and returns its folder."""

    def command(main, source, *more):
        folder = tmp_path_factory.mktemp("out")
        given = [trained, "--backend", "jax", "--noise", source, "--quiet", "--output-dir", folder, *more]
        assert main([str(word) for word in given]) == 0
        return folder

    return command


def read(path):
    """The content of a JSON file."""
    return json.loads(path.read_text())


def test_K_of_the_device_is_within_the_errors_of_that_of_the_host(command):
    host, device, again = (
        read(command(evaluate.main, source) / "evaluation.json") for source in ("host", "device", "device")
    )
    assert device["bound"] == again["bound"] != host["bound"]
    assert (host["noise"], device["noise"], device["precision"]) == ("host", "device", "float32")
    error = np.hypot(*(found["bound"]["draws_error"] for found in (host, device)))
    assert device["bound"]["K"] == pytest.approx(host["bound"]["K"], abs=4 * error)


def test_the_released_estimator_has_the_hosts_noise(command):
    more = ("--estimator", "reference-2015", "--draws", 3)
    host, device = (
        read(command(evaluate.main, source, *more) / "evaluation_2015.json") for source in ("host", "device")
    )
    assert host == device
    assert device["noise"] == "host"


def test_log_likelihoods_of_single_examples_name_their_noise(command):
    more = ("--trajectories", 4, "--n-examples", 2)
    folder = command(evaluate.main, "device", *more)
    assert read(folder / "log_likelihood.json")["noise"] == "device"


def test_samples_of_the_device_depend_on_seed_and_number(command):
    many, few, host = (
        np.load(command(sample.main, source, "--n", n) / "samples.npz")["X"]
        for source, n in (("device", 5), ("device", 2), ("host", 5))
    )
    np.testing.assert_allclose(few, many[:2], atol=1e-4)
    assert not np.isclose(many, host).any(axis=(1, 2, 3)).all()
    assert many.mean() == pytest.approx(host.mean(), abs=4 * host.std() / np.sqrt(len(host)))


def test_parzen_names_the_noise_of_its_samples(command, trained, tmp_path):
    folder = command(parzen.main, "device", "--n-samples", 3)
    result = read(folder / "parzen.json")
    assert (result["noise"], result["precision"]) == ("device", "float32")
    # Samples of the host are others, so those of the device are not taken for them.
    device = np.load(folder / "parzen_samples.npz")["X"]
    given = [trained, "--backend", "jax", "--noise", "host", "--n-samples", "3", "--quiet", "--output-dir", folder]
    assert parzen.main([str(word) for word in given]) == 0
    assert not np.array_equal(np.load(folder / "parzen_samples.npz")["X"], device)


def test_noise_is_not_used_with_samples_that_are_drawn(tmp_path, capsys):
    path = tmp_path / "x.npz"
    np.savez(path, X=np.zeros((2, 1, 8, 8)))
    assert parzen.main([str(path), "--noise", "device", "--output-dir", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
