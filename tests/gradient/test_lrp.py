"""Relevance: each rule against its formula, written out over a matrix of products x · w."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import helper

from leap_audit.errors import GradientUnavailable, UsageError
from leap_audit.gradient import RULES, build_gradient
from leap_audit.gradient.lrp import (
    CLASSES,
    COMPOSITES,
    AttnLrpRuleOptions,
    LrpRuleOptions,
    attnlrp_rules,
    lrp_rules,
)
from leap_audit.run import Session, choose_provider
from tests.builders.relevance import Array, close, model, options_of, relevance

RNG = np.random.default_rng(0)
X = RNG.normal(0.2, 1, (1, 2, 5, 5)).astype(np.float32)
W = {
    "w1": RNG.normal(0, 0.5, (4, 2, 3, 3)),
    "b1": RNG.normal(0, 0.3, 4),
    "w2": RNG.normal(0, 0.4, (3, 4, 3, 3)),
    "b2": RNG.normal(0.3, 0.3, 3),
    "w3": RNG.normal(0, 0.4, (27, 6)),
    "b3": RNG.normal(0.5, 0.3, 6),
    "w4": RNG.normal(0, 0.5, (6, 3)),
    "b4": RNG.normal(0, 0.3, 3),
}
NORM = {
    "scale": RNG.uniform(0.5, 1.5, 4),
    "shift": RNG.normal(0, 0.2, 4),
    "mean": RNG.normal(0, 0.2, 4),
    "var": RNG.uniform(0.5, 2, 4),
}
TARGET = 1


def network(*, biases: bool = True) -> onnx.ModelProto:
    """Convolution, normalisation, ReLU, strided convolution, ReLU, two dense layers."""
    weights = {n: np.zeros_like(a) if n[0] == "b" and not biases else a for n, a in W.items()}
    norm = {
        **NORM,
        **({} if biases else {"shift": np.zeros(4), "mean": np.zeros(4)}),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["c1", *norm], ["n1"], epsilon=1e-3),
        helper.make_node("Relu", ["n1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["c2"], ["r2"]),
        helper.make_node("Flatten", ["r2"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w3", "b3"], ["h3"]),
        helper.make_node("Relu", ["h3"], ["r3"]),
        helper.make_node("Gemm", ["r3", "w4", "b4"], ["y"]),
    ]
    return model(nodes, (1, 2, 5, 5), (1, 3), {**weights, **norm})


def dense(kernel: Array, bias: Array, shape: tuple[int, ...], stride: int) -> tuple[Array, ...]:
    """A padded 3 × 3 convolution as a matrix (inputs, outputs), its biases, and what connects."""
    channels, height, width = shape
    rows, columns = -(-height // stride), -(-width // stride)
    matrix = np.zeros((channels, height, width, len(kernel), rows, columns))
    linked = np.zeros_like(matrix)
    for i in range(rows):
        for j in range(columns):
            for u in range(3):
                for v in range(3):
                    p, q = i * stride + u - 1, j * stride + v - 1
                    if 0 <= p < height and 0 <= q < width:
                        matrix[:, p, q, :, i, j] = kernel[:, :, u, v].T
                        linked[:, p, q, :, i, j] = 1
    size = channels * height * width
    return (
        matrix.reshape(size, -1),
        np.repeat(bias, rows * columns),
        linked.reshape(size, -1),
    )


def layers(*, biases: bool = True) -> list[tuple[Array, Array, Array]]:
    """(matrix, bias, links) of the four layers, the normalisation in the first."""
    b = {n: a * biases for n, a in W.items()}
    factor = NORM["scale"] / np.sqrt(NORM["var"] + 1e-3)
    shift = (NORM["shift"] - NORM["mean"] * factor) * biases
    return [
        dense(W["w1"] * factor[:, None, None, None], b["b1"] * factor + shift, (2, 5, 5), 1),
        dense(W["w2"], b["b2"], (4, 5, 5), 2),
        (W["w3"], b["b3"], np.ones_like(W["w3"])),
        (W["w4"], b["b4"], np.ones_like(W["w4"])),
    ]


Formula = Callable[[Array, Array, Array, Array, Array], Array]
"""(x, w, b, links, r) -> what each x gets."""


def steady(y: Array, epsilon: float = 1e-6) -> Array:
    return y + np.where(y < 0, -epsilon, epsilon)


def f_epsilon(epsilon: float = 1e-6) -> Formula:
    return lambda x, w, b, _, r: x * (w @ (r / steady(x @ w + b, epsilon)))


def f_alpha_beta(alpha: float, beta: float) -> Formula:
    def formula(x: Array, w: Array, b: Array, _: Array, r: Array) -> Array:
        z = x[:, None] * w
        up, down = np.maximum(z, 0), np.minimum(z, 0)
        y_up, y_down = up.sum(0) + np.maximum(b, 0), down.sum(0) + np.minimum(b, 0)
        return np.asarray(up @ (alpha * r / steady(y_up)) - down @ (beta * r / steady(y_down)))

    return formula


def f_gamma(gamma: float = 0.25) -> Formula:
    def formula(x: Array, w: Array, b: Array, _: Array, r: Array) -> Array:
        z = x[:, None] * w
        y = z.sum(0) + b
        total = np.zeros_like(x)
        for sign in (1, -1):
            bigger = z + gamma * np.where(np.sign(z) == sign, z, 0)
            bias = b + gamma * np.where(np.sign(b) == sign, b, 0)
            chosen = (y >= 0) if sign == 1 else (y < 0)
            total += bigger @ (chosen * r / steady(bigger.sum(0) + bias))
        return total

    return formula


def f_gamma_weights(gamma: float) -> Formula:
    def formula(x: Array, w: Array, b: Array, _: Array, r: Array) -> Array:
        bigger = w + gamma * np.maximum(w, 0)
        return np.asarray(x * (bigger @ (r / steady(x @ bigger + b, 1e-9))))

    return formula


def f_flat(x: Array, w: Array, b: Array, linked: Array, r: Array) -> Array:
    return np.asarray(linked @ (r / steady(linked.sum(0))))


def f_box(low: float, high: float) -> Formula:
    def formula(x: Array, w: Array, b: Array, _: Array, r: Array) -> Array:
        z = x[:, None] * w - low * np.maximum(w, 0) - high * np.minimum(w, 0)
        return np.asarray(z @ (r / steady(z.sum(0))))

    return formula


PLUS, ALPHA2 = f_alpha_beta(1, 0), f_alpha_beta(2, 1)
FORMULAS: dict[str, list[Formula]] = {
    "epsilon": [f_epsilon()] * 4,
    "epsilon_plus": [PLUS, PLUS, f_epsilon(), f_epsilon()],
    "epsilon_gamma_box": [f_box(-2.5, 3.5), f_gamma(), f_epsilon(), f_epsilon()],
    "epsilon_plus_flat": [f_flat, PLUS, f_epsilon(), f_epsilon()],
    "epsilon_alpha2_beta1": [ALPHA2, ALPHA2, f_epsilon(), f_epsilon()],
    "epsilon_alpha2_beta1_flat": [f_flat, ALPHA2, f_epsilon(), f_epsilon()],
    "foxai": [f_gamma_weights(0.25)] * 2 + [f_epsilon(1e-9), f_epsilon(0)],
}


def by_hand(formulas: list[Formula], *, biases: bool = True) -> list[Array]:
    """The relevance of each layer's input, the first layer's first, in float64."""
    x, inputs = X.astype(np.float64).ravel(), []
    stack = layers(biases=biases)
    for i, (w, b, _) in enumerate(stack):
        inputs.append(x)
        y = x @ w + b
        x = y if i == len(stack) - 1 else np.maximum(y, 0)
    r = np.where(np.arange(3) == TARGET, x, 0)
    found = []
    for x, (w, b, linked), formula in reversed(list(zip(inputs, stack, formulas, strict=True))):
        r = formula(x, w, b, linked, r)
        found.append(r)
    return found[::-1]


@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize("biases", [True, False])
def test_composites_by_their_formulas(composite: str, biases: bool) -> None:
    r, kept, score = relevance(network(biases=biases), X, TARGET, options_of(composite))
    close(r, by_hand(FORMULAS[composite], biases=biases)[0])
    assert r.sum(dtype=np.float64) + kept == pytest.approx(score, rel=1e-4)
    if not biases:
        assert abs(kept) < 1e-4 * abs(score)


@pytest.mark.parametrize("composite", ["epsilon", "epsilon_plus", "epsilon_alpha2_beta1"])
def test_at_a_tensor_inside(composite: str) -> None:
    r, _, _ = relevance(network(), X, TARGET, options_of(composite), wrt="r1")
    close(r, by_hand(FORMULAS[composite])[1])


def test_the_options_reach_their_rules() -> None:
    gamma = options_of("epsilon_gamma_box", gamma=2.0)
    expected = by_hand([f_box(-2.5, 3.5), f_gamma(2.0), f_epsilon(), f_epsilon()])[0]
    close(relevance(network(), X, TARGET, gamma)[0], expected)
    epsilon = options_of("epsilon", epsilon=0.3)
    close(relevance(network(), X, TARGET, epsilon)[0], by_hand([f_epsilon(0.3)] * 4)[0])
    stabiliser = options_of("epsilon_plus_flat", stabiliser=0.5)

    def flat(x: Array, w: Array, b: Array, linked: Array, r: Array) -> Array:
        return np.asarray(linked @ (r / (linked.sum(0) + 0.5)))

    def plus(x: Array, w: Array, b: Array, _: Array, r: Array) -> Array:
        z = np.maximum(x[:, None] * w, 0)
        return np.asarray(z @ (r / (z.sum(0) + np.maximum(b, 0) + 0.5)))

    expected = by_hand([flat, plus, f_epsilon(), f_epsilon()])[0]
    close(relevance(network(), X, TARGET, stabiliser)[0], expected)


def test_lrp_0_on_relus_is_input_times_gradient() -> None:
    r, _, _ = relevance(network(), X, TARGET, options_of("epsilon", epsilon=0.0))
    gradient = build_gradient(network())
    session = Session(gradient, choose_provider("cpu"), 1)
    dy = np.eye(3, dtype=np.float32)[[TARGET]]
    (dx,) = session.run({"x": X, "cotangent": dy}, ["x_grad"])
    close(r, X * dx)


def test_the_box_needs_its_range() -> None:
    options = LrpRuleOptions(composite="epsilon_gamma_box")
    with pytest.raises(UsageError, match="needs `low` and `high`"):
        build_gradient(network(), rules=lrp_rules(options))


def test_the_named_rule_set_gives_relevance() -> None:
    session = Session(build_gradient(network(), rules="lrp"), choose_provider("cpu"), 1)
    dy = np.eye(3, dtype=np.float32)[[TARGET]]
    (r,) = session.run({"x": X, "cotangent": dy}, ["x_grad"])
    close(r, by_hand(FORMULAS["epsilon_plus"])[0])


def text(body: str, weights: str = "") -> onnx.ModelProto:
    return onnx.parser.parse_model(
        f'<ir_version: 9, opset_import: ["": 20]> g (float[1,4] x) => (float[1,4] y) {weights} '
        f"{{ {body} }}"
    )


C = "<float[4] c = {0.5, -1.0, 2.0, 4.0}, float one = {1.0}, float half = {0.5}>"
V = np.array([[0.7, -1.2, 2.0, 0.4]], np.float32)


@pytest.mark.parametrize(
    ("body", "share"),
    [
        ("y = Mul(x, c)", 1.0),
        ("y = Div(x, c)", 1.0),
        ("s = Sigmoid(x) y = Mul(x, s)", 1.0),  # SiLU
        ("s = Sigmoid(x) y = Mul(s, x)", 1.0),
        ("s = Softplus(x) t = Tanh(s) y = Mul(x, t)", 1.0),  # Mish
        ("h = Mul(x, half) d = Mul(x, c) e = Erf(d) f = Add(e, one) y = Mul(h, f)", 1.0),
        ("s = HardSigmoid(x) y = Mul(x, s)", 1.0),
        ("y = Gelu(x)", 1.0),
        ("y = Tanh(x)", 1.0),
        ("y = Neg(x)", 1.0),
        ("y = Max(x, c)", 1.0),
        ("y = Mul(x, x)", 1.0),
    ],
)
def test_what_is_one_function_of_each_element_passes_everything(body: str, share: float) -> None:
    """Each element's relevance is its score: written-out activations are one node."""
    for target in range(4):
        for attention in (False, True):
            r, _, score = relevance(text(body, C), V, target, attention=attention)
            expected = np.zeros((1, 4))
            expected[0, target] = share * score
            np.testing.assert_allclose(r, expected, rtol=1e-5, atol=1e-7)


