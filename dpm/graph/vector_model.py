"""VectorDiffusion: the paper's own model of vectors and bit sequences (sections 2 and D.1)."""

from dpm.graph.diffusion import Diffusion


class VectorDiffusion(Diffusion):
    """A diffusion of vectors x: (n, size), with any kernel, schedule and network.

    kernel: one of dpm.graph.kernels; schedule: a brick of dpm.graph.schedules; network: one of
    dpm.graph.networks.vectors. The bound is stated for a whole vector: bits an example.
    """

    def __init__(self, size, kernel, schedule, network):
        super().__init__("vectordiffusion", [schedule, network], kernel, (size,), size)
        self.network = network
        self.set_schedule(schedule.beta_arr(), schedule.trajectory_length)

    def reverse(self, X_noisy, t):
        """p(x_{t-1} | x_t) of the network; X_noisy: (n, size), t: (n,)."""
        return self.network.reverse(self.kernel, X_noisy, t, self.get_rates(t))
