"""Ends of networks: each way to write what comes after the logits, and what it is to be read as."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from leap_audit.run.session import Array

__all__ = ["ENDS", "End", "own_answer", "pictures", "write_end"]

SIDE = 8
RNG = np.random.default_rng(3)
WEIGHTS = {
    "w": RNG.standard_normal((64, 3)),
    "w2": RNG.standard_normal((64, 3)),
    "one": RNG.standard_normal((64, 1)),
    "w10": 0.3 * RNG.standard_normal((64, 10)),
    "zero": np.zeros((64, 3)),
    "ones": np.ones((3, 1)),
}
CONSTANTS = {
    "half": np.array(0.5),
    "fifth": np.array(0.2),
    "hundred": np.array(100.0),
    "unit": np.array(1.0),
    "nought": np.array(0.0),
    "least": np.array(1e-7),
    "most": np.array(1 - 1e-7),
    "coarse": np.array(0.02),
    "crude": np.array(0.98),
    "three": np.array(3.0),
    "six": np.array(6.0),
    "third_each": np.array(1 / 3),
    "axes": np.array([1]),
    "flat": np.array([-1, 3]),
    "ten_end": np.array([10]),
    "ten": np.array([-1, 10]),
    "groups": np.array([-1, 2, 5]),
    "pixel": np.array([-1, 3, 1, 1]),
    "pair": np.array([-1, 1, 3]),
    "first": np.array([0]),
    "second": np.array([1]),
    "third": np.array([2]),
    "bias": np.array([0.1, -0.2, 0.3]),
    "prob_step": np.array(1 / 256),
    "prob_zero": np.array(0, np.uint8),
}


@dataclass(frozen=True)
class End:
    """What stands behind the logits `z` of a network, as ONNX's text of nodes writes it."""

    nodes: str
    """From `x`, flattened to `f`, to `y`; a line a node."""
    task: str = "classification"
    read: str = ""
    """A tensor that the scores are to be read from; empty where no one tensor is to be."""
    says: str = ""
    """A part of the sentence that says what was measured."""
    shape: Sequence[int | str] = ("n", 3)
    opset: int = 18
    total: float = 1.0
    """What a probability of 1 is written as."""
    of: str = "p"
    """What the output holds: p, log (of p), second (p of the second of two classes)."""
    exact: float = 1e-5
    """How near the probabilities must come to the output's."""


Z = "z = MatMul (f, w)"
JAX = """m = ReduceMax <keepdims=1> (z, axes)
s = Sub (z, m)
e = Exp (s)
t = ReduceSum <keepdims=1> (e, axes)"""
ONE = "z = MatMul (f, one)"

