import logging
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from weasyprint import HTML
from weasyprint.formatting_structure import boxes
from weasyprint.urls import FatalURLFetchingError

from leap_audit.report import render_html, render_pdf
from leap_audit.report.pdf import data_only
from tests.builders.pages import HOSTILE
from tests.report.conftest import Build

UNKNOWN_TO_WEASYPRINT = "print-color-adjust"
"""For browsers that print the page."""


def text_of(pdf: bytes, folder: Path) -> str:
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext is not installed")
    (folder / "x.pdf").write_bytes(pdf)
    done = subprocess.run(
        ["pdftotext", "-layout", folder / "x.pdf", "-"], check=True, capture_output=True
    )
    return done.stdout.decode()


def running_out(html: str) -> list[str]:
    """Return the lines of text in cells that are wider than their cell."""
    cells = [
        cell
        for page in HTML(string=html).render().pages
        for cell in page._page_box.descendants()
        if isinstance(cell, boxes.TableCellBox)
    ]
    return [
        text.text
        for cell in cells
        for text in cell.descendants()
        if isinstance(text, boxes.TextBox)
        and not (
            cell.position_x - 0.5
            <= text.position_x
            <= cell.position_x + cell.border_width() + 0.5 - text.width
        )
    ]


def test_the_pdf_is_the_report(
    build: Build, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    html = render_html(build(), folder)
    with caplog.at_level(logging.WARNING):
        pdf = render_pdf(html)
    said = [each.getMessage() for each in caplog.records if each.name.startswith("weasyprint")]
    assert [each for each in said if UNKNOWN_TO_WEASYPRINT not in each] == []
    text = text_of(pdf, folder)
    about = subprocess.run(
        ["pdfinfo", "-isodates", folder / "x.pdf"], check=True, capture_output=True, text=True
    ).stdout
    assert re.search(r"CreationDate: +2026-03-04T05:06:07", about)
    assert re.search(r"Tagged: +yes", about)
    pages = text.split("\f")[:-1]
    assert 6 <= len(pages) <= 10
    for number, page in enumerate(pages, 1):
        assert f"Page {number} of {len(pages)}" in page
        if number > 1:
            assert "model.onnx" in page
            assert "abababababab" in page
            assert "Audit COMPLETE" in page
    assert "Reviewer" in pages[0]
    assert "NOT ASSESSED" in pages[0]
    flat = re.sub(r"\s+", " ", text)
    assert "What this audit cannot show" in flat
    assert "SR 26-2" in flat


def test_no_figure_runs_out_of_its_column(build: Build, folder: Path) -> None:
    assert running_out(render_html(build(), folder, paper=True)) == []


def test_a_figure_that_runs_out_of_its_column_is_noticed() -> None:
    table = "<table style='width: 2cm; table-layout: fixed'><td style='white-space: nowrap'>"
    assert running_out(f"{table}one two three four five") == ["one two three four five"]
    assert running_out(f"{table}one") == []


def test_no_page_says_only_that_there_were_no_photographs(build: Build, folder: Path) -> None:
    html = render_html(build(samples=0), folder)
    (page,) = (
        p for p in text_of(render_pdf(html), folder).split("\f") if "Not measured: there" in p
    )
    assert "Method" in page


def test_an_incomplete_audit_says_so_on_every_page(build: Build, folder: Path) -> None:
    audit = build(status="incomplete", prototypes=0, samples=0)
    pages = text_of(render_pdf(render_html(audit, folder)), folder).split("\f")[:-1]
    assert all("INCOMPLETE" in page for page in pages)


def test_hostile_names_are_text_in_the_pdf(build: Build, folder: Path) -> None:
    audit = build(classes=HOSTILE, prototypes=9, isolations=0, samples=0)
    text = text_of(render_pdf(render_html(audit, folder)), folder)
    flat = re.sub(r"\s+", " ", text)
    assert "<img src=x onerror=alert(1)>" in flat
    assert "a[U+202E]gnp.exe" in flat
    assert "x" * 65 not in flat
    assert "{{ 7 * 7 }}" in flat
    assert not re.search("[\u202a-\u202e\x00\x1b]", text)


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "http://example.org/x.png", "https://example.org", "ftp://x", "x.png"],
)
def test_nothing_but_data_is_fetched(url: str) -> None:
    with pytest.raises(FatalURLFetchingError):
        data_only(url)


def test_a_report_that_asks_for_a_file_is_not_finished() -> None:
    with pytest.raises(FatalURLFetchingError):
        render_pdf('<img src="file:///etc/hostname" alt="">')
    with pytest.raises(FatalURLFetchingError):
        render_pdf("<style>@import url(http://example.org/x.css)</style>")
