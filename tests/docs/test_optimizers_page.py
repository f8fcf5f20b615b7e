"""Test docs/optimizers.md: its names exist, its examples run, and its table is that of the benchmark."""

import importlib
import inspect
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from benchmarks import optimizers as command
from dpm.optimizers import LBFGS, SFO, Adam, RMSProp
from tests.docs.test_docs import page, table
from tests.helpers import problems

ROOT = Path(__file__).parents[2]
PAGE = page("optimizers.md")
MEASURED = table(PAGE.replace("\nThe table gives", "\n## Measured\n"), "Measured")
CASE, OPTIMIZER, RATE, *WITHIN, END = range(4 + len(command.TOLERANCES))


def parse_passes(cell):
    """Return the number in a cell of the table, inf for "-"."""
    return np.inf if cell == "-" else float(cell)


def check_form(rows):
    """Check problems, optimizers and rates against the command; a smaller gap never takes fewer passes."""
    assert [row[:2] for row in rows] == [[name, optimizer] for name in command.CASES for optimizer in command.STYLES]
    for row in rows:
        assert (row[RATE] == "-") == (row[OPTIMIZER] not in command.RULES)
        assert row[RATE] in ("-", *map(str, command.RATES))
        needed = [parse_passes(row[k]) for k in WITHIN]
        assert needed == sorted(needed)
        within = [float(row[END]) <= tolerance for tolerance in command.TOLERANCES]
        assert all(np.isfinite(n) for n, reached in zip(needed, within, strict=True) if reached)


def test_every_name_in_the_page_exists():
    modules = {path.stem for path in (ROOT / "dpm" / "optimizers").glob("*.py")}
    named = {name for name in re.findall(r"`(\w+(?:\.\w+)+)`", PAGE) if name.split(".")[0] in modules}
    assert len(named) > 15
    for name in named:
        module, *inside = name.split(".")
        thing = importlib.import_module(f"dpm.optimizers.{module}")
        for part in inside:
            thing = getattr(thing, part)
        assert thing.__doc__
        assert thing.__module__ == f"dpm.optimizers.{module}"


def test_files_and_links_in_the_page_exist():
    named = set(re.findall(r"\b(?:dpm|tests|docs|benchmarks)/[\w/-]+(?:\.(?:py|md)\b|/)", PAGE))
    linked = {f"docs/{link}" for link in re.findall(r"\]\(([^)#]+)", PAGE)}
    assert "docs/results/optimizers.png" in linked
    assert [path for path in named | linked if not (ROOT / path).exists()] == []


@pytest.mark.thorough
def test_the_examples_run(capsys):
    minimize, compile_step = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(minimize, "docs/optimizers.md", "exec"), {})
    assert np.array(capsys.readouterr().out.strip("[]\n").split(), float) == pytest.approx([0.5, 1.5])
    names: dict[str, list[float]] = {}
    exec(compile(compile_step, "docs/optimizers.md", "exec"), names)
    costs = names["costs"]
    assert costs[0] == 5
    assert costs == sorted(costs, reverse=True)


def test_the_numbers_in_the_equations_are_the_defaults():
    default = {kind: {k: p.default for k, p in inspect.signature(kind).parameters.items()} for kind in (Adam, RMSProp)}
    b1, b2, epsilon = (default[Adam][name] for name in ("b1", "b2", "epsilon"))
    decay, least = default[RMSProp]["decay_rate"], 1 / default[RMSProp]["max_scaling"]
    assert f"m <- {b1:g} m + {1 - b1:.1g} g,    v <- {b2:g} v + {1 - b2:.1g} g^2" in PAGE
    assert f"(m / (1 - {b1:g}^k)) / (sqrt(v / (1 - {b2:g}^k)) + {epsilon:.0e})".replace("e-0", "e-") in PAGE
    assert f"m <- {decay:g} m + {1 - decay:.1g} g^2\n" in PAGE
    assert f"rate g / max(sqrt(m), {least:.0e})" in PAGE
    for kind in (SFO, LBFGS):
        assert inspect.signature(kind).parameters["max_history_terms"].default == 10
    assert inspect.signature(SFO).parameters["init_subf"].default == 2


def test_the_memory_of_sfo_equals_that_in_the_page():
    def f_df(theta, i):
        return 0.5 * theta @ theta, theta

    sfo = SFO(f_df, np.zeros(1000), range(8))
    assert sfo.subspace.rows.size + sfo.subspace.last.size == 4 * 8 * 1000
    quadratics = sfo.quadratics
    assert quadratics.S.size + quadratics.Y.size + quadratics.vectors.size == 40 * 8 * sfo.subspace.capacity
    with pytest.raises(ValueError, match="at least 22"):
        SFO(f_df, np.zeros(1000), range(8), max_subspace=21)
    assert SFO(f_df, np.zeros(1000), range(8), max_subspace=22).subspace.capacity == 22


