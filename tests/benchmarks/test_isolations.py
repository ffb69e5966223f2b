"""The photographs of a list, a measurement that goes on where it stopped, and its table."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmarks import isolations
from benchmarks.photographs import Photograph, read_rows
from leap_audit.ingest.model import Model
from tests.builders.classifiers import linear, read_model


@pytest.mark.parametrize(("classes", "first"), [(1000, 7), (1001, 8)])
def test_rows_are_read_as_the_model_sees_them(tmp_path: Path, classes: int, first: int) -> None:
    model = read_model(linear(tmp_path / "m.onnx", np.ones((classes, 64))))
    folder = tmp_path / "images/imagenet"
    folder.mkdir(parents=True)
    for name, grey in (("a.png", 51), ("b.png", 102)):
        Image.new("L", (8, 8), grey).save(folder / name)
    (tmp_path / "images/imagenet.csv").write_text('file,index,name\na.png,7,"x, y"\nb.png,9,z\n')
    a, b = read_rows(tmp_path, model)
    assert (a.file, a.class_, b.class_) == ("a.png", first, first + 2)
    assert b.picture == pytest.approx(np.full((1, 8, 8), 0.4))
    (only,) = read_rows(tmp_path, model, [1])
    assert only.file == "b.png"


def test_every_fifth_photograph_is_left_out() -> None:
    assert len(isolations.ROWS) == 48
    assert set(isolations.ROWS) == set(range(60)) - set(range(0, 60, 5))


def rows_of(file: str, ours: float, other: float) -> list[isolations.Row]:
    return [
        {"file": file, "class": 1, "fill": fill, "method": method, "insertion": x, "deletion": 0.1}
        for fill in ("blur", "mean")
        for method, x in ((isolations.OURS, ours), ("Grad-CAM", other))
    ]


def test_an_interrupted_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photographs = [Photograph(name, 1, np.zeros((1, 8, 8))) for name in "abc"]
    model = read_model(linear(tmp_path / "m.onnx", np.ones((3, 64))))
    asked: list[str] = []

    def measure(
        _: Model, left: Sequence[Photograph], threads: int
    ) -> Iterator[list[isolations.Row]]:
        for photograph in left:
            if photograph.file == "b" and not asked.count("b"):
                asked.append("b")
                raise KeyboardInterrupt
            asked.append(photograph.file)
            yield rows_of(photograph.file, 0.9, 0.6)

    monkeypatch.setattr(isolations, "measure", measure)
    path = tmp_path / "rows.csv"
    with pytest.raises(KeyboardInterrupt):
        isolations.resumed(model, photographs, path, 1)
    assert set(pd.read_csv(path)["file"]) == {"a"}
    table = isolations.resumed(model, photographs, path, 1)
    assert asked == ["a", "b", "b", "c"]
    assert table["file"].value_counts().to_dict() == {"a": 4, "b": 4, "c": 4}
    assert set(isolations.resumed(model, photographs[:1], path, 1)["file"]) == {"a"}


def test_the_table_pairs_the_photographs(capsys: pytest.CaptureFixture[str]) -> None:
    # The photographs differ far more than the methods: only the pairs tell them apart.
    rows = [r for i, x in enumerate((0.2, 0.5, 0.9)) for r in rows_of(f"{i}", x, x - 0.1)]
    isolations.show(pd.DataFrame(rows))
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("| blur | isolation | 0.533 | 0.100 | 0.433 |")
    assert lines[3].endswith("| Grad-CAM | 0.433 | 0.100 | 0.333 | +0.100 (+0.100 to +0.100) |")
    assert lines[-1] == "3 photographs"
