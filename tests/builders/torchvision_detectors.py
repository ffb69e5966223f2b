"""torchvision's detectors, small, as `torch.onnx.export` writes them."""

import importlib
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.networks import torchvision_operators
from leap_audit.run.session import Array

__all__ = ["exported", "small_detector", "torchvision_with_suppression"]

CLASSES = 5
"""With the background."""
SIGNATURES = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "roi_align(Tensor input, Tensor rois, float spatial_scale, int pooled_height, "
    "int pooled_width, int sampling_ratio, bool aligned) -> Tensor",
)


@contextmanager
def torchvision_with_suppression() -> Iterator[Any]:
    """Give torchvision with the operators of detectors, written out here where its own are not."""
    library = torchvision_operators()
    import torch
    import torchvision

    align: Any = importlib.import_module("torchvision.ops.roi_align")
    extension: Any = torchvision.extension
    if extension._has_ops():
        yield torchvision
        return
    plain = getattr(align._roi_align, "__wrapped__", align._roi_align)  # not compiled first
    library.define(SIGNATURES[1])
    library.impl("nms", lambda *given: torch.tensor(nms(*given)), "CPU")
    library.impl("roi_align", lambda *given: plain(*given), "CPU")
    missing = extension._has_ops
    extension._has_ops = align._has_ops = there
    align._roi_align = plain
    try:
        yield torchvision
    finally:
        extension._has_ops = align._has_ops = missing
        library._destroy()


def there() -> bool:
    return True


def nms(dets: Any, scores: Any, iou_threshold: float) -> Array:
    """torchvision/csrc/ops/cpu/nms_kernel.cpp, a box against those behind it."""
    boxes, confidence = np.asarray(dets, np.float32), np.asarray(scores)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    order = np.argsort(-confidence, kind="stable")
    gone, kept = np.zeros(len(boxes), bool), []
    for place, i in enumerate(order):
        if gone[i]:
            continue
        kept.append(i)
        rest = order[place + 1 :]
        low = np.maximum(boxes[i, :2], boxes[rest, :2])
        high = np.minimum(boxes[i, 2:], boxes[rest, 2:])
        inter = np.prod(np.maximum(high - low, 0), axis=1)
        gone[rest] |= inter > iou_threshold * (areas[i] + areas[rest] - inter)
    return np.array(kept, np.int64)


def small_detector(torchvision: Any, name: str, side: int = 64) -> Any:
    """Return a detector of two levels, with random weights, in eval mode: ssd, retinanet, fcos or
    fasterrcnn.
    """
    import torch
    from torch import nn

    width = 32 if name == "fcos" else 8  # whose head normalises groups of 32

    class Backbone(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fine = nn.Sequential(nn.Conv2d(3, width, 8, 8), nn.SiLU())
            self.coarse = nn.Sequential(nn.Conv2d(width, width, 2, 2), nn.SiLU())
            self.out_channels = [width, width] if name == "ssd" else width

        def forward(self, x: Any) -> Any:
            fine = self.fine(x)
            return OrderedDict([("0", fine), ("1", self.coarse(fine))])

    torch.manual_seed(0)
    detection = torchvision.models.detection
    anchors = detection.anchor_utils
    heads = {"min_size": side, "max_size": 2 * side, "score_thresh": 0.3}
    if name == "ssd":
        boxes = anchors.DefaultBoxGenerator([[2], [2]])
        made = detection.ssd.SSD(
            Backbone(), boxes, (side, side), CLASSES, score_thresh=0.3, topk_candidates=1000
        )
    elif name == "fcos":
        boxes = anchors.AnchorGenerator(((16,), (32,)), ((1.0,),) * 2)
        made = detection.fcos.FCOS(Backbone(), CLASSES, anchor_generator=boxes, **heads)
    elif name == "fasterrcnn":
        boxes = anchors.AnchorGenerator(((12, 20), (24, 40)), ((0.5, 1.0, 2.0),) * 2)
        few = {"rpn_pre_nms_top_n_test": 60, "rpn_post_nms_top_n_test": 20}
        made = detection.FasterRCNN(
            Backbone(),
            min_size=side,
            max_size=2 * side,
            rpn_anchor_generator=boxes,
            box_head=detection.faster_rcnn.TwoMLPHead(8 * 7 * 7, 32),
            box_predictor=detection.faster_rcnn.FastRCNNPredictor(32, CLASSES),
            box_score_thresh=0.3,
            **few,
        )
    else:
        boxes = anchors.AnchorGenerator(((12, 20), (24, 40)), ((0.5, 1.0, 2.0),) * 2)
        made = detection.retinanet.RetinaNet(Backbone(), CLASSES, anchor_generator=boxes, **heads)
    for whose, weight in getattr(made, "head", made).named_parameters():
        if weight.ndim > 1:
            small = name == "fasterrcnn" and "bbox_pred" in whose  # so that regions are no lines
            nn.init.normal_(weight, std=0.02 if small else 0.4 if name == "ssd" else 0.25)
    return made.eval().requires_grad_(requires_grad=False)


def exported(network: Any, path: Path, example: Any) -> Path:
    """Write a detector for one picture, (1, 3, height, width), as torchvision's docs do."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network, (example,), str(path), opset_version=17, dynamo=False)
    return path
