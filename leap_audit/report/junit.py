"""The verdict as JUnit XML, which every CI server reads.

One suite: a test case for the audit itself, then one for each check of the policy, then one for
each finding. The classname is 'leap-audit', the name of the model's file, and 'checks' or
'findings'. JUnit has no word for a warning: a check that warns passes, and its output says so.
A finding alone passes or fails nothing, because the policy does that: its case is called by its
id, is skipped, and has its severity, title, evidence and action as the message.

    FAIL            a failure
    NOT ASSESSED    an error where the check was required or the audit is incomplete, else skipped
    WARN, PASS      passed

The value and the threshold of each check stand in its message or its output.
"""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

from leap_audit.artifacts import Audit, Check, Finding
from leap_audit.errors import OutputRefused
from leap_audit.report.wording import status_sentence
from leap_audit.text.names import shortened, visible

__all__ = ["hold_place", "junit_of_audit", "junit_of_refusal"]

_SUITE = "leap-audit"
_IMPOSSIBLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold, not even escaped."""


def hold_place(path: Path, folder: Path) -> None:
    """Refuse a place for JUnit XML where it cannot be written beside the audit in `folder`.

    Raises OutputRefused. This is meant to be called before any long work.
    """
    if path.suffix.lower() != ".xml":
        raise OutputRefused(f"{path}: is not called .xml; give a file such as junit.xml.")
    if not path.absolute().parent.is_dir():
        raise OutputRefused(f"{path.parent}: is no folder; make it, or choose another --junit.")
    if path.resolve().is_relative_to(folder.resolve()):
        raise OutputRefused(
            f"{path}: lies in the folder of the audit, which is replaced as a whole; choose a "
            "place beside it as --junit."
        )


def junit_of_audit(audit: Audit) -> bytes:
    """Return the checks of an audit as JUnit XML, UTF-8.

    Every name in it is made visible and of bounded length.
    """
    model = shortened(audit.model.file).replace(".", "_")
    cases = [_of_the_audit(audit)]
    if audit.policy is None:
        cases.append(_case("policy", ("skipped", "No policy was declared; nothing was judged.")))
    incomplete = audit.status != "complete"
    cases += [_of_check(check, incomplete) for check in audit.checks]
    for case in cases:
        case.set("classname", _text(f"{_SUITE}.{model}.checks"))
    findings = [_of_finding(finding) for finding in audit.findings]
    for case in findings:
        case.set("classname", _text(f"{_SUITE}.{model}.findings"))
    cases += findings
    suite = _suite(cases, audit.environment.seconds)
    properties = ElementTree.Element("properties")
    for name, value in _properties(audit):
        ElementTree.SubElement(properties, "property", name=name, value=_text(value))
    suite.insert(0, properties)
    return _written(suite)


def junit_of_refusal(sentence: str) -> bytes:
    """Return JUnit XML that says why there is no audit, as one error."""
    return _written(_suite([_case("audit", ("error", sentence))], 0.0))


def _of_the_audit(audit: Audit) -> ElementTree.Element:
    if audit.status == "complete":
        return _case("audit-complete")
    return _case("audit-complete", ("error", f"INCOMPLETE. {status_sentence(audit)}"))


def _of_check(check: Check, incomplete: bool) -> ElementTree.Element:
    value = "" if check.value is None else f" Value: {check.value:.6g}."
    sentence = f"{check.question} {check.measured}{value} Threshold: {check.threshold}"
    if check.status == "FAIL":
        return _case(check.id, ("failure", sentence))
    if check.status == "NOT ASSESSED":
        return _case(check.id, ("error" if check.required or incomplete else "skipped", sentence))
    return _case(check.id, note=f"{check.status}. {sentence}")


def _of_finding(finding: Finding) -> ElementTree.Element:
    parts = (f"{finding.severity}: {finding.title}.", finding.evidence, finding.action)
    return _case(finding.id, ("skipped", " ".join(filter(None, parts))))


def _case(name: str, problem: tuple[str, str] | None = None, note: str = "") -> ElementTree.Element:
    case = ElementTree.Element("testcase", classname=_SUITE, name=_text(shortened(name)))
    case.set("time", "0")
    if problem is not None:
        kind, sentence = problem
        element = ElementTree.SubElement(case, kind, message=_text(sentence))
        if kind != "skipped":
            element.set("type", {"failure": "threshold", "error": "not-assessed"}[kind])
            element.text = _text(sentence)
    if note:
        ElementTree.SubElement(case, "system-out").text = _text(note)
    return case


def _suite(cases: Sequence[ElementTree.Element], seconds: float) -> ElementTree.Element:
    counts = {
        plural: sum(case.find(kind) is not None for case in cases)
        for kind, plural in {"failure": "failures", "error": "errors", "skipped": "skipped"}.items()
    }
    suite = ElementTree.Element("testsuite", name=_SUITE, tests=str(len(cases)))
    for name, number in counts.items():
        suite.set(name, str(number))
    suite.set("time", f"{seconds:.1f}")
    suite.extend(cases)
    return suite


def _properties(audit: Audit) -> list[tuple[str, str]]:
    policy = audit.policy
    of_policy = [("policy", policy.name), ("policy-sha256", policy.sha256)] if policy else []
    severities = [finding.severity for finding in audit.findings]
    return [
        ("verdict", audit.verdict),
        *((f"findings-{each}", str(severities.count(each))) for each in ("high", "medium", "low")),
        ("status", audit.status),
        ("model", shortened(audit.model.file)),
        ("model-sha256", audit.model.sha256),
        *of_policy,
    ]


def _written(suite: ElementTree.Element) -> bytes:
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    data: bytes = ElementTree.tostring(root, "utf-8", xml_declaration=True)
    return data + b"\n"


def _text(value: str) -> str:
    """Return a text with every hidden character spelt out, and none that XML cannot hold."""
    return _IMPOSSIBLE.sub("\ufffd", visible(value[:4000]))
