"""Results in a notebook that is really executed, and in a terminal."""

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from leap_audit.errors import PictureRefused, RuntimeMissing
from leap_audit.ingest.pictures.images import write_picture
from leap_audit.notebook import display_results, pages_of
from leap_audit.report.table import COLUMNS

HOSTILE = "<script>alert(1)</script>\u202e"
ESCAPED = "&lt;script&gt;alert(1)&lt;/script&gt;[U+202E]"


@pytest.fixture
def table(tmp_path: Path) -> pd.DataFrame:
    """A prototype with all that belongs to it, another of the same class, and a sample."""
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(0)
    for name, side in (("a", 28), ("b", 200), ("region", 200), ("seen", 200)):
        write_picture(tmp_path / "images" / f"{name}.png", rng.random((3, side, side)))
    target = {"project": "p<b>", "target_class": HOSTILE, "target_index": 1}
    first = {**target, "prototype": "images/a.png"}
    rows = [
        {**first, "kind": "prototype", "probs": 0.875, "step": 100},
        {**first, "kind": "entanglement", "output_class": "cat", "output_index": 0},
        {**first, "kind": "entanglement", "output_class": HOSTILE, "output_index": 1},
        {**first, "kind": "entanglement", "output_class": "dog", "output_index": 2},
        {
            **first,
            "kind": "isolation",
            "output_class": "cat",
            "output_index": 0,
            "probs": 0.125,
            "isolation": "images/region.png",
        },
        {**target, "kind": "prototype", "prototype": "images/b.png", "probs": 0.5},
        {
            "project": "p<b>",
            "kind": "isolation",
            "sample": "street<i>.jpg",
            "output_class": "dog",
            "output_index": 2,
            "probs": 0.25,
            "isolation": "images/seen.png",
        },
    ]
    for row, value in zip(rows[1:4], (-0.25, 0.75, 0.5), strict=True):
        row["entanglement"] = value
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)


def test_a_page_per_prototype_and_sample(table: pd.DataFrame, tmp_path: Path) -> None:
    first, second, sample = pages_of(table, tmp_path)
    assert [page.count("<img ") for page in (first, second, sample)] == [2, 1, 1]
    assert [page.count('class="pixel"') for page in (first, second, sample)] == [1, 0, 0]
    names = [first.index(">" + name) for name in (f"{ESCAPED} <", "dog", "cat")]
    bars = first.index('class="bars"')
    assert first.index(f">{ESCAPED} <", bars) < first.index(">dog", bars) < names[2]
    assert first.count('class="row own"') == 1
    assert [text in first for text in ("+0.75", "+0.50", "−0.25", "88\u00a0%", "12\u00a0%")] == [
        True
    ] * 5
    assert "street&lt;i&gt;.jpg" in sample
    assert "25\u00a0%" in sample
    assert "<script" not in first + second + sample
    assert "p&lt;b&gt;" in sample


def test_a_picture_outside_the_folder_is_not_shown(table: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    table["prototype"] = "../images/b.png"
    with pytest.raises(PictureRefused, match="outside"):
        pages_of(table, tmp_path / "here")


def test_in_a_terminal_a_table(
    table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("IPython", reason="IPython is not installed")
    display_results((table, {"probabilities": {}}))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(table)
    assert "mask" not in lines[0].split()
    assert lines[1].split()[:2] == ["p<b>", HOSTILE[:-1] + "[U+202E]"]
    assert "NaN" not in "".join(lines)
    monkeypatch.setitem(sys.modules, "IPython.display", None)
    with pytest.raises(RuntimeMissing, match=r"leap-audit\[notebook\]"):
        display_results(table)


def test_in_a_notebook_pictures(table: pd.DataFrame, tmp_path: Path) -> None:
    """The cell's outputs are HTML that holds its pictures, so that a saved notebook keeps them."""
    pytest.importorskip("ipykernel", reason="there is no kernel for a notebook")
    table.to_pickle(tmp_path / "results.pickle")
    cell = """
import pandas
from leap_audit.notebook import display_results
display_results((pandas.read_pickle("results.pickle"), {}))
"""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of jupyter_client, on its folders and event loop
        outputs = executed(cell, tmp_path)
    assert [output["output_type"] for output in outputs] == ["display_data"] * 3
    pages = [output["data"]["text/html"] for output in outputs]
    assert pages == pages_of(table, tmp_path)
    assert all('src="data:image/' in page and ".png" not in page for page in pages)


def executed(cell: str, folder: Path) -> list[Any]:
    """Return the outputs of a notebook's only cell."""
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    import nbformat

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    client = nbclient.NotebookClient(
        notebook, timeout=300, startup_timeout=300, resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    return list(notebook.cells[0]["outputs"])
