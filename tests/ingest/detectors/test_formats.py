"""Each format of detectors: recognised, read in words, and decoded as its own source decodes it."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from leap_audit.config import DeclaredPreprocessing
from leap_audit.errors import ModelRefused
from leap_audit.ingest import load
from leap_audit.ingest.detectors.registry import DeclaredDetector, load_detectors
from leap_audit.ingest.model import Model
from leap_audit.ingest.outputs.answer import Detections
from leap_audit.measure.detections import raw_detections
from leap_audit.measure.run import Run
from tests.builders.classifiers import CPU
from tests.builders.detectors import DECODED, NETS, SIDE, NetWriter
from tests.builders.running import answers

PICTURES = np.random.default_rng(1).random((3, 3, SIDE, SIDE), np.float32)
PLAIN = DeclaredPreprocessing(range=(0, 1), mean=(0,), std=(1,), channel_order="RGB")


def made(path: Path, proto: onnx.ModelProto, format_: str | None = None, **said: object) -> Model:
    onnx.save(proto, path)
    return load(path, PLAIN, CPU, detector=DeclaredDetector(format_), **said)


def test_each_format_has_a_network() -> None:
    exported = {"torchvision"}  # by torchvision itself: test_torchvision.py
    assert set(NETS) == set(DECODED) | {"yolo10"} == set(load_detectors()) - exported


def test_each_format_is_in_the_documentation() -> None:
    page = (Path(__file__).parents[3] / "docs" / "detectors.md").read_text(encoding="utf-8")
    rows = {
        name: next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
        for name in load_detectors()
    }
    for name, each in load_detectors().items():
        overlap = f"{each.counting.overlap:g}" if each.several else "–"
        assert rows[name].endswith(f"| {each.counting.threshold:g} | {overlap} |"), name


NAMED = {"detr": 5, "rtdetr": 5}
"""Formats that the number of class names tells apart."""


@pytest.mark.parametrize("name", DECODED)
def test_a_format_is_recognised_and_decoded(tmp_path: Path, name: str) -> None:
    proto = NETS[name]()
    model = made(tmp_path / "m.onnx", proto, names=NAMED.get(name))
    identity = model.identity
    classes = 1 if name == "blazeface" else 5
    assert (identity.task, model.classes) == ("detection", classes)
    assert name in identity.task_reason
    assert ("a face" if name == "blazeface" else "5 classes") in identity.logits
    assert isinstance(model.answer, Detections)
    run = Run(model, 2, 1)
    for picture in PICTURES:
        probs, boxes = raw_detections(run, picture)
        wanted_probs, wanted_boxes = DECODED[name](*answers(proto, picture))
        assert probs.shape == (classes, model.answer.rows)
        np.testing.assert_allclose(probs, wanted_probs, rtol=2e-4, atol=1e-6)
        np.testing.assert_allclose(boxes, wanted_boxes, atol=1e-5)
        assert np.ptp(probs) > 0.2  # so that what is compared is not the same everywhere


@pytest.mark.parametrize("name", NETS)
def test_several_pictures_go_through_at_once(tmp_path: Path, name: str) -> None:
    model = made(tmp_path / "m.onnx", NETS[name](), names=NAMED.get(name))
    assert model.batchable
    alone = np.stack(list(Run(model, 1, 1).scores(PICTURES)))
    np.testing.assert_allclose(np.stack(list(Run(model, 3, 1).scores(PICTURES))), alone, atol=1e-4)


def test_the_best_rows_before_topk_are_those_of_the_output(tmp_path: Path) -> None:
    proto = NETS["yolo10"]()
    model = made(tmp_path / "m.onnx", proto)
    assert model.classes == 5
    assert "chosen by TopK from 84 rows" in model.identity.logits
    assert model.answer == Detections(5, 84, 0.25, 0.7, several=False)
    for picture in PICTURES:
        probs, boxes = raw_detections(Run(model, 1, 1), picture)
        (out,) = answers(proto, picture)
        order = np.argsort(-probs.ravel(), kind="stable")[:20]  # in the classes of all rows
        np.testing.assert_allclose(probs.ravel()[order], out[:, 4], atol=1e-5)
        np.testing.assert_array_equal(order // 84, out[:, 5])
        np.testing.assert_allclose(boxes[:, order % 84].T * SIDE, out[:, :4], atol=1e-3)


def test_other_exports_of_a_format(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    decoded = NETS["yolox"](decoded=True)
    model = made(path, decoded)
    assert "decoded in the graph" in model.identity.logits
    probs, boxes = raw_detections(Run(model, 1, 1), PICTURES[0])
    other = raw_detections(Run(made(path, NETS["yolox"]()), 1, 1), PICTURES[0])
    np.testing.assert_allclose(boxes, other[1], atol=1e-5)
    np.testing.assert_allclose(probs, other[0], rtol=1e-3, atol=1e-6)
    found = raw_detections(Run(made(path, NETS["rtdetr"](one=True)), 1, 1), PICTURES[0])
    other = raw_detections(Run(made(path, NETS["rtdetr"](), names=5), 1, 1), PICTURES[0])
    np.testing.assert_allclose(found[0], other[0], atol=1e-6)
    np.testing.assert_allclose(found[1], other[1], atol=1e-6)


def test_boxes_that_are_not_called_so_are_no_queries_unless_said(tmp_path: Path) -> None:
    """The raw boxes of other detectors have the same shape, and other numbers."""
    net = NetWriter()
    (shared,) = net.features((16,))
    for name, numbers in (("a", 6), ("b", 4)):
        rows = net("Reshape", net.conv(shared, 6, numbers), np.array([0, numbers, 16]))
        rows = net("Transpose", rows, perm=[0, 2, 1])
        net("Sigmoid" if name == "b" else "Identity", rows, name=name)
    proto = net.model({"a": (1, 16, 6), "b": (1, 16, 4)}, 1)
    with pytest.raises(ModelRefused, match=r"boxes and scores .*name its format with --detector"):
        made(tmp_path / "m.onnx", proto)
    assert made(tmp_path / "m.onnx", proto, "detr", names=5).classes == 5


def test_nanodet_without_the_coarsest_map_is_the_older_one(tmp_path: Path) -> None:
    proto = NETS["nanodet"](plus=False)
    probs, boxes = raw_detections(Run(made(tmp_path / "m.onnx", proto), 1, 1), PICTURES[0])
    wanted_probs, wanted_boxes = DECODED["nanodet"](*answers(proto, PICTURES[0]))
    np.testing.assert_allclose(probs, wanted_probs, atol=1e-5)
    np.testing.assert_allclose(boxes, wanted_boxes, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "classes", "names", "wanted"),
    [
        ("detr", 91, None, "detr"),
        ("detr", 80, None, "detr"),
        ("rtdetr", 80, None, "rtdetr"),
        ("rtdetr", 91, None, "rtdetr"),
        ("detr", 7, 7, "detr"),
        ("rtdetr", 7, 7, "rtdetr"),
        ("rtdetr", 7, None, ""),
    ],
)
def test_softmax_and_sigmoids_of_queries_are_told_apart(
    tmp_path: Path, name: str, classes: int, names: int | None, wanted: str
) -> None:
    """By COCO's counts, or the names, or not at all."""
    proto = NETS[name](classes=classes)
    if wanted:
        model = made(tmp_path / "m.onnx", proto, names=names)
        assert (model.classes, wanted in model.identity.task_reason.split()) == (classes, True)
        return
    with pytest.raises(ModelRefused, match="choose one with --detector: detr, rtdetr"):
        made(tmp_path / "m.onnx", proto)
    with pytest.raises(ModelRefused, match="choose one with --detector: detr, rtdetr"):
        made(tmp_path / "m.onnx", proto, names=3)
    assert made(tmp_path / "m.onnx", proto, "rtdetr").classes == 7
    assert made(tmp_path / "m.onnx", proto, "detr").classes == 6


