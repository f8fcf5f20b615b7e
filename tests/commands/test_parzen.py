"""python -m dpm parzen: the estimator, resumed sampling, warnings and errors."""

import json

import numpy as np
import pytest
from scipy.special import logsumexp

from dpm.commands.parzen import main
from dpm.commands.sample import main as sample_main
from dpm.trajectories import draws
from tests.helpers import runs


@pytest.fixture
def run(tmp_path, capsys):
    """Return a function that runs the command into a folder and returns (status, stdout, lines of stderr)."""
    (tmp_path / "out").mkdir()

    def run(*given):
        capsys.readouterr()
        try:
            status = main([str(a) for a in (*given, "--output-dir", tmp_path / "out")])
        except SystemExit as stop:
            status = stop.code
        printed = capsys.readouterr()
        return status, printed.out, printed.err.splitlines()

    return run


@pytest.fixture
def result(tmp_path):
    """Return a function that reads parzen.json."""
    return lambda: json.loads((tmp_path / "out/parzen.json").read_text())


def test_samples_of_a_file_match_the_definition(run, result, data, tmp_path):
    """The value is the mean log density of a mixture of 12 Gaussians over the 20 test images / 255.

    sigma is the best one on the last sixth of the 60 training images.
    """
    samples = runs.pixels(12, seed=5) / 255
    np.savez(tmp_path / "samples.npz", X=samples)
    status, out, err = run(tmp_path / "samples.npz", "--data-path", data, "--sigmas", 1, 0.2, 0.4, "--quiet")
    assert (status, err) == (0, [])

    def mean(images, sigma):
        squares = ((images[:, None] / 255 - samples) ** 2).sum(axis=(2, 3, 4))
        return np.mean(
            logsumexp(-squares / (2 * sigma**2), axis=1) - np.log(12) - 64 * np.log(sigma * np.sqrt(2 * np.pi))
        )

    valid, test = runs.pixels(60)[50:], runs.pixels(20, seed=1)
    by_sigma = [mean(valid, sigma) for sigma in (0.2, 0.4, 1)]
    best = (0.2, 0.4, 1)[int(np.argmax(by_sigma))]
    assert best == 0.4
    found = result()
    np.testing.assert_allclose(found["validation"], by_sigma, rtol=1e-7)
    assert found["value"] == pytest.approx(mean(test, best), rel=1e-7)
    assert (found["sigma"], found["sigma_at_edge"]) == (best, False)
    assert (
        out
        == f"Parzen log likelihood {found['value']:.2f} +- {found['standard_error']:.2f} nats per example, sigma 0.4\n"
    )


def test_samples_of_a_checkpoint_equal_those_of_sample_py_and_of_their_file(
    run, result, trained, tmp_path, monkeypatch
):
    monkeypatch.setattr(draws, "IMAGES_PER_BATCH", 2)
    status, out, _ = run(trained, "--n-samples", 4, "--seed", 3)
    assert status == 0
    assert "not clipped" in out
    first = result()
    with np.load(tmp_path / "out/parzen_samples.npz") as file:
        samples = file["X"]
    assert sample_main([str(trained), "--n", "4", "--seed", "3", "--output-dir", str(tmp_path), "--quiet"]) == 0
    with np.load(tmp_path / "samples.npz") as file:
        np.testing.assert_allclose(samples, file["X"], atol=1e-6)
    assert run(tmp_path / "out/parzen_samples.npz", "--data-path", runs.data(tmp_path.parent))[0] == 0
    again = result()
    assert (again["value"], again["sigma"], again["seed"]) == (first["value"], first["sigma"], None)


@pytest.mark.thorough
@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError("no space left on device")])
def test_interrupted_sampling_resumes_to_the_same_result(run, result, trained, tmp_path, monkeypatch, stop):
    """Samples are cached by model and seed; the next command draws only the missing ones."""
    monkeypatch.setattr(draws, "IMAGES_PER_BATCH", 2)
    assert main([str(trained), "--n-samples", "7", "--output-dir", str(tmp_path)]) == 0
    whole = np.load(tmp_path / "parzen_samples.npz")["X"]
    drawn, real = [], draws.generate_samples

    def stopping(compiled, theta, count, noise, *more):
        drawn.append(count)
        if len(drawn) == 3:
            raise stop
        return real(compiled, theta, count, noise, *more)

    monkeypatch.setattr(draws, "generate_samples", stopping)
    assert run(trained, "--n-samples", 7)[0] in (2, 130)
    path = tmp_path / "out" / "parzen_samples.npz"
    (partial,) = (tmp_path / "out").iterdir()
    np.testing.assert_array_equal(np.load(partial)["X"], whole[:4])
    status, out, _ = run(trained, "--n-samples", 7)
    assert status == 0
    assert "holds 4 samples of this model, seed and engine; resuming" in out
    assert drawn == [2, 2, 2, 2, 1]
    np.testing.assert_array_equal(np.load(path)["X"], whole)
    assert not partial.exists()
    assert result()["samples"]["n"] == 7
    status, out, _ = run(trained, "--n-samples", 3)
    assert "holds 7 samples of this model, seed and engine; taking the first 3" in out
    assert (status, len(drawn), result()["samples"]["n"]) == (0, 5, 3)
    drawn[:] = [0, 0]  # the first batch of another seed fails: the existing samples stay
    assert run(trained, "--n-samples", 2, "--seed", 5)[0] in (2, 130)
    np.testing.assert_array_equal(np.load(path)["X"], whole)
    assert run(trained, "--n-samples", 2, "--seed", 5)[0] == 0
    assert (drawn[2:], len(np.load(path)["X"])) == ([2, 2], 2)


