"""What photographs are known to show."""

from pathlib import Path

import pytest

from leap_audit.errors import PictureRefused
from leap_audit.ingest.classes.ground_truth import ground_truth

CLASSES = ("tench, Tinca tinca", "great white shark", "crane", "crane", "7")


def paths(*names: str) -> list[Path]:
    return [Path("photos") / name for name in names]


def test_folders_called_like_classes() -> None:
    found = ground_truth(
        paths("Great_White-Shark/a.png", "tinca tinca/b.png", "7/c.png", "crane/d.png", "x/e.png"),
        CLASSES,
        None,
    )
    assert found == [1, 0, 4, None, None]  # two classes are called crane


@pytest.mark.parametrize(
    "text",
    [
        "file,class\na.png,tench\nx/b.png,1\n",
        "label,path\nTench,a.png\ngreat white shark,x/b.png\n",
        "a.png,0\nx/b.png,1\n",
        "id,filename,category\n1,a.png,tench\n2,x/b.png,Great White Shark\n",
    ],
)
def test_a_table(tmp_path: Path, text: str) -> None:
    (tmp_path / "labels.csv").write_text(text)
    given = paths("a.png", "x/b.png", "y/b.png")
    assert ground_truth(given, CLASSES, tmp_path / "labels.csv") == [0, 1, None]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a.png,lion\n", "'lion' is none of the model's 5 classes"),
        ("a.png,5\n", "'5' is none of"),
        ("a.png\n", "needs two columns"),
        ("", "needs two columns"),
        ("file,class\nz.png,tench\n", "names none of the 1 pictures"),
    ],
)
def test_a_table_that_is_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(PictureRefused, match=says):
        ground_truth(paths("a.png"), CLASSES, tmp_path / "labels.csv")
