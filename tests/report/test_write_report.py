import json
from pathlib import Path

from leap_audit.report import write_report
from tests.report.conftest import Build


def test_the_folder_holds_every_view_and_the_same_bytes_twice(build: Build, folder: Path) -> None:
    names = ("audit.json", "results.csv", "report.html", "report.pdf")
    audit = build(prototypes=1, samples=0)
    write_report(audit, folder)
    first = [(folder / name).read_bytes() for name in names]
    assert json.loads(first[0])["schema"] == "leap-audit/1"
    assert first[3].startswith(b"%PDF-")
    write_report(audit, folder)
    assert [(folder / name).read_bytes() for name in names] == first
