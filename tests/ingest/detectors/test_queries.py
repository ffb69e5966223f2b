"""YOLOS and DETR of Transformers: how their outputs are told, and the log-odds of their classes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from leap_audit.config import DeclaredPreprocessing
from leap_audit.ingest import load
from leap_audit.ingest.detectors.registry import DeclaredDetector
from leap_audit.measure.attribution.score import Score
from leap_audit.measure.detection_targets import DetectionTarget, Part
from leap_audit.measure.detections import boxes_of, raw_detections
from leap_audit.measure.run import Run
from tests.builders.classifiers import CPU
from tests.builders.detectors import SIDE
from tests.builders.query_detectors import QUERIES, detr_of_attention, yolos
from tests.builders.running import answers

PICTURE = np.random.default_rng(1).random((3, SIDE, SIDE), np.float32)
PLAIN = DeclaredPreprocessing(range=(0, 1), mean=(0,), std=(1,), channel_order="RGB")
BUILDERS = pytest.mark.parametrize("build", [yolos, detr_of_attention])
Build = Callable[..., onnx.ModelProto]


def run_of(path: Path, proto: onnx.ModelProto, classes: int = 5) -> Run:
    onnx.save(proto, path)
    return Run(load(path, PLAIN, CPU, names=classes, detector=DeclaredDetector()), 1, 1)


@BUILDERS
@pytest.mark.parametrize("names", [("logits", "pred_boxes"), ("linear_20", "sigmoid"), ("1", "2")])
@pytest.mark.parametrize("classes", [5, 3])
def test_logits_and_boxes_are_told_among_hidden_states(
    tmp_path: Path, build: Build, names: tuple[str, str], classes: int
) -> None:
    """As exporters call them where the user names none; 3 classes have 4 logits, as many as a box.

    The boxes are those of `post_process_object_detection` of Transformers.
    """
    proto = build(names, classes)
    run = run_of(tmp_path / "m.onnx", proto, classes)
    assert f"outputs {names[0]!r} and {names[1]!r}" in run.model.identity.logits
    assert "detr" in run.model.identity.task_reason
    logits, centred, _ = answers(proto, PICTURE)
    x, y, w, h = centred.T
    powers = np.exp(logits.astype(np.float64))
    wanted = (powers / powers.sum(1, keepdims=True))[:, :-1].T
    probs, boxes = raw_detections(run, PICTURE)
    np.testing.assert_allclose(probs, wanted, rtol=1e-4, atol=1e-7)
    corners = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
    np.testing.assert_allclose(boxes, corners, atol=1e-6)
    found = boxes_of(run, PICTURE)
    assert [each.row for each in found] == sorted(
        np.flatnonzero(wanted.max(0) >= 0.5), key=lambda row: -wanted[:, row].max()
    )
    assert found


def sharpened(proto: onnx.ModelProto, factor: float) -> onnx.ModelProto:
    """The same detector, with its logits multiplied."""
    graph = proto.graph
    node = next(each for each in graph.node if each.output[0] == "logits")
    node.op_type = "Mul"
    node.input.append("factor")
    graph.initializer.append(onnx.numpy_helper.from_array(np.array(factor, np.float32), "factor"))
    return proto


def test_the_log_odds_of_a_certain_class_are_exact(tmp_path: Path) -> None:
    """Where float32 holds the probability for 1, which would say no more of it."""
    proto = sharpened(yolos(), 8.0)
    run = run_of(tmp_path / "m.onnx", proto)
    logits = answers(proto, PICTURE)[0].astype(np.float64)
    ranked = np.sort(logits, axis=1)
    row = int((ranked[:, -1] - ranked[:, -2] - 100 * (logits.argmax(1) == 5)).argmax())
    class_ = int(logits[row].argmax())
    wanted = logits[row, class_] - np.log(np.exp(np.delete(logits[row], class_)).sum())
    assert wanted > 18  # so that 1 - p is less than float32 tells from 0
    score = Score(run, DetectionTarget(row, "class", class_), 1, PICTURE)
    assert score(PICTURE[None])[0] == pytest.approx(wanted, rel=1e-5)
    assert np.abs(score.gradient(PICTURE[None])).max() > 0.01


@BUILDERS
@pytest.mark.parametrize("part", ["class", "box", "left"])
def test_gradients_are_those_of_the_score(tmp_path: Path, build: Build, part: Part) -> None:
    """Against difference quotients along a direction."""
    run = run_of(tmp_path / "m.onnx", build())
    direction = np.random.default_rng(2).normal(size=PICTURE.shape).astype(np.float32)
    step = np.float32(2e-3) * direction
    for row in range(0, QUERIES, 4):
        score = Score(run, DetectionTarget(row, part, 1), 2, PICTURE)
        slope = float(np.vdot(score.gradient(PICTURE[None])[0], direction))
        after, before = score(np.stack([PICTURE + step, PICTURE - step]))
        assert (after - before) / 4e-3 == pytest.approx(slope, rel=2e-2, abs=2e-3)
