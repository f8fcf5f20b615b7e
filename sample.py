"""Draw from a trained diffusion probabilistic model; `python sample.py --help` lists the options."""

from dpm.commands.cli import sample_main

if __name__ == "__main__":
    raise SystemExit(sample_main())
