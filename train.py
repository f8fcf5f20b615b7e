"""Train a diffusion probabilistic model; `python train.py --help` lists the options."""

from dpm.commands.cli import train_main

if __name__ == "__main__":
    raise SystemExit(train_main())
