"""Ctrl-C: what was finished becomes a valid report marked INCOMPLETE."""

from pathlib import Path
from typing import Any

import pytest

from leap_audit.artifacts import Audit, Prototype, Sample
from leap_audit.errors import AuditIncomplete
from leap_audit.pipeline import audit
from tests.builders.running import TINY, Interrupted


def interrupted(sample_models: Path, out: Path, stage: str, after: int, **given: Any) -> str:
    with pytest.raises(AuditIncomplete) as caught:
        audit(
            sample_models / "digits_clean.onnx",
            out=out,
            progress=Interrupted(stage, after),
            targets="0-3",
            batch=2,
            **{**TINY, "seeds": 1, **given},
        )
    return str(caught.value)


def read(folder: Path) -> Audit:
    record = Audit.model_validate_json((folder / "audit.json").read_bytes())
    assert record.status == "incomplete"
    owners: list[Prototype | Sample] = [*record.prototypes, *record.samples]
    for each in owners:
        assert (folder / each.image).is_file()
        assert all((folder / i.image).is_file() for i in each.isolations)
    return record


def test_a_report_marked_incomplete(sample_models: Path, tmp_path: Path) -> None:
    # Two steps of two prototypes are whole; the fifth unit is in the second batch.
    said = interrupted(sample_models, tmp_path / "out", "Prototypes", 5)
    assert "2 prototypes" in said
    assert str(tmp_path / "out" / "report.html") in said
    assert [p.target for p in read(tmp_path / "out").prototypes] == [(0,), (1,)]
    assert "INCOMPLETE" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8").upper()
    assert (tmp_path / "out" / "report.pdf").read_bytes().startswith(b"%PDF")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.parts", "out"]


@pytest.mark.parametrize(
    ("stage", "after", "prototypes", "isolated"),
    [("Prototypes", 1, 0, 0), ("Isolations", 1, 4, 0), ("Isolations", 4, 4, 2)],
)
def test_what_is_finished_is_kept(
    sample_models: Path,
    tmp_path: Path,
    unprinted: None,
    stage: str,
    after: int,
    prototypes: int,
    isolated: int,
) -> None:
    interrupted(sample_models, tmp_path / "out", stage, after)
    record = read(tmp_path / "out")
    assert len(record.prototypes) == prototypes
    assert sum(len(p.isolations) for p in record.prototypes) <= isolated
    assert record.config["prototype"]["steps"] == 2


def test_finished_isolations_are_kept(sample_models: Path, tmp_path: Path, unprinted: None) -> None:
    # Eight subjects in batches of one, two steps each: the fifth step is in the third. The target
    # of each prototype comes before its other classes.
    interrupted(sample_models, tmp_path / "out", "Isolations", 5)
    record = read(tmp_path / "out")
    assert len(record.prototypes) == 4
    assert [len(each.isolations) for each in record.prototypes] == [1, 1, 0, 0]


def test_among_the_photographs(
    sample_models: Path, photos: Path, tmp_path: Path, unprinted: None
) -> None:
    stage = "Reading the photographs"
    interrupted(sample_models, tmp_path / "out", stage, 1, samples=(photos,))
    record = read(tmp_path / "out")
    assert record.samples == ()
    assert record.prototypes == ()


def test_a_complete_audit_stays_as_it_is(
    sample_models: Path, tmp_path: Path, unprinted: None
) -> None:
    out = tmp_path / "out"
    audit(sample_models / "digits_clean.onnx", out=out, targets="0", **TINY)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    said = interrupted(sample_models, out, "Prototypes", 5)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert str(tmp_path / "out-incomplete") in said
    assert len(read(tmp_path / "out-incomplete").prototypes) == 2


def test_before_anything_was_measured_nothing_is_left(sample_models: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        audit(
            sample_models / "digits_clean.onnx",
            out=tmp_path / "out",
            progress=Interrupted("Reading the model", 1),
            **TINY,
        )
    assert list(tmp_path.iterdir()) == []
