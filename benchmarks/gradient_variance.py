"""Variance of the gradient of K with evenly drawn times and with times by importance.

python -m benchmarks.gradient_variance [--steps 500] [--batch-size 32] [--draws 100] [--seed 0]

The default model is trained on the embedded digits for some steps. Then the gradient of the same objective, K, is
computed for many minibatches, each with both ways of drawing t. Printed is the sum over the parameters of the variance
of each, with a standard error from ten parts of the draws, and the distance of the two means in standard errors.
"""

import argparse

import numpy as np

import dpm
from dpm.base import noise
from dpm.base.progress import Progress

PARTS = 10


class KeepLoop:
    """Extension that keeps the loop at its end."""

    def after_training(self, loop):
        self.loop = loop


def draw_gradients(loop, draws: int) -> dict[str, np.ndarray]:
    """Return the gradients of each way of drawing t, (draws, parameters)."""
    compiled, n, asarray = loop.compiled, loop.batch_size, loop.compiled.engine.asarray
    found: dict[str, list[np.ndarray]] = {"stratified": [], "importance": []}
    for draw in Progress(range(draws), unit="minibatch", desc="gradients"):
        rng = noise.generator(loop.seed, noise.LIKELIHOOD, draw)
        X = loop.features[rng.choice(len(loop.features), n, replace=False)]
        X, positions, N, U, ones = loop.draw(rng, X, noise.stratified_positions)
        t = asarray(2 + np.floor(positions * (compiled.model.trajectory_length - 1)))
        found["stratified"].append(np.array(compiled.objective(n)(loop.theta, X, t, N, U, ones)[1]))
        weighted = loop.time_weights.evaluate(compiled.objective_with_terms(n), loop.theta, [X, positions, N, U, ones])
        found["importance"].append(np.array(weighted.gradient))
    return {name: np.array(gradients) for name, gradients in found.items()}


def total_variance(gradients: np.ndarray) -> tuple[float, float]:
    """Return the sum of the variances of the components, and its standard error."""
    parts = [part.var(axis=0, ddof=1).sum() for part in np.array_split(gradients, PARTS)]
    return float(gradients.var(axis=0, ddof=1).sum()), float(np.std(parts, ddof=1) / np.sqrt(PARTS))


def main() -> None:
    """Train, measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    data, keep = dpm.load("mnist"), KeepLoop()
    epochs = -(-options.steps * options.batch_size // len(data.train))
    choices = {
        "optimizer": "adam",
        "lr": 3e-3,
        "clip_norm": 0,
        "lr_schedule": "cosine",
        "warmup": 100,
        "times": "importance",
    }
    model = dpm.DiffusionModel(spatial_width=28, n_colors=1)
    dpm.train(
        model, data, epochs=epochs, batch_size=options.batch_size, seed=options.seed, extensions=[keep], **choices
    )
    gradients = draw_gradients(keep.loop, options.draws)
    print(f"after {keep.loop.state.step} steps, {options.draws} minibatches of {keep.loop.batch_size}\n")
    print("| times | variance of the gradient | of stratified |\n|---|---|---|")
    variances = {name: total_variance(values) for name, values in gradients.items()}
    for name, (variance, error) in variances.items():
        print(f"| {name} | {variance:.3g} ± {error:.1g} | {variance / variances['stratified'][0]:.2f} |")
    difference = gradients["importance"].mean(axis=1) - gradients["stratified"].mean(axis=1)
    error = difference.std(ddof=1) / np.sqrt(len(difference))
    print(f"\nmean component: differs by {abs(difference.mean()) / error:.1f} standard errors")


if __name__ == "__main__":
    main()