def test_sums_are_divided_in_proportion() -> None:
    """y = x - c + x²: x gets x / y and x² / y of r, the constant the rest."""
    proto = text("a = Sub(x, c) s = Mul(x, x) y = Add(a, s)", C)
    r, kept, score = relevance(proto, V, 0)
    assert score == pytest.approx(0.7 - 0.5 + 0.49)
    np.testing.assert_allclose(r, [[0.7 + 0.49, 0, 0, 0]], rtol=1e-4)
    assert kept == pytest.approx(-0.5, rel=1e-4)


W44 = "<float[4,4] w = {1,2,0,0, 0,1,0,1, 3,0,1,0, 0,0,1,1}, float[1,4] k = {1,-2,3,5}>"


def test_a_gate_gets_nothing_and_a_product_halves() -> None:
    """y = u · σ(v): u takes all of it; of u · v each takes half."""
    gated = text("u = MatMul(x, w) v = Neg(u) p = Softmax(v) y = Mul(u, p)", W44)
    with pytest.raises(GradientUnavailable, match="'lrp' has no rule for: Softmax"):
        relevance(gated, V, 0)
    gated = text(
        "u = MatMul(x, w) t = Slice(x, a, b, ax) g = Sigmoid(t) y = Mul(u, g)",
        W44[:-1] + ", int64[1] a = {3}, int64[1] b = {4}, int64[1] ax = {1}>",
    )
    product = text(
        "u = MatMul(x, w) t = Slice(x, a, b, ax) y = Mul(u, t)",
        W44[:-1] + ", int64[1] a = {3}, int64[1] b = {4}, int64[1] ax = {1}>",
    )
    for attention in (False, True):
        for proto, part in ((gated, 0.0), (product, 0.5)):
            r, _, score = relevance(proto, V, 0, options_of("epsilon"), attention=attention)
            u = V[0] * np.array([1, 0, 3, 0])
            expected = (1 - part) * score * u / u.sum()
            expected[3] += part * score
            np.testing.assert_allclose(r[0], expected, rtol=1e-4)


