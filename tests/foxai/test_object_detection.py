"""FoXAI's Grad-CAM of detections on a detector that leap-audit reads."""

from pathlib import Path

import numpy as np
import onnx
import pytest

import leap_audit
from leap_audit.errors import UsageError
from leap_audit.foxai import ExplainerWithParams, FoXaiExplainer
from leap_audit.foxai.object_detection import (
    LayerGradCAMObjectDetectionExplainer,
    ObjectDetectionOutput,
)
from leap_audit.pipeline.explain import opened
from tests.builders.detectors import NETS, SIDE

PICTURE = np.random.default_rng(2).random((1, 3, SIDE, SIDE), np.float32)
NAME = "CV_LAYER_GRADCAM_OBJECT_DETECTION_EXPLAINER"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    onnx.save(NETS["yolo8"](), tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


def test_every_detection_has_a_map(path: Path) -> None:
    with FoXaiExplainer(path, [ExplainerWithParams(NAME)]) as xai:
        _, explanations = xai(PICTURE)
    found = explanations[f"{NAME}_0"]
    assert isinstance(found, ObjectDetectionOutput)
    plain = {"range": (0, 1), "mean": [0, 0, 0], "std": [1, 1, 1], "channel_order": "RGB"}
    run, _ = opened(path, preprocessing=plain)
    boxes = leap_audit.detections(run, PICTURE[0])
    assert len(found.predictions) == len(found.saliency_maps) == len(found.logits) == len(boxes) > 1
    (scores,) = run.scores(PICTURE)
    for box, each, map_, logits in zip(
        boxes, found.predictions, found.saliency_maps, found.logits, strict=True
    ):
        assert (each.class_number, each.confidence) == (box.class_, box.confidence)
        left, top, right, bottom = (round(SIDE * side) for side in box.box)
        assert each.bbox == [top, left, bottom, right]
        own = leap_audit.explain(run, PICTURE[0], box.target(), "gradcam").map
        assert map_.shape == (1, 1, SIDE, SIDE)
        np.testing.assert_allclose(map_[0, 0], (own - own.min()) / (np.ptp(own) or 1), atol=1e-5)
        np.testing.assert_allclose(logits, scores[:, box.row], atol=1e-5)
        assert logits.argmax() == box.class_


def test_a_layer_may_be_named_and_tensors_stay_tensors(path: Path) -> None:
    torch = pytest.importorskip("torch")
    run, _ = opened(path)
    layer = next(n.outputs[0].name for n in run.model.graph.graph if n.op_type == "Softplus")
    explainer = LayerGradCAMObjectDetectionExplainer()
    found = explainer.calculate_features(path, torch.from_numpy(PICTURE), layer=str(layer))
    assert isinstance(found.saliency_maps[0], torch.Tensor)
    other = explainer.calculate_features(path, PICTURE)
    differences = [
        np.abs(a.numpy() - b).max()
        for a, b in zip(found.saliency_maps, other.saliency_maps, strict=True)
    ]
    assert max(differences) > 0.01


def test_a_classifier_has_no_detections(sample_models: Path) -> None:
    inputs = np.zeros((1, 1, 28, 28), np.float32)
    with pytest.raises(UsageError, match="is no detector"):
        LayerGradCAMObjectDetectionExplainer().calculate_features(
            sample_models / "digits_clean.onnx", inputs
        )
