"""Forward trajectories."""

import numpy as np

from dpm.trajectories.forward import forward_trajectory


def test_forward_trajectory_has_the_marginals_mean_and_noise():
    """x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) N."""
    beta, X, noise = np.array([0.1, 0.5]), np.full((1, 1, 1, 1), 2.0), np.full((1, 1, 1, 1), 3.0)
    states = forward_trajectory(beta, X, [0, 1, 2], noise)
    expected = [2.0, 2 * 0.9**0.5 + 3 * 0.1**0.5, 2 * 0.45**0.5 + 3 * 0.55**0.5]
    np.testing.assert_allclose(np.ravel(states), expected, rtol=1e-12)
