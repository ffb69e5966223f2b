"""Which of several outputs holds the scores, and outputs that are no tensors of scores."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from leap_audit.config import DeclaredPreprocessing
from leap_audit.errors import GradientUnavailable, ModelRefused
from leap_audit.gradient import build_gradient
from leap_audit.ingest import load
from leap_audit.ingest.model import Model
from leap_audit.ingest.outputs.answer import Softmax
from leap_audit.measure.run import Run
from tests.builders.classifiers import CPU, RAW
from tests.builders.ends import own_answer, pictures, write_text

INT, STRING = TensorProto.INT64, TensorProto.STRING
MAPS = """a = Conv <pads=[1, 1, 1, 1]> (x, kernel)
c = Relu (a)
b = Conv <pads=[1, 1, 1, 1]> (c, kernel5)
d = Relu (b)
g = GlobalAveragePool (d)
e = Flatten (g)
z = MatMul (e, head)"""
Outputs = Sequence[tuple[str, Sequence[int | str]]]


def loaded(path: Path, **asked: Any) -> Model:
    return load(path, DeclaredPreprocessing.model_validate(RAW), CPU, **asked)


def written(path: Path, nodes: str, outputs: Outputs, **given: Any) -> Path:
    """Write a network of a few layers; what the nodes use of these weights it has."""
    rng = np.random.default_rng(5)
    write_text(path, nodes, outputs, **given)
    model = onnx.load(path)
    used = {name for node in model.graph.node for name in node.input}
    arrays = {
        "kernel": rng.standard_normal((5, 1, 3, 3)),
        "kernel5": rng.standard_normal((5, 5, 3, 3)),
        "map_head": rng.standard_normal((3, 5, 1, 1)),
        "head": 3 * rng.standard_normal((5, 3)),
        "aux_head": rng.standard_normal((5, 3)),
        "other_head": rng.standard_normal((5, 4)),
        "score_head": rng.standard_normal((5, 1)),
        "wide": rng.standard_normal((5, 7)),
    }
    for name, array in arrays.items():
        if name in used:
            tensor = onnx.numpy_helper.from_array(array.astype(np.float32), name)
            model.graph.initializer.append(tensor)
    for name, numbers in {"two": [2], "batch": [0]}.items():
        if name in used:
            tensor = onnx.numpy_helper.from_array(np.array(numbers, np.int64), name)
            model.graph.initializer.append(tensor)
    onnx.save(model, path)
    return path


SEVERAL: dict[str, tuple[str, Outputs, str, str]] = {
    "features of places, logits": (
        MAPS,
        [("d", ("n", 5, 8, 8)), ("z", ("n", 3))],
        "z",
        "a list of scores, not a map",
    ),
    "features, logits": (MAPS, [("e", ("n", 5)), ("z", ("n", 3))], "z", "others lead to it"),
    "features in another shape, logits": (
        f"{MAPS}\nq = Unsqueeze (e, axes)\nv = Squeeze (q, axes)",
        [("v", ("n", 5)), ("z", ("n", 3))],
        "z",
        "others lead to it",
    ),
    "logits, features": (MAPS, [("z", ("n", 3)), ("e", ("n", 5))], "z", "others lead to it"),
    "probabilities, logits": (
        f"{MAPS}\np = Softmax (z)",
        [("z", ("n", 3)), ("p", ("n", 3))],
        "p",
        "others lead to it",
    ),
    "two of the same": (
        f"{MAPS}\nl = LogSoftmax (z)\np = Softmax (z)",
        [("l", ("n", 3)), ("p", ("n", 3))],
        "p",
        "others hold the same scores",
    ),
    "logits, attentions": (
        f"{MAPS}\nt = Flatten <axis=2> (d)\nu = Reshape (d, tokens)\n"
        "k = Transpose <perm=[0, 2, 1]> (u)\nm = MatMul (u, k)\na1 = Softmax <axis=2> (m)\n"
        "h = ReduceMean <keepdims=0> (a1, axes)\ny = MatMul (h, head)",
        [("y", ("n", 3)), ("a1", ("n", 5, 5))],
        "y",
        "a list of scores, not a map",
    ),
    "auxiliary logits first": (
        f"{MAPS}\nga = GlobalAveragePool (c)\nfa = Flatten (ga)\naux = MatMul (fa, aux_head)",
        [("aux", ("n", 3)), ("z", ("n", 3))],
        "z",
        "the network goes on to it",
    ),
    "auxiliary scores of each place": (
        f"{MAPS}\nq = Conv (c, map_head)\ns = Conv (d, map_head)",
        [("q", ("n", 3, 8, 8)), ("s", ("n", 3, 8, 8))],
        "s",
        "the network goes on to it",
    ),
    "the entropy beside": (
        f"{MAPS}\np = Softmax (z)\nl = Log (p)\nm = Mul (p, l)\n"
        "h = ReduceSum <keepdims=1> (m, axes)",
        [("h", ("n", 1)), ("p", ("n", 3))],
        "p",
        "not one number computed from them",
    ),
    "a loss beside": (
        f"{MAPS}\np = Softmax (z)\nloss = ReduceMean <keepdims=0> (p)",
        [("loss", ()), ("p", ("n", 3))],
        "p",
        "it alone holds class scores",
    ),
    "features divided by their length beside": (
        f"{MAPS}\nw7 = MatMul (e, wide)\nn = ReduceL2 <keepdims=1> (w7, axes)\nu = Div (w7, n)",
        [("u", ("n", 7)), ("z", ("n", 3))],
        "z",
        "scores, not features",
    ),
    "probabilities beside something else": (
        f"{MAPS}\nw7 = MatMul (e, wide)\np = Softmax (z)",
        [("w7", ("n", 7)), ("p", ("n", 3))],
        "p",
        "it holds probabilities",
    ),
}


@pytest.mark.parametrize("name", SEVERAL)
def test_the_scores_are_found_and_the_reason_said(tmp_path: Path, name: str) -> None:
    nodes, outputs, wanted, says = SEVERAL[name]
    path = written(tmp_path / "m.onnx", nodes, outputs)
    if "tokens" in nodes:
        proto = onnx.load(path)
        shape = onnx.numpy_helper.from_array(np.array([0, 5, 64]), "tokens")
        proto.graph.initializer.append(shape)
        onnx.save(proto, path)
    model = loaded(path)
    assert (model.identity.output, model.classes) == (wanted, 3), model.identity.logits
    assert says in model.identity.logits
    assert f"output {wanted!r} (chosen of 2 outputs: " in model.identity.logits
    assert [value.name for value in model.proto.graph.output] == [wanted]
    assert {info.name for info in model.identity.outputs} == {name for name, _ in outputs}
    assert model.batchable
    assert_own(model, own_answer(path, pictures(), wanted), probable=wanted == "p")


def assert_own(model: Model, answer: Any, *, probable: bool) -> None:
    """The probabilities of an audit are those of the model's answer."""
    scores = Run(model, 2, 1).scores(pictures())
    found = np.stack([model.answer.probabilities(s).mean(1) for s in scores])
    if answer.ndim == 4:
        answer = answer.reshape(*answer.shape[:2], -1)
        wanted = np.stack([Softmax(len(a)).probabilities(a).mean(1) for a in answer])
    else:
        wanted = answer if probable else Softmax(len(answer.T)).probabilities(answer.T).T
    np.testing.assert_allclose(found, wanted, atol=1e-5)


