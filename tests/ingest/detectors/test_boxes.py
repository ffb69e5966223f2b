"""Boxes: their overlap, and which are kept, as ONNX's NonMaxSuppression keeps them."""

import numpy as np
import pytest

from leap_audit.ingest.outputs.answer import Detections
from leap_audit.ingest.outputs.boxes import box_iou, suppressed
from leap_audit.run.session import Array


def random_boxes(count: int, seed: int) -> Array:
    rng = np.random.default_rng(seed)
    low, size = rng.random((2, count)) * 0.6, 0.1 + rng.random((2, count)) * 0.5
    return np.concatenate([low, low + size]).astype(np.float32)


def test_iou_by_hand() -> None:
    one = np.array([0.0, 0.0, 2.0, 2.0])
    others = np.array(
        [[0, 0, 2, 2], [1, 1, 3, 3], [2, 0, 4, 2], [0.5, 0.5, 1.5, 1.5], [1, 1, 1, 1]]
    )
    np.testing.assert_allclose(box_iou(one, others.T), [1, 1 / 7, 0, 0.25, 0])
    assert box_iou(np.zeros(4), np.zeros((4, 1))) == [0]
    assert box_iou(one, np.array([[3.0, 3.0, -1.0, -1.0]]).T) == [0]  # inside out: empty


@pytest.mark.parametrize("overlap", [0.2, 0.4, 0.6])
def test_suppression_is_that_of_onnx(overlap: float) -> None:
    import onnxruntime
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info
    node = helper.make_node(
        "NonMaxSuppression", ["boxes", "scores", "most", "overlap", "least"], ["y"]
    )
    graph = helper.make_graph(
        [node],
        "nms",
        [
            value("boxes", TensorProto.FLOAT, [1, 60, 4]),
            value("scores", TensorProto.FLOAT, [1, 3, 60]),
            value("most", TensorProto.INT64, [1]),
            value("overlap", TensorProto.FLOAT, [1]),
            value("least", TensorProto.FLOAT, [1]),
        ],
        [value("y", TensorProto.INT64, ["n", 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    boxes, rng = random_boxes(60, 4), np.random.default_rng(5)
    confidence, classes = rng.random(60).astype(np.float32), rng.integers(0, 3, 60)
    scores = np.zeros((1, 3, 60), np.float32)
    scores[0, classes, np.arange(60)] = confidence
    given = {"boxes": boxes.T[None], "scores": scores, "most": np.array([60])}
    given |= {"overlap": np.array([overlap], np.float32), "least": np.array([0], np.float32)}
    (found,) = session.run(None, given)
    wanted = [int(row) for _, _, row in found]
    kept = suppressed(boxes, confidence, classes, overlap)
    assert set(kept) == set(wanted)
    assert 3 < len(kept) < 60
    assert list(confidence[list(kept)]) == sorted(confidence[list(kept)], reverse=True)


def test_detections_below_the_threshold_are_left_out() -> None:
    probs = np.array([[0.9, 0.8, 0.3, 0.24], [0.1, 0.85, 0.1, 0.2]])
    boxes = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 0.9], [0, 0, 1, 1]], float).T
    assert Detections(2, 4).kept(probs, boxes) == (0, 1)  # row 2 is of row 0's class, and inside it
    assert Detections(2, 4, overlap=0.95).kept(probs, boxes) == (0, 1, 2)
    assert Detections(2, 4, threshold=0.24, several=False).kept(probs, boxes) == (0, 1, 2, 3)
    assert Detections(2, 4, threshold=0.86).kept(probs, boxes) == (0,)
    assert Detections(2, 4, threshold=0.95).kept(probs, boxes) == ()
    scores = np.log(probs / (1 - probs))
    wanted = [[True, False, True, False], [False, True, False, False]]
    np.testing.assert_array_equal(Detections(2, 4).predicted(scores), wanted)
    np.testing.assert_array_equal(Detections(2, 4).predicted_places(scores, 1), [0, 1, 0, 0])
