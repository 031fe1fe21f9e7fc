"""The notebook in examples runs headless, and shows pictures of predictions."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from PIL import Image

NOTEBOOK = Path(__file__).parents[2] / "examples" / "first_look.ipynb"
PICTURE = re.compile(r'src="data:image/(?:png|jpeg);base64,([^"]+)"')


@pytest.mark.slow
def test_the_notebook_shows_pictures_of_predictions(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = {}
    for cell in notebook.cells:
        pages = [output["data"].get("text/html", "") for output in cell.get("outputs", ()) if "data" in output]
        shown[cell.source] = [text for page in pages for text in PICTURE.findall(page)]
    series = next(found for source, found in shown.items() if source.startswith("answers = engine.predict()"))
    assert len(series) > 1
    assert len(shown["answers[0]"]) == 1
    assert next(found for source, found in shown.items() if source.startswith("artifact = "))
    for text in series:
        picture = Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB")
        assert len(picture.getcolors(1 << 20) or ()) > 16, "a picture of one colour shows nothing"


def test_the_notebook_holds_no_outputs() -> None:
    """They would be from a different version, and large."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in notebook.cells)