TWO_HEADS = f"{MAPS}\no = MatMul (e, other_head)"


def test_the_names_decide_between_two_heads(tmp_path: Path) -> None:
    outputs = [("z", ("n", 3)), ("o", ("n", 4))]
    path = written(tmp_path / "m.onnx", TWO_HEADS, outputs)
    for names, output in ((3, "z"), (4, "o")):
        identity = loaded(path, names=names).identity
        assert identity.output == output
        assert f"it has as many scores as there are class names ({names})" in identity.logits
    assert loaded(path, names=5).identity.output == "o"  # and one for the background


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        (TWO_HEADS, [("z", ("n", 3)), ("o", ("n", 4))]),
        (f"{MAPS}\no = MatMul (e, aux_head)", [("z", ("n", 3)), ("o", ("n", 3))]),
        (f"{MAPS}\no = MatMul (e, score_head)", [("z", ("n", 3)), ("o", ("n", 1))]),
        (f"{MAPS}\np = Softmax (z)\no = Sigmoid (z)", [("p", ("n", 3)), ("o", ("n", 3))]),
    ],
)
def test_two_heads_are_asked_for_and_can_be_named(
    tmp_path: Path, nodes: str, outputs: Outputs
) -> None:
    path = written(tmp_path / "m.onnx", nodes, outputs)
    with pytest.raises(ModelRefused, match=r"2 outputs may hold .*'o' \(.* choose one with --out"):
        loaded(path)
    model = loaded(path, output="o")
    assert model.identity.output == "o"
    assert "output 'o'" in model.identity.logits


