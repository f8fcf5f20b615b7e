"""Training that stays on the device: the steps of the host's loop, in calls of any length."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from dpm.commands.train import main as train_main
from dpm.datasets.scaling import Scaling
from dpm.datasets.stored import PreparedImages
from dpm.datasets.streams import minibatches
from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.experiments.variants import RELEASED
from dpm.optimizers import RMSProp
from dpm.runs import reference
from dpm.training.device_loop import DeviceLoop
from dpm.training.loop import MainLoop
from tests.helpers import device_loops, runs
from tests.helpers.device_loops import N, StopAt, difference, images, make_loop, same_bits, state
from tests.helpers.device_loops import train as train_steps

jax = pytest.importorskip("jax")

STEPS_PER_EPOCH = 6  # 61 images in batches of 12, the last one of a single image

RELEASE = {"optimizer": "rmsprop", "times": "stratified", "ema": 0.0, "lr_schedule": "release", "warmup": 0}
CHOICES = {
    "adam": {},
    "as released, crops": RELEASE | {"X": images(11)},
    "balanced-then-K, two times per image": {"objective": "balanced-then-K", "n_t": 2},
    "stratified balanced, dropout": {"objective": "balanced", "times": "stratified", "dropout_rate": 0.3},
    "faithful": {"faithful": True, "epochs": 1},
}
SINGLE_CHOICES = {
    "rmsprop": {"optimizer": "rmsprop"},
    "as released": RELEASE,
    "balanced-then-K": {"objective": "balanced-then-K"},
    "stratified balanced": {"objective": "balanced", "times": "stratified"},
    "dropout": {"dropout_rate": 0.3},
    "two times per image": {"n_t": 2},
    "crops": {"X": images(11)},
}


@pytest.fixture(autouse=True)
def shared_loops(monkeypatch):
    device_loops.share_loops(monkeypatch)


@pytest.mark.parametrize("choice", [*CHOICES, *(pytest.param(name, marks=pytest.mark.slow) for name in SINGLE_CHOICES)])
def test_fifty_steps_are_those_of_the_host(choice):
    """Parameters, optimizer, average and sizes of the terms to 1e-12 of the largest element, in double precision."""
    options = (CHOICES | SINGLE_CHOICES)[choice]
    host, device = (train_steps(kind, **options) for kind in (MainLoop, DeviceLoop))
    while host.state.step < device.state.step:  # the device ends with a call
        host = train_steps(MainLoop, steps=device.state.step, **options)
    assert difference(host, device) <= 1e-12
    assert host.state.epoch_cost == pytest.approx(device.state.epoch_cost, rel=1e-12, nan_ok=True)


@pytest.mark.parametrize("options", [{}, {"n_t": 2, "times": "stratified"}], ids=["importance", "even times"])
def test_microbatches_change_a_step_within_rounding(monkeypatch, options):
    """Three microbatches next to one, in double precision; without importance the graph returns no terms."""
    whole = train_steps(DeviceLoop, steps=6, noise="device", **options)
    monkeypatch.setattr(CompiledModel, "microbatch_size", lambda model, n: n // 3)
    assert difference(whole, train_steps(DeviceLoop, steps=6, noise="device", **options)) <= 1e-12


@pytest.mark.parametrize("noise", ["device", "host"])
def test_bits_do_not_depend_on_the_number_of_steps_in_a_call(noise):
    one, seven, fifty = (train_steps(DeviceLoop, steps_per_call=k, noise=noise, steps=54) for k in (1, 7, 50))
    assert [loop.state.step for loop in (one, seven, fifty)] == [54] * 3
    assert same_bits(one, seven)
    assert same_bits(one, fifty)


@pytest.mark.parametrize("noise", ["device", "host"])
def test_resuming_within_a_call_gives_equal_bits(noise):
    """A checkpoint after 27 steps, 3 into a group of 4, and calls of other lengths afterwards."""
    whole = train_steps(DeviceLoop, steps_per_call=4, noise=noise, steps=54)
    first = train_steps(DeviceLoop, steps_per_call=1, noise=noise, steps=27)
    arrays = state(first)
    rest = make_loop(DeviceLoop, steps_per_call=4, noise=noise, extensions=[StopAt(54)])
    rest.load(arrays.pop("theta"), {name: np.array(value) for name, value in arrays.items()})
    rest.state.step = first.state.step
    rest.run()
    assert rest.state.step == whole.state.step
    assert same_bits(rest, whole)


def test_run_with_noise_of_the_device_repeats_and_depends_on_the_seed():
    first, again, other = (train_steps(DeviceLoop, noise="device", steps_per_call=6, seed=seed) for seed in (0, 0, 1))
    assert same_bits(first, again)
    assert not np.array_equal(first.theta, other.theta)


def test_noise_of_the_device_trains_as_well_as_that_of_the_host():
    """The mean cost of 40 epochs' last ten agrees within five standard errors of the epochs."""
    costs = []
    for noise in ("host", "device"):
        recorded = []
        recorder = SimpleNamespace(after_epoch=lambda loop, to=recorded: to.append(loop.state.epoch_cost))
        make_loop(DeviceLoop, noise=noise, dtype="float64", epochs=40, extensions=[recorder], steps_per_call=6).run()
        costs.append(np.array(recorded))
    last = [c[-10:] for c in costs]
    error = np.hypot(*(c.std(ddof=1) / np.sqrt(10) for c in last))
    assert abs(last[0].mean() - last[1].mean()) <= 5 * error
    assert costs[1][-10:].mean() < costs[1][:3].mean()


