"""A report of many prototypes and photographs on paper: some in full, all in an index."""

import re
from pathlib import Path

import pytest

from leap_audit import report
from leap_audit.artifacts import EvidencePicture, Finding
from leap_audit.report import render_html, write_report
from leap_audit.report.selection import Selection, everything, for_print
from tests.builders.pages import Page, assert_sound
from tests.report.conftest import Build


def about(*classes: int, image: str = "") -> Finding:
    pictures = (EvidencePicture(image=image, caption="it"),) if image else ()
    return Finding(
        id="rule", severity="high", title="t", evidence="e", limits="l", classes=classes,
        pictures=pictures,
    )  # fmt: skip


def test_what_fits_is_shown_whole(build: Build) -> None:
    audit = build(prototypes=3, samples=2)
    assert for_print(audit) == everything(audit)
    assert for_print(audit).whole(audit)


def test_findings_come_first_then_the_order_of_the_audit(build: Build) -> None:
    classes = tuple(f"class {n}" for n in range(9))
    audit = build(classes=classes, prototypes=9, samples=0)
    audit = audit.model_copy(update={"findings": (about(7), about(4, 5))})
    assert for_print(audit, 4).prototypes == {7, 4, 5, 0}
    assert for_print(audit, 2).prototypes == {7, 4}
    assert not for_print(audit, 4).whole(audit)


def test_photographs_of_findings_then_mistakes_come_first(build: Build) -> None:
    audit = build(prototypes=0, samples=9, isolations=0)
    samples = [
        each.model_copy(update={"image": f"images/{n}.png", "known": 1 if n == 6 else 0})
        for n, each in enumerate(audit.samples)
    ]
    findings = (about(image="images/8.png"),)
    audit = audit.model_copy(update={"samples": tuple(samples), "findings": findings})
    assert for_print(audit, samples=3).samples == {8, 6, 0}


def test_photographs_of_each_class_have_their_turn(build: Build) -> None:
    audit = build(prototypes=0, samples=9, isolations=0)
    (first, *_) = audit.samples
    known = [0, 0, 0, 1, 1, 1, None, None, 2]
    samples = []
    for n, class_ in enumerate(known):
        (answer, *others) = first.predicted
        right = answer.model_copy(update={"class_": class_ or 0})
        changes = {"image": f"images/{n}.png", "known": class_, "predicted": (right, *others)}
        samples.append(first.model_copy(update=changes))
    audit = audit.model_copy(update={"samples": tuple(samples), "findings": ()})
    assert for_print(audit, samples=5).samples == {0, 3, 6, 7, 8}
    assert for_print(audit, samples=7).samples == {0, 3, 6, 7, 8, 1, 4}


def test_many_have_an_index(build: Build, folder: Path) -> None:
    classes = tuple(f"class {n}" for n in range(13))
    audit = build(classes=classes, prototypes=13, samples=13, isolations=0)
    html = render_html(audit, folder, Selection(frozenset({1}), frozenset({2})))
    assert re.findall(r'<article class="plate"[^>]*"prototype-(\d)"', html) == ["2"]
    assert re.findall(r'<article class="sample"[^>]*"photograph-(\d)"', html) == ["3"]
    for anchor in ("prototype-1", "prototype-13", "photograph-1", "photograph-2"):
        assert html.count(f'<div class="thumbnail" id="{anchor}">') == 1
    for anchor in ("prototype-2", "photograph-3"):  # the first also from the cover
        assert html.count(f'<a class="thumbnail" href="#{anchor}">') == 2 - (anchor[:2] == "ph")
    page = Page(html)
    assert_sound(page)
    text = page.text
    assert "1 of 13 are explained here" in text
    whole = Page(render_html(audit, folder))
    assert_sound(whole)
    assert "All prototypes" in whole.text
    assert "explained here" not in whole.text
    few = render_html(build(prototypes=3, samples=3), folder)
    assert "All prototypes" not in few
    assert "All photographs" not in few
    assert "1 are explained here; all are in report.html" in text


def test_paper_is_spared_and_the_page_is_not(
    build: Build, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = []
    monkeypatch.setattr(report, "render_pdf", lambda html, _: printed.append(html) or b"%PDF-")
    classes = tuple(f"class {n}" for n in range(12 + 6))
    write_report(build(classes=classes, prototypes=12 + 6, isolations=0), folder)
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count('<article class="plate"') == 12 + 6
    assert printed[0].count('<article class="plate"') == 12
    assert "<details" in page
    assert "<details" not in printed[0]  # the tables are on the screen