@pytest.mark.parametrize("content", [b"PK\3\4 and no more", b"\x93NUMPY", b""])
def test_damaged_file_of_samples_is_redrawn(run, trained, tmp_path, content):
    (tmp_path / "out" / "parzen_samples.npz").write_bytes(content)
    assert run(trained, "--n-samples", 2)[0] == 0
    assert np.load(tmp_path / "out" / "parzen_samples.npz")["X"].shape == (2, 1, 8, 8)


def test_samples_are_clipped_at_0_and_1(run, result, data, tmp_path):
    X = np.linspace(-1, 2, 3 * 64).reshape(3, 1, 8, 8)
    values = []
    for name, samples, flags in (("a", X, ["--clip"]), ("b", np.clip(X, 0, 1), []), ("c", X, [])):
        np.savez(tmp_path / f"{name}.npz", X=samples)
        assert run(tmp_path / f"{name}.npz", "--data-path", data, *flags)[0] == 0
        values.append(result()["value"])
        assert result()["samples"]["clipped"] == bool(flags)
    assert values[0] == values[1] != values[2]


@pytest.mark.parametrize(("sigmas", "side"), [((0.01, 0.02), "larger"), ((5, 10), "smaller")])
def test_sigma_at_the_edge_of_the_grid_is_a_warning(run, result, data, tmp_path, sigmas, side):
    np.savez(tmp_path / "samples.npz", X=runs.pixels(12, seed=5) / 255)
    status, _, err = run(tmp_path / "samples.npz", "--data-path", data, "--sigmas", *sigmas, "--quiet")
    assert status == 0
    (line,) = err
    assert f"at the edge of the grid; give {side} --sigmas too" in line
    assert result()["sigma_at_edge"] is True


def test_single_sigma_gives_no_edge_warning(run, result, data, tmp_path):
    np.savez(tmp_path / "samples.npz", X=runs.pixels(12, seed=5) / 255)
    assert run(tmp_path / "samples.npz", "--data-path", data, "--sigmas", 0.3, "--quiet")[2] == []
    assert result()["sigma_at_edge"] is False


REFUSED = [
    (["model.pkl"], "model.pkl: accepted are a run folder, checkpoint.h5, FILE.npz and FILE.hdf5"),
    (["none.npz"], "samples none.npz: no such file"),
    (["none.h5"], "checkpoint none.h5: no such file"),
    (["none.h5", "--dataset", "MNIST"], "--dataset: is not used with a checkpoint"),
    (["none.npz", "--seed", 1], "--seed: is not used with samples"),
    (["none.npz", "--backend", "jax"], "--backend: is not used with samples"),
    (["none.npz", "--n-samples", 0], "--n-samples: 0 is not accepted; take 1 or more"),
    (["none.npz", "--sigmas", 0.1, -1], "--sigmas: -1.0 is not accepted"),
    (["none.npz", "--sigmas", "nan"], "--sigmas: nan is not accepted"),
    (["none.npz", "--dataset", "NIST"], "did you mean MNIST"),
    (["none.npz", "--sigma", 1], "unrecognized arguments"),
    ([], "the following arguments are required"),
]


@pytest.mark.parametrize(("given", "message"), REFUSED)
def test_mistakes_are_one_line(run, data, tmp_path, given, message):
    more = ["--data-path", data] if given else []
    status, out, err = run(*given, *more)
    assert (status, out, len(err)) == (2, "", 1)
    assert err[0].startswith("dpm parzen: error: ")
    assert message in err[0]
    assert list((tmp_path / "out").iterdir()) == []


def test_too_few_samples_and_wrong_shapes_are_refused(run, data, tmp_path):
    np.savez(tmp_path / "few.npz", X=np.zeros((3, 1, 8, 8)))
    np.savez(tmp_path / "wide.npz", X=np.zeros((3, 1, 9, 9)))
    for given, message in ((("few.npz", "--n-samples", 4), "holds 3"), (("wide.npz",), "accepted: (n, 1, 8, 8)")):
        status, _, err = run(tmp_path / given[0], *given[1:], "--data-path", data)
        assert (status, len(err)) == (2, 1)
        assert message in err[0]


def test_non_finite_samples_are_counted_and_refused(run, trained, monkeypatch):
    def broken(run, n, *more):
        X = np.zeros((n, 1, 8, 8))
        X[2, 0, 3, 3] = np.nan
        return X, "nowhere"

    monkeypatch.setattr("dpm.runs.sample_files.draw_or_resume", broken)
    status, out, (line,) = run(trained, "--n-samples", 4, "--quiet")
    assert (status, out) == (2, "")
    assert "1 of 4 samples are not finite" in line


def test_clipping_continuous_data_is_refused_before_sampling(run, tmp_path):
    pixels = [runs.pixels(n, seed=n) / 255 * 2.5 - 1 for n in (12, 4)]
    runs.write_data(tmp_path, *pixels)
    np.savez(tmp_path / "samples.npz", X=pixels[1])
    status, _, (line,) = run(tmp_path / "samples.npz", "--data-path", tmp_path, "--clip")
    assert status == 2
    assert "--clip: is for pixels" in line


def test_help_imports_nothing_heavy():
    runs.check_help("parzen", "--sigmas")
