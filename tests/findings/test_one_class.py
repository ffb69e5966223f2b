"""A detector of one class, such as a face: what compares classes is not assessed."""

import pytest

from leap_audit.artifacts import Detection
from leap_audit.findings import FINDING_RULES
from leap_audit.findings.evidence import Evidence
from tests.builders.records import stability
from tests.builders.suspicious import CLASSES, DETECTOR, prototype, samples

ONE = (CLASSES[0],)
OF_CLASSES = {"target-not-first", "strong-entanglement", "two-classes", "map-not-of-class"}


def evidence(classes: tuple[str, ...], similarity: float | None) -> Evidence:
    made = prototype().model_copy(update={"stability": stability(similarity)})
    box = Detection(class_=0, name=CLASSES[0], prob=0.9, box=(0.2, 0.2, 0.6, 0.6))
    photographs = [each.model_copy(update={"detections": (box,)}) for each in samples("a", "b")]
    return Evidence(classes, [made], photographs, model=DETECTOR)


def reasons(classes: tuple[str, ...], similarity: float | None = 0.9) -> dict[str, str]:
    asked = evidence(classes, similarity)
    rules = [rule for rule in FINDING_RULES if rule.asked_of(asked)]
    return {rule.id: rule.asked(asked, raised=False).reason for rule in rules}


@pytest.mark.parametrize("rule", sorted(OF_CLASSES))
def test_questions_of_several_classes_are_not_assessed(rule: str) -> None:
    assert reasons(ONE)[rule] == "the model has one class"
    assert reasons(CLASSES)[rule] != "the model has one class"


def test_nothing_else_is_left_out() -> None:
    assert {name for name, why in reasons(ONE).items() if why == "the model has one class"} == (
        OF_CLASSES
    )


def test_one_number_tells_no_repeat_runs_apart() -> None:
    assert not reasons(ONE)["prototype-unstable"]
    assert "one number" in reasons(ONE, None)["prototype-unstable"]
