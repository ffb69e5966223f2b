"""The form of the PDF: archival, tagged, complete in itself, and the same bytes every time."""

import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pikepdf
import pytest
from pikepdf import pdfa

from leap_audit.artifacts import Audit
from leap_audit.report import render_html, render_pdf
from leap_audit.report.selection import for_print
from tests.builders.audits import write_pictured_report
from tests.conftest import ROOT

WITHOUT_DATES = (
    '<!DOCTYPE html><html lang="en"><title>Small</title><h1>A</h1>'
    '<img alt="a dot" src="data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA="></html>'
)

WRITE = """
import sys
from pathlib import Path
from tests.builders.audits import write_pictured_report
write_pictured_report(Path(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of that report."""
    folder = tmp_path_factory.mktemp("audit")
    write_pictured_report(folder)
    return folder


@pytest.fixture
def pdf(written: Path) -> Iterator[pikepdf.Pdf]:
    with pikepdf.open(written / "report.pdf") as opened:
        yield opened


def test_a_validator_confirms_what_the_pdf_declares(written: Path, pdf: pikepdf.Pdf) -> None:
    report = pdfa.validate_written(written / "report.pdf", "3b")
    assert report.passed, report.summary()
    with pdf.open_metadata() as metadata:
        assert metadata.pdfa_status == "3B"
        assert metadata["dc:title"] == "Model audit of model.onnx"
        assert metadata["xmp:CreateDate"] == "2026-03-04T05:06:07Z"
        assert "pdfuaid:part" not in metadata


def test_the_validator_notices(pdf: pikepdf.Pdf) -> None:
    for image in pdf.objects:
        if isinstance(image, pikepdf.Stream) and image.get("/Subtype") == "/Image":
            image.Interpolate = True
    assert not pdfa.check(pdf, "3b").passed


def test_the_audit_is_embedded_as_the_source(written: Path, pdf: pikepdf.Pdf) -> None:
    assert list(pdf.attachments) == ["audit.json"]
    file = pdf.attachments["audit.json"].get_file()
    assert file.read_bytes() == (written / "audit.json").read_bytes()
    assert file.mime_type == "application/json"
    (associated,) = pdf.Root.AF
    assert associated.AFRelationship == "/Source"
    parameters = associated.EF.F.Params
    assert str(parameters.CreationDate) == str(parameters.ModDate) == "D:20260304050607Z"


def test_the_tags_follow_the_page(written: Path, pdf: pikepdf.Pdf) -> None:
    audit = Audit.read(written)
    html = render_html(audit, written, for_print(audit), paper=True)
    elements = list(_elements(pdf.Root.StructTreeRoot.K[0]))
    figures = [each for each in elements if each.S == "/Figure"]
    assert len(figures) == len(re.findall("<img ", html)) > 0
    assert all(str(each.get("/Alt", "")).strip() for each in figures)
    names = [str(each.S).lower() for each in elements]
    headings = [name[1:] for name in names if re.fullmatch("/h[1-6]", name)]
    assert headings == re.findall("<(h[1-6])[ >]", html)
    assert pdf.Root.MarkInfo.Marked
    assert str(pdf.Root.Lang) == "en"
    assert pdf.Root.ViewerPreferences.DisplayDocTitle


def test_there_are_bookmarks_of_the_chapters(pdf: pikepdf.Pdf) -> None:
    with pdf.open_outline() as outline:
        (top,) = outline.root
        assert top.title == "model.onnx"
        chapters = [each.title for each in top.children]
        assert chapters[:4] == ["Findings", "Checks", "How to read this report", "Prototypes"]
        (prototypes,) = [each for each in top.children if each.title == "Prototypes"]
        assert [each.title for each in prototypes.children] == ["cat class 0"]


def test_nothing_in_the_pdf_reaches_out_or_acts(pdf: pikepdf.Pdf) -> None:
    assert not {"/OpenAction", "/AA", "/AcroForm"} & set(pdf.Root.keys())
    assert set(pdf.Root.Names.keys()) == {"/EmbeddedFiles", "/Dests"}
    for each in pdf.objects:
        if isinstance(each, pikepdf.Dictionary | pikepdf.Stream):
            assert not {"/JS", "/URI", "/Launch", "/FFilter"} & set(each.keys())
            assert each.get("/S") not in ("/URI", "/Launch", "/GoToR", "/GoToE", "/JavaScript")
            assert each.get("/Subtype") != "/FileAttachment"


def test_a_page_without_dates_gives_a_pdf_without_dates() -> None:
    data = render_pdf(WITHOUT_DATES, {"old.json": b"{}", "new.json": b"[]"})
    assert data == render_pdf(WITHOUT_DATES, {"old.json": b"{}", "new.json": b"[]"})
    assert data != render_pdf(WITHOUT_DATES, {"old.json": b"{}", "new.json": b"[1]"})
    report = pdfa.validate_written(io.BytesIO(data), "3b")
    assert report.passed, report.summary()
    with pikepdf.open(io.BytesIO(data)) as pdf:
        assert len(pdf.Root.AF) == 2
        assert not [key for key in pdf.docinfo if "Date" in key]
        for each in pdf.Root.AF:
            assert set(each.EF.F.Params.keys()) == {"/CheckSum", "/Size"}


def test_another_process_writes_the_same_bytes(written: Path, tmp_path: Path) -> None:
    changes = {"PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo", "SOURCE_DATE_EPOCH": "0", "LC_ALL": "C"}
    subprocess.run(
        [sys.executable, "-c", WRITE, tmp_path], check=True, cwd=ROOT, env=os.environ | changes
    )
    files = {file.name for file in written.iterdir() if file.is_file()}
    assert files == {"audit.json", "results.csv", "report.html", "report.pdf"}
    assert [f for f in files if (written / f).read_bytes() != (tmp_path / f).read_bytes()] == []


def _elements(element: Any) -> Iterator[Any]:
    """Yield a structure element and everything below it, in reading order."""
    yield element
    kids = element.get("/K", [])
    for kid in kids if isinstance(kids, pikepdf.Array) else [kids]:
        if isinstance(kid, pikepdf.Dictionary) and "/S" in kid:
            yield from _elements(kid)
