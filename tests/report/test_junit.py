"""JUnit XML, read by a library as CI servers do, whatever the names are."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import junitparser
import pytest

from leap_audit.artifacts import Check, Finding, PolicyIdentity, Verdict
from leap_audit.errors import OutputRefused
from leap_audit.report.junit import hold_place, junit_of_audit, junit_of_refusal
from tests.report.conftest import Build

HOSTILE = "]]><x>&\"'\x00\x1b[31m\ufffe\udc80\u202e\n" + "y" * 300


def check(name: str, status: Verdict, required: bool = False) -> Check:
    return Check(
        id=name,
        question="Is it?",
        status=status,
        measured=f"It is {HOSTILE}",
        threshold="At least 1.",
        required=required,
    )


CHECKS = (
    check("good", "PASS"),
    check("fair", "WARN"),
    check("bad", "FAIL"),
    check("open", "NOT ASSESSED"),
    check("missing", "NOT ASSESSED", required=True),
)
POLICY = PolicyIdentity(name="release", file="release.toml", sha256="0" * 64)


def parsed(data: bytes) -> junitparser.TestSuite:
    """Return the one suite, after the rules that the schemas of Jenkins and Ant have in common."""
    root = ElementTree.fromstring(data)
    assert root.tag == "testsuites"
    (raw,) = root
    assert [child.tag for child in raw][:1] in (["properties"], ["testcase"])
    for case in raw.iter("testcase"):
        assert {"name", "classname", "time"} <= set(case.attrib)
        outcomes = [child.tag for child in case if child.tag != "system-out"]
        assert len(outcomes) <= 1
        assert set(outcomes) <= {"failure", "error", "skipped"}
    suite = next(iter(junitparser.JUnitXml.fromstring(data)))
    cases: list[Any] = list(suite)
    counted = dict.fromkeys(("failures", "errors", "skipped"), 0)
    kinds = {
        junitparser.Failure: "failures",
        junitparser.Error: "errors",
        junitparser.Skipped: "skipped",
    }
    for case in cases:
        for outcome in case.result:
            counted[kinds[type(outcome)]] += 1
    assert suite.tests == len(cases)
    assert {name: getattr(suite, name) for name in counted} == counted
    return suite


def outcomes(suite: junitparser.TestSuite) -> dict[str, str]:
    return {case.name: (case.result[0]._tag if case.result else "passed") for case in suite}


def test_every_check_is_a_case(build: Build) -> None:
    audit = build(policy=POLICY, checks=CHECKS, verdict="FAIL", findings=())
    suite = parsed(junit_of_audit(audit))
    assert outcomes(suite) == {
        "audit-complete": "passed",
        "good": "passed",
        "fair": "passed",
        "bad": "failure",
        "open": "skipped",
        "missing": "error",
    }
    said = {case.name: case for case in suite}
    assert said["fair"].system_out.startswith("WARN. Is it? It is ]]><x>&")
    assert "Threshold: At least 1." in said["bad"].result[0].message
    assert "[U+0000][U+001B][31m[U+FFFE][U+DC80][U+202E][U+000A]" in said["bad"].result[0].message
    properties = {each.name: each.value for each in suite.properties()}
    assert properties["verdict"] == "FAIL"
    assert properties["policy-sha256"] == POLICY.sha256
    assert junit_of_audit(audit) == junit_of_audit(audit)


def test_the_model_the_values_and_the_findings(build: Build) -> None:
    """CI servers show classname and message; both must say what the case is about."""
    checks = (
        check("good", "PASS").model_copy(update={"value": 0.9128567}),
        check("bad", "FAIL").model_copy(update={"value": 2.0}),
    )
    finding = Finding(
        id="one-corner:3",
        severity="high",
        title="One corner decides ‘three’",
        evidence="In 20 of 23 images.",
        action="Cover the corner.",
        limits="",
    )
    audit = build(policy=POLICY, checks=checks, findings=(finding,), verdict="FAIL")
    suite = parsed(junit_of_audit(audit))
    cases = {case.name: case for case in suite}
    model = audit.model.file.replace(".", "_")
    assert cases["good"].classname == f"leap-audit.{model}.checks"
    assert cases["one-corner:3"].classname == f"leap-audit.{model}.findings"
    assert "Value: 0.912857. Threshold:" in cases["good"].system_out
    assert "Value: 2. Threshold:" in cases["bad"].result[0].message
    assert outcomes(suite)["one-corner:3"] == "skipped"
    assert cases["one-corner:3"].result[0].message == (
        "high: One corner decides ‘three’. In 20 of 23 images. Cover the corner."
    )
    counted = {each.name: each.value for each in suite.properties()}
    assert (counted["findings-high"], counted["findings-low"]) == ("1", "0")


def test_an_incomplete_audit_is_an_error_throughout(build: Build) -> None:
    checks = (check("open", "NOT ASSESSED"), check("bad", "FAIL"))
    audit = build(policy=POLICY, checks=checks, status="incomplete", verdict="FAIL", findings=())
    suite = parsed(junit_of_audit(audit))
    assert outcomes(suite) == {"audit-complete": "error", "open": "error", "bad": "failure"}
    assert "INCOMPLETE" in next(iter(suite)).result[0].message


@pytest.mark.parametrize("status", ["complete", "incomplete"])
def test_without_a_policy_nothing_passes_but_completeness(build: Build, status: str) -> None:
    suite = parsed(junit_of_audit(build(status=status, findings=())))
    complete = "passed" if status == "complete" else "error"
    assert outcomes(suite) == {"audit-complete": complete, "policy": "skipped"}


def test_a_hostile_name_is_a_name(build: Build) -> None:
    audit = build(policy=POLICY, checks=(check(HOSTILE, "PASS"),))
    names = list(outcomes(parsed(junit_of_audit(audit))))
    assert names[1].startswith("]]><x>&\"'[U+0000]")
    assert len(names[1]) < 150


def test_a_refusal_is_one_error() -> None:
    suite = parsed(junit_of_refusal(HOSTILE))
    assert outcomes(suite) == {"audit": "error"}
    assert "[U+0000]" in next(iter(suite)).result[0].message


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("model.onnx", "is not called .xml"),
        ("none/j.xml", "is no folder"),
        ("audit/j.xml", "replaced as a whole"),
    ],
)
def test_a_bad_place_is_refused(tmp_path: Path, name: str, says: str) -> None:
    audit = tmp_path / "audit"
    audit.mkdir()
    with pytest.raises(OutputRefused, match=says):
        hold_place(tmp_path / name, audit)
    given: Any = tmp_path / "j.XML"
    hold_place(given, audit)
