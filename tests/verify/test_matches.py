"""What verify finds: everything in order, and each thing that is not."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from leap_audit.artifacts import Audit
from leap_audit.errors import PictureRefused
from leap_audit.verify import views
from leap_audit.verify.matches import WRONG, Row, match_files, match_folder
from leap_audit.verify.views import match_views
from tests.verify.conftest import Audited


def rows(audited: Audited) -> list[Row]:
    audit = Audit.read(audited.folder)
    found = match_files(audit, audited.model, audited.classes, [audited.photos])
    return found + match_folder(audit, audited.folder)


def wrong(found: list[Row]) -> list[tuple[str, str, str]]:
    return [(row.kind, Path(row.file).name, row.state) for row in found if row.state in WRONG]


def test_an_untouched_audit_matches(audited: Audited) -> None:
    found = rows(audited)
    assert {row.state for row in found} == {"matches"}
    assert [row.kind for row in found] == ["model", "classes", "photographs", "pictures"]
    assert len(Audit.read(audited.folder).files) == len(list(audited.folder.glob("images/*")))


def test_views_whose_pictures_are_gone(audited: Audited) -> None:
    (audited.folder / "images/sample-0000.png").unlink()
    (found,) = match_views(Audit.read(audited.folder), audited.folder)
    assert found.state == "differs"
    assert "sample-0000.png" in found.about


def append(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


Change = Callable[[Audited], None]
CHANGES: dict[str, tuple[Change, tuple[str, str, str]]] = {
    "the model": (lambda a: append(a.model), ("model", "digits_clean.onnx", "differs")),
    "no model": (lambda a: a.model.unlink(), ("model", "digits_clean.onnx", "missing")),
    "the classes": (lambda a: append(a.classes), ("classes", "digits.txt", "differs")),
    "a photograph": (
        lambda a: append(a.photos / "picture 0.png"),
        ("photograph", "picture 0.png", "differs"),
    ),
    "one photograph less": (
        lambda a: (a.photos / "picture 1.png").unlink(),
        ("photograph", "picture 1.png", "missing"),
    ),
    "one photograph more": (
        lambda a: (a.photos / "x.png").write_bytes((a.photos / "picture 0.png").read_bytes()),
        ("photograph", "x.png", "new"),
    ),
    "a picture": (
        lambda a: append(a.folder / "images/sample-0000.png"),
        ("picture", "sample-0000.png", "differs"),
    ),
    "one picture less": (
        lambda a: (a.folder / "images/sample-0000.png").unlink(),
        ("picture", "sample-0000.png", "missing"),
    ),
    "one picture more": (
        lambda a: (a.folder / "images/x.png").write_bytes(b""),
        ("picture", "x.png", "new"),
    ),
    "a strange file": (
        lambda a: (a.folder / "notes.txt").write_bytes(b""),
        ("folder", "notes.txt", "new"),
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_each_change_is_found(audited: Audited, name: str) -> None:
    change, told = CHANGES[name]
    change(audited)
    found = wrong(rows(audited))
    if name == "one photograph more":  # its bytes are those of another: either is the new one
        assert [(kind, state) for kind, _, state in found] == [("photograph", "new")]
    else:
        assert found == [told]


def test_what_is_not_given_or_recorded_is_said(audited: Audited) -> None:
    audit = Audit.read(audited.folder).model_copy(update={"files": {}})
    found = match_files(audit, None, None, []) + match_folder(audit, audited.folder)
    assert [(row.kind, row.state) for row in found] == [
        ("model", "not given"),
        ("classes", "not given"),
        ("photographs", "not given"),
        ("pictures", "not recorded"),
    ]
    nameless = audit.model.model_copy(update={"classes_file": None, "classes_sha256": None})
    audit = audit.model_copy(update={"model": nameless, "samples": ()})
    assert [row.kind for row in match_files(audit, None, None, [])] == ["model"]
    said = match_files(audit, None, audited.classes, [])[1]
    assert (said.kind, said.state) == ("classes", "not recorded")
    with pytest.raises(PictureRefused):
        match_files(audit, None, None, [audited.folder / "none"])


def test_views_follow_from_the_audit(audited: Audited, monkeypatch: pytest.MonkeyPatch) -> None:
    audit = Audit.read(audited.folder)
    found = match_views(audit, audited.folder)
    assert [(row.file, row.state) for row in found] == [
        ("results.csv", "matches"),
        ("report.html", "matches"),
        ("report.pdf", "matches"),
    ]
    pdf = (audited.folder / "report.pdf").read_bytes()
    monkeypatch.setattr(views, "print_report", lambda *_: pdf)  # it is slow, and was compared above
    append(audited.folder / "report.pdf")
    append(audited.folder / "report.html")
    (audited.folder / "results.csv").unlink()
    states = [row.state for row in match_views(audit, audited.folder)]
    assert states == ["missing", "differs", "differs"]
    path = audited.folder / "audit.json"
    changed = json.loads(path.read_bytes())
    changed["environment"]["versions"]["weasyprint"] = "1.0"
    changed["notes"] = []
    path.write_text(json.dumps(changed))
    *_, html, printed = match_views(Audit.read(audited.folder), audited.folder)
    assert html.state == "differs"
    assert (printed.state, printed.about[:19]) == ("cannot be told", "weasyprint 1.0 then")
