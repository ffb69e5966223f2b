"""Explanations of detections: a row's score, its gradient, the match under changed pictures."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

import leap_audit
from leap_audit.config import DeclaredPreprocessing
from leap_audit.errors import UsageError
from leap_audit.ingest import load
from leap_audit.ingest.outputs.answer import BOX_SIDES, BOXES, Detections
from leap_audit.measure.attribution.match_score import changed_score
from leap_audit.measure.attribution.perturbation import random_mask
from leap_audit.measure.attribution.score import Score
from leap_audit.measure.attribution.shared_maps import shared_maps
from leap_audit.measure.detection_targets import DetectionTarget, Part
from leap_audit.measure.detections import boxes_of, detection_number, raw_detections
from leap_audit.measure.draws import content_key, generator
from leap_audit.measure.run import Run
from leap_audit.measure.targets import TensorTarget
from tests.builders.classifiers import CPU
from tests.builders.detectors import NETS, SIDE

PICTURES = np.random.default_rng(1).random((3, 3, SIDE, SIDE), np.float32)
PLAIN = DeclaredPreprocessing(range=(0, 1), mean=(0,), std=(1,), channel_order="RGB")
EPSILON = 1e-3


@pytest.fixture(scope="module", params=NETS)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    path = tmp_path_factory.mktemp("detector") / "m.onnx"
    onnx.save(NETS[request.param](), path)
    names = 1 if request.param == "blazeface" else 5
    return Run(load(path, PLAIN, CPU, names=names), 4, 1)


def test_a_detection_has_the_log_odds_of_its_confidence(run: Run) -> None:
    probs, boxes = raw_detections(run, PICTURES[0])
    best = detection_number(run, PICTURES[0], 0)
    assert best.row == probs.max(0).argmax()
    assert best.class_ == probs[:, best.row].argmax()
    np.testing.assert_array_equal(np.float32(best.box), boxes[:, best.row])
    found = leap_audit.explain(run, PICTURES[0], method="saliency")
    p = probs[best.class_, best.row]
    assert found.score == pytest.approx(np.log(p) - np.log(1 - p), abs=1e-4)
    other = leap_audit.explain(run, PICTURES[0], leap_audit.Detection(3), method="saliency")
    p = probs[:, 3].max()
    assert other.score == pytest.approx(np.log(p) - np.log(1 - p), abs=1e-4)
    assert other.subject.class_ == probs[:, 3].argmax()


@pytest.mark.parametrize("part", ["class", "box", *BOX_SIDES])
def test_the_gradient_is_that_of_the_score(run: Run, part: Part) -> None:
    """Against difference quotients along a direction, in float32."""
    rows = run.model.answer.places
    direction = np.random.default_rng(2).normal(size=PICTURES[0].shape).astype(np.float32)
    for row in (0, rows // 2, rows - 1):
        score = Score(run, DetectionTarget(row, part), 2, PICTURES[0])
        gradient = score.gradient(PICTURES[:1])[0]
        after, before = score(PICTURES[:1] + np.stack([EPSILON * direction, -EPSILON * direction]))
        slope = float(np.vdot(gradient.astype(np.float64), direction))
        assert (after - before) / (2 * EPSILON) == pytest.approx(slope, rel=3e-2, abs=3e-3)


def test_a_part_of_the_box_is_explained(run: Run) -> None:
    _, boxes = raw_detections(run, PICTURES[0])
    left, top, right, bottom = boxes[:, 5]
    wanted = {"left": left, "top": top, "right": right, "bottom": bottom}
    wanted["box"] = right - left + bottom - top
    for part, value in wanted.items():
        target = DetectionTarget(5, part)
        assert Score(run, target, 1, PICTURES[0])(PICTURES[:1])[0] == pytest.approx(value, abs=1e-5)
    found = leap_audit.explain(run, PICTURES[0], TensorTarget(BOXES, (0, 5)), method="saliency")
    assert found.score == pytest.approx(left, abs=1e-5)


def test_a_changed_picture_is_matched_by_any_row(run: Run) -> None:
    target = detection_number(run, PICTURES[0], 0)
    score = Score(run, target, 2)
    probs, _ = raw_detections(run, PICTURES[0])
    matches = changed_score(score)(PICTURES)
    assert matches[0] == pytest.approx(probs[target.class_, target.row], abs=1e-5)
    probs, boxes = raw_detections(run, PICTURES[1])
    shares = [_iou(target.box, box) for box in boxes.T]
    assert matches[1] == pytest.approx(max(probs[target.class_] * shares), abs=1e-5)
    side = Score(run, TensorTarget(BOXES, (0, 0)), 1)
    assert changed_score(side) is side


def _iou(one: tuple[float, ...], other: np.ndarray) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (one, other)]
    return float(shared / (sum(areas) - shared))


def test_methods_that_change_the_picture_weigh_by_the_match(run: Run) -> None:
    target = detection_number(run, PICTURES[0], 0)
    found = leap_audit.explain(
        run, PICTURES[0], target, method="occlusion", window=SIDE, stride=SIDE
    )
    hidden = np.zeros_like(PICTURES[:1])
    score = changed_score(Score(run, target, 1))
    lost = float(score(PICTURES[:1])[0] - score(hidden)[0])
    np.testing.assert_allclose(found.map, lost, atol=1e-5)
    checks = leap_audit.check(found, slow=False)
    assert "insertion_blur" in checks


def test_the_map_lies_where_heads_share_a_tensor(run: Run) -> None:
    """Each row's map is of the size of its own level, before the heads part."""
    maps = shared_maps(run.model)
    assert [each.channels for each in maps] == [6] * len(maps)
    sizes = [each.rows * each.columns for each in maps]
    each = run.model.answer.places // sum(sizes)
    if "logits" in run.model.identity.logits:  # queries, which look at one map
        found = leap_audit.explain(run, PICTURES[0], DetectionTarget(0), method="elementwise")
        assert sizes == [64]
        assert found.values.shape == (8, 8)
        return
    first = 0
    for places, count in zip(maps, sizes, strict=True):
        target = DetectionTarget(first)
        found = leap_audit.explain(run, PICTURES[0], target, method="elementwise")
        assert found.values.shape == (places.rows, places.columns)
        first += count * each


