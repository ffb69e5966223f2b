"""Whether a detector's boxes are pixels or fractions of the picture: measured, not assumed."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from leap_audit.config import DeclaredPreprocessing
from leap_audit.ingest import load
from leap_audit.ingest.detectors.reading import are_fractions
from leap_audit.ingest.model import Model
from leap_audit.measure.detections import raw_detections
from leap_audit.measure.run import Run
from tests.builders.classifiers import CPU
from tests.builders.detectors import NETS, SIDE
from tests.builders.suppressing import with_suppression

PICTURES = np.random.default_rng(1).random((3, 3, SIDE, SIDE), np.float32)


def made(path: Path, proto: onnx.ModelProto) -> Model:
    onnx.save(proto, path)
    return load(path, DeclaredPreprocessing(), CPU)


@pytest.mark.parametrize(("name", "axis"), [("yolo5", 2), ("yolo8", 1), ("yolox", 2)])
def test_boxes_divided_by_the_size_of_the_picture_are_no_pixels(
    tmp_path: Path, name: str, axis: int
) -> None:
    """As Ultralytics exports to TFLite."""
    proto = NETS[name](decoded=True) if name == "yolox" else NETS[name]()
    pixels = made(tmp_path / "pixels.onnx", proto)
    output = proto.graph.output[0]
    numbers = output.type.tensor_type.shape.dim[axis].dim_value
    factor = np.ones(numbers, np.float32)
    factor[:4] /= SIDE
    factor = factor.reshape((1, -1, 1) if axis == 1 else (1, 1, -1))
    proto.graph.initializer.append(onnx.numpy_helper.from_array(factor, "factor"))
    proto.graph.node.append(onnx.helper.make_node("Mul", [output.name, "factor"], ["out"]))
    output.name = "out"
    model = made(tmp_path / "m.onnx", proto)
    assert "boxes are fractions of the picture, as measured" in model.identity.logits
    assert "fractions" not in pixels.identity.logits
    for picture in PICTURES:
        found, wanted = (raw_detections(Run(each, 1, 1), picture) for each in (model, pixels))
        np.testing.assert_allclose(found[1], wanted[1], atol=1e-5)
        np.testing.assert_allclose(found[0], wanted[0], rtol=1e-3, atol=1e-5)


def test_the_unit_of_boxes_is_that_of_nine_tenths_of_their_numbers() -> None:
    most = np.concatenate([np.full(91, -1.5), np.full(9, 1e6)])
    assert are_fractions(most)
    assert not are_fractions(np.concatenate([np.full(89, 0.5), np.full(11, 2.0)]))
    assert not are_fractions(np.full(8, 1.51))
    assert not are_fractions(np.full(8, np.nan))


@pytest.mark.parametrize("unit", ["pixels", "fractions"])
def test_boxes_behind_a_suppression_have_the_unit_that_is_measured(
    tmp_path: Path, unit: str
) -> None:
    """The outputs of torchvision's detectors, of another exporter: sigmoids as sides."""
    proto = with_suppression(SIDE if unit == "pixels" else 1)
    model = made(tmp_path / "m.onnx", proto)
    assert "torchvision" in model.identity.task_reason
    assert ("fractions" in model.identity.logits) == (unit == "fractions")
    run = Run(model, 1, 1)
    for picture in PICTURES:
        boxes, scores, _ = picked(proto, picture)
        assert len(boxes) > 3
        own = boxes / (SIDE if unit == "pixels" else 1)
        probs, every = raw_detections(run, picture)
        for box, score in zip(own, scores, strict=True):
            near = np.abs(every.T - box).max(1) < 1e-5
            assert np.abs(probs[0, near] - score).min() < 1e-5


def picked(proto: onnx.ModelProto, picture: np.ndarray) -> list[np.ndarray]:
    """The boxes, scores and labels of the rows that a detector itself picks."""
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=[CPU.name])
    return list(session.run(None, {"image": picture[None]}))
