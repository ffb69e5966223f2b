"""The appendix points at parts that the report has, and never claims compliance."""

import re
from pathlib import Path

from leap_audit.report import render_html
from leap_audit.report.limits import requirements
from tests.report.conftest import Build


def test_every_piece_of_evidence_is_a_part_of_the_report(build: Build, folder: Path) -> None:
    anchors = set(re.findall(r'id="([^"]+)"', render_html(build(), folder)))
    named = {anchor for each in requirements().each for anchor, _ in each.evidence}
    assert named <= anchors
    assert all(each.asks and each.not_shown for each in requirements().each)


def test_it_is_dated_and_claims_nothing(build: Build, folder: Path) -> None:
    html = render_html(build(), folder)
    assert f"As of {requirements().as_of}" in html
    assert re.search(r"\b20\d\d$", requirements().as_of)
    assert not re.search(r"\bcompli(ant|es|ance)\b", html, re.IGNORECASE)
