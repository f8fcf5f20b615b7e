"""Train a diffusion probabilistic model; `python train.py --help` lists the options."""

from dpm.commands.train import main

if __name__ == "__main__":
    raise SystemExit(main(prog="train.py"))
