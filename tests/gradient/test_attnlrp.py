"""AttnLRP: attention against the modified gradients of its paper, and gates."""

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

from leap_audit.gradient.lrp import AttnLrpRuleOptions
from leap_audit.run import Session, choose_provider
from tests.builders.relevance import Array, close, model, options_of, relevance

RNG = np.random.default_rng(5)
TOKENS, WIDTH, CLASSES = 5, 6, 3
X = RNG.normal(0, 1, (1, TOKENS, WIDTH)).astype(np.float32)
ATTENTION = {
    **{n: RNG.normal(0, 0.5, (WIDTH, WIDTH)) for n in ("wq", "wk", "wv", "wo")},
    "bv": RNG.normal(0, 0.3, WIDTH),
    "g1": RNG.uniform(0.5, 1.5, WIDTH),
    "s1": RNG.normal(0, 0.3, WIDTH),
    "g2": RNG.uniform(0.5, 1.5, WIDTH),
    "s2": RNG.normal(0, 0.3, WIDTH),
    "wu": RNG.normal(0, 0.5, (WIDTH, 8)),
    "bu": RNG.normal(0, 0.3, 8),
    "wd": RNG.normal(0, 0.5, (8, WIDTH)),
    "wc": RNG.normal(0, 0.5, (WIDTH, CLASSES)),
    "root": np.array(WIDTH**-0.5),
}


def block() -> Any:
    """One block of a transformer, the mean of its tokens, and three classes."""
    nodes = [
        helper.make_node("LayerNormalization", ["x", "g1", "s1"], ["n1"], axis=-1, epsilon=1e-3),
        helper.make_node("MatMul", ["n1", "wq"], ["q"]),
        helper.make_node("MatMul", ["n1", "wk"], ["k"]),
        helper.make_node("MatMul", ["n1", "wv"], ["v0"]),
        helper.make_node("Add", ["v0", "bv"], ["v"]),
        helper.make_node("Transpose", ["k"], ["kt"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["q", "kt"], ["l0"]),
        helper.make_node("Mul", ["l0", "root"], ["l"]),
        helper.make_node("Softmax", ["l"], ["a"], axis=-1),
        helper.make_node("MatMul", ["a", "v"], ["m"]),
        helper.make_node("MatMul", ["m", "wo"], ["o"]),
        helper.make_node("Add", ["x", "o"], ["h"]),
        helper.make_node("LayerNormalization", ["h", "g2", "s2"], ["n2"], axis=-1, epsilon=1e-3),
        helper.make_node("MatMul", ["n2", "wu"], ["u0"]),
        helper.make_node("Add", ["u0", "bu"], ["u"]),
        helper.make_node("Gelu", ["u"], ["e"]),
        helper.make_node("MatMul", ["e", "wd"], ["d"]),
        helper.make_node("Add", ["h", "d"], ["z"]),
        helper.make_node("ReduceMean", ["z", "axis"], ["p"], keepdims=0),
        helper.make_node("MatMul", ["p", "wc"], ["y"]),
    ]
    proto = model(nodes, X.shape, (1, CLASSES), ATTENTION)
    proto.graph.initializer.append(numpy_helper.from_array(np.array([1]), "axis"))
    return proto


def by_modified_gradients(target: int) -> tuple[Array, float]:
    """(x times the gradient of the block as AttnLRP modifies it, the score), in float64.

    A product of two activations halves the gradient, GELU has the slope y / x, and a deviation
    is a constant; everything else, Softmax too, is PyTorch's own.
    """
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    w = {n: torch.tensor(np.float32(a), dtype=torch.float64) for n, a in ATTENTION.items()}
    x = torch.tensor(X, dtype=torch.float64, requires_grad=True)

    def norm(t: Any, scale: Any, shift: Any) -> Any:
        deviation = (t.var(-1, keepdim=True, unbiased=False) + 1e-3).sqrt().detach()
        return (t - t.mean(-1, keepdim=True)) / deviation * scale + shift

    def product(a: Any, b: Any) -> Any:
        y = a @ b
        return y / 2 + (y / 2).detach()

    def gelu(t: Any) -> Any:
        return t * (torch.nn.functional.gelu(t) / t).detach()

    n = norm(x, w["g1"], w["s1"])
    a = (product(n @ w["wq"], (n @ w["wk"]).mT) * w["root"]).softmax(-1)
    h = x + product(a, n @ w["wv"] + w["bv"]) @ w["wo"]
    z = h + gelu(norm(h, w["g2"], w["s2"]) @ w["wu"] + w["bu"]) @ w["wd"]
    y = (z.mean(1) @ w["wc"])[0, target]
    y.backward()
    return np.asarray((x * x.grad).detach()), float(y.detach())


@pytest.mark.parametrize("target", range(CLASSES))
def test_attention_by_modified_gradients(target: int) -> None:
    expected, score = by_modified_gradients(target)
    options = AttnLrpRuleOptions(epsilon=1e-9, stabiliser=1e-9)
    r, kept, found = relevance(block(), X, target, options, attention=True)
    assert found == pytest.approx(score, rel=1e-5)
    close(r, expected, 1e-5)
    assert r.sum(dtype=np.float64) + kept == pytest.approx(score, rel=1e-4, abs=1e-5)


PICTURE = RNG.normal(0.2, 1, (1, 2, 4, 4)).astype(np.float32)
SQUEEZE = {
    "w1": RNG.normal(0, 0.5, (4, 2, 3, 3)),
    "b1": RNG.normal(0, 0.3, 4),
    "w2": RNG.normal(0, 0.7, (2, 4, 1, 1)),
    "w3": RNG.normal(0, 0.7, (4, 2, 1, 1)),
    "b3": RNG.normal(0, 0.3, 4),
    "w4": RNG.normal(0, 0.5, (64, 3)),
}


def squeezing(gate: Array | None = None) -> Any:
    """A block of squeeze and excitation beside a skip. gate: constants in the gate's place."""
    excite = [
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Conv", ["p", "w2"], ["s"]),
        helper.make_node("Relu", ["s"], ["t"]),
        helper.make_node("Conv", ["t", "w3", "b3"], ["e"]),
        helper.make_node("Sigmoid", ["e"], ["g"]),
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        *(excite if gate is None else []),
        helper.make_node("Mul", ["r", "g"], ["m"]),
        helper.make_node("Add", ["c", "m"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Flatten", ["b"], ["f"]),
        helper.make_node("MatMul", ["f", "w4"], ["y"]),
    ]
    weights = SQUEEZE if gate is None else {**SQUEEZE, "g": gate}
    return model(nodes, PICTURE.shape, (1, CLASSES), weights)


@pytest.mark.parametrize("attention", [False, True])
@pytest.mark.parametrize("composite", ["epsilon", "epsilon_plus"])
def test_squeeze_and_excitation_keeps_the_sum(attention: bool, composite: str) -> None:
    """The gate gets nothing, so that it may as well be a constant."""
    proto = squeezing()
    proto.graph.output[0].CopyFrom(helper.make_tensor_value_info("g", 1, (1, 4, 1, 1)))
    (gate,) = Session(ir.from_proto(proto), choose_provider("cpu"), 1).run({"x": PICTURE})
    options = options_of(composite)
    for target in range(CLASSES):
        r, kept, score = relevance(squeezing(), PICTURE, target, options, attention=attention)
        assert r.sum(dtype=np.float64) + kept == pytest.approx(score, rel=1e-4)
        expected, _, _ = relevance(squeezing(gate), PICTURE, target, options, attention=attention)
        close(r, expected)
