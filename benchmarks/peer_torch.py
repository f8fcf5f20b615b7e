"""Torch port of the released network and its bound, run eagerly or compiled, as a worker of the benchmarks.

python -m benchmarks.peer_torch CASE.npz [--threads N] [--channels-last] [--device auto] [--compile]

CASE.npz is exported by benchmarks/peer_dpm.py. Needs only torch and numpy. Kernels are flipped, and the borders of the
biases, which never reach the output, are cut off when parameters are loaded, not at each step.
"""

import argparse
import json
import math
import time

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks.worker import peak_memory, serve, time_calls

CONV = "/multilayerconvolution/multiscaleconvolution/"
LEARNING_RATE, DECAY_RATE, MAX_SCALING = 1e-3, 0.9, 1e10
IMAGES = 49
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-7}
ROWS = 5000  # samples drawn at once


class Schedule:
    """Fixed rates of the release and its bumps over time, by index t - 1."""

    def __init__(self, T, n_basis, step1_beta, dtype, device):
        centers, time_line = np.linspace(-1, 1, n_basis), np.linspace(-1, 1, T)
        bumps = np.exp(-((time_line - centers[:, None]) ** 2) / (2 * ((centers[1] - centers[0]) / 2) ** 2))
        smallest = np.full(T, 1e-6)
        smallest[0] += step1_beta
        beta = smallest + (1 - smallest - 1e-5) / np.linspace(T, 2, T)
        log_alpha_bar = np.cumsum(np.log1p(-beta))
        beta_bar = -np.expm1(np.concatenate([[0.0], log_alpha_bar]))
        columns = beta, beta_bar[1:], beta_bar[:-1]
        self.T = T
        self.bumps = torch.tensor((bumps / bumps.sum(axis=0)).T.copy(), dtype=dtype, device=device)
        self.rates = torch.tensor(np.stack(columns, axis=1), dtype=dtype, device=device)
        self.entropy_gain = 0.5 * (math.log(beta_bar[T]) - math.log(beta_bar[1]))

    def at(self, t):
        """Return beta_t, beta_bar_t and beta_bar_{t-1}, to broadcast over images; t: integers (n,)."""
        return self.rates[t - 1].T.reshape(3, -1, 1, 1, 1).unbind()


