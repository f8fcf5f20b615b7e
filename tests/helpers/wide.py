"""A kernel of a user: Gaussian diffusion into N(mean, scale^2)."""

import numpy as np
import pytensor.tensor as pt

from dpm.graph.kernels import Gaussian, GaussianKernel


class WideKernel(GaussianKernel):
    """The kernel of Table C.1 in other units: x = mean + scale x', where x' diffuses into the unit Gaussian."""

    def __init__(self, mean=0.0, scale=2.0):
        self.mean, self.scale = mean, scale

    def inside(self, x):
        return (x - self.mean) / self.scale

    def outside(self, p):
        return Gaussian(self.mean + self.scale * p.mu, self.scale * p.sigma)

    def forward_step(self, x_previous, beta):
        return self.outside(super().forward_step(self.inside(x_previous), beta))

    def forward_marginal(self, x_0, beta_bar):
        return self.outside(super().forward_marginal(self.inside(x_0), beta_bar))

    def posterior(self, x_0, x_t, beta, beta_bar, beta_bar_previous):
        rates = beta, beta_bar, beta_bar_previous
        return self.outside(super().posterior(self.inside(x_0), self.inside(x_t), *rates))

    def predict(self, p, x_t, beta, beta_bar, beta_bar_previous):
        rates = beta, beta_bar, beta_bar_previous
        inside = Gaussian(self.inside(p.mu), p.sigma / self.scale)
        return self.mean + self.scale * super().predict(inside, self.inside(x_t), *rates)

    def entropy_marginal(self, beta_bar, x_0=None):
        return super().entropy_marginal(beta_bar, x_0) + np.log(self.scale)

    def entropy_step(self, beta, x_previous=None):
        return super().entropy_step(beta, x_previous) + np.log(self.scale)

    def prior(self, like):
        return Gaussian(pt.zeros_like(like) + self.mean, pt.zeros_like(like) + self.scale)

    def prior_entropy(self):
        return super().prior_entropy() + float(np.log(self.scale))

    def mean_log_prior(self, beta_bar, x_0):
        return super().mean_log_prior(beta_bar, self.inside(x_0)) - np.log(self.scale)
