"""The appendix points at parts that the report has, and never claims compliance."""

import re
from pathlib import Path

from leap_audit.report import render_html
from leap_audit.report.limits import limits_of, requirements
from tests.builders.audits import changed
from tests.builders.pages import Page
from tests.builders.vectors import vectors
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


def test_centroids_of_the_photographs_are_no_accuracy(build: Build, folder: Path) -> None:
    for kind, said in (("named", False), ("classes", True)):
        audit = build(embedding=vectors(kind=kind))
        samples = tuple(each.model_copy(update={"known": 0}) for each in audit.samples)
        audit = changed(audit, samples=samples)
        page = Page(render_html(audit, folder)).text
        assert ("The centroids were made of them, so this is no accuracy." in page) is said
        assert ("Right on " in page) is not said
        titles = {each.title for each in limits_of(audit)}
        assert ("No accuracy was measured" in titles) is said
