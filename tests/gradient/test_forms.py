"""The forms that the emitted gradient takes, where one is faster than another."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from leap_audit.gradient import Emitter, build_gradient, check_gradient
from leap_audit.gradient.build import prepare
from leap_audit.gradient.walk import backpropagate
from leap_audit.run import Session, choose_provider


@pytest.mark.parametrize("stride", [1, 2])
def test_a_normalisation_goes_into_the_kernel_before_it(stride: int) -> None:
    model = _conv_and_norm(stride)
    gradient = build_gradient(model)
    operators = [node.op_type for node in gradient.graph.node]
    assert "Mul" not in operators, operators
    assert check_gradient(gradient).error < 1e-3


def test_a_factor_that_is_not_one_for_each_channel_stays() -> None:
    model = _conv_and_norm(1)
    model.graph.node[1].CopyFrom(onnx.helper.make_node("Mul", ["c", "wide"], ["y"]))
    wide = np.random.default_rng(1).uniform(0.5, 1.5, (3, 4, 4)).astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(wide, "wide"))
    gradient = build_gradient(model)
    assert "Mul" in [node.op_type for node in gradient.graph.node[2:]]
    assert check_gradient(gradient).error < 1e-3


@pytest.mark.parametrize("shape", [(1, 4), (1, 3, 4), (1, 2, 3, 4)])
def test_the_weight_of_a_product_is_read_as_it_lies(shape: tuple[int, ...]) -> None:
    sizes = ", ".join(map(str, shape[:-1]))
    model = parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 17]>
        net (float[{sizes}, 4] x) => (float[{sizes}, 5] y) {{ y = MatMul(x, w) }}
    """)
    weight = np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(weight, "w"))
    gradient = build_gradient(model)
    assert not {"Transpose", "Einsum"} & {node.op_type for node in gradient.graph.node}
    assert [list(w.dims) for w in gradient.graph.initializer if len(w.dims) > 1] == [[4, 5]]
    assert check_gradient(gradient).error < 1e-3


@pytest.mark.parametrize(("axis", "shape"), [(1, (5, 6)), (-1, (6,))])
def test_what_is_normalised_is_read_once(axis: int, shape: tuple[int, ...]) -> None:
    model = parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 17]>
        net (float[1, 5, 6] x) => (float[1, 5, 6] y) {{
            y = LayerNormalization <axis = {axis}, epsilon = 0.01> (x, w)
        }}
    """)
    weight = np.random.default_rng(0).uniform(0.5, 2, shape).astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(weight, "w"))
    gradient = build_gradient(model)
    operators = [node.op_type for node in gradient.graph.node]
    assert operators.count("ReduceMean") == 2, operators  # both of the gradient that arrives
    assert check_gradient(gradient).error < 1e-3


@pytest.mark.parametrize(
    ("cuts", "joined"),
    [
        ([(0, 2), (2, 5), (5, 6)], True),
        ([(5, 6), (0, 2), (2, 5)], True),
        ([(0, 2), (3, 6)], False),
        ([(0, 4), (2, 6)], False),
        ([(0, 3), (3, 5)], False),
        ([(0, 3), (3, 6), (2, 4)], False),
    ],
)
def test_pieces_of_a_tensor_come_back_joined(cuts: list[tuple[int, int]], joined: bool) -> None:
    lines = [
        f"s{n} = Constant <value_ints = [{start}]> () "
        f"e{n} = Constant <value_ints = [{end}]> () "
        f"piece{n} = Slice (x, s{n}, e{n}, one) "
        f"bent{n} = {operator} (piece{n}) "
        f"y{n} = ReduceSum <keepdims = 0> (bent{n}, one)"
        for n, ((start, end), operator) in enumerate(
            zip(cuts, ("Sin", "Tanh", "Sigmoid"), strict=False)
        )
    ]
    model = parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 17]>
        net (float[1, 6, 2] x) => (float[1, 2] y) {{
            one = Constant <value_ints = [1]> ()
            {" ".join(lines)}
            bent = Sum ({", ".join(f"y{n}" for n in range(len(cuts)))})
            whole = ReduceSum <keepdims = 0> (x, one)
            y = Mul (bent, whole)
        }}
    """)
    gradient = build_gradient(model)
    operators = {node.op_type for node in gradient.graph.node}
    assert ("Concat" in operators, "Pad" in operators) == (joined, not joined)
    assert check_gradient(gradient).error < 1e-3


GATE = "s = Sigmoid (x) y = Mul (x, s)"


