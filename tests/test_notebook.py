"""The notebook runs from its first cell to its last, and nobody's outputs stand in it."""

from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
NOTEBOOK = Path(__file__).parent.parent / "examples" / "annealing_live.ipynb"


def test_outputs_are_stripped():
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


@pytest.mark.filterwarnings("default")  # of the machinery that starts kernels
def test_it_runs_and_follows_the_exact_curve(tmp_path, monkeypatch):
    from nbclient import NotebookClient

    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 1  # drawn anew in its place
    printed = "".join(output.get("text", "") for output in outputs if output.get("name") == "stdout")
    lowest, ground = (printed.split(f"{name} energy ")[-1].split()[0].rstrip(",") for name in ("lowest", "ground"))
    assert lowest == ground
    excess = float(printed.split("F is ")[1].split()[0])
    assert 0 < excess < 0.01  # per spin; an upper bound, and near
