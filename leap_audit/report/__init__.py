"""The views of an audit: results.csv, report.html and report.pdf beside audit.json."""

from pathlib import Path

from leap_audit.artifacts import Audit
from leap_audit.artifacts.audit import FILE
from leap_audit.report.html import render_html
from leap_audit.report.pdf import render_pdf
from leap_audit.report.selection import for_print
from leap_audit.report.table import results_table, write_table

__all__ = ["print_report", "render_html", "render_pdf", "results_table", "write_report"]


def write_report(audit: Audit, folder: Path) -> None:
    """Write audit.json, results.csv, report.html and report.pdf into `folder`.

    The pictures the audit names must already lie there. Every view shows the audit and these
    pictures and nothing else, so the same audit gives the same bytes.

    Raises PictureRefused: a picture the audit names is missing or outside `folder`.
    """
    audit.write(folder)
    write_table(audit, folder / "results.csv")
    html = render_html(audit, folder)
    (folder / "report.html").write_text(html, encoding="utf-8", newline="\n")
    (folder / "report.pdf").write_bytes(print_report(audit, folder))


def print_report(audit: Audit, folder: Path) -> bytes:
    """Return the report as PDF, with the audit.json of `folder` inside.

    The pages hold what a reviewer needs to decide; all tables, and all prototypes and photographs
    of a large audit, are in the HTML and in audit.json.
    Raises PictureRefused: a picture the audit names is missing or outside `folder`.
    """
    printed = render_html(audit, folder, for_print(audit), paper=True)
    return render_pdf(printed, {FILE: (folder / FILE).read_bytes()})