def test_a_tensor_inside_can_be_named_and_a_wrong_name_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "m.onnx", TWO_HEADS, [("z", ("n", 3)), ("o", ("n", 4))])
    assert loaded(path, output="e", task="classification").classes == 5
    with pytest.raises(ModelRefused, match=r"no output called 'zz', .* its outputs are 'z', 'o'"):
        loaded(path, output="zz")


CHOICES: dict[str, tuple[str, Outputs, dict[str, int]]] = {
    "the largest three": (
        "v, i = TopK <axis=1> (p, two)",
        [("v", ("n", 2)), ("i", ("n", 2))],
        {"i": INT},
    ),
    "the ranks of the largest": ("v, i = TopK <axis=1> (p, two)", [("i", ("n", 2))], {"i": INT}),
    "the largest": ("v, i = TopK <axis=1> (p, two)", [("v", ("n", 2))], {}),
    "the best and its label": (
        "v = ReduceMax <keepdims=0> (p, axes)\ni = ArgMax <axis=1, keepdims=0> (p)",
        [("v", ("n",)), ("i", ("n",))],
        {"i": INT},
    ),
    "the label and the best": (
        "v = ReduceMax <keepdims=1> (p, axes)\ni = ArgMax <axis=1, keepdims=0> (p)",
        [("i", ("n",)), ("v", ("n", 1))],
        {"i": INT},
    ),
    "the best alone": ("v = ReduceMax <keepdims=1> (p, axes)", [("v", ("n", 1))], {}),
    "the label alone": (
        "i = ArgMax <axis=1, keepdims=0> (p)",
        [("i", ("n",))],
        {"i": INT},
    ),
    "the label as another type": (
        "k = ArgMax <axis=1, keepdims=0> (p)\ni = Cast <to=6> (k)",
        [("i", ("n",))],
        {"i": TensorProto.INT32},
    ),
    "the label as a float": (
        "k = ArgMax <axis=1, keepdims=0> (p)\ni = Cast <to=1> (k)",
        [("i", ("n",))],
        {},
    ),
    "the score at the label": (
        "i = ArgMax <axis=1, keepdims=1> (p)\nv = GatherElements <axis=1> (p, i)",
        [("v", ("n", 1)), ("i", ("n", 1))],
        {"i": INT},
    ),
    "probabilities in 8 bits": (
        "v = QuantizeLinear (p, prob_step, prob_zero)",
        [("v", ("n", 3))],
        {"v": TensorProto.UINT8},
    ),
    "one-hot": ("v = Hardmax <axis=1> (p)", [("v", ("n", 3))], {}),
    "label, probabilities": (
        "i = ArgMax <axis=1, keepdims=0> (p)",
        [("i", ("n",)), ("p", ("n", 3))],
        {"i": INT},
    ),
}