def _gate(body: str) -> onnx.ModelProto:
    return parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 17]>
        net (float[1, 3, 4] x) => (float[1, 3, 4] y) {{ {body} }}
    """)


@pytest.mark.parametrize(
    ("body", "backward"),
    [
        (GATE, ["HardSigmoid", "Mul", "Add", "Mul"]),
        ("s = Sigmoid (x) y = Mul (s, x)", ["HardSigmoid", "Mul", "Add", "Mul"]),
        ("s = Tanh (x) y = Mul (x, s)", ["Mul", "Sub", "Mul", "Add", "Mul"]),
        (
            "s = Sigmoid (x) g = Mul (x, s) b = Sin (x) y = Add (g, b)",
            ["Cos", "Mul", "HardSigmoid", "Mul", "Add", "Mul", "Add"],
        ),
        (  # a gate of a gate
            "s = Sigmoid (x) g = Mul (x, s) t = Tanh (g) y = Mul (g, t)",
            ["Mul", "Sub", "Mul", "Add", "Mul", "HardSigmoid", "Mul", "Add", "Mul"],
        ),
    ],
)
def test_what_gates_itself_gets_one_slope(body: str, backward: list[str]) -> None:
    gradient = build_gradient(_gate(body))
    operators = [node.op_type for node in gradient.graph.node]
    assert operators[body.count("=") :] == backward
    assert check_gradient(gradient).error < 1e-3


@pytest.mark.parametrize(
    "body",
    [
        "m = ReduceMean <axes = [2]> (x) s = Sigmoid (m) y = Mul (x, s)",  # wider than its gate
        "s = Sigmoid (x) t = Mul (s, s) y = Mul (x, t)",
        "a = Mul (x, x) b = Mul (a, x) y = Mul (b, a)",
    ],
)
def test_other_products_keep_their_gradient(body: str) -> None:
    assert check_gradient(build_gradient(_gate(body))).error < 1e-3


@pytest.mark.parametrize("wrt", [["x", "s"], ["s"]])
def test_a_gate_has_its_own_gradient(wrt: list[str]) -> None:
    gradient = build_gradient(_gate(GATE), wrt=wrt)
    x, dy = (np.random.default_rng(k).uniform(-2, 2, (1, 3, 4)).astype(np.float32) for k in (0, 1))
    session = Session(gradient, choose_provider("cpu"))
    (s,) = session.run({"x": x, "cotangent": dy}, ["s_grad"])
    np.testing.assert_array_equal(s, dy * x)
    if "x" in wrt:
        (found,) = session.run({"x": x, "cotangent": dy}, ["x_grad"])
        gate = 1 / (1 + np.exp(-x))
        np.testing.assert_allclose(found, dy * gate * (1 + x * (1 - gate)), rtol=1e-5, atol=1e-6)


def test_a_product_inside_a_loop_is_not_read_outside() -> None:
    model = parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        net (float[1, 3, 4] x, int64[1] n) => (float[1, 3, 4] y, float[steps, 1, 3, 4] z) {
            s = Sigmoid (x)
            yes = Constant <value = bool {1}> ()
            times = Squeeze (n)
            z = Loop <body = once (int64 i, bool on) => (bool still, float[1, 3, 4] w) {
                still = Identity (on)
                w = Mul (x, s)
            }> (times, yes)
            y = Mul (x, s)
        }
    """)
    x, dy = (np.random.default_rng(k).uniform(-2, 2, (1, 3, 4)).astype(np.float32) for k in (0, 1))
    session = Session(build_gradient(model, of="y", wrt="x"), choose_provider("cpu"))
    given = {"x": x, "n": np.array([2]), "cotangent": dy}
    y, z, found = session.run(given, ["y", "z", "x_grad"])
    gate = 1 / (1 + np.exp(-x))
    np.testing.assert_allclose(z, np.stack([y, y]), rtol=1e-6)
    np.testing.assert_allclose(found, dy * gate * (1 + x * (1 - gate)), rtol=1e-5, atol=1e-6)


