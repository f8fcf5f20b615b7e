"""Run folders made by hand, as train.py leaves them."""

import json

import numpy as np

HOSTILE = "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=1>"
HEADER = "epoch,step,seconds,train_K,train_K_minus_L_null,test_K,test_K_minus_L_null,learning_rate,skipped_steps"
TIMES = (10, 6, 0)


def config(experiment=None, name="MNIST", **flags):
    return {
        "command": ["train.py", "--suffix", flags.pop("suffix", "")],
        "flags": {"experiment": experiment, "epochs": 9, "optimizer": "adam", "batch_size": 5, "lr": 0.1} | flags,
        "face": "exact",
        "data": {"name": name, "path": "data", "scale": 2.0, "shift": -1.0},
        "model": {"trajectory_length": 10},
        "versions": {"dpm": "0.1.0"},
    }


def rows(n):
    """The lines of a log: K - L_null of test data is epoch / 10, L_null is -2."""
    return [f"{e},{7 * e},{e}.5,{e / 10 - 2.1},{e / 10 - 0.1},{e / 10 - 2},{e / 10},0.1,0" for e in range(1, n + 1)]


def write_log(folder, n):
    (folder / "log.csv").write_text("\n".join([HEADER, *rows(n)]) + "\n")


def make(folder, n=3, settings=None, pictures=False):
    """A run's folder of n epochs."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(settings or config()))
    write_log(folder, n)
    if pictures:
        write_pictures(folder, 7 * n)
    return folder


def write_pictures(folder, step, level=0.0):
    """Those of a step. Frame t has the gray level t / 10, or the difference of that and `level`."""
    for t in TIMES:
        for kind in ("", "_inpaint"):
            np.savez(
                folder / f"samples{kind}_t{t:04d}_batch{step:06d}.npz", X=np.full((4, 1, 8, 8), abs(t / 10 - level))
            )
    np.savez(folder / f"samples_true_t0000_batch{step:06d}.npz", X=np.zeros((4, 1, 8, 8)))