class Model:
    """Network, bound and RMSProp, for images (n, colors, width, width).

    Args:
        arguments: those of DiffusionModel.
        arrays: parameters by path.
        channels_last: memory format of the convolutions.
        dtype: float type of torch.
        device: "cpu" or "cuda".
    """

    def __init__(self, arguments, arrays, channels_last, dtype=torch.float32, device="cpu"):
        self.arguments, self.dtype, self.device = arguments, dtype, device
        self.format = torch.channels_last if channels_last else torch.contiguous_format
        self.names = list(arrays)
        self.by_name = {name: self.load_tensor(name, array).requires_grad_() for name, array in arrays.items()}
        self.parameters = list(self.by_name.values())
        self.mean_squares = [torch.zeros_like(p) for p in self.parameters]
        schedule = (arguments[key] for key in ("trajectory_length", "n_temporal_basis", "step1_beta"))
        self.schedule = Schedule(*schedule, dtype, device)
        self.dense_lower = self.linears("MLP dense lower")
        self.dense_upper = self.linears("MLP dense upper")

    def load_tensor(self, name, array):
        """Return an exported array as a tensor in the layout of this port."""
        tensor = torch.tensor(self.convert(name, array).copy(), dtype=self.dtype, device=self.device)
        return tensor.to(memory_format=self.format) if tensor.ndim == 4 else tensor

    @staticmethod
    def convert(name, array):
        """Return an exported parameter, or its gradient, in the layout of this port."""
        if CONV in name:
            return array[..., ::-1, ::-1] if name.endswith(".W") else array[None, :, 1:-1, 1:-1]
        return array.T

    def linears(self, path):
        """Return (W, b) of each layer of a path."""
        names = sorted(name for name in self.names if f"/{path}/" in name and name.endswith(".W"))
        return [(self.by_name[name], self.by_name[name[:-1] + "b"]) for name in names]

    def conv_path(self, x):
        """Apply the multi-scale convolutions (D.2.1), as released."""
        scales = self.arguments["n_scales"]
        for layer in range(self.arguments["n_layers_conv"]):
            total = None
            for scale in reversed(range(scales)):
                name = f"/diffusionmodel/mlp_conv_dense{CONV}layer{layer}_scale{scale}/convolutional"
                part = F.avg_pool2d(x, 2**scale) if scale else x
                part = F.conv2d(part, self.by_name[f"{name}.W"], padding=1) + self.by_name[f"{name}.b"]
                part = F.leaky_relu(part, 0.05)
                total = part if total is None else F.interpolate(total, scale_factor=2) + part
            x = total / scales if scales > 1 else total
        return x

    def dense_path(self, X):
        """Apply the dense layers to whole images: (n, width, width, outputs)."""
        h = X.flatten(1)
        for W, b in self.dense_lower:
            h = F.leaky_relu(F.linear(h, W, b), 0.05)
        return h.reshape(len(X), *X.shape[2:], -1)

    def mu_sigma(self, X, t):
        """Return mean and standard deviation of p(x_{t-1} | x_t)."""
        n, colors, width, _ = X.shape
        conv = self.conv_path(X.contiguous(memory_format=self.format)).permute(0, 2, 3, 1)
        dense = self.dense_path(X)
        h = torch.cat([conv / conv.shape[3] ** 0.5, dense / dense.shape[3] ** 0.5], dim=3)
        for W, b in self.dense_upper[:-1]:
            h = F.leaky_relu(F.linear(h, W, b), 0.05)
        Z = F.linear(h, *self.dense_upper[-1]).reshape(n, width * width * colors * 2, -1)
        z = torch.bmm(Z, self.schedule.bumps[t - 1][:, :, None]).reshape(n, width, width, colors, 2)
        mu_coeff, beta_coeff = z.permute(4, 0, 3, 1, 2).unbind()
        beta = self.schedule.rates[t - 1, 0].reshape(-1, 1, 1, 1)
        variance = torch.sigmoid(beta_coeff / self.schedule.T**0.5 + torch.logit(beta))
        return X * torch.sqrt(1 - beta) + mu_coeff * torch.sqrt(beta), torch.sqrt(variance)

    def costs(self, X, t, N, U):
        """Return -(K - L_null) of each image, bits per pixel."""
        x_0 = X + (U - 0.5) * self.arguments["uniform_noise"]
        beta, beta_bar, beta_bar_previous = self.schedule.at(t)
        x_t = x_0 * torch.sqrt(1 - beta_bar) + N * torch.sqrt(beta_bar)
        q_mu = torch.sqrt(1 - beta_bar_previous) * beta / beta_bar * x_0
        q_mu = q_mu + torch.sqrt(1 - beta) * beta_bar_previous / beta_bar * x_t
        q_variance = beta * beta_bar_previous / beta_bar
        mu, sigma = self.mu_sigma(x_t, t)
        kl = torch.log(sigma) - 0.5 * torch.log(q_variance)
        kl = kl + (q_variance + (q_mu - mu) ** 2) / (2 * sigma**2) - 0.5
        nats = kl.mean(dim=(1, 2, 3)) * (self.schedule.T - 1) - self.schedule.entropy_gain
        return nats / math.log(2) * X.shape[1]

    def gradients(self, *batch):
        """Return the mean cost and its gradients."""
        cost = self.costs(*batch).mean()
        return cost, torch.autograd.grad(cost, self.parameters)

    def train(self, *batch):
        """Take one step of RMSProp and return the cost, where the device has it."""
        cost, gradients = self.gradients(*batch)
        with torch.no_grad():
            torch._foreach_mul_(self.mean_squares, DECAY_RATE)
            torch._foreach_addcmul_(self.mean_squares, gradients, gradients, 1 - DECAY_RATE)
            rms = torch._foreach_sqrt(self.mean_squares)
            torch._foreach_clamp_min_(rms, 1 / MAX_SCALING)
            torch._foreach_addcdiv_(self.parameters, gradients, rms, -LEARNING_RATE)
        return cost.detach()

    def compile(self):
        """Compile what a training step, K and a reverse step spend their time on."""
        self.costs, self.reverse_step = torch.compile(self.costs), torch.compile(self.reverse_step)

    @torch.no_grad()
    def reverse_step(self, X, t, N):
        """Return x_{t-1} of x_t; t: integers (n,)."""
        mu, sigma = self.mu_sigma(X, t)
        return mu + sigma * N