def test_nothing_implicit_crosses_between_host_and_device():
    loop = make_loop(DeviceLoop, noise="device", steps_per_call=6)
    loop.compile()
    with jax.transfer_guard("disallow"):
        loop.train_epoch()
        loop.optimizer_state()
    assert loop.state.step == STEPS_PER_EPOCH


def test_a_step_sends_the_numbers_of_its_examples_only(monkeypatch):
    """Of each step that a call can have: positions in the data, and less than 64 bytes of rates and counts."""
    loop = make_loop(DeviceLoop, noise="device", steps_per_call=6)
    loop.compile()
    sent = []
    place = Engine.place
    monkeypatch.setattr(
        Engine, "place", lambda engine, array, axis=None: sent.append(array.nbytes) or place(engine, array, axis)
    )
    loop.train_epoch()
    assert 0 < sum(sent) < loop._program.capacity * (4 * device_loops.BATCH + 64)


def test_one_program_is_compiled_for_calls_of_all_lengths(monkeypatch):
    compiled = []
    compile_loop = Engine.loop
    monkeypatch.setattr(Engine, "loop", lambda *a: compiled.append(a) or compile_loop(*a))
    train_steps(DeviceLoop, steps=2 * STEPS_PER_EPOCH)
    assert len(compiled) == 1


def test_data_of_another_float_type_are_converted():
    """As dpm.load gives float32 for an engine of float64: 30 levels, which have a table, and more than 256."""
    for X in (images(), np.random.default_rng(0).standard_normal(images().shape)):
        X = X.astype("float32")
        loops = [make_loop(kind, extensions=[StopAt(6)]) for kind in (MainLoop, DeviceLoop)]
        for loop in loops:
            loop.features, loop.stream = X, minibatches(X, device_loops.BATCH)
            loop.run()
        assert difference(*loops) <= 1e-12


def test_images_on_a_disk_are_sent_in_minibatches():
    """PreparedImages are read by the host, in the order of the host's loop."""
    levels = np.random.default_rng(1).integers(0, 256, (N, 1, 8, 8), dtype=np.uint8)
    stored = PreparedImages(levels, 255, Scaling(2.0, -1.0), "float64")
    host, device = (train_steps(kind, X=stored, steps=12) for kind in (MainLoop, DeviceLoop))
    assert difference(host, device) <= 1e-12


def test_diverged_run_ends_with_the_skipped_steps_counted():
    """With a learning rate of 1e200 the cost is infinite from the second step on; 5 skipped steps end the run."""
    loops = []
    for kind in (MainLoop, DeviceLoop):
        loop = make_loop(kind, lr=1e200, lr_schedule="constant", warmup=0)
        loop.max_skipped = 5
        loop.steps_per_call = 1
        loop.run()
        loops.append(loop)
    assert all(loop.diverged for loop in loops)
    assert loops[0].skipped_steps == loops[1].skipped_steps


