"""What a detector says of a picture, in numbers and in a graph."""

import numpy as np
import onnx_ir as ir
import pytest

from leap_audit.gradient import Emitter
from leap_audit.graph.opset import IR_VERSION
from leap_audit.graph.values import new_graph, new_input
from leap_audit.ingest.outputs.boxes import box_iou
from leap_audit.measure.detections import DetectedBox
from leap_audit.measure.matching import Look, covered_shares, matched, rows_at
from leap_audit.measure.matching_graph import MIDDLE, best_row, one_object
from leap_audit.run.providers import choose_provider
from leap_audit.run.session import Session

BOXES = np.array([[0.0, 0.25, 0.8], [0.0, 0.25, 0.8], [0.2, 0.75, 1.0], [0.2, 0.75, 1.0]])
SCORES = np.array([[2.0, 1.0, -3.0], [-1.0, 0.5, 4.0]])


def of_graph(build: object) -> np.ndarray:
    op = Emitter(new_graph(), "test")
    scores = new_input(op.graph, "scores", (1, 2, 3))
    boxes = new_input(op.graph, "boxes", (1, 4, 3))
    assert callable(build)
    op.graph.outputs.append(build(op, scores, boxes))
    session = Session(ir.Model(op.graph, ir_version=IR_VERSION), choose_provider("cpu"))
    given = {"scores": SCORES[None].astype(np.float32), "boxes": BOXES[None].astype(np.float32)}
    return np.asarray(session.run(given)[0])


def test_the_graph_matches_as_the_numbers_do() -> None:
    wanted = np.array([0.3, 0.3, 0.8, 0.8])
    probs = 1 / (1 + np.exp(-SCORES))

    def build(op: Emitter, scores: ir.Value, boxes: ir.Value) -> ir.Value:
        log_p = op.Neg(op.Softplus(op.Neg(scores)))
        return best_row(op, log_p, boxes, op.constant(wanted.reshape(1, 4, 1)))

    found = np.exp(of_graph(build))[0, :, 0]
    left, top, right, bottom = wanted
    seen = Look(probs, BOXES)
    expected = [matched(seen, k, (left, top, right, bottom)) for k in range(2)]
    assert found == pytest.approx(expected, abs=2e-4)


def test_a_prototype_wants_its_object_in_the_middle_and_none_elsewhere() -> None:
    (found,) = of_graph(one_object)
    overlap = box_iou(np.array(MIDDLE), BOXES)
    assert overlap == pytest.approx([0, 1, 0])
    here = SCORES[:, 1]  # the others weigh next to nothing
    there = np.log1p(np.exp(SCORES))[:, [0, 2]].mean(1)
    assert found == pytest.approx(here - 0.5 * there, abs=0.02)


def test_rows_at_a_place_are_those_that_touch_it() -> None:
    seen = Look(SCORES, BOXES)
    assert rows_at(seen, MIDDLE).tolist() == [False, True, False]
    assert rows_at(seen, None).all()
    assert rows_at(seen, (0.3, 0.0, 0.4, 0.1)).all(), "where none does, all count"


def test_overlapping_boxes_of_a_class_cover_their_union() -> None:
    several = [
        DetectedBox(0, 1, "b", 0.9, (0.0, 0.0, 0.5, 0.5)),
        DetectedBox(1, 1, "b", 0.8, (0.25, 0.0, 0.75, 0.5)),
        DetectedBox(2, 0, "a", 0.8, (0.5, 0.5, 2.0, 2.0)),
    ]
    assert covered_shares(several, 3) == pytest.approx([0.25, 0.375, 0])
