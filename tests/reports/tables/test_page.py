"""The pages show each number below the paper's, in its unit, with a description of the model."""

from dpm.reports.tables import page
from dpm.reports.tables.rows import ROWS

COMMAND = "python -m dpm reproduce table1 --budget 0.5"


def record(K, gain, **more):
    values = {"bits/example": K, "bits/pixel": K / 784}
    gains = {"bits/example": gain, "bits/pixel": gain / 784}
    evaluation = {
        "scaled_units": {"K": values, "K_minus_L_null": gains},
        "examples": "7 test examples of X (/a/b.hdf5)",
    }
    evaluation["errors"] = {"standard error of K": {"bits/example": 0.1, "bits/pixel": 0.1 / 784}}
    return {
        "seconds": 90.0, "steps": 12, "batch_size": 5, "trajectory_length": 10, "parameters": 1234,
        "training_pictures": 4321,
        "date": "2026-01-01", "machine": "a machine", "versions": {"dpm": "0"},
        "commands": ["python train.py"], "evaluation": evaluation,
    } | more  # fmt: skip


def cells(lines, name):
    """Return the cells of the table row that begins with a name."""
    (line,) = [line for line in lines if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_table_1_has_the_papers_value_above_ours_in_the_same_unit():
    rows = [ROWS["heartbeat"], ROWS["mnist"], ROWS["cifar10"]]
    full = {"command": "python train.py --experiment mnist", "hours": 123.4, "parameters": 99}
    records = [record(-2.376, 12.062), record(784 * 1.5, 784 * 3.5, full=full), {"missing": "not made: no data"}]
    lines = page.make_table_1(rows, records, COMMAND, None, small=False)
    assert cells(lines, r"*paper: Binary Heartbeat*")[2:4] == ["-2.414", "12.024"]
    assert cells(lines, "heartbeat")[2:] == ["-2.376", "12.062", "0.100", "12 steps of 5, 90 s"]
    assert cells(lines, "mnist")[2:4] == ["1.500", "3.500"]
    assert "4,321 training images; T = " in cells(lines, "mnist")[1]
    assert "7 test examples of X (b.hdf5)" in cells(lines, "mnist")[1]
    assert cells(lines, "cifar10")[1:3] == ["not made: no data", ""]
    text = "\n".join(lines)
    assert "`python -m dpm datasets fetch MNIST`, `python train.py --experiment mnist`, about 123 hours" in text
    assert "/a/" not in text


def test_table_2_has_every_row_of_the_paper_and_the_number_of_samples():
    parzen = {"value": 201.26, "standard_error": 2.04, "sigma": 0.2, "samples": {"n": 10_000},
              "data": {"path": "/a/mnist5k.hdf5", "n_valid": 666, "n_test": 1000},
              "command": "python -m dpm parzen CHECKPOINT"}  # fmt: skip
    rows = [ROWS["mnist"], ROWS["mnist-one-layer"]]
    lines = page.make_table_2(
        rows, [record(784, 1568, parzen=parzen), {"missing": "not made: a command"}], COMMAND, None, small=False
    )
    assert cells(lines, r"*paper: Adversarial net*")[1:3] == ["225", "2"]
    assert cells(lines, "mnist")[1:3] == ["201.3", "2.0"]
    assert "10,000 samples" in cells(lines, "mnist")[3]
    assert "K = 1.0000, K - L_null = 2.0000 bits/pixel" in cells(lines, "mnist")[3]
    assert cells(lines, "mnist-one-layer")[1] == "not made: a command"
    assert f"Written by `{COMMAND}`" in "\n".join(lines)
    assert "4,321 training and 1,000 test digits of mnist5k.hdf5" in cells(lines, "mnist")[3]
    assert sum(line.startswith("| *paper") for line in lines) == 7
    assert "python -m dpm parzen CHECKPOINT" in lines


def test_page_of_a_miniature_says_that_its_numbers_mean_nothing():
    assert any(
        "mean nothing" in line
        for line in page.make_table_1([ROWS["heartbeat"]], [record(1, 2)], COMMAND, None, small=True)
    )
    assert not any(
        "mean nothing" in line
        for line in page.make_table_1([ROWS["heartbeat"]], [record(1, 2)], COMMAND, None, small=False)
    )


def test_missing_figure_says_why():
    figures = [
        ("Figure 3", "samples", None, "not made: no data"),
        ("Figure 4", "leaves", "figure_4.png", ["a command"]),
    ]
    text = "\n".join(page.make_figures(figures, [], [], COMMAND, small=False))
    assert "not made: no data." in text
    assert "![Figure 4: leaves](figure_4.png)" in text


def test_table_shows_the_curve_of_k_where_there_is_one():
    lines = page.make_table_1([ROWS["heartbeat"]], [record(1, 2)], COMMAND, "table1_curves.png", small=False)
    assert lines.index("## Commands") > next(i for i, line in enumerate(lines) if line.endswith("](table1_curves.png)"))


def test_line_of_the_paper_is_above_all_rows_for_it_once():
    rows = [ROWS["heartbeat"], ROWS["heartbeat-paper"], ROWS["mnist"]]
    lines = page.make_table_1(rows, [record(1, 2)] * 3, COMMAND, None, small=False)
    names = [line.split(" | ")[0].strip("| ") for line in lines if line.startswith("| ")]
    assert names[2:] == ["*paper: Binary Heartbeat*", "heartbeat", "heartbeat-paper", "*paper: MNIST*", "mnist"]
