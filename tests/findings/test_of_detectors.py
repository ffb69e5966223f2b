"""What the rules say of a detector: it finds objects, and gives no answer to a picture."""

import pytest

from leap_audit.findings import FINDING_RULES
from leap_audit.findings.evidence import Evidence
from leap_audit.findings.of_detectors import OF_DETECTORS
from tests.builders.suspicious import CLASSES, DETECTOR, LOUD, RANKINGS

OF_LABELS = {"overconfident", "preprocessing-doubted"}
"""Rules about probabilities and preprocessings, that a detector's labels do not answer."""


def asked() -> list[str]:
    evidence = Evidence(CLASSES, model=DETECTOR)
    return [rule.id for rule in FINDING_RULES if rule.asked_of(evidence)]


def test_every_rule_with_words_for_detectors_is_asked_of_them() -> None:
    assert set(OF_DETECTORS) <= set(asked())


@pytest.mark.parametrize("name", [each for each in asked() if each not in OF_LABELS])
def test_no_rule_speaks_of_answers(name: str) -> None:
    (rule,) = [each for each in FINDING_RULES if each.id == name]
    case = LOUD[name]() if name in LOUD else ()
    given = [*case, *[()] * (2 - len(case))][:2]
    rest = [*case[2:], None, None][:2]
    more = case[4:]
    evidence = Evidence(CLASSES, given[0], given[1], RANKINGS, rest[0], DETECTOR, *more)
    said = [rule.asked(evidence, raised=True).question]
    for _, finding in rule.findings(evidence):
        said += [finding.evidence, finding.consequence, finding.action]
        if name != "constant-answer":  # its title is about the export as much
            said.append(finding.title)
    assert [each for each in said if "answer" in each.lower()] == []
