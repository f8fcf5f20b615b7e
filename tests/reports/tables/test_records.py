"""Records of rows are found where the model is, or next to the pages."""

import json

import pytest

from dpm.base.errors import InputError
from dpm.reports.tables import records
from dpm.reports.tables.plan import row_folder
from dpm.reports.tables.rows import ROWS
from tests.reports.tables.test_running import options

BARK, MNIST = ROWS["bark"], ROWS["mnist"]


@pytest.fixture
def plan(tmp_path):
    """Return a plan with a folder for models and one for pages."""
    (tmp_path / "pages").mkdir()
    return options(tmp_path / "runs", results=tmp_path / "pages")


def keep(row, plan, **more):
    """Write a record of a row with its flags; return it."""
    folder = row_folder(row, plan)
    folder.mkdir(parents=True, exist_ok=True)
    record = {"given": records.row_flags(row, plan), "steps": 5} | more
    records.keep_record(folder, record)
    return record


def test_page_keeps_the_records_of_rows_that_are_there(plan):
    """A row whose model is on another machine keeps the record that it has next to the page."""
    mine = keep(MNIST, plan)
    rows, shown = [MNIST, BARK, ROWS["texture"]], [mine, {"steps": 7}, {"missing": "not made"}]
    elsewhere = records.published_path(BARK, plan)
    elsewhere.parent.mkdir()
    elsewhere.write_text("of another machine")
    records.publish_records(rows, shown, plan)
    assert records.find_published(MNIST, plan) == mine
    assert elsewhere.read_text() == "of another machine"
    assert sorted(path.name for path in elsewhere.parent.iterdir()) == ["bark-seed3.json", "mnist-seed3.json"]


def test_failed_row_keeps_the_record_of_the_page(plan):
    """A record of the folder of models that the page does not show is not copied."""
    keep(MNIST, plan)
    records.publish_records([MNIST], [{"missing": "failed: other data"}], plan)
    assert records.find_published(MNIST, plan) is None


def test_record_next_to_the_page_is_checked(plan):
    """It needs the flags that the row has now, and its checksum."""
    record = keep(MNIST, plan, given={"train": ["--lr", "1"], "evaluate": records.row_flags(MNIST, plan)["evaluate"]})
    records.publish_records([MNIST], [record], plan)
    path = records.published_path(MNIST, plan)
    with pytest.raises(InputError, match=r"was made with different train flags; make the row again \(--rows mnist\)"):
        records.find_published(MNIST, plan)
    path.write_text(path.read_text().replace('"steps": 5', '"steps": 6'))
    with pytest.raises(InputError, match=r"mnist-seed3.json: is damaged or was edited"):
        records.find_published(MNIST, plan)


def test_results_have_no_folders_of_this_machine(tmp_path):
    """File names and everything else stay as they are."""
    written = {
        "path": "/home/ann/my runs/run-1/checkpoint.h5",
        "examples": "the first 5 of 10 test examples of MNIST (/data/mnist.hdf5)",
        "unit": "bits/pixel",
        "of": ["nats and bits / 2", 0.5, None, {"source": "https://example.org/a/b"}],
    }
    (tmp_path / "evaluation.json").write_text(json.dumps(written))
    assert records.read_result(tmp_path / "evaluation.json") == written | {
        "path": "checkpoint.h5",
        "examples": "the first 5 of 10 test examples of MNIST (mnist.hdf5)",
    }