def _relu_and_pool(
    pool: str = "kernel_shape = [2, 2]", more: str = "", y: str = "m"
) -> onnx.ModelProto:
    return parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 17]>
        net (float[1, 2, 6, 6] x) => (float y) {{
            bent = Sin (x)
            r = Relu (bent)
            m = MaxPool <{pool}> (r)
            {more}
            flat_m = Flatten (m)
            flat_y = Flatten ({y})
            of_both = Concat <axis = 1> (flat_m, flat_y)
            y = ReduceSumSquare <keepdims = 0> (of_both)
        }}
    """)


def _order(gradient: onnx.ModelProto) -> list[str]:
    forward = [node.op_type for node in gradient.graph.node]
    return [name for name in forward if name in ("Relu", "MaxPool")][:2]


@pytest.mark.parametrize(
    "pool",
    ["kernel_shape = [2, 2]", "kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]"],
)
def test_a_relu_goes_behind_the_pool_that_alone_reads_it(pool: str) -> None:
    model = _relu_and_pool(pool)
    gradient = build_gradient(model)
    assert _order(gradient) == ["MaxPool", "Relu"]
    assert check_gradient(gradient).error < 1e-3
    x = np.random.default_rng(0).uniform(-2, 2, (1, 2, 6, 6)).astype(np.float32)
    (y,) = Session(model, choose_provider("cpu")).run({"x": x})
    given = {"x": x, "cotangent": np.ones((), np.float32)}
    np.testing.assert_array_equal(Session(gradient, choose_provider("cpu")).run(given)[0], y)


@pytest.mark.parametrize(
    ("model", "how"),
    [
        (_relu_and_pool("kernel_shape = [4, 4], strides = [3, 3], ceil_mode = 1"), {}),
        (_relu_and_pool("kernel_shape = [2, 2], dilations = [2, 2], pads = [1, 1, 1, 1]"), {}),
        (_relu_and_pool(more="squares = Mul (r, r)", y="squares"), {}),
        (_relu_and_pool(), {"wrt": "r"}),
        (_relu_and_pool(), {"wrt": "m"}),
        (_relu_and_pool(), {"rules": "guided"}),
    ],
    ids=[
        "incomplete windows",
        "pixels apart",
        "read twice",
        "wrt the relu",
        "wrt the pool",
        "another method",
    ],
)
def test_a_relu_that_is_read_otherwise_stays(model: onnx.ModelProto, how: dict) -> None:
    assert _order(build_gradient(model, **how)) == ["Relu", "MaxPool"]


def test_a_pool_that_is_held_stays_what_it_is() -> None:
    prepared = prepare(_relu_and_pool())
    graph = prepared.model.graph
    (pooled,) = [node.outputs[0] for node in graph if node.op_type == "MaxPool"]
    (slope,) = backpropagate(
        Emitter(graph, "slope"), {prepared.output: prepared.output}, prepared.values
    )
    graph.outputs.extend([pooled, slope])
    x = np.random.default_rng(0).uniform(-2, 2, (1, 2, 6, 6)).astype(np.float32)
    _, held, _ = Session(prepared.model, choose_provider("cpu")).run({"x": x})
    windows = np.lib.stride_tricks.sliding_window_view(np.sin(x), (2, 2), axis=(2, 3))
    np.testing.assert_allclose(held, windows.max((-2, -1)).clip(0), atol=1e-6)


def test_a_pool_inside_a_loop_keeps_its_relu() -> None:
    model = parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        net (float[1, 1, 4, 4] x, int64[1] n) => (float y, float[steps, 1, 1, 3, 3] z) {
            r = Relu (x)
            yes = Constant <value = bool {1}> ()
            times = Squeeze (n)
            z = Loop <body = once (int64 i, bool on) => (bool still, float[1, 1, 3, 3] m) {
                still = Identity (on)
                m = MaxPool <kernel_shape = [2, 2]> (r)
            }> (times, yes)
            y = ReduceSumSquare <keepdims = 0> (x)
        }
    """)
    x = np.random.default_rng(0).uniform(-2, 2, (1, 1, 4, 4)).astype(np.float32)
    session = Session(build_gradient(model, of="y", wrt="x"), choose_provider("cpu"))
    given = {"x": x, "n": np.array([2]), "cotangent": np.ones((), np.float32)}
    z, found = session.run(given, ["z", "x_grad"])
    windows = np.lib.stride_tricks.sliding_window_view(np.maximum(x, 0), (2, 2), axis=(2, 3))
    np.testing.assert_array_equal(z, np.stack([windows.max(axis=(4, 5))] * 2))
    np.testing.assert_allclose(found, 2 * x, rtol=1e-6)


def _conv_and_norm(stride: int) -> onnx.ModelProto:
    size = 4 // stride
    model = parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 17]>
        net (float[1, 2, 4, 4] x) => (float[1, 3, {size}, {size}] y) {{
            c = Conv<pads=[1, 1, 1, 1], strides=[{stride}, {stride}]>(x, w)
            y = BatchNormalization(c, scale, bias, mean, variance)
        }}
    """)
    rng = np.random.default_rng(0)
    arrays = {
        "w": rng.standard_normal((3, 2, 3, 3)),
        "scale": rng.uniform(0.5, 2, 3),
        "bias": rng.standard_normal(3),
        "mean": rng.standard_normal(3),
        "variance": rng.uniform(0.1, 3, 3),
    }
    for name, array in arrays.items():
        model.graph.initializer.append(numpy_helper.from_array(array.astype(np.float32), name))
    return model
