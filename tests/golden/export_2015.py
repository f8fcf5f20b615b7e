"""Compute the arrays of docs/compare.md with the code that was released in 2015.

python2.7 export_2015.py OUTPUT.npz [--config JSON] [--n 3] [--seed 0]    inputs and parameters drawn from the seed
python2.7 export_2015.py OUTPUT.npz --inputs FILE.npz                     those of an exported file, computed again

The files of 2015 and Blocks must be importable; docs/compare.md has the installation. Of 2015, two things are replaced:
the random number object of model.py, whose draws become inputs of the graph, and the module viz, whose images are kept
instead of plotted. Everything that is computed is 2015's.
"""

import argparse
import json
import re
import sys
import types

import numpy as np
import theano
import theano.tensor as T
from blocks.algorithms import CompositeRule, GradientDescent, RemoveNotFinite, RMSProp
from blocks.model import Model

viz = types.ModuleType("viz")
sys.modules["viz"] = viz
import model
import sampler

CONFIG = '{"spatial_width": 8, "n_colors": 1, "trajectory_length": 40, "n_hidden_dense_lower": 10, "n_hidden_conv": 4}'
X, N, U, t = T.tensor4("X"), T.tensor4("N"), T.tensor4("U"), T.matrix("time")


class FixedDraws:
    """What model.py draws from: the time and the uniform noise in that order, and the normal noise between them."""

    def __init__(self):
        self.theano_rng, self.uniforms = self, [t, U]

    def uniform(self, **ignored):
        return self.uniforms.pop(0)

    def normal(self, **ignored):
        return N


def build(config):
    """Return 2015's model, its parameters by path and the coefficients of its schedule."""
    model.Random = FixedDraws
    dpm = model.DiffusionModel(**config)
    dpm.initialize()
    parameters = Model(dpm.cost(X)).get_parameter_dict()
    leaves = theano.gof.graph.inputs([dpm.beta_arr])
    (coefficients,) = [leaf for leaf in leaves if leaf.name == "beta perturb coefficients"]
    return dpm, parameters, coefficients