@pytest.mark.parametrize("name", CHOICES)
def test_the_scores_behind_a_choice(tmp_path: Path, name: str) -> None:
    nodes, outputs, kinds = CHOICES[name]
    path = written(tmp_path / "m.onnx", f"{MAPS}\np = Softmax (z)\n{nodes}", outputs, kinds=kinds)
    model = loaded(path)
    assert (model.identity.task, model.classes) == ("classification", 3)
    shown = written(tmp_path / "p.onnx", f"{MAPS}\np = Softmax (z)", [("p", ("n", 3))])
    assert_own(model, own_answer(shown, pictures(), "p"), probable=True)


def test_a_softmax_over_the_largest_scores_is_refused(tmp_path: Path) -> None:
    nodes = f"{MAPS}\nv, i = TopK <axis=1> (z, two)\np = Softmax (v)"
    path = written(tmp_path / "m.onnx", nodes, [("p", ("n", 2))])
    with pytest.raises(ModelRefused, match=r"output 'p' .* what TopK chose from tensor 'z'"):
        loaded(path)


def ml(op_type: str, inputs: list[str], outputs: list[str], **attributes: Any) -> Any:
    return helper.make_node(op_type, inputs, outputs, domain="ai.onnx.ml", **attributes)


FLOATS = helper.make_tensor_type_proto(TensorProto.FLOAT, None)
SEQUENCE = helper.make_value_info("s", helper.make_sequence_type_proto(FLOATS))
DICTS = helper.make_value_info(
    "s", helper.make_sequence_type_proto(helper.make_map_type_proto(STRING, FLOATS))
)
NUMBERED = helper.make_value_info(
    "s", helper.make_sequence_type_proto(helper.make_map_type_proto(INT, FLOATS))
)
NAMES = ["cat", "dog", "eel"]
DRESSED: dict[str, tuple[list[Any], Outputs, list[Any], dict[str, int], list[str]]] = {
    "ZipMap": ([ml("ZipMap", ["p"], ["s"], classlabels_strings=NAMES)], [], [DICTS], {}, NAMES),
    "ZipMap of numbers": (
        [ml("ZipMap", ["p"], ["s"], classlabels_int64s=[4, 5, 9])],
        [],
        [NUMBERED],
        {},
        ["4", "5", "9"],
    ),
    "label and ZipMap, as Custom Vision": (
        [
            helper.make_node("ArgMax", ["p"], ["i"], axis=1, keepdims=1),
            ml("ArrayFeatureExtractor", ["texts", "i"], ["t"]),
            ml("ZipMap", ["p"], ["s"], classlabels_strings=NAMES),
        ],
        [("t", (1, "n"))],
        [DICTS],
        {"t": STRING},
        NAMES,
    ),
    "label and probabilities": (
        [
            helper.make_node("ArgMax", ["p"], ["i"], axis=1, keepdims=0),
            ml("LabelEncoder", ["i"], ["t"], keys_int64s=[0, 1, 2], values_strings=NAMES),
        ],
        [("t", ("n",)), ("p", ("n", 3))],
        [],
        {"t": STRING},
        NAMES,
    ),
    "label alone": (
        [
            helper.make_node("ArgMax", ["p"], ["i"], axis=1, keepdims=0),
            ml("LabelEncoder", ["i"], ["t"], keys_int64s=[0, 1, 2], values_strings=NAMES),
        ],
        [("t", ("n",))],
        [],
        {"t": STRING},
        NAMES,
    ),
    "a sequence": ([helper.make_node("SequenceConstruct", ["p"], ["s"])], [], [SEQUENCE], {}, []),
    "a sequence of logits and probabilities": (
        [helper.make_node("SequenceConstruct", ["z", "p"], ["s"])],
        [],
        [SEQUENCE],
        {},
        [],
    ),
    "a sequence of rows": (
        [helper.make_node("SplitToSequence", ["p"], ["s"], axis=0)],
        [],
        [SEQUENCE],
        {},
        [],
    ),
    "an optional": (
        [helper.make_node("Optional", ["p"], ["s"])],
        [],
        [helper.make_value_info("s", helper.make_optional_type_proto(FLOATS))],
        {},
        [],
    ),
    "a linear classifier of scikit-learn": (
        [
            ml(
                "LinearClassifier",
                ["e"],
                ["t", "q"],
                coefficients=[float(n) / 7 - 1 for n in range(15)],
                intercepts=[0.1, 0.2, -0.3],
                classlabels_strings=NAMES,
                post_transform="SOFTMAX",
            ),
            ml("Normalizer", ["q"], ["r"], norm="L1"),
            ml("ZipMap", ["r"], ["s"], classlabels_strings=NAMES),
        ],
        [("t", ("n",))],
        [DICTS],
        {"t": STRING},
        NAMES,
    ),
    "divided by the sum": (
        [
            ml("Normalizer", ["p"], ["q"], norm="L1"),
            ml("ZipMap", ["q"], ["s"], classlabels_strings=NAMES),
        ],
        [],
        [DICTS],
        {},
        NAMES,
    ),
}


