"""An audit repeated: equal where it must be, and named where it is not."""

from pathlib import Path

import pytest

from leap_audit.artifacts import Audit
from leap_audit.errors import AuditRefused, UsageError
from leap_audit.verify.rerun import ChangedField, differences, rerun
from tests.verify.conftest import Audited


def test_the_same_machine_gives_the_same_audit(audited: Audited) -> None:
    audit = Audit.read(audited.folder)
    again = rerun(audit, audited.model, audited.classes, [audited.photos])
    assert again.differences == []
    assert again.versions == []


def test_another_seed_gives_another_audit(audited: Audited) -> None:
    audit = Audit.read(audited.folder)
    environment = audit.environment.model_copy(
        update={"versions": audit.environment.versions | {"numpy": "1.0"}}
    )
    changed = audit.model_copy(
        update={"config": audit.config | {"seed": 7}, "environment": environment}
    )
    again = rerun(changed, audited.model, audited.classes, [audited.photos])
    paths = [each.path for each in again.differences]
    assert "environment.seed" in paths
    assert "prototypes.0.logit" in paths
    assert any(path.startswith("files.") for path in paths)
    assert not any(path.startswith(("environment.versions", "config")) for path in paths)
    assert again.versions[0].startswith("numpy 1.0 then, ")


def test_what_cannot_be_repeated(audited: Audited) -> None:
    audit = Audit.read(audited.folder)
    with pytest.raises(UsageError, match="pass --model"):
        rerun(audit, None, audited.classes)
    with pytest.raises(UsageError, match=r"list of classes, 'digits\.txt'"):
        rerun(audit, audited.model, None)
    with pytest.raises(AuditRefused, match="interrupted"):
        rerun(audit.model_copy(update={"status": "incomplete"}), audited.model, audited.classes)


@pytest.mark.parametrize(
    ("then", "now", "found"),
    [
        ({"a": [1, 2]}, {"a": [1, 2]}, []),
        ({"a": 1}, {"a": 1.0}, [("a", "1", "1.0")]),
        ({"a": True}, {"a": 1}, [("a", "true", "1")]),
        ({"a": [1, {"b": None}]}, {"a": [1, {"b": 0.5}]}, [("a.1.b", "null", "0.5")]),
        ({"a": [1]}, {"a": [1, 2]}, [("a.1", '"absent"', "2")]),
        ({"a": 1}, {"b": 2}, [("a", "1", '"absent"'), ("b", '"absent"', "2")]),
        ({"skip": 1, "a": {"skip": 1}}, {"skip": 2, "a": {"skip": 2}}, [("a.skip", "1", "2")]),
        ({"a": "x" * 99}, {"a": {}}, [("a", '"' + "x" * 56 + "...", "{}")]),
    ],
)
def test_differences_are_named_by_their_place(then: object, now: object, found: object) -> None:
    told = list(differences(then, now, frozenset({"skip"})))
    assert told == [ChangedField(*each) for each in found]  # type: ignore[attr-defined]


def test_photographs_stay_where_they_were(audited: Audited, original: Audited) -> None:
    audit = Audit.read(audited.folder)
    assert [Path(each) for each in audit.config["samples"]] == [original.photos]
