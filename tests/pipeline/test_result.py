"""The card of an audit: a few lines in Python, HTML in a notebook, and the way to the report."""

import webbrowser
from pathlib import Path

import pytest

from leap_audit.artifacts import Audit, Finding
from leap_audit.pipeline import AuditResult
from tests.builders.audits import make_audit, with_pictures


def finding(number: int) -> Finding:
    return Finding(
        id=f"f:{number}",
        severity="medium",
        title=f"<b>Finding</b>\u202e {number}",
        evidence="",
        limits="",
        action="Do it.",
    )


def result(folder: Path, findings: int, **changes: object) -> AuditResult:
    audit: Audit = make_audit(with_pictures(folder), findings=(), **changes)
    listed = tuple(finding(number) for number in range(findings))
    return AuditResult(folder, audit.model_copy(update={"findings": listed}))


def test_the_card_in_lines(tmp_path: Path) -> None:
    card = repr(result(tmp_path, 7)).splitlines()
    assert card[0].startswith("Audit of ")
    assert card[1:3] == ["  Verdict   NOT ASSESSED", "  Concern   medium"]
    assert card[3] == "  Finding   medium: <b>Finding</b>[U+202E] 0"
    assert len([line for line in card if "Finding " in line]) == 5
    assert card[-2].strip() == "and 2 more findings"
    assert card[-1] == f"  Report    {tmp_path / 'report.html'}"
    assert len("\n".join(card)) < 1000


def test_the_card_without_findings(tmp_path: Path) -> None:
    card = repr(result(tmp_path, 0))
    assert "Concern   none" in card
    assert "more finding" not in card


def test_the_card_of_a_notebook(tmp_path: Path) -> None:
    page = result(tmp_path, 6, prototypes=3, verdict="PASS")._repr_html_()
    assert page.count("<img ") == 3
    assert "&lt;b&gt;Finding&lt;/b&gt;[U+202E] 4" in page
    assert "and 1 more finding" in page
    assert "<strong>PASS</strong>" in page
    assert "Do it." in page
    assert (tmp_path / "report.html").as_uri() in page
    assert "<script" not in page


def test_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: not opened.append(url))
    done = result(tmp_path, 0)
    assert done.report == tmp_path / "report.html"
    assert done.open() is True
    assert opened == [done.report.resolve().as_uri()]
