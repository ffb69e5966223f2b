"""An audit of an encoder: loaded once, planned, and stopped at any of its stages."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from leap_audit.artifacts import Audit
from leap_audit.errors import AuditIncomplete
from leap_audit.ingest import load
from leap_audit.measure.embedding.moved import change_names
from leap_audit.pipeline import audit, deadline, inspect
from leap_audit.pipeline.units import Unit
from leap_audit.pipeline.work import perform
from leap_audit.progress import Advance, Silent
from leap_audit.verify.rerun import rerun
from tests.builders.encoders import QUICK, glyphs, tiny_encoder, write_folders
from tests.builders.running import Interrupted

COUNT, CLASSES = 48, 4
CHANGED = 24
"""Pictures that changes are tried on at this effort."""
CHANGES = len(change_names(1))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four folders of twelve pictures."""
    return write_folders(tmp_path_factory.mktemp("pictures"), *glyphs(COUNT, CLASSES))


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    return tiny_encoder(tmp_path / "encoder.onnx")


def stopped(encoder: Path, pictures: Path, progress: Silent, **more: Any) -> tuple[Audit, str]:
    """The record of an audit that was stopped, and what was said of it."""
    out = encoder.parent / "out"
    with pytest.raises(AuditIncomplete) as caught:
        audit(encoder, samples=[str(pictures)], out=out, progress=progress, **{**QUICK, **more})
    record = Audit.read(out)
    assert record.status == "incomplete"
    assert record.embedding is not None
    for each in (e.picture for e in record.embedding.nearest):
        assert (out / each.image).is_file() or not each.image
    return record, str(caught.value)


def test_a_stop_among_the_photographs_reports_those_that_have_a_vector(
    encoder: Path, pictures: Path, without_pdf: None
) -> None:
    record, said = stopped(encoder, pictures, Interrupted("Computing vectors", 33))
    assert record.embedding is not None
    assert record.embedding.pictures == 32
    assert any("when 32 of 48 photographs had a vector" in note for note in record.notes)
    assert (record.samples, record.prototypes, record.embedding.changes) == ((), (), ())
    assert record.embedding.lacking == (f"{CHANGES} of {CHANGES} changes of pictures",)
    page = (encoder.parent / "out" / "report.html").read_text(encoding="utf-8")
    assert f"stopped before it measured {CHANGES} of {CHANGES} changes of pictures" in page
    assert "No photographs were examined" not in page
    assert "goes on from there" in said


def test_a_stop_before_there_are_enough_vectors(encoder: Path, pictures: Path) -> None:
    out = encoder.parent / "out"
    with pytest.raises(AuditIncomplete, match=r"when 0 photographs had a vector, too few"):
        audit(
            encoder,
            samples=[str(pictures)],
            out=out,
            progress=Interrupted("Computing vectors", 1),
            **QUICK,
        )
    assert not out.exists()


def test_a_stop_among_the_changes_keeps_those_that_are_finished(
    encoder: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch, unprinted: None
) -> None:
    record, _ = stopped(encoder, pictures, Interrupted("Changing pictures", 3 * CHANGED + 1))
    assert record.embedding is not None
    assert len(record.embedding.changes) == 3
    assert record.embedding.lacking == (f"{CHANGES - 3} of {CHANGES} changes of pictures",)
    done: list[str] = []

    def performed(unit: Unit[Any], *others: Any) -> object:
        done.append(type(unit).__name__)
        return perform(unit, *others)

    monkeypatch.setattr("leap_audit.pipeline.execution.perform", performed)
    out = encoder.parent / "out"
    again = audit(encoder, samples=[str(pictures)], out=out, progress=Silent(), **QUICK).audit
    assert again.embedding is not None
    assert (len(again.embedding.changes), again.embedding.lacking) == (CHANGES, ())
    assert done.count("Embed") == CHANGES - 3


def test_a_stop_where_pictures_are_compared(encoder: Path, pictures: Path, unprinted: None) -> None:
    progress = Interrupted("Comparing pictures", 1)
    record, _ = stopped(encoder, pictures, progress, vectors={"pairs": 1})
    assert record.embedding is not None
    assert (len(record.embedding.changes), record.embedding.alike) == (CHANGES, ())
    assert record.embedding.lacking == ("2 of 2 regions that make pictures alike",)
    assert record.prototypes


def test_photographs_stay_out_of_a_report_that_was_stopped(
    encoder: Path, pictures: Path, unprinted: None
) -> None:
    progress = Interrupted("Computing vectors", 33)
    record, _ = stopped(encoder, pictures, progress, photographs=False)
    assert record.embedding is not None
    assert {each.picture.image for each in record.embedding.nearest} == {""}
    assert list((encoder.parent / "out" / "images").iterdir()) == []


class _Late(Silent):
    """A listener under which the minutes of an audit pass as soon as a stage begins."""

    def __init__(self, stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._stage, self._late = stage, 0.0
        clock = SimpleNamespace(monotonic=lambda: time.monotonic() + self._late)
        monkeypatch.setattr(deadline, "time", clock)

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Advance]:
        if name == self._stage:
            self._late = 1e6
        with super().stage(name, total) as advance:
            yield advance


def test_the_minutes_end_the_changes(
    encoder: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch, unprinted: None
) -> None:
    late = _Late("Changing pictures", monkeypatch)
    record, _ = stopped(encoder, pictures, late, minutes=10)
    assert record.coverage.unfinished == "Its 10 minutes were over."
    assert record.embedding is not None
    assert record.embedding.changes == ()


def test_the_plan_counts_the_vectors(encoder: Path, pictures: Path) -> None:
    found = inspect(encoder, samples=[str(pictures)], progress=Silent(), **QUICK).plan
    assert (found.changed, found.likened) == (CHANGES * CHANGED, 0)
    assert f"vectors of {CHANGES * CHANGED} changed pictures" in found.sentence
    values = {**QUICK, "effort": "standard"}
    more = inspect(encoder, samples=[str(pictures)], progress=Silent(), **values).plan
    assert (more.changed, more.likened) == (CHANGES * COUNT, 6)
    assert "and 6 regions that make two alike" in more.sentence


def test_an_encoder_is_loaded_once(
    encoder: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = []

    def counted(*given: Any, **more: Any) -> Any:
        loaded.append(given[0])
        return load(*given, **more)

    monkeypatch.setattr("leap_audit.pipeline.reading.load", counted)
    inspect(encoder, samples=[str(pictures)], progress=Silent(), **QUICK)
    assert loaded == [encoder]


def test_an_audit_of_an_encoder_is_repeated_exactly(
    encoder: Path, pictures: Path, unprinted: None
) -> None:
    values = {**QUICK, "prototype": {"steps": 4}, "batch": 3, "vectors": {"pairs": 1}}
    out = encoder.parent / "out"
    audit(encoder, samples=[str(pictures)], out=out, progress=Silent(), **values)
    assert rerun(Audit.read(out), encoder, None).differences == []