ENDS: dict[str, End] = {
    "softmax": End(f"{Z}\ny = Softmax <axis=1> (z)", read="z", says="the softmax of tensor 'z'"),
    "exp and sum": End(f"{Z}\n{JAX}\ny = Div (e, t)", read="z"),
    "exp and sum, times the reciprocal": End(
        f"{Z}\n{JAX}\nr = Reciprocal (t)\ny = Mul (e, r)", read="z"
    ),
    "exp and sum without the maximum": End(
        f"{Z}\ne = Exp (z)\nt = ReduceSum <keepdims=1> (e, axes)\ny = Div (e, t)", read="z"
    ),
    "exp of log of sum": End(
        f"{Z}\nl = ReduceLogSumExp <keepdims=1> (z, axes)\ns = Sub (z, l)\ny = Exp (s)", read="z"
    ),
    "two softmaxes": End(
        f"{Z}\na = Softmax (z)\nz2 = MatMul (f, w2)\nb = Softmax (z2)\nm = Add (a, b)\n"
        "y = Mul (m, half)",
        says="add up to 1",
    ),
    "mean of two softmaxes": End(
        f"{Z}\na = Softmax (z)\nz2 = MatMul (f, w2)\nb = Softmax (z2)\ny = Mean (a, b)",
        says="add up to 1",
    ),
    "mean over views": End(
        f"{Z}\nz2 = MatMul (f, w2)\nu = Unsqueeze (z, axes)\nv = Unsqueeze (z2, axes)\n"
        "c = Concat <axis=1> (u, v)\ns = Softmax <axis=2> (c)\n"
        "y = ReduceMean <keepdims=0> (s, axes)",
        says="add up to 1",
    ),
    "sum of two softmaxes": End(
        f"{Z}\na = Softmax (z)\nz2 = MatMul (f, w2)\nb = Softmax (z2)\ny = Add (a, b)",
        says="shares of 2",
        total=2,
    ),
    "clipped": End(f"{Z}\ns = Softmax (z)\ny = Clip (s, least, most)", read="z"),
    "clipped to 0..1": End(f"{Z}\ns = Softmax (z)\ny = Clip (s, nought, unit)", read="z"),
    "clipped coarsely": End(
        f"{Z}\ns = Softmax (z)\ny = Clip (s, coarse, crude)", says="that Clip changed"
    ),
    "percent": End(f"{Z}\ns = Softmax (z)\ny = Mul (s, hundred)", read="z", total=100),
    "percent of a mean": End(
        f"{Z}\na = Softmax (z)\nz2 = MatMul (f, w2)\nb = Softmax (z2)\nm = Mean (a, b)\n"
        "y = Mul (m, hundred)",
        says="percentages",
        total=100,
    ),
    "four dimensions": End(
        f"{Z}\nr = Reshape (z, pixel)\ns = Softmax <axis=1> (r)\ny = Flatten (s)",
        says="the softmax of",
    ),
    "three dimensions": End(
        f"{Z}\nr = Reshape (z, pair)\ns = Softmax <axis=2> (r)\ny = Squeeze (s, axes)",
        says="the softmax of",
    ),
    "rounded to whole percents": End(
        f"{Z}\ns = Softmax (z)\nh = Mul (s, hundred)\ny = Round (h)",
        read="z",
        says="which the output gives rounded",
        total=100,
        exact=0.0051,
    ),
    "rounded to 8 bits": End(
        f"{Z}\ns = Softmax (z)\nq = QuantizeLinear (s, prob_step, prob_zero)\n"
        "y = DequantizeLinear (q, prob_step, prob_zero)",
        says="which the output gives rounded",
        read="z",
        exact=0.004,
    ),
    "without the background": End(
        "z = MatMul (f, w10)\ns = Softmax (z)\ny = Slice (s, axes, ten_end, axes)",
        shape=("n", 9),
        says="some of the probabilities of a softmax",
    ),
    "an epsilon before the logarithm": End(
        f"{Z}\ns = Softmax (z)\ne = Add (s, least)\ny = Log (e)", of="log"
    ),
    "clipped and divided by the sum": End(
        f"{Z}\ns = Softmax (z)\nc = Clip (s, coarse, crude)\n"
        "t = ReduceSum <keepdims=1> (c, axes)\ny = Div (c, t)",
        says="add up to 1",
    ),
    "the sum as a product": End(
        f"{Z}\ne = Exp (z)\nt = MatMul (e, ones)\ny = Div (e, t)", read="z"
    ),
    "four dimensions of an old opset": End(
        f"{Z}\nr = Reshape (z, pixel)\ny = Softmax <axis=1> (r)", shape=("n", 3, 1, 1), opset=9
    ),
    "sharpened": End(
        f"{Z}\ns = Softmax (z)\nh = Pow (s, three)\nt = ReduceSum <keepdims=1> (h, axes)\n"
        "y = Div (h, t)",
        says="add up to 1",
    ),
    "temperature": End(
        f"{Z}\nt = Div (z, three)\ny = Softmax (t)", read="t", says="the softmax of tensor 't'"
    ),
    "cast": End(f"{Z}\ns = Softmax (z)\nd = Cast <to=11> (s)\ny = Cast <to=1> (d)", read="z"),
    "half precision": End(
        f"{Z}\nh = Cast <to=10> (z)\ns = Softmax (h)\ny = Cast <to=1> (s)",
        exact=1e-3,
    ),
    "exp of logsoftmax": End(f"{Z}\ns = LogSoftmax (z)\ny = Exp (s)", read="z"),
    "logsoftmax": End(f"{Z}\ny = LogSoftmax (z)", read="z", says="logarithms", of="log"),
    "log of softmax": End(f"{Z}\ns = Softmax (z)\ny = Log (s)", read="z", of="log"),
    "log of a mean": End(
        f"{Z}\na = Softmax (z)\nz2 = MatMul (f, w2)\nb = Softmax (z2)\nm = Mean (a, b)\n"
        "y = Log (m)",
        says="logarithms of probabilities",
        of="log",
    ),
    "sigmoids divided by their sum": End(
        f"{Z}\ns = Sigmoid (z)\nt = ReduceSum <keepdims=1> (s, axes)\ny = Div (s, t)",
        says="add up to 1",
    ),
    "relus divided by their sum": End(
        f"{Z}\ns = Softplus (z)\nt = ReduceL1 <keepdims=1> (s, axes)\ny = Div (s, t)",
        says="add up to 1",
    ),
    "an even softmax": End(f"{Z}\nq = Mul (z, least)\ny = Softmax (q)", read="q"),
    "logits": End(f"{Z}\ny = Add (z, bias)", read="y", says="logits", of="logit"),
    "logits cut off at 6": End(f"{Z}\ny = Clip (z, nought, six)", says="logits", of="logit"),
    "small logits": End(f"{Z}\nq = Mul (z, least)\ny = Add (q, half)", says="logits", of="logit"),
    "small logits around a third": End(
        f"{Z}\nq = Mul (z, least)\ny = Add (q, third_each)", says="logits", of="logit"
    ),
    "sigmoids": End(f"{Z}\ny = Sigmoid (z)", task="multi-label", read="z"),
    "sigmoids as exp": End(
        f"{Z}\na = Neg (z)\ne = Exp (a)\nb = Add (e, unit)\ny = Reciprocal (b)",
        task="multi-label",
        read="z",
    ),
    "sigmoids as tanh": End(
        f"{Z}\nh = Mul (z, half)\nt = Tanh (h)\na = Mul (t, half)\ny = Add (a, half)",
        task="multi-label",
        read="z",
    ),
    "sigmoids in percent": End(
        f"{Z}\ns = Sigmoid (z)\ny = Mul (s, hundred)", task="multi-label", read="z", total=100
    ),
    "clipped sigmoids": End(
        f"{Z}\ns = Sigmoid (z)\ny = Clip (s, least, most)", task="multi-label", read="z"
    ),
    "hard sigmoids": End(
        f"{Z}\ny = HardSigmoid (z)", task="multi-label", says="allow none outside 0..1"
    ),
    "hard sigmoids of Keras": End(
        f"{Z}\na = Mul (z, fifth)\nb = Add (a, half)\ny = Clip (b, nought, unit)",
        task="multi-label",
        says="allow none outside 0..1",
    ),
    "mean of two sigmoids": End(
        f"{Z}\na = Sigmoid (z)\nz2 = MatMul (f, w2)\nb = Sigmoid (z2)\ny = Mean (a, b)",
        task="multi-label",
        says="allow none outside 0..1",
    ),
    "two softmaxes side by side": End(
        "z = MatMul (f, w10)\ng = Reshape (z, groups)\ns = Softmax <axis=2> (g)\n"
        "y = Reshape (s, ten)",
        task="multi-label",
        shape=("n", 10),
        says="allow none outside 0..1",
    ),
    "log of sigmoids": End(
        f"{Z}\ns = Sigmoid (z)\ny = Log (s)", task="multi-label", read="z", of="log"
    ),
    "one sigmoid": End(f"{ONE}\ny = Sigmoid (z)", "binary", "z", shape=("n", 1), of="second"),
    "one sigmoid in percent": End(
        f"{ONE}\ns = Sigmoid (z)\ny = Mul (s, hundred)",
        "binary",
        "z",
        shape=("n", 1),
        of="second",
        total=100,
    ),
    "one hard sigmoid": End(
        f"{ONE}\ny = HardSigmoid (z)",
        "binary",
        says="allow none outside 0..1",
        shape=("n", 1),
        of="second",
    ),
    "one clipped sigmoid": End(
        f"{ONE}\ns = Sigmoid (z)\ny = Clip (s, least, most)", "binary", shape=("n", 1), of="second"
    ),
    "the second of two": End(
        f"{Z}\ns = Softmax (z)\ny = Gather <axis=1> (s, second)",
        "binary",
        shape=("n", 1),
        of="second",
    ),
    "one logit": End(f"{ONE}\ny = Identity (z)", "binary", shape=("n", 1), of="logit"),
    "1 - p and p": End(
        f"{ONE}\np = Sigmoid (z)\nq = Sub (unit, p)\ny = Concat <axis=1> (q, p)",
        "binary",
        "z",
        shape=("n", 2),
    ),
    "p and 1 - p": End(
        f"{ONE}\np = Sigmoid (z)\nq = Sub (unit, p)\ny = Concat <axis=1> (p, q)",
        "binary",
        shape=("n", 2),
    ),
    "1 - p and p of hard sigmoid": End(
        f"{ONE}\np = HardSigmoid (z)\nq = Sub (unit, p)\ny = Concat <axis=1> (q, p)",
        shape=("n", 2),
        says="add up to 1",
    ),
    "two sigmoids of opposite signs": End(
        f"{ONE}\nm = Neg (z)\np = Sigmoid (z)\nq = Sigmoid (m)\ny = Concat <axis=1> (q, p)",
        "binary",
        shape=("n", 2),
    ),
    "nought beside a logit": End(
        f"{ONE}\nn = Mul (z, nought)\nc = Concat <axis=1> (n, z)\ny = Softmax (c)",
        read="c",
        shape=("n", 2),
    ),
}