class Peer:
    """Commands of the worker; each answers seconds, unless it says otherwise."""

    def __init__(self, case, channels_last, device="cpu", compiled=False):
        self.case, self.channels_last, self.device = case, channels_last, device
        self.model = self.build(torch.float32)
        if compiled:
            self.model.compile()
        self.T = self.model.schedule.T
        names = ("check", "first", "step", "reverse", "K", "sampling", "epoch", "device_step", "K_all", "samples")
        self.commands = {name: getattr(self, name) for name in names} | {"memory": peak_memory}

    def build(self, dtype):
        """Return the exported model."""
        arrays = {name[10:]: array for name, array in self.case.items() if name.startswith("parameter:")}
        return Model(json.loads(str(self.case["arguments"])), arrays, self.channels_last, dtype, self.device)

    def wait(self):
        """Wait until the device has computed everything."""
        if self.device == "cuda":
            torch.cuda.synchronize()

    def batch(self, size, dtype=torch.float32):
        """Return X, t, N and U of a batch that repeats the exported examples."""
        arrays = (np.resize(self.case[key], (size, *self.case[key].shape[1:])) for key in "XtNU")
        X, t, N, U = (torch.tensor(array, dtype=dtype, device=self.device) for array in arrays)
        return X, t.long(), N, U

    def draw(self, X):
        """Return the batch X with new times and noise."""
        return X, torch.randint(2, self.T + 1, (len(X),), device=self.device), torch.randn_like(X), torch.rand_like(X)

    def check(self, path):
        """Compare with the answers at this path: largest differences, relative to each array's largest element, and
        whether all are within the tolerance."""
        with np.load(path, allow_pickle=False) as answers:
            exact = self.differences(self.build(torch.float64), answers)
            # Not the gradient in float32: where it leaves a layer near 0, leaky ReLU's slope is a matter of rounding.
            single = self.differences(self.model, answers, with_gradient=False)
        agrees = max(exact.values()) < TOLERANCE[torch.float64] and max(single.values()) < TOLERANCE[torch.float32]
        return {"float64": max(exact.values()), "float32": max(single.values()), "agrees": agrees}

    def differences(self, model, answers, with_gradient=True):
        """Return the largest difference of each result from the answers, relative to the largest element."""
        batch = self.batch(len(self.case["X"]), model.dtype)
        with torch.no_grad():
            found = dict(zip(("mu", "sigma"), model.mu_sigma(*batch[:2]), strict=True))
        found["cost"], gradients = model.gradients(*batch)
        expected = {name: answers[name] for name in found}
        if with_gradient:
            for name, gradient in zip(model.names, gradients, strict=True):
                found[name], expected[name] = gradient, model.convert(name, answers[f"gradient:{name}"])
        return {
            name: float(np.abs(found[name].detach().cpu().numpy() - value).max() / np.abs(value).max())
            for name, value in expected.items()
        }

    def first(self, size):
        """Time the first training step of the process."""
        batch = self.batch(int(size))
        begin = time.perf_counter()
        self.model.train(*batch)
        self.wait()
        return time.perf_counter() - begin

    def step(self, size, calls=1):
        """Time a training step: forward, backward, update."""
        batch = self.batch(int(size))
        return time_calls(lambda: self.model.train(*batch), int(calls))

    def reverse(self, calls):
        """Time a reverse step of 49 images."""
        X, t, N, _ = self.batch(IMAGES)
        return time_calls(lambda: self.model.reverse_step(X, t, N), int(calls))

    @torch.no_grad()
    def K(self, size):
        """Time K over the test digits, one time t each."""
        test = torch.from_numpy(self.case["test"])
        begin = time.perf_counter()
        torch.cat([self.model.costs(*self.draw(X)) for X in test.split(int(size))]).mean().item()
        return time.perf_counter() - begin

    def sampling(self, steps):
        """Time the first reverse steps of 49 images from t = T, each with new noise."""
        begin = time.perf_counter()
        X = torch.randn(IMAGES, *self.case["X"].shape[1:])
        for t in range(self.T, self.T - int(steps), -1):
            X = self.model.reverse_step(X, torch.full((IMAGES,), t), torch.randn_like(X))
        return time.perf_counter() - begin

    def digits(self, n):
        """Return n digits on the device, the exported examples repeated."""
        X = self.case["X"]
        return torch.tensor(np.resize(X, (n, *X.shape[1:])), dtype=torch.float32, device=self.device)

    def device_step(self, size, epochs=1, examples=4000):
        """Time a training step, as a share of an epoch: minibatch and noise drawn on the device, gradient, update."""
        train, size = self.digits(int(examples)), int(size)

        def epoch():
            for indices in torch.randperm(len(train), device=self.device)[: len(train) // size * size].split(size):
                self.model.train(*self.draw(train[indices]))
            self.wait()

        return time_calls(epoch, int(epochs)) / (len(train) // size)

    @torch.no_grad()
    def K_all(self, n):
        """Time K of n digits over every t."""
        X, total = self.digits(int(n)), 0.0
        begin = time.perf_counter()
        for t in range(2, self.T + 1):
            _, times, N, U = self.draw(X)
            total = total + self.model.costs(X, torch.full_like(times, t), N, U)
        self.wait()
        return time.perf_counter() - begin

    def samples(self, n):
        """Time whole reverse trajectories of n images."""
        rows = min(int(n), ROWS)
        begin = time.perf_counter()
        for _ in range(0, int(n), rows):
            X = torch.randn(rows, *self.case["X"].shape[1:], device=self.device)
            for t in range(self.T, 1, -1):
                X = self.model.reverse_step(X, torch.full((rows,), t, device=self.device), torch.randn_like(X))
            X.cpu()
        return time.perf_counter() - begin

    def epoch(self, size):
        """Time an epoch: steps over the training digits in random order with new noise, and K of the test digits."""
        train = torch.from_numpy(self.case["train"])
        begin = time.perf_counter()
        for indices in torch.randperm(len(train)).split(int(size)):
            self.model.train(*self.draw(train[indices]))
        self.K(size)
        return time.perf_counter() - begin


def main():
    """Serve the commands."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("case")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--device", choices=("cpu", "cuda", "auto"), default="cpu", help="auto: a GPU if there is one")
    parser.add_argument("--compile", action="store_true", help="by torch.compile")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.backends.cudnn.allow_tf32 = False  # whole float32 numbers, as this program has them
    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    with np.load(options.case, allow_pickle=False) as case:
        peer = Peer(dict(case), options.channels_last, device, options.compile)
    serve(peer.commands)


if __name__ == "__main__":
    main()