def test_the_problems_are_those_of_the_benchmark():
    rows = [row[:4] for row in table(PAGE, "How fast they converge")]
    problem = {name: case.make() for name, case in command.CASES.items()}
    sizes = {name: (len(p.references), p.start.size, command.CASES[name].passes) for name, p in problem.items()}
    assert rows == [[name, *map(str, numbers)] for name, numbers in sizes.items()]
    quadratics = np.load(problems.GOLDEN / "quad_data.npz")["A"].sum(0)
    least, *_, largest = np.linalg.eigvalsh(quadratics)
    assert f"eigenvalues {least:.1f} to {largest:.0f}" in PAGE
    shared = problems.logistic_regression()
    assert max(abs(shared.f_df(shared.best, i)[1]).max() for i in shared.references) < 1e-12
    assert f"deviation {command.NOISE} of" in PAGE


def test_the_table_is_that_of_the_benchmark():
    check_form(MEASURED)
    for row in MEASURED:
        assert all(parse_passes(row[k]) <= command.CASES[row[CASE]].passes for k in WITHIN if row[k] != "-")
        # The best rate is not at an end of the range, so the range is wide enough.
        assert row[RATE] not in map(str, (command.RATES[0], command.RATES[-1]))
    assert ", ".join(map(str, command.RATES)) + ", chosen" in PAGE.replace("\n", " ")
    ends = {(row[CASE], row[OPTIMIZER]): float(row[END]) for row in MEASURED}
    noisy = "logistic regression, fresh noise"
    sfo, adam, lbfgs = (f"{ends[noisy, name]:.0e}" for name in ("SFO", "Adam", "L-BFGS"))
    assert f"at {sfo}, where Adam reaches {adam} and" in PAGE
    assert f"it stops at {lbfgs}," in PAGE
    assert float(sfo) > 3 * float(adam)
    last = {row[OPTIMIZER]: row[WITHIN[-1]] for row in MEASURED if row[CASE] == "logistic regression"}
    assert f"within 1e-6 after {last['Adam']} passes, SFO after {last['SFO']}." in PAGE
    for name in command.CASES:
        if name != noisy:
            for k in WITHIN:
                needed = {row[OPTIMIZER]: parse_passes(row[k]) for row in MEASURED if row[CASE] == name}
                assert min(needed.values()) == needed["SFO"]


@pytest.mark.thorough
def test_the_benchmark_runs_and_its_table_agrees_with_the_page(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command, "RATES", command.RATES[2:5])
    figure = tmp_path / "optimizers.png"
    command.main(["--output", str(figure), "--passes", "7", "--seeds", "1"])
    rows = table(f"\n## Again\n{capsys.readouterr().out}", "Again")
    check_form(rows)
    measured = {(row[CASE], row[OPTIMIZER]): row for row in rows}
    published = {(row[CASE], row[OPTIMIZER]): row for row in MEASURED}
    for name in ("quadratics", "logistic regression"):
        again, before = (
            [parse_passes(by_name[name, "SFO"][k]) for k in WITHIN[:2]] for by_name in (measured, published)
        )
        assert again == pytest.approx(before, abs=1.5)
    for other in ("L-BFGS", "Adam", "RMSProp"):
        assert measured["quadratics", other][WITHIN[1]] == "-", "only SFO is this fast"
    assert float(measured["logistic regression, fresh noise", "SFO"][END]) > 1e-2
    height, width, _ = imread(figure).shape
    assert (height, width) == imread(ROOT / "docs" / "results" / "optimizers.png").shape[:2]
    assert width >= 1000


@pytest.mark.parametrize("name", command.STYLES)
def test_evaluations_for_the_plot_do_not_count(name):
    problem = problems.quadratics()
    optimizer = command.make_optimizer(name, problem, False, 0.1, seed=0)
    F = command.measure_descent(optimizer, problem, 3)
    N = len(problem.references)
    assert optimizer.sum.evaluations == 3 * N
    assert len(F) == 3 * command.LOOKS + 1
    assert F[0] == problem.total(problem.start)
    assert F[-1] == problem.total(optimizer.theta) < F[0]
    if name == "L-BFGS":
        assert (F[: command.LOOKS] == F[0]).all()


def test_noise_is_new_at_each_call_and_has_mean_0():
    problem = problems.logistic_regression()
    f_df = command.add_noise(problem, np.random.default_rng(0))
    x = np.linspace(-1, 1, len(problem.start))
    value, gradient = problem.f_df(x, 3)
    draws = [f_df(x, 3) for _ in range(2000)]
    e = np.array([g for _, g in draws]) - gradient
    assert [v for v, _ in draws] == pytest.approx(value + e @ x)
    deviation = command.NOISE * np.sqrt(np.mean([problem.f_df(problem.start, i)[1] ** 2 for i in problem.references]))
    assert e.std() == pytest.approx(deviation, rel=0.02)
    assert abs(e.mean(0)).max() < 5 * deviation / 2000**0.5


@pytest.mark.slow
def test_a_converged_optimizer_does_not_move():
    problem = problems.quadratics(number=4, size=2)
    optimizer = command.make_optimizer("L-BFGS", problem, False, None, seed=0)
    F = command.measure_descent(optimizer, problem, 200)
    assert optimizer.converged
    assert optimizer.sum.evaluations < 200 * 4
    assert F[-1] == pytest.approx(problem.least)
