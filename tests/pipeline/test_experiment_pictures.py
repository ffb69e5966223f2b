"""The pictures of an experiment: their roles, their order and what is said of them."""

from typing import Any

import numpy as np

from leap_audit.artifacts import MarkKind
from leap_audit.measure.experiments.carry import Shown, TriedMark
from leap_audit.pipeline.experiments import captioned
from leap_audit.text.names import ClassLabels
from tests.builders.records import CLASSES, trial


def shown(level: float, answer: int) -> Shown:
    return Shown(np.full((3, 4, 4), level, np.float32), answer)


def mark(kind: MarkKind, **changes: Any) -> TriedMark:
    pasted, host, marked = trial(1, 0.9), shown(0.3, 0), shown(0.4, 1)
    return TriedMark(kind, 0.02, None, "photographs", pasted, host=host, marked=marked, **changes)


def test_the_picture_without_the_mark_is_a_control_and_an_unmoved_one_a_counter_example() -> None:
    unmoved = (shown(0.5, 0), shown(0.6, 2))
    found = captioned(
        ClassLabels(CLASSES),
        1,
        mark("region", carrier=shown(0.1, 1), erased=shown(0.2, 0), unmoved=unmoved),
    )
    roles = [each.role for each, _ in found]
    assert roles == ["original", "covered", "control", "pasted", *["counter-example"] * 2]
    assert [float(picture[0, 0, 0]) for _, picture in found] == [
        np.float32(level) for level in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
    ]
    label = ClassLabels(CLASSES)[0]
    assert found[2][0].caption == f"another picture without the mark: answered ‘{label}’"
    assert found[4][0].caption == f"a picture with the mark: answered ‘{label}’"
    assert len({each.image for each, _ in found}) == 6, "each has its own file"


def test_a_trigger_is_shown_by_itself_before_what_it_does() -> None:
    for kind, words in (("trigger", "on grey"), ("moved trigger", "random places"),
                        ("colour map", "chart"), ("convolution", "chart")):  # fmt: skip
        found = captioned(ClassLabels(CLASSES), 1, mark(kind, trigger=np.zeros((3, 4, 4))))
        assert [each.role for each, _ in found] == ["trigger", "control", "pasted"]
        assert words in found[0][0].caption
        assert ("change" in found[2][0].caption) is (kind in ("colour map", "convolution"))
