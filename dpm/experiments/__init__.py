"""The named runs: variants of training, experiments on images, toy problems, and the numbers that the paper prints.

- `variants`: `CORRECTED` and `RELEASED`, which differ where the 2015 release differs from the paper.
- `named`: `EXPERIMENTS`, the image experiments of `dpm train --experiment`.
- `toys`: `TOYS`, the heartbeat and the swiss roll of section 3.1.
- `exact`: exact log likelihoods and ceilings of the toy problems.
- `published`: Tables 1 and 2 of the paper.

The package imports none of them, so `variants` and `named` can be read without importing PyTensor.
"""
