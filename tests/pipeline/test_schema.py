"""The published schema is the one audits are written by, and a real audit keeps to it."""

import json
from typing import Any

import jsonschema
import pytest

from leap_audit.pipeline import AuditResult
from leap_audit.policy import judge, read_policy
from tools.audit_schema import OUT_OF_DATE, PAGE, schema


@pytest.fixture(scope="module")
def published() -> dict[str, Any]:
    return dict(json.loads(PAGE.read_text(encoding="utf-8")))


def test_the_published_schema_is_current(published: dict[str, Any]) -> None:
    assert published == schema(), OUT_OF_DATE


def test_it_is_a_schema_that_says_what_fields_mean(published: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(published)
    described = {
        (kind, name)
        for kind, each in published["$defs"].items()
        for name, field in each["properties"].items()
        if field.get("description")
    }
    assert {("Isolation", "area"), ("Check", "measured"), ("Stability", "similarity")} <= described
    assert "class" in published["$defs"]["Isolation"]["properties"]


def test_a_real_audit_keeps_to_it(finished: AuditResult, published: dict[str, Any]) -> None:
    validator = jsonschema.Draft202012Validator(published)
    audit = json.loads((finished.folder / "audit.json").read_text(encoding="utf-8"))
    assert list(validator.iter_errors(audit)) == []
    judged = judge(finished.audit, read_policy("default")).model_dump_json(by_alias=True)
    assert list(validator.iter_errors(json.loads(judged))) == []
    for change in ({"verdict": "MAYBE"}, {"unknown": 1}, {"prototypes": [{}]}):
        assert list(validator.iter_errors(audit | change))
