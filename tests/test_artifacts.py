"""audit.json is read back as it was written, or refused in one sentence."""

import json
from pathlib import Path

import pytest

from leap_audit.artifacts import SCHEMA, Audit
from leap_audit.artifacts.audit import LARGEST
from leap_audit.artifacts.plausible import implausible
from leap_audit.errors import AuditRefused
from tests.builders.audits import make_audit, with_pictures


def test_it_is_read_back(tmp_path: Path) -> None:
    audit = make_audit(with_pictures(tmp_path))
    audit.write(tmp_path)
    assert Audit.read(tmp_path) == audit
    assert Audit.read(tmp_path / "audit.json") == audit


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "no schema"),
        (b'{"schema": "leap-audit/9"}', "'leap-audit/9', not 'leap-audit/1'"),
        (json.dumps({"schema": SCHEMA}).encode(), "is not a whole audit"),
    ],
)
def test_what_is_no_audit_is_refused(tmp_path: Path, data: bytes, says: str) -> None:
    (tmp_path / "audit.json").write_bytes(data)
    with pytest.raises(AuditRefused, match=r"audit\.json") as refused:
        Audit.read(tmp_path)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_folder_without_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AuditRefused, match="there is no audit"):
        Audit.read(tmp_path)


def test_a_huge_one_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "audit.json").open("wb") as file:
        file.truncate(LARGEST + 1)
    with pytest.raises(AuditRefused, match="too large"):
        Audit.read(tmp_path)


def test_inputs_of_a_model_may_be_called_like_fields() -> None:
    found = {"classes": ["cat", "dog"], "config": {"set": {"target": 3, "class": [-1, 7]}}}
    assert implausible(found) == ""
    assert implausible(found | {"prototypes": [{"target": 3}]}) == "class 3 of 2"