def test_what_is_asked_for_must_exist(run: Run) -> None:
    rows = run.model.answer.places
    with pytest.raises(UsageError, match=f"no row {rows}; the detector has {rows}"):
        leap_audit.explain(run, PICTURES[0], DetectionTarget(rows), method="saliency")
    classes = run.model.classes
    target = DetectionTarget(0, "class", classes)
    with pytest.raises(UsageError, match=f"no class {classes}; the model has {classes}"):
        leap_audit.explain(run, PICTURES[0], target, method="saliency")
    count = len(boxes_of(run, PICTURES[0]))
    with pytest.raises(UsageError, match=f"no detection {count + 1}; the picture has {count}"):
        detection_number(run, PICTURES[0], count + 1)


def test_detections_are_named(run: Run) -> None:
    names = tuple("abcde")
    assert isinstance(run.model.answer, Detections)
    low = replace(run.model, answer=replace(run.model.answer, threshold=0.0))
    found = boxes_of(Run(low, 1, 1), PICTURES[0], names)
    assert len(found) > 2
    assert [each.confidence for each in found] == sorted(
        (f.confidence for f in found), reverse=True
    )
    assert all(each.name == names[each.class_] for each in found)
    target = found[1].target("left")
    assert (target.row, target.part, target.class_) == (found[1].row, "left", found[1].class_)


def test_a_classifier_has_no_detections(sample_models: Path) -> None:
    with pytest.raises(UsageError, match="is no detector: it was taken for classification"):
        leap_audit.detections(
            sample_models / "digits_clean.onnx", np.zeros((1, 28, 28), np.float32)
        )


