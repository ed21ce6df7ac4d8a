"""The notebook of the first steps runs as it is, finds what it says, and keeps no machine's traces."""

from __future__ import annotations

import os
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "examples" / "first_steps.ipynb"
PATIENCE_S = 300


@pytest.fixture(scope="module")
def printed() -> str:
    """All that its cells print."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(ROOT)  # this tree, wherever another one is installed
    try:
        NotebookClient(notebook, timeout=PATIENCE_S).execute()
    finally:
        os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)
    outputs = [one for cell in notebook.cells for one in cell.get("outputs", [])]
    assert sum("image/png" in one.get("data", {}) for one in outputs) == 2
    return "".join(one.text for one in outputs if one.output_type == "stream" and one.name == "stdout")


def number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    assert found, f"{pattern!r} is not in\n{text}"
    return float(found[1])


def test_it_finds_the_hits_of_the_clip_and_learns(printed):
    assert "pingpong: 80 frames, hits at [12, 16, 29, 33, 47, 52, 65, 70]" in printed
    assert number(r"(\d+) of 8 hits found within 2 frames", printed) >= 7
    assert number(r"(\d+) false hits", printed) <= 1
    first, last = number(r"loss (\S+) ->", printed), number(r"-> (\S+)\n", printed)
    assert 0 < last < first
    assert 0 <= number(r"event F1 within 2 frames: (\S+)", printed) <= 1


def test_it_is_stored_without_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
