"""The notebooks run from top to bottom, and are stored without outputs."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def test_there_is_a_notebook_of_each_use():
    names = {path.stem for path in NOTEBOOKS}
    assert names == {"add_a_loss", "separate_with_a_score", "train_on_own_songs"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_stored_without_outputs(path):
    content = json.loads(path.read_text(encoding="utf-8"))
    code = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    assert code and all(not cell["outputs"] and not cell["execution_count"] for cell in code)
    page = (ROOT / "docs" / "notebooks.rst").read_text()
    assert path.name in page


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(path, tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    import nbformat

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    options = dict(timeout=300, kernel_name="python3", resources=resources)
    nbclient.NotebookClient(notebook, **options).execute()
    results = [
        output["data"]["text/plain"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "text/plain" in output.get("data", {})
    ]
    decibels = [float(value) for value in re.findall(r"([-+][\d.]+) dB", " ".join(results))]
    if path.stem == "train_on_own_songs":  # seconds of training
        assert len(decibels) == 3 and sum(decibels) > 0
        assert (tmp_path / "my_band.pth").is_file()
    if path.stem == "separate_with_a_score":
        assert len(decibels) == 3 and min(decibels) > 3