def write_end(path: Path, end: End, *, scale: float = 1.0, shift: float = 0.0) -> Path:
    """Write a network of grey pictures that ends so. scale, shift: of its weights."""
    return write_text(path, end.nodes, [("y", end.shape)], scale=scale, opset=end.opset)


def write_text(
    path: Path,
    nodes: str,
    outputs: Sequence[tuple[str, Sequence[int | str]]],
    *,
    scale: float = 1.0,
    opset: int = 18,
    kinds: dict[str, int] | None = None,
    more: Sequence[onnx.NodeProto] = (),
    ml: int = 0,
    given: Sequence[onnx.ValueInfoProto] = (),
) -> Path:
    """Write a network from nodes in ONNX's text; its input `x` is flattened to `f`.

    kinds: output -> type where it is not float. more: nodes after them. ml: the version of
    ai.onnx.ml. given: outputs besides, which are no tensors.
    """
    text = "\n".join(line for line in nodes.strip().split("\n"))
    shell = (
        f'<ir_version: 8, opset_import: ["" : {opset}]>\n'
        f"g (float[n, 1, {SIDE}, {SIDE}] x) => (float[n] y) {{\nf = Flatten (x)\n{text}\n}}"
    )
    model = onnx.parser.parse_model(shell)
    graph = model.graph
    graph.node.extend(more)
    del graph.output[:]
    for name, dims in outputs:
        kind = (kinds or {}).get(name, TensorProto.FLOAT)
        graph.output.append(helper.make_tensor_value_info(name, kind, list(dims)))
    graph.output.extend(given)
    if ml:
        model.opset_import.append(helper.make_opsetid("ai.onnx.ml", ml))
    used = {name for node in graph.node for name in node.input}
    for name, array in {**WEIGHTS, **CONSTANTS}.items():
        if name in used:
            factor = scale if name.startswith(("w", "one")) and name != "ones" else 1
            numbers = (array * factor).astype(np.float32) if array.dtype.kind == "f" else array
            graph.initializer.append(numpy_helper.from_array(numbers, name))
    onnx.save(model, path)
    return path


def pictures(count: int = 6) -> Array:
    """Return (count, 1, SIDE, SIDE) in 0..1, not those that a model is measured on."""
    return np.random.default_rng(11).random((count, 1, SIDE, SIDE)).astype(np.float32)


def own_answer(path: Path, shown: Array, output: str = "y") -> Array:
    """Return an output of the file itself, as ONNX Runtime gives it."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    rows = [session.run([output], {"x": picture[None]})[0] for picture in shown]
    return np.concatenate(rows).astype(np.float64)
