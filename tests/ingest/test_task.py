"""What kind of answer a model gives: read off its end, said by the user, or refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leap_audit.canonical.form import canonicalise
from leap_audit.config import AuditOptions, DeclaredPreprocessing
from leap_audit.errors import ModelRefused
from leap_audit.graph.shapes import static_shape
from leap_audit.ingest import load
from leap_audit.ingest.files.onnx import read_onnx
from leap_audit.ingest.model import Model
from leap_audit.ingest.outputs.head import Head, find_head
from leap_audit.ingest.outputs.task import DeclaredAnswer
from leap_audit.ingest.outputs.trial import OutputTrial
from leap_audit.ingest.pictures.preprocessing import resolve
from leap_audit.measure.run import Run
from leap_audit.pipeline.reading import read
from leap_audit.progress import Silent
from tests.builders import kinds
from tests.builders.classifiers import CPU, RAW, Node, write_model

OPTIONS = AuditOptions.parse({"preprocessing": RAW}, "test")
RNG = np.random.default_rng(0)
CONV: Node = ("Conv", ["x", "k"], "c", {"pads": [1, 1, 1, 1]})
FEATURES: list[Node] = [
    CONV,
    ("Relu", ["c"], "r"),
    ("GlobalAveragePool", ["r"], "g"),
]


def loaded(path: Path, **said: Any) -> Model:
    return load(path, DeclaredPreprocessing.model_validate(RAW), CPU, **said)


def ended(path: Path, nodes: list[Node], dims: tuple[Any, ...], **given: Any) -> Path:
    every = {
        "k": RNG.standard_normal((8, 1, 3, 3)),
        "w": RNG.standard_normal((8, 8)),
        "four": RNG.standard_normal((4, 8, 1, 1)),
        "five": RNG.standard_normal((5, 8, 1, 1)),
        "shape": np.array([0, 16, 32]),
        "two": np.float32(2),
        "tiny": np.float32(1e-6),
    }
    used = {name for node in nodes for name in node[1]}
    weights = {name: array for name, array in every.items() if name in used}
    return write_model(path, nodes, weights, outputs=[("y", dims)], **given)


@pytest.mark.parametrize(
    ("end", "says"),
    [
        ("scores", "is a map with 3 scores for each place"),
        ("softmax", "under its Softmax"),
        ("argmax", "under its ArgMax"),
        ("mask", "one score for each place under its Sigmoid"),
        ("nhwc", "is a map with 3 scores"),
    ],
)
def test_the_reason_is_given(tmp_path: Path, end: str, says: str) -> None:
    identity = loaded(kinds.segmenter(tmp_path / "m.onnx", end)).identity
    assert identity.task == "segmentation"
    assert says in identity.task_reason
    assert "24 × 24 places" in identity.logits


def test_an_enlargement_is_taken_off_and_said(tmp_path: Path) -> None:
    identity = loaded(kinds.segmenter(tmp_path / "m.onnx", "resized")).identity
    assert "with the trailing Resize taken off, a map of 24 × 24 places" in identity.logits


def test_a_list_under_an_argmax_is_a_classifier(tmp_path: Path) -> None:
    nodes: list[Node] = [
        *FEATURES,
        ("Flatten", ["g"], "f"),
        ("MatMul", ["f", "w"], "m"),
        ("ArgMax", ["m"], "y", {"axis": 1, "keepdims": 0}),
    ]
    model = loaded(ended(tmp_path / "m.onnx", nodes, ("n",), kinds={"y": 7}))
    assert (model.identity.task, model.classes) == ("classification", 8)
    assert "trailing ArgMax taken off" in model.identity.logits


def test_names_settle_where_the_classes_are(tmp_path: Path) -> None:
    nodes: list[Node] = [CONV, ("Transpose", ["c"], "t", {"perm": [0, 2, 3, 1]})]
    nodes.append(("Abs", ["t"], "y"))
    path = ended(tmp_path / "m.onnx", nodes, ("n", 6, 5, 8), shape=("n", 1, 6, 5))
    assert loaded(path).classes == 6
    named = loaded(path, names=8)
    assert (named.classes, named.identity.places) == (8, (6, 5))


@pytest.mark.parametrize(
    ("task", "independent", "classes"),
    [("classification", False, 3), ("multi-label", True, 3)],
)
def test_what_is_said_counts(tmp_path: Path, task: Any, independent: bool, classes: int) -> None:
    model = loaded(kinds.many_labels(tmp_path / "m.onnx"), task=task)
    assert (model.identity.task, model.identity.task_reason) == (task, "said with --task")
    assert (model.identity.independent, model.classes) == (independent, classes)


@pytest.mark.parametrize(
    ("write", "task", "says"),
    [
        (kinds.many_labels, "segmentation", "needs a map of scores, and output 'y' gives 3"),
        (kinds.many_labels, "binary", "needs a single score"),
        (kinds.segmenter, "classification", "needs one list of scores, .* gives 3 × 24 × 24"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, write: Any, task: Any, says: str) -> None:
    with pytest.raises(ModelRefused, match=says):
        loaded(write(tmp_path / "m.onnx"), task=task)


def test_a_region_needs_a_map(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match=r"--region picks a part .* one answer"):
        loaded(kinds.many_labels(tmp_path / "m.onnx"), region=(0, 0, 0.5, 0.5))


NORM: list[Node] = [
    ("Flatten", ["g"], "f"),
    ("MatMul", ["f", "w"], "m"),
    ("ReduceL2", ["m"], "l", {"axes": [1], "keepdims": 1}),
    ("Div", ["m", "l"], "y"),
]


LAYER_NORM: list[Node] = [
    ("Flatten", ["g"], "f"),
    ("MatMul", ["f", "w"], "h"),
    ("ReduceMean", ["h"], "mean", {"axes": [1], "keepdims": 1}),
    ("Sub", ["h", "mean"], "apart"),
    ("Pow", ["apart", "two"], "square"),
    ("ReduceMean", ["square"], "variance", {"axes": [1], "keepdims": 1}),
    ("Add", ["variance", "tiny"], "above"),
    ("Sqrt", ["above"], "deviation"),
    ("Div", ["apart", "deviation"], "unit"),
    ("Mul", ["unit", "two"], "scaled"),
    ("Add", ["scaled", "tiny"], "y"),
]
"""As exporters write a LayerNormalization in older operators."""


@pytest.mark.parametrize(
    ("nodes", "says"),
    [
        ([*FEATURES, ("Flatten", ["g"], "y")], "GlobalAveragePool over Relu stands at the end"),
        ([*FEATURES, *NORM], "divided by their length"),
        ([*FEATURES, *LAYER_NORM], "divided by their deviation"),
    ],
)
def test_an_embedding_is_no_classifier_unless_said_otherwise(
    tmp_path: Path, nodes: list[Node], says: str
) -> None:
    path = ended(tmp_path / "m.onnx", nodes, ("n", 8))
    found = loaded(path)
    assert (found.identity.task, found.classes) == ("embedding", 8)
    assert says in found.identity.task_reason
    with pytest.raises(ModelRefused, match=f"embedding of 8 features .*{says}.* --task class"):
        read(path, None, OPTIONS, Silent())
    names = read(path, None, OPTIONS, Silent(), embeddings=True).names
    assert len(names) == 8
    assert loaded(path, task="classification").classes == 8
    assert loaded(path, names=8).identity.task == "classification"  # as SqueezeNet without Softmax


@pytest.mark.parametrize(
    ("nodes", "dims", "says"),
    [
        (
            [
                CONV,
                ("Conv", ["c", "four"], "b"),
                ("Conv", ["c", "five"], "s"),
                ("Concat", ["b", "s"], "y", {"axis": 1}),
            ],
            ("n", 9, 8, 8),
            r"its 9 channels are 4 \+ 5 joined",
        ),
        ([CONV, ("Reshape", ["c", "shape"], "y")], ("n", 16, 32), "a list of 16 × 32 numbers"),
    ],
)
def test_a_detector_is_refused(
    tmp_path: Path, nodes: list[Node], dims: tuple[Any, ...], says: str
) -> None:
    with pytest.raises(ModelRefused, match=f"taken for a detector's .*{says}.* classifier it was"):
        loaded(ended(tmp_path / "m.onnx", nodes, dims))


def test_boxes_that_are_sorted_out_are_a_detector(tmp_path: Path) -> None:
    nodes: list[Node] = [("NonMaxSuppression", ["x", "x"], "y")]
    path = write_model(
        tmp_path / "m.onnx", nodes, {}, shape=(1, 8, 4), outputs=[("y", ("n", 3))], kinds={"y": 7}
    )
    with pytest.raises(ModelRefused, match=r"detector \(it has NonMaxSuppression"):
        loaded(path)


def test_a_map_of_plain_numbers_is_refused_unless_said(tmp_path: Path) -> None:
    path = write_model(
        tmp_path / "m.onnx", [("Abs", ["x"], "y")], {}, outputs=[("y", ("n", 1, 8, 8))]
    )
    with pytest.raises(ModelRefused, match="one number for each place"):
        loaded(path)
    assert loaded(path, task="segmentation").answer.numbers == 1


def real_head(shared: Path, name: str, asked: DeclaredAnswer) -> Head:
    proto = read_onnx(shared / "models" / name)
    graph = canonicalise(proto, batch=1)
    shape = static_shape(graph.graph.inputs[0])
    declared = DeclaredPreprocessing.model_validate(RAW)
    trial = OutputTrial(resolve(declared, shape, name="x"), CPU)
    return find_head(graph, asked, trial)


def test_real_networks(shared: Path) -> None:
    found = real_head(shared, "sinet_portrait_seg.onnx", DeclaredAnswer())
    assert (found.task, found.classes, found.places) == ("segmentation", 2, (320, 320))
    assert (found.axis, found.single) == (1, False)
    with pytest.raises(ModelRefused, match=r"detector's .* 1 \+ 4 \+ 80 joined"):
        real_head(shared, "fastestdet_coco.onnx", DeclaredAnswer())
    embedding = "mobilenet_v1_1.0_224_quant_embedding_extractor_f32.onnx"
    found = real_head(shared, embedding, DeclaredAnswer(layout="NHWC"))
    assert (found.task, found.classes) == ("embedding", 1024)


def test_what_is_said_to_be_a_vector_is_read_as_it_is(tmp_path: Path) -> None:
    """Under a Softmax too, which would be taken off a classifier's scores."""
    path = ended(
        tmp_path / "m.onnx", [*FEATURES, ("Flatten", ["g"], "f"), ("Softmax", ["f"], "y")], ("n", 8)
    )
    assert loaded(path).identity.task == "classification"
    found = loaded(path, task="embedding")
    assert (found.identity.task, found.reading.change, found.reading.back) == (
        "embedding",
        "none",
        (),
    )
    (scores,) = Run(found).scores(np.full((1, *found.picture_shape), 0.5, np.float32))
    assert scores.sum() == pytest.approx(1, abs=1e-5)
    with pytest.raises(
        ModelRefused,
        match=r"--task embedding does not fit: it needs one list of .* name a tensor with one",
    ):
        loaded(kinds.segmenter(tmp_path / "map.onnx", "scores"), task="embedding")
