"""The notebooks of the documentation run from top to bottom, and show what they compute."""

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

DOCS = Path(__file__).parents[1] / "docs"
NOTEBOOKS = ("tutorial", "groups")


def texts(cell: dict) -> str:
    """What a cell printed, or shows as text."""
    outputs = cell.get("outputs", [])
    return "".join(o.get("text", "") or o.get("data", {}).get("text/plain", "") for o in outputs)


@pytest.mark.system
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_and_its_stored_output_is_true(name):
    stored = nbformat.read(DOCS / f"{name}.ipynb", as_version=4)
    fresh = nbformat.read(DOCS / f"{name}.ipynb", as_version=4)
    # its own assertions stop it where a statement of the text is false; drawing is tested elsewhere
    NotebookClient(fresh, timeout=1200, kernel_name="python3").execute(
        env={**os.environ, "OMP_NUM_THREADS": "1", "BROWSER_PATH": "none"}
    )
    for shown, found in zip(stored.cells, fresh.cells, strict=True):
        pictures = any("image/png" in o.get("data", {}) for o in shown.get("outputs", []))
        if shown.cell_type == "code" and "measured" not in shown.source and not pictures:
            assert texts(shown).split() == texts(found).split(), shown.source


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_small_and_loads_nothing(name):
    path = DOCS / f"{name}.ipynb"
    assert path.stat().st_size < 200_000
    for cell in nbformat.read(path, as_version=4).cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error"
            assert "<script" not in output.get("data", {}).get("text/html", "")


def test_all_notebooks_are_run():
    assert {path.stem for path in DOCS.glob("*.ipynb")} == set(NOTEBOOKS)
