"""Render the views of an audit again and compare them byte by byte."""

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from leap_audit.artifacts import Audit
from leap_audit.errors import PictureRefused
from leap_audit.files import read_regular
from leap_audit.pipeline.environment import versions
from leap_audit.report import print_report, render_html
from leap_audit.report.table import write_table
from leap_audit.verify.matches import Row

__all__ = ["differing_versions", "match_views"]

LARGEST_VIEW = 1 << 30
DECIDES = {
    "results.csv": ("leap-audit",),
    "report.html": ("leap-audit", "pillow"),
    "report.pdf": ("leap-audit", "pillow", "weasyprint", "platform"),  # the platform has the fonts
}
"""View -> what must be the same for it to have the same bytes."""


def match_views(audit: Audit, folder: Path, pictures: Path | None = None) -> list[Row]:
    """Return a row for each view of the audit: results.csv, report.html, report.pdf.

    pictures: the folder with audit.json and the decoded pictures; None: the same folder.

    A view that differs is only called so where the versions that decide its bytes are those of
    the audit; elsewhere it cannot be told. Where a picture is missing, one row says so.
    """
    return list(_rows(audit, folder, pictures or folder))


def differing_versions(audit: Audit, names: tuple[str, ...] | None = None) -> list[str]:
    """Return what is not as the audit had it, of these packages or of all: 'pillow 12 then, 13'."""
    then, now = audit.environment.versions, versions()
    looked = sorted(then.keys() | now.keys()) if names is None else names
    return [
        f"{name} {then.get(name, 'none')} then, {now.get(name, 'none')} now"
        for name in looked
        if then.get(name) != now.get(name)
    ]


def _rows(audit: Audit, folder: Path, pictures: Path) -> Iterator[Row]:
    try:
        html = render_html(audit, pictures)
    except PictureRefused as error:
        yield Row("view", "report.html", "differs", f"cannot be rendered again: {error}")
        return
    made: dict[str, Callable[[], bytes]] = {
        "results.csv": lambda: _table(audit),
        "report.html": html.encode,
        "report.pdf": lambda: print_report(audit, pictures),
    }
    for name, render in made.items():
        path = folder / name
        if path.is_symlink() or not path.is_file():
            yield Row("view", name, "missing")
        elif read_regular(path, LARGEST_VIEW) == render():
            yield Row("view", name, "matches", "follows from audit.json")
        elif others := differing_versions(audit, DECIDES[name]):
            yield Row("view", name, "cannot be told", "; ".join(others))
        else:
            yield Row("view", name, "differs", "does not follow from audit.json")


def _table(audit: Audit) -> bytes:
    with TemporaryDirectory() as scratch:
        path = Path(scratch) / "results.csv"
        write_table(audit, path)
        return path.read_bytes()