def test_a_format_is_named_or_refused_by_name(tmp_path: Path) -> None:
    path, proto = tmp_path / "m.onnx", NETS["yolo8"]()
    assert made(path, proto, "yolo8").identity.task_reason.startswith("said with --detector yolo8")
    with pytest.raises(ModelRefused, match=r"--detector fastestdet does not fit.*9 × 84"):
        made(path, proto, "fastestdet")
    with pytest.raises(ModelRefused, match="no such format; did you mean 'yolo8'"):
        made(path, proto, "yolo88")
    with pytest.raises(ModelRefused, match="leave out --task classification"):
        made(path, proto, "yolo8", task="classification")
    with pytest.raises(ModelRefused, match="80 classes, which some lists number"):
        made(path, NETS["yolo8"](classes=80), names=90)
    with pytest.raises(ModelRefused, match=r"has 4 names.*tells 5 classes apart; give"):
        made(path, proto, names=4)
    with pytest.raises(ModelRefused, match=r"has 90 names.*\(detr\) tells 91 classes apart"):
        made(path, NETS["detr"](classes=91), names=90)
    with pytest.raises(ModelRefused, match=r"has 91 names.*\(rtdetr\) tells 80 classes apart"):
        made(path, NETS["rtdetr"](classes=80), names=91)


