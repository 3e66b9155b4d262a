"""Reference numbers in ``tests/data``, computed once by other programs than this package."""

import csv
from pathlib import Path

DATA = Path(__file__).parent / "data"


def reference_rows(file: str) -> list[dict[str, str]]:
    """Rows of a CSV file in ``tests/data``, by column name."""
    with (DATA / file).open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert rows, f"{file} has no rows"
    return rows
