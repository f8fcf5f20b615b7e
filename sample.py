"""Draw from a trained diffusion probabilistic model; `python sample.py --help` lists the options."""

from dpm.commands.sample import main

if __name__ == "__main__":
    raise SystemExit(main(prog="sample.py"))