def test_drise_weighs_masks_by_the_best_row(run: Run) -> None:
    """Against the paper's formula, written out for the same masks."""
    target = detection_number(run, PICTURES[0], 0)
    options = {"masks": 6, "cells": 4, "seed": 3}
    for cosine in (True, False):
        found = leap_audit.explain(
            run, PICTURES[0], target, method="drise", cosine=cosine, baseline="zero", **options
        )
        rng = generator(3, "attribution drise", content_key(PICTURES[0]), target.class_)
        masks = [random_mask(rng, SIDE, SIDE, 4, 0.5) for _ in range(6)]
        own, _ = raw_detections(run, PICTURES[0])
        wanted = np.zeros((SIDE, SIDE))
        for mask in masks:
            probs, boxes = raw_detections(run, np.float32(PICTURES[0] * mask))
            weights = []
            for row, box in enumerate(boxes.T):
                alike = probs[target.class_, row]
                if cosine:
                    one, other = own[:, target.row], probs[:, row]
                    alike = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
                    alike = alike * other.max()
                weights.append(_iou(target.box, box) * alike)
            wanted += max(weights) * mask / (6 * 0.5)
        np.testing.assert_allclose(found.map, wanted, rtol=1e-3, atol=1e-5)
    with pytest.raises(UsageError, match="drise explains a detection's class"):
        leap_audit.explain(run, PICTURES[0], TensorTarget(BOXES, (0, 0)), method="drise", masks=2)


def test_views_that_move_the_picture_are_refused(run: Run) -> None:
    with pytest.raises(UsageError, match="tta moves the picture"):
        leap_audit.explain(run, PICTURES[0], method="tta:saliency")
    assert leap_audit.explain(run, PICTURES[0], method="smooth:saliency", copies=2).map.any()


def test_finercam_compares_the_classes_of_the_row(run: Run) -> None:
    probs, _ = raw_detections(run, PICTURES[0])
    target = DetectionTarget(2)
    if run.model.classes == 1:
        with pytest.raises(UsageError, match="a class and at least one other"):
            leap_audit.explain(run, PICTURES[0], target, method="finercam")
        return
    one = leap_audit.explain(run, PICTURES[0], target, method="finercam", alpha=0.0, relu=False)
    plain = leap_audit.explain(run, PICTURES[0], target, method="gradcam", relu=False)
    np.testing.assert_allclose(
        one.map / np.abs(one.map).max(), plain.map / np.abs(plain.map).max(), atol=1e-4
    )
    assert one.subject.where[2] == 1
    assert probs[:, 2].argmax() == one.subject.class_


def test_the_gradient_is_that_of_pytorch(tmp_path: Path) -> None:
    """YOLOv5's way, written once more in PyTorch, with the log-odds of objectness times class."""
    torch = pytest.importorskip("torch")
    proto = NETS["yolo5"]()
    onnx.save(proto, tmp_path / "m.onnx")
    run = Run(load(tmp_path / "m.onnx", PLAIN, CPU, names=5), 1, 1)
    weights = {
        t.name: torch.from_numpy(onnx.numpy_helper.to_array(t).copy()).double()
        for t in proto.graph.initializer
    }
    x = torch.from_numpy(PICTURES[0][None]).double().requires_grad_()
    values: dict[str, object] = {"image": x}
    maps = []
    for node in proto.graph.node:
        if node.op_type == "Conv":
            stride = next(a.ints[0] for a in node.attribute if a.name == "strides")
            pad = next(a.ints[0] for a in node.attribute if a.name == "pads")
            w, b = (weights[name] for name in node.input[1:])
            y = torch.nn.functional.conv2d(values[node.input[0]], w, b, stride, pad)
            values[node.output[0]] = y
            if w.shape[0] == 3 * 10:
                maps.append(y)
        elif node.op_type == "Softplus":
            values[node.output[0]] = torch.nn.functional.softplus(values[node.input[0]])
    row = 0
    for level in maps:
        raw = level.reshape(3, 10, -1)
        anchor, cell = 1, raw.shape[2] // 2
        numbers = raw[anchor, :, cell]
        p = torch.sigmoid(numbers[4]) * torch.sigmoid(numbers[7])
        (wanted,) = torch.autograd.grad(torch.log(p) - torch.log1p(-p), x, retain_graph=True)
        target = DetectionTarget(row + anchor * raw.shape[2] + cell, "class", 2)
        found = Score(run, target, 1, PICTURES[0]).gradient(PICTURES[:1])
        scale = float(wanted.abs().max())
        np.testing.assert_allclose(found / scale, wanted.numpy() / scale, atol=1e-3)
        row += 3 * raw.shape[2]