def draw_inputs(config, parameters, coefficients, n, seed):
    """Return values for all inputs: parameters around 2015's initial ones with biases away from 0, noise and times."""
    rng, steps = np.random.RandomState(seed), config.get("trajectory_length", 1000)
    shape = (n, config["n_colors"], config["spatial_width"], config["spatial_width"])
    inputs = {}
    for path in sorted(parameters):
        value = parameters[path].get_value()
        inputs["param:" + path] = value + 0.1 * rng.normal(size=value.shape)
    inputs["beta_perturb_coefficients"] = 0.3 * rng.normal(size=coefficients.get_value().shape)
    for name in ("musig_X_noisy", "fwd_X0", "fwd_N", "sample_X_true"):
        inputs[name] = rng.normal(size=shape)
    inputs["fwd_U"] = rng.uniform(size=shape)
    inputs["musig_t"] = np.array([1, 2, steps // 2, steps - 2, steps - 1, 2.25])
    inputs["fwd_t"] = np.array([1.0, steps // 3, steps // 2, steps - 1])
    inputs["grad_t"] = inputs["fwd_t"][1]
    inputs["train_t"], inputs["train_lr"] = np.arange(4.0, steps, 7)[:5], np.array(1e-3)
    return inputs


def is_input(name):
    """Return True for the name of an array that is not computed."""
    noise = ("fwd_X0", "fwd_N", "fwd_U", "musig_X_noisy", "sample_X_true")
    times = ("musig_t", "fwd_t", "grad_t", "train_t", "train_lr")
    return name.startswith("param:") or name in noise + times + ("beta_perturb_coefficients",)


def schedule(dpm, coefficients):
    """Return the rates, also with the coefficients at zero, and the bumps."""
    function, value = theano.function([], [dpm.beta_arr, dpm.get_beta_full_trajectory()]), coefficients.get_value()
    out = {"temporal_basis": dpm.temporal_basis.get_value()}
    out["beta_arr"], out["beta_full_trajectory"] = function()
    coefficients.set_value(0 * value)
    out["beta_arr_zero"], out["beta_full_trajectory_zero"] = function()
    coefficients.set_value(value)
    return out


def mu_sigma(dpm, inputs):
    """Return get_mu_sigma and what it is made of, at each time."""
    Z = dpm.mlp.apply(X)
    outputs = list(dpm.get_mu_sigma(X, t)) + list(dpm.temporal_readout(Z, t)) + [dpm.get_beta_forward(t), Z]
    names = ["mu", "sigma", "mu_coeff", "beta_coeff", "beta_forward", "Z"]
    if dpm.mlp.mlp_conv is not None:
        outputs, names = outputs + [dpm.mlp.mlp_conv.apply(X)], names + ["conv_out"]
    function = theano.function([X, t], outputs)
    results = zip(*[function(inputs["musig_X_noisy"], np.array([[time]])) for time in inputs["musig_t"]])
    out = {"musig_" + name: np.array(values) for name, values in zip(names, results)}
    out["musig_beta_forward"] = out["musig_beta_forward"].ravel()
    for name in names[5:]:  # which do not depend on the time
        out["musig_" + name] = out["musig_" + name][0]
    return out


def forward(dpm, parameters, coefficients, inputs):
    """Return x_t, the posterior, the model's step and the cost at each time, and gradients at grad_t."""
    noisy, _, mu_q, sigma_q = dpm.generate_forward_diffusion_sample(X)
    mu_p, sigma_p = dpm.get_mu_sigma(noisy, t)
    cost, paths = dpm.cost_single_t(X), sorted(parameters)
    fixed = [inputs["fwd_" + name] for name in ("X0", "N", "U")]
    function = theano.function([X, N, U, t], [noisy, mu_q, mu_p, sigma_p, sigma_q, cost])
    results = zip(*[function(*(fixed + [np.array([[time]])])) for time in inputs["fwd_t"]])
    names = ("X_noisy", "mu_posterior", "mu_p", "sigma_p", "sigma_posterior", "cost")
    out = {"fwd_" + name: np.array(values) for name, values in zip(names, results)}
    for name in names[4:]:
        out["fwd_" + name] = out["fwd_" + name].ravel()
    outputs = [cost] + T.grad(cost, [coefficients] + [parameters[path] for path in paths])
    gradients = theano.function([X, N, U, t], outputs)
    values = gradients(*(fixed + [np.array([[inputs["grad_t"]]])]))
    out["grad_cost"], out["grad_beta_perturb_coefficients"] = values[:2]
    out.update(("grad:" + path, value) for path, value in zip(paths, values[2:]))
    by_time = [gradients(*(fixed + [np.array([[time]])]))[1] for time in inputs["fwd_t"]]
    out["grad_beta_perturb_all_t"] = np.array(by_time)
    return out


def sample(dpm, inputs):
    """Return states of 2015's generate_samples, whose generator has the seed 12345."""
    function, images = theano.function([X, t], dpm.get_mu_sigma(X, t), allow_input_downcast=True), {}
    X_true, out = inputs["sample_X_true"], {}

    def keep(values, name):
        time = re.search("_t([0-9]{4})$", name)
        if time:
            images[int(time.group(1))] = values.copy()

    viz.plot_images = keep
    for kind, more in (("plain", {}), ("inpaint", {"inpaint": True}), ("denoise1", {"denoise_sigma": 1}),
                       ("denoise0p5", {"denoise_sigma": 0.5})):  # fmt: skip
        images.clear()
        given = {"X_true": X_true} if more else {}
        sampler.generate_samples(dpm, function, n_samples=len(X_true), **dict(given, **more))
        times = sorted(images, reverse=True)
        out["sample_" + kind + "_capture_t"] = np.array(times)
        for name, time in (("XT", times[0]), ("mid", times[1]), ("X0", times[-1])):
            out["sample_" + kind + "_" + name] = images[time]
    return out


def train(dpm, parameters, inputs):
    """Return costs before each step of RMSProp as train.py sets it up, and the parameters after the last one."""
    cost = dpm.cost_single_t(X)
    rule = CompositeRule([RemoveNotFinite(), RMSProp(learning_rate=float(inputs["train_lr"]), max_scaling=1e10)])
    algorithm = GradientDescent(cost=cost, parameters=list(parameters.values()), step_rule=rule)
    algorithm.initialize()
    function, costs = theano.function([X, N, U, t], cost), []
    for time in inputs["train_t"]:
        batch = dict((v.name, value) for v, value in zip(
            (X, N, U, t), (inputs["fwd_X0"], inputs["fwd_N"], inputs["fwd_U"], np.array([[time]]))))  # fmt: skip
        costs.append(function(*[batch[v.name] for v in (X, N, U, t)]))
        algorithm.process_batch(batch)
    out = dict(("train_param:" + path, parameter.get_value()) for path, parameter in parameters.items())
    return dict(out, train_cost=np.array(costs))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("output", metavar="OUTPUT.npz")
    parser.add_argument("--config", default=CONFIG, help="JSON of the arguments of 2015's DiffusionModel")
    parser.add_argument("--n", type=int, default=3, help="images")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--inputs", metavar="FILE.npz", help="take configuration, parameters and inputs of this file")
    options = parser.parse_args()
    given = dict(np.load(options.inputs)) if options.inputs else {}
    config = json.loads(given["config_json"].item() if given else options.config)
    dpm, parameters, coefficients = build(config)
    if given:
        inputs = dict((name, value) for name, value in given.items() if is_input(name))
    else:
        inputs = draw_inputs(config, parameters, coefficients, options.n, options.seed)
    for path in parameters:
        if "param:" + path in inputs:
            parameters[path].set_value(inputs["param:" + path])
    coefficients.set_value(inputs["beta_perturb_coefficients"])
    out = dict(inputs, **schedule(dpm, coefficients))
    if "musig_t" in inputs:
        out.update(mu_sigma(dpm, inputs))
        out.update(forward(dpm, parameters, coefficients, inputs))
        out.update(sample(dpm, inputs))
    if "train_t" in inputs:  # last, since it changes the parameters
        out.update(train(dpm, parameters, inputs))
    out["config_json"] = np.array(json.dumps(config, sort_keys=True).encode("ascii").decode("ascii"))
    np.savez(options.output, **out)
    print("%s: %d arrays" % (options.output, len(out)))


if __name__ == "__main__":
    main()
