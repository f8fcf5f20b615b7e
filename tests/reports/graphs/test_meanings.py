"""Each name that a model gives has a symbol and a part; other names stay as they are."""

import pytest
from pytensor.graph.traversal import ancestors

import dpm
from dpm.experiments.toys import TOYS
from dpm.reports.graphs.meanings import MEANINGS, PARTS, is_chosen, symbol_of
from tests.helpers.graphs import TINY
from tests.test_api import TINY as SMALL

TOY_FORMS = [(name, form) for name, toy in TOYS.items() for form in toy.forms]


def names_in(model):
    """The names of the computed variables in the graphs of a model, without those of PyTensor."""
    x0, t, noise, u = model.inputs(3)
    graphs = [model.cost_single_t(x0, t, noise, u), *model.log_ratio(x0, t, noise)]
    return {v.name for v in ancestors(graphs) if v.name and v.owner is not None and is_chosen(v.name)}


@pytest.mark.parametrize("more", [{}, {"kernel": "binomial"}, {"uniform_noise": 0.1, "schedule": "free"}])
def test_each_name_of_an_image_model_has_a_meaning(more):
    assert names_in(dpm.DiffusionModel(**TINY | more)) <= set(MEANINGS)


@pytest.mark.parametrize(("name", "form"), TOY_FORMS)
def test_each_name_of_a_toy_has_a_meaning(name, form):
    assert names_in(TOYS[name].model({"form": form})) <= set(MEANINGS)


def test_a_full_covariance_has_one_more_readout():
    assert "z mix" in names_in(TOYS["swissroll"].model({"covariance": "full"}))


def test_each_meaning_belongs_to_a_part():
    assert {meaning.part for meaning in MEANINGS.values()} == {"", *PARTS}


def test_each_meaning_is_of_a_name_that_is_given():
    models = [
        dpm.DiffusionModel(spatial_width=8, n_colors=1, **SMALL, uniform_noise=0.1),
        dpm.DiffusionModel(spatial_width=8, n_colors=1, **SMALL, kernel="binomial"),
        *(TOYS[name].model({"form": form}) for name, form in TOY_FORMS),
        TOYS["swissroll"].model({"covariance": "full"}),
    ]
    found = set().union(*map(names_in, models))
    inputs = {"x0", "t", "noise", "u", "temporal basis"}
    assert set(MEANINGS) - inputs == found


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("X_noisy", "x^{(t)}"),
        ("(dcost/dmu p)", "∂cost / ∂f_{μ}(x^{(t)}, t)"),
        ("(dcost/d/diffusionmodel/MLP dense upper/linear_0.W)", "∂cost / ∂W"),
        ("/diffusionmodel/MLP dense upper/linear_0.W", "W"),
        ("slope", "slope"),
    ],
)
def test_symbols(name, symbol):
    assert symbol_of(name) == symbol


@pytest.mark.parametrize(("name", "chosen"), [("mean", False), ("/a.W.T", False), ("(dy/dmean)", False), ("y", True)])
def test_names_of_pytensor_are_not_chosen(name, chosen):
    assert is_chosen(name) == chosen
