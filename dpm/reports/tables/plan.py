"""What is to be reproduced, and where."""

from dataclasses import dataclass
from pathlib import Path

from dpm.reports.tables.rows import Row


@dataclass(frozen=True)
class Plan:
    """Options of a reproduction.

    Attributes:
        what: "table1", "table2" or "figures".
        rows: names of the rows to make; None for all.
        budget: hours of training of each row that does not end by itself.
        samples: number of samples of table2, or None.
        seed: seed of training and evaluation.
        runs: folder of the models.
        results: folder of the pages.
        small: make a miniature of every row.
        threads: as of `dpm train` and `dpm evaluate`, or None for their default.
        cluster: address of a Dask cluster that makes the rows, or None.
    """

    what: str
    rows: list[str] | None
    budget: float
    samples: int | None
    seed: int
    runs: Path
    results: Path
    small: bool
    threads: int | None = None
    cluster: str | None = None

    def requests(self, row: Row) -> bool:
        """Return True if the row is to be made, and not only shown as it is."""
        return self.rows is None or row.name in self.rows

    @property
    def speed(self) -> tuple[str, ...]:
        """Return the flags of the threads."""
        return () if self.threads is None else ("--threads", str(self.threads))


def name_row(row: Row, plan: Plan) -> str:
    """Return the name of a row's folder and record."""
    return f"{row.name}{'-small' if plan.small else ''}-seed{plan.seed}"


def row_folder(row: Row, plan: Plan) -> Path:
    """Return the folder of a row's runs and results."""
    return plan.runs / name_row(row, plan)