def test_raw_maps_of_yolo_are_refused_with_what_to_do(tmp_path: Path) -> None:
    net = NetWriter()
    outputs = {}
    for x, stride in zip(net.features((8, 16, 32)), (8, 16, 32), strict=True):
        sides = (3, 10, SIDE // stride, SIDE // stride)
        raw = net("Reshape", net.conv(x, 6, 30), np.array([0, *sides]))
        net("Transpose", raw, perm=[0, 1, 3, 4, 2], name=f"p{stride}")
        outputs[f"p{stride}"] = (1, 3, *sides[2:], 10)
    with pytest.raises(ModelRefused, match="raw maps of YOLOv5 and v7; export these decoded"):
        made(tmp_path / "m.onnx", net.model(outputs, 1))


@pytest.mark.parametrize("name", NETS)
def test_detections_count_as_is_usual_for_the_format(tmp_path: Path, name: str) -> None:
    usual = load_detectors()[name].counting
    model = made(tmp_path / "m.onnx", NETS[name](), names=NAMED.get(name))
    assert isinstance(model.answer, Detections)
    assert (model.answer.threshold, model.answer.overlap) == (usual.threshold, usual.overlap)
    identity = model.identity
    assert identity.threshold == usual.threshold
    assert identity.overlap == (usual.overlap if model.answer.several else None)
    assert f"from a confidence of {usual.threshold:g} on ({usual.source})" in identity.meaning


def test_what_is_said_counts_instead(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(NETS["fastestdet"](), path)
    for said, wanted in (
        (
            (0.1, None),
            "from a confidence of 0.1 on, and boxes of a class that share more than 0.45",
        ),
        ((None, 0.2), "from a confidence of 0.65 on (as in FastestDet's test.py), and boxes of"),
        ((0.0, 0.0), "from a confidence of 0 on, and boxes of a class that share more than 0 of"),
    ):
        identity = load(path, PLAIN, CPU, detector=DeclaredDetector(None, *said)).identity
        assert wanted in identity.meaning
        threshold, overlap = said
        assert identity.threshold == (0.65 if threshold is None else threshold)
        assert identity.overlap == (0.45 if overlap is None else overlap)


def test_what_is_usual_for_a_format_is_assumed(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(NETS["yolo8"](), path)
    found = load(path, DeclaredPreprocessing(), CPU).preprocessing
    assert (found.resize, found.channel_order) == ("letterbox", "RGB")
    assert (found.range, found.mean, found.std) == ((0, 1), (0, 0, 0), (1, 1, 1))
    assert found.assumed["resize"] == "usual for yolo8"
    declared = DeclaredPreprocessing(resize="stretch", channel_order="BGR", mean=(0.5,), std=(2.0,))
    found = load(path, declared, CPU).preprocessing
    assert (found.resize, found.channel_order, found.mean) == ("stretch", "BGR", (0.5, 0.5, 0.5))
    onnx.save(NETS["fastestdet"](), path)
    found = load(path, DeclaredPreprocessing(), CPU).preprocessing
    assert (found.resize, found.channel_order) == ("stretch", "BGR")
    onnx.save(NETS["blazeface"](), path)
    found = load(path, DeclaredPreprocessing(), CPU).preprocessing
    assert (found.resize, found.range, found.mean) == ("letterbox", (-1, 1), (0, 0, 0))
    assert load(path, DeclaredPreprocessing(range=(0, 1)), CPU).preprocessing.range == (0, 1)


def test_a_list_with_other_rows_is_no_detector(tmp_path: Path) -> None:
    """9 × 84 numbers of 64 × 64 pixels are YOLOv8's cells; of another number of rows, nothing."""
    proto = NETS["yolo8"]()
    net = proto.graph
    net.output[0].name = "cut"
    net.output[0].type.tensor_type.shape.dim[2].dim_value = 83
    for name, value in (("start", 0), ("end", 83), ("axis", 2)):
        net.initializer.append(onnx.numpy_helper.from_array(np.array([value]), name))
    net.node.append(onnx.helper.make_node("Slice", ["output0", "start", "end", "axis"], ["cut"]))
    with pytest.raises(ModelRefused, match="taken for a detector's"):
        made(tmp_path / "m.onnx", proto)
    with pytest.raises(ModelRefused, match=r"--task detection: .*none of the formats"):
        made(tmp_path / "m.onnx", proto, task="detection")