@pytest.mark.parametrize("name", DRESSED)
def test_the_tensor_behind_what_is_no_tensor(tmp_path: Path, name: str) -> None:
    more, outputs, given, kinds, names = DRESSED[name]
    path = tmp_path / "m.onnx"
    texts = helper.make_tensor("texts", STRING, [3], [n.encode() for n in NAMES])
    nodes = f"{MAPS}\np = Softmax (z)"
    written(path, nodes, outputs, more=more, given=given, kinds=kinds, ml=2)
    if any("texts" in node.input for node in more):
        made = onnx.load(path)
        made.graph.initializer.append(texts)
        onnx.save(made, path)
    model = loaded(path)
    assert (model.identity.task, model.classes) == ("classification", 3)
    assert list(model.labels) == names
    assert model.batchable
    shown = tmp_path / "p.onnx"
    if "linear" in name:
        made = onnx.load(path)
        del made.graph.output[:]
        made.graph.output.append(helper.make_tensor_value_info("q", TensorProto.FLOAT, ["n", 3]))
        onnx.save(made, shown)
    else:
        written(shown, nodes, [("p", ("n", 3))])
    answer = own_answer(shown, pictures(), "q" if "linear" in name else "p")
    assert_own(model, answer, probable=True)
    if name == "label alone":
        with pytest.raises(GradientUnavailable, match=r"\(of, --of\), such as 'p'"):
            build_gradient(path)
        return
    graph = build_gradient(path)
    assert "x_grad" in {value.name for value in graph.graph.output}


def test_texts_alone_are_refused_by_their_type(tmp_path: Path) -> None:
    more = [helper.make_node("Constant", [], ["t"], value_strings=["cat"])]
    path = written(tmp_path / "m.onnx", MAPS, [("t", (1,))], more=more, kinds={"t": STRING})
    with pytest.raises(ModelRefused, match=r"no output holds numbers \('t' \(texts\)\)"):
        loaded(path)


@pytest.mark.parametrize(
    "nodes",
    ["y = Softmax (o)", "e = Exp (o)\nt = ReduceSum <keepdims=1> (e, axes)\ny = Div (e, t)"],
)
def test_a_softmax_over_one_class_is_constant(tmp_path: Path, nodes: str) -> None:
    text = f"{MAPS}\no = MatMul (e0, score_head)\n{nodes}".replace("e = Flatten", "e0 = Flatten")
    text = text.replace("z = MatMul (e, head)\n", "")
    path = written(tmp_path / "m.onnx", text, [("y", ("n", 1))])
    identity = loaded(path).identity
    assert identity.constant
    assert "a softmax over one class, which gives 1 whatever it is shown" in identity.meaning


def test_a_dead_network_is_constant(tmp_path: Path) -> None:
    path = write_text(
        tmp_path / "m.onnx", "z = MatMul (f, zero)\ny = Add (z, bias)", [("y", ("n", 3))]
    )
    identity = loaded(path).identity
    assert identity.constant
    assert identity.meaning.endswith("they are the same for every picture.")
