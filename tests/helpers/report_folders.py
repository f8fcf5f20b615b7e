"""Run folders written by hand, in the layout of `dpm train` or of earlier versions."""

import json

import numpy as np

HOSTILE = "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=1>"
HEADER = "epoch,step,seconds,train_K,train_K_minus_L_null,test_K,test_K_minus_L_null,learning_rate,skipped_steps"
TIMES = (10, 6, 0)


def config(experiment=None, name="MNIST", **flags):
    """Return the content of config.json, with some of its flags."""
    return {
        "command": ["train.py", "--suffix", flags.pop("suffix", "")],
        "flags": {"experiment": experiment, "epochs": 9, "optimizer": "adam", "batch_size": 5, "lr": 0.1} | flags,
        "variant": "corrected",
        "data": {"name": name, "path": "data", "scale": 2.0, "shift": -1.0, "quantized": True},
        "model": {"trajectory_length": 10},
        "versions": {"dpm": "0.1.0"},
    }


def earlier_config(**more):
    """Return the same configuration under the key names of earlier versions."""
    settings = config(**more)
    settings["face"] = {"corrected": "exact", "released": "released"}[settings.pop("variant")]
    settings["data"]["quantised"] = settings["data"].pop("quantized")
    return settings


def rows(n):
    """Return the lines of a log: K - L_null of test data is epoch / 10, L_null is -2."""
    return [f"{e},{7 * e},{e}.5,{e / 10 - 2.1},{e / 10 - 0.1},{e / 10 - 2},{e / 10},0.1,0" for e in range(1, n + 1)]


def write_log(folder, n):
    """Write log.csv with n epochs."""
    (folder / "log.csv").write_text("\n".join([HEADER, *rows(n)]) + "\n")


def make(folder, n=3, settings=None, samples=False, flat=False):
    """Make a run folder of n epochs; return it.

    Args:
        folder: path of the new folder.
        n: number of epochs.
        settings: content of config.json.
        samples: write samples too.
        flat: put arrays at the top, as earlier versions and --faithful do.
    """
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(settings or config()))
    write_log(folder, n)
    if samples:
        write_samples(folder, 7 * n, flat=flat)
    return folder


def array_path(folder, name, flat=False):
    """Return the path of an array file, whose folder exists."""
    place = folder if flat else folder / "arrays"
    place.mkdir(exist_ok=True)
    return place / name


def write_samples(folder, step, level=0.0, flat=False):
    """Write the samples of a step. Frame t has the gray level t / 10, or the difference of that and `level`."""
    for t in TIMES:
        for kind in ("", "_inpaint"):
            path = array_path(folder, f"samples{kind}_t{t:04d}_batch{step:06d}.npz", flat)
            np.savez(path, X=np.full((4, 1, 8, 8), abs(t / 10 - level)))
    np.savez(array_path(folder, f"samples_true_t0000_batch{step:06d}.npz", flat), X=np.zeros((4, 1, 8, 8)))
