"""torchvision's SSD, RetinaNet and Faster R-CNN: every row, as torchvision decodes it."""

import importlib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import leap_audit
from leap_audit.config import DeclaredPreprocessing
from leap_audit.errors import ModelRefused
from leap_audit.ingest import load
from leap_audit.ingest.detectors.registry import DeclaredDetector
from leap_audit.ingest.outputs.boxes import suppressed
from leap_audit.measure.detections import boxes_of, raw_detections
from leap_audit.measure.run import PICTURE, Run
from tests.builders.classifiers import CPU
from tests.builders.torchvision_detectors import (
    exported,
    small_detector,
    torchvision_with_suppression,
)

CASES = [
    (name, shape) for name in ("ssd", "retinanet", "fasterrcnn") for shape in ((64, 64), (48, 80))
]
"""Detectors, and sizes of pictures. SSD stretches them to 64 × 64, RetinaNet enlarges."""
LEAST, MOST = 0.3, {"ssd": 0.45, "retinanet": 0.5, "fasterrcnn": 0.5}
"""Thresholds of confidence and of overlap, as the detectors have them."""
FIRST = {"ssd": 1, "retinanet": 0, "fasterrcnn": 1}
"""The label of the first class: before it there is the background."""


@pytest.fixture(scope="module")
def torchvision() -> Iterator[Any]:
    if find_spec("torch") is None or find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed")
    with torchvision_with_suppression() as package:
        yield package


@pytest.fixture(scope="module", params=CASES, ids=str)
def case(
    request: pytest.FixtureRequest, torchvision: Any, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """Its name, the module, a picture, and the model that was read of its export."""
    import torch

    name, shape = request.param
    network = small_detector(torchvision, name)
    picture = torch.rand(1, 3, *shape, generator=torch.Generator().manual_seed(3))
    path = exported(network, tmp_path_factory.mktemp(name) / "m.onnx", picture)
    said = DeclaredDetector(None, LEAST, MOST[name])
    return name, network, picture, load(path, DeclaredPreprocessing(), CPU, detector=said)


def test_every_detection_of_torchvision_is_a_row(case: Any) -> None:
    name, network, picture, model = case
    assert model.classes == 5 - FIRST[name]
    assert "torchvision" in model.identity.task_reason
    assert not model.batchable
    found = {key: value.numpy() for key, value in network(picture)[0].items()}
    assert len(found["scores"]) > (3 if name == "fasterrcnn" else 20)
    probs, boxes = raw_detections(Run(model, 1, 1), picture[0].numpy())
    height, width = picture.shape[2:]
    pixels = boxes.T * [width, height, width, height]
    for box, score, label in zip(
        *(found[key] for key in ("boxes", "scores", "labels")), strict=True
    ):
        if name == "fasterrcnn" and score < 0.5:
            continue  # a region has a box for each class, and shows that of the most probable
        near = np.abs(pixels - box).max(1) < 0.01
        assert np.abs(probs[label - FIRST[name], near] - score).min() < 1e-4
    first = boxes_of(Run(model, 1, 1), picture[0].numpy())[0]
    assert first.class_ + FIRST[name] == found["labels"][0]
    assert first.confidence == pytest.approx(found["scores"][0], abs=1e-4)
    sides = np.array(first.box) * [width, height, width, height]
    np.testing.assert_allclose(sides, found["boxes"][0], atol=0.01)


def logits_of(network: Any, picture: Any) -> Any:
    """The logits of all rows, (rows, numbers), as torchvision computes them on the way."""
    images, _ = network.transform([picture[0]])
    maps = network.backbone(images.tensors)
    if hasattr(network, "head"):
        return network.head(list(maps.values()))["cls_logits"][0]
    regions, _ = network.rpn(images, maps)
    heads = network.roi_heads
    pooled = heads.box_roi_pool(maps, regions, images.image_sizes)
    return heads.box_predictor(heads.box_head(pooled))[0]


def test_gradients_are_those_of_torch(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the log-odds of a row's class, through torchvision's own resizing and normalisation."""

    align = importlib.import_module("torchvision.ops.roi_align")
    monkeypatch.setattr(align, "_has_ops", lambda: False)  # the operators have no gradient here
    name, network, picture, model = case
    run = Run(model, 1, 1)
    # Of probabilities that round to 1 the log-odds are known to fewer digits.
    best = min(boxes_of(run, picture[0].numpy()), key=lambda each: abs(each.confidence - 0.8))
    picture = picture.clone().requires_grad_()
    logits = logits_of(network, picture)
    if FIRST[name]:
        own = best.class_ + FIRST[name]
        others = [k for k in range(logits.shape[1]) if k != own]
        score = logits[best.row, own] - logits[best.row, others].logsumexp(0)
    else:
        score = logits[best.row, best.class_]
    score.backward()
    wanted = picture.grad[0].numpy()
    cotangent = (
        best.target()
        .of(model.answer, *raw_detections(run, picture.detach()[0].numpy()))
        .cotangent(model.answer)
    )
    found = run.gradient(picture.detach().numpy(), cotangent)[PICTURE][0]
    assert np.abs(found - wanted).max() < 1e-3 * np.abs(wanted).max()
    each = leap_audit.explain(run, picture.detach()[0].numpy(), best.target(), "elementwise")
    assert np.isfinite(each.map).all()
    assert np.ptp(each.map) > 0


def test_a_picture_without_a_batch(torchvision: Any, tmp_path: Path) -> None:
    """As in torchvision's documentation, whose detectors take a list of pictures."""
    import torch

    network, picture = small_detector(torchvision, "ssd"), torch.rand(3, 64, 64)
    alone = exported(network, tmp_path / "alone.onnx", [picture])
    whole = exported(network, tmp_path / "whole.onnx", picture[None])
    first, second = (
        raw_detections(Run(load(path, DeclaredPreprocessing(), CPU), 1, 1), picture.numpy())
        for path in (alone, whole)
    )
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_another_detector_is_refused_in_words(torchvision: Any, tmp_path: Path) -> None:
    import torch

    network, picture = small_detector(torchvision, "fcos"), torch.rand(1, 3, 64, 64)
    with pytest.raises(ModelRefused, match=r"has NonMaxSuppression.*docs/detectors\.md"):
        load(exported(network, tmp_path / "m.onnx", picture), DeclaredPreprocessing(), CPU)


@pytest.mark.parametrize("seed", range(3))
def test_suppression_is_that_of_torchvision(torchvision: Any, seed: int) -> None:
    import torch

    rng = np.random.default_rng(seed)
    low, size = rng.random((2, 300)) * 0.7, 0.05 + rng.random((2, 300)) * 0.3
    boxes = np.concatenate([low, low + size]).astype(np.float32)
    confidence = rng.permutation(300).astype(np.float32) / 300
    classes = rng.integers(0, 3, 300)
    kept = torchvision.ops.batched_nms(
        *map(torch.tensor, (boxes.T.copy(), confidence, classes)), 0.4
    )
    assert suppressed(boxes, confidence, classes, 0.4) == tuple(kept.tolist())
