"""Tables of the comparisons of explainers, from lines whose figures are known."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.explainers import controls, main, table
from benchmarks.lines import append
from benchmarks.opinions import COLUMNS
from benchmarks.opinions import table as table_of_opinions
from benchmarks.pages import write_section
from benchmarks.parity import Compared, error, read, write
from benchmarks.parity import table as table_of_errors
from benchmarks.photographs import classifier_of, read_sorted


def lines(method: str, gains: dict[str, tuple[float, float]]) -> list[dict[str, str]]:
    return [
        {
            "model": "m",
            "file": file,
            "class": "0",
            "method": method,
            "seconds": "2.0",
            "fill": fill,
            "insertion": f"{gain + 0.25:.5f}",
            "deletion": "0.25",
        }
        for file, pair in gains.items()
        for fill, gain in zip(("blur", "mean"), pair, strict=True)
    ]


def test_methods_are_compared_on_the_photographs_that_all_have() -> None:
    found = table(
        [
            *lines("good", {"a": (0.5, 0.1), "b": (0.75, 0.1), "c": (0.0, 0.0)}),
            *lines("poor", {"a": (0.25, 0.3), "b": (0.5, 0.3)}),
        ]
    )
    assert "**m**, 2 photographs" in found
    good, poor = (line for line in found.splitlines() if line.startswith(("| good", "| poor")))
    assert good == "| good | 0.625 | the best | 0.100 | 0.20 (0.20 to 0.20) | 2.00 |"
    assert poor == "| poor | 0.375 | 0.25 (0.25 to 0.25) | 0.300 | the best | 2.00 |"


def test_controls_know_nothing_of_the_model() -> None:
    picture = np.ones((3, 9, 15), np.float32)
    middle, random = controls(picture)["(middle first)"], controls(picture)["(random order)"]
    assert np.unravel_index(middle.argmax(), middle.shape) == (4, 7)
    assert middle[0, 0] == middle.min()
    assert np.array_equal(random, controls(picture)["(random order)"])
    assert not np.array_equal(random, controls(0.5 * picture)["(random order)"])


def test_opinions_are_listed_by_their_gain() -> None:
    figures = ("0.5", "0.4", "0.6", "0.3", "0.2", "0.1", "0.0", "0.05")
    rows = [
        dict(zip(COLUMNS, ("m", "a", "one", *figures), strict=True)),
        dict(zip(COLUMNS, ("m", "b", "one", *figures), strict=True)),
        dict(zip(COLUMNS, ("m", "a", "isolation", "0.7", "0.6", *[""] * 5, "1"), strict=True)),
    ]
    shown = table_of_opinions(rows).splitlines()
    assert shown[0] == "**m**, 2 photographs"
    assert shown[4] == "| isolation | 0.70, 0.60 | | | | 1 |"
    assert shown[5] == "| one | 0.50, 0.40 | 0.60, 0.60, 0.20 | 0.10 | 0.00 | 0.05 |"


def test_errors_are_kept_and_shown_in_the_order_of_the_networks(tmp_path: Path) -> None:
    found = {
        "resnet18": [Compared("saliency", "captum", 3e-3, 2e-3, 1e-3)],
        "toy": [Compared("saliency", "captum", 3e-7, 2e-7, 1e-7)],
    }
    write(tmp_path / "parity.csv", found)
    assert read(tmp_path / "parity.csv") == found
    assert table_of_errors(found).splitlines()[-1] == (
        "| saliency | captum | 2.0e-07 / 1.0e-07 | 2.0e-03 / 1.0e-03 |"
    )


def test_errors_are_relative() -> None:
    assert error(np.array([3.0, 4.0]), np.array([[3.0, 4.5]])) == pytest.approx(0.5 / 29.25**0.5)


def test_a_table_is_written_between_its_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- a -->\nold\n<!-- /a -->\nafter\n")
    write_section(page, "a", "new\n")
    write_section(page, "a", "newer")
    assert page.read_text() == "before\n<!-- a -->\n\nnewer\n\n<!-- /a -->\nafter\n"
    with pytest.raises(SystemExit, match="no line"):
        write_section(page, "b", "text")


def test_photographs_of_a_folder_come_class_by_class(tmp_path: Path, sample_models: Path) -> None:
    for name in ("b/1", "b/0", "a/0", "a/1"):
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("L", (28, 28)).save(path)
    model = classifier_of(sample_models / "digits_clean.onnx")
    files = [(each.file, each.class_) for each in read_sorted(tmp_path, model)]
    assert files == [("a/0.png", 0), ("b/0.png", 1), ("a/1.png", 0), ("b/1.png", 1)]
    assert [each.file for each in read_sorted(tmp_path, model, [2])] == ["a/1.png"]


def test_a_table_goes_between_the_marks_of_its_section(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    csv, page = tmp_path / "later.csv", tmp_path / "page.md"
    found = lines("gradcam", {"a": (0.5, 0.5)})
    append(csv, list(found[0]), found)
    page.write_text("<!-- explainers -->\nkept\n<!-- /explainers -->\n<!-- b -->\n<!-- /b -->\n")
    monkeypatch.setattr("sys.argv", ["x", "--csv", str(csv), "--page", str(page), "--section", "b"])
    main()
    before, _, after = page.read_text().partition("<!-- b -->")
    assert "kept" in before
    assert "| gradcam | 0.500 | the best | 0.500 | the best |" in after