def test_a_divisor_is_held_constant() -> None:
    proto = text("n = ReduceL2(x) u = MatMul(x, w) y = Div(u, n)", W44)
    r, _, score = relevance(proto, V, 1, options_of("epsilon"))
    u = V[0] * np.array([2, 1, 0, 0])
    np.testing.assert_allclose(r[0], score * u / u.sum(), rtol=1e-4)


def test_a_constant_beside_numbers_keeps_its_own() -> None:
    proto = text(
        "p = Pad(x, by, five) u = MatMul(p, w) q = Concat<axis=1>(u, k) "
        "y = Slice(q, a, b, ax)",
        "<int64[4] by = {0, 1, 0, 0}, float five = {5.0}, float[1,2] k = {2.0, 3.0}, "
        "float[5,2] w = {1,1, 1,2, 1,1, 0,1, 1,1}, int64[1] a = {0}, int64[1] b = {4}, "
        "int64[1] ax = {1}>",
    )  # fmt: skip
    r, kept, score = relevance(proto, V, 0, options_of("epsilon"))
    assert kept == pytest.approx(5.0, rel=1e-4)
    np.testing.assert_allclose(r[0], [0.7, -1.2, 0.0, 0.4], rtol=1e-4)
    r, kept, score = relevance(proto, V, 3)
    assert (kept, score) == (3.0, 3.0)
    assert not r.any()


def test_every_operator_without_a_rule_is_named() -> None:
    proto = text("s = Softmax(x) t = Sin(s) z = Transpose(x) m = MatMul(x, z) y = Mul(t, m)")
    with pytest.raises(GradientUnavailable) as refused:
        build_gradient(proto, rules="lrp")
    for name in ("Softmax", "Sin", "MatMul"):
        assert f"{name} (1 node" in str(refused.value)
    with pytest.raises(GradientUnavailable) as refused:
        build_gradient(proto, rules="attnlrp")
    assert "Softmax" not in str(refused.value)
    assert "Sin (1 node" in str(refused.value)


def test_an_operator_is_in_one_class_and_the_table_has_it() -> None:
    assert set(CLASSES) <= set(RULES)
    assert len(CLASSES) > 80


def test_attnlrp_has_its_own_defaults() -> None:
    assert AttnLrpRuleOptions().composite == "epsilon"
    assert attnlrp_rules().options == AttnLrpRuleOptions()
    assert lrp_rules().options == LrpRuleOptions()
