"""What the command line says at the end of an audit."""

from pathlib import Path

import pytest

from leap_audit.cli.answers import lines_of
from tests.builders.audits import make_audit, with_pictures
from tests.builders.sides import finding


@pytest.mark.parametrize(
    ("found", "last"),
    [
        (2, "  medium: title of b"),
        (3, "  and 1 more finding in the report"),
        (4, "  and 2 more findings in the report"),
    ],
)
def test_findings_that_are_not_listed_are_counted(tmp_path: Path, found: int, last: str) -> None:
    audit = make_audit(with_pictures(tmp_path), samples=1).model_copy(
        update={"findings": tuple(map(finding, "abcd"[:found]))}
    )
    lines = lines_of(audit, limit=2)
    assert "2 of 3 classes, 1 photograph. Verdict" in lines[0]
    assert lines[-1] == last