def test_parameters_can_be_set_between_calls():
    """As an extension does that solves for some of them; the next step begins there."""
    loop = train_steps(DeviceLoop, steps=6)
    loop.stopped, loop.theta = False, np.zeros_like(loop.theta)
    assert not loop.theta.any()
    loop.train_epoch()
    assert loop.theta.any()
    assert abs(loop.theta).max() < 0.1


class GoldenLoop(DeviceLoop):
    """The RMSProp steps of a golden file, whose schedule does not move."""

    comparison: reference.Reference

    def _values(self, step, share):
        a = self.comparison.arrays
        times = self.comparison._times(a["train_t"][step], share.n)
        values = {"rate": float(a["train_lr"]), "count": share.n, "index": np.arange(share.n)}
        return values | {"t": times, "N": a["fwd_N"], "U": a["fwd_U"]}


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-7), ("float32", 1e-4)])
def test_steps_of_the_2015_code(golden, dtype, tolerance):
    """Costs and parameters of the golden RMSProp steps."""
    name = "c_color8_scales2_dense.npz"
    golden_file = reference.Reference(*reference.load(golden / name), Engine("jax", dtype, noise="host"))
    arrays, layout = golden_file.arrays, golden_file.compiled.layout
    X = golden_file.engine.asarray(arrays["fwd_X0"])
    rule = RMSProp(layout.size, dtype, blocks=list(layout.slices.values()))
    loop = GoldenLoop(golden_file.compiled, golden_file.theta, rule, X, RELEASED, len(X), 1.0, epochs=99, seed=0)
    loop.comparison, loop.steps_per_call = golden_file, 1
    fixed, costs = layout.slices[reference.BETA_PERTURB], []
    for step in range(len(arrays["train_t"])):
        call = loop._dispatch(next(loop._groups()))
        costs.append(loop.compiled.engine.to_host(call.outputs)[0][0])
        loop.state.step = step + 1
        theta = loop.theta.copy()
        theta[fixed] = golden_file.theta[fixed]
        loop.theta = theta
    ours = {"train_cost": np.array(costs)}
    ours |= {f"train_param:{path}": value for path, value in layout.split(loop.theta).items()}
    compared = [k for k in ours if k in arrays]
    assert len(compared) > 5
    assert max(reference.relative_difference(ours[k], arrays[k]) for k in compared) <= tolerance


# ------------------------------------------------------------------ train.py


def test_train_with_updates_in_the_graph_says_so(train):
    folder = train("--updates", "graph", "--noise", "device", "--epochs", 1)
    flags = json.loads((folder / "config.json").read_text())["flags"]
    assert (flags["updates"], flags["noise"], flags["precision"]) == ("graph", "device", "float32")


def test_config_of_a_run_on_the_cpu_says_host(train):
    flags = json.loads((train("--epochs", 1) / "config.json").read_text())["flags"]
    assert (flags["updates"], flags["noise"]) == ("host", "host")


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        (("--updates", "host", "--noise", "device"), ["--noise device", "--updates host"]),
        (("--backend", "numba", "--updates", "graph"), ["--backend numba", "JAX"]),
        (("--backend", "numba", "--noise", "device"), ["--backend numba", "JAX"]),
        (("--precision", "tf32"), ["--precision tf32", "CPU"]),
        (("--precision", "tf32", "--dtype", "float64"), ["--precision tf32", "float32"]),
    ],
)
def test_choices_that_contradict_each_other_are_refused(refused, flags, parts):
    line = refused(train_main, *flags)
    assert all(part in line for part in parts)


def test_an_optimizer_with_frozen_noise_has_no_updates_in_the_graph(capsys):
    line = runs.refused(capsys, train_main, "--optimizer", "sfo", "--updates", "graph")
    assert "--updates graph is not used by --optimizer sfo" in line


def test_resumed_run_keeps_the_source_of_its_noise(train, capsys):
    folder = train("--noise", "device", "--epochs", 1, *runs.CONSTANT_RATE)
    capsys.readouterr()
    line = runs.refused(capsys, train_main, "--resume-file", folder, "--noise", "host")
    assert "--noise host contradicts --resume-file" in line
    assert "device" in line
