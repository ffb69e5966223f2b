"""Two trainings of one network, one with a planted shortcut: the comparison begins with it."""

import json
import shutil
from pathlib import Path

import pytest

from leap_audit.compare import Comparison, Side, compare, fails
from leap_audit.pipeline import audit, flow

DIGITS = ("one", "two", "four", "six", "seven")


@pytest.fixture(scope="module")
def sides(sample_models: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Side, Side]:
    """Return the audits of the clean model and of the one with the shortcut."""
    home = tmp_path_factory.mktemp("planted")
    for digit in DIGITS:
        first = min((sample_models / "pictures/marked" / digit).glob("*.png"))
        (home / "photos" / digit).mkdir(parents=True)
        shutil.copy(first, home / "photos" / digit)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flow, "write_report", lambda record, folder: record.write(folder))
        made = [
            audit(
                sample_models / f"digits_{name}.onnx",
                sample_models / "digits.txt",
                out=home / name,
                targets=("three", "seven"),
                samples=(home / "photos",),
                top_classes=1,
                prototype={"steps": 32},
                isolation={"steps": 16, "per_prototype": 1},
                seeds=2,
                threads=1,
            )
            for name in ("clean", "shortcut")
        ]
    return Side.read(made[0].folder), Side.read(made[1].folder)


def found(tmp_path: Path, old: Side, new: Side) -> Comparison:
    (tmp_path / "images").mkdir()
    return compare(old, new, tmp_path)


def test_the_planted_difference_is_the_first(sides: tuple[Side, Side], tmp_path: Path) -> None:
    comparison = found(tmp_path, *sides)
    first = comparison.changes[0]
    assert (first.id, first.direction) == ("finding:shortcut:3", "worse")
    assert first.severity == "high"
    assert first.pictures[0].what == "prototype of ‘three’"
    assert fails(comparison, "high")
    assert [pair.changed for pair in comparison.photographs] == [True] * len(DIGITS)
    assert {pair.new.predicted[0].name for pair in comparison.photographs} == {"three"}
    assert comparison.prototypes[0].name == "three"
    assert comparison.settings == ()


def test_its_repair_is_the_first_as_well(sides: tuple[Side, Side], tmp_path: Path) -> None:
    first = found(tmp_path, *sides[::-1]).changes[0]
    assert (first.id, first.direction) == ("finding:shortcut:3", "better")


def test_comparison_json_holds_the_comparison(sides: tuple[Side, Side], tmp_path: Path) -> None:
    comparison = found(tmp_path, *sides)
    comparison.write(tmp_path)
    told = json.loads((tmp_path / "comparison.json").read_text(encoding="utf-8"))
    assert told["schema"] == "leap-audit-comparison/1"
    assert Comparison.model_validate(told) == comparison
