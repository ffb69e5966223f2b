"""Graphs that round, compared layer by layer: a tie is forgiven, a wrong rewriting is not."""

from collections.abc import Callable, Iterator

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

from leap_audit.canonical import form as canonical
from leap_audit.canonical.form import canonicalise
from leap_audit.canonical.rewrite import REWRITINGS, Rewriting, Writer, Written
from leap_audit.canonical.rewrites import quantised
from leap_audit.errors import CanonicalMismatch
from leap_audit.run import choose_provider

CPU = choose_provider("cpu")


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    """Let every test rewrite the graph for itself, and leave nothing that it has changed."""
    canonical._simplified.cache_clear()
    yield
    canonical._simplified.cache_clear()


LAYERS = 12


def deep_net(seed: int = 0) -> onnx.ModelProto:
    """Convolutions of whole numbers behind one another, with additions between."""
    rng = np.random.default_rng(seed)
    arrays = {"s": np.float32(0.02), "z": np.uint8(128), "zw": np.int8(0)}
    nodes = [helper.make_node("QuantizeLinear", ["image", "s", "z"], ["q0"], name="first")]
    for i in range(LAYERS):
        arrays[f"w{i}"] = rng.integers(-90, 90, (8, 8, 3, 3)).astype(np.int8)
        arrays[f"sw{i}"] = np.float32(0.0035 + 0.0001 * rng.random())
        nodes.append(
            helper.make_node(
                "QLinearConv",
                [f"q{i}", "s", "z", f"w{i}", f"sw{i}", "zw", "s", "z"],
                [f"c{i}"],
                name=f"conv{i}",
                pads=[1, 1, 1, 1],
            )
        )
        nodes.append(
            helper.make_node(
                "QLinearAdd",
                [f"c{i}", "s", "z", f"q{i}", "s", "z", "s", "z"],
                [f"q{i + 1}"],
                name=f"add{i}",
                domain="com.microsoft",
            )
        )
    nodes.append(helper.make_node("DequantizeLinear", [f"q{LAYERS}", "s", "z"], ["scores"]))
    shape = [1, 8, 24, 24]
    graph = helper.make_graph(
        nodes,
        "deep",
        [helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in arrays.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


@pytest.mark.parametrize("seed", [0, 2])
def test_ties_that_grow_over_many_layers_are_forgiven(seed: int) -> None:
    canonicalise(deep_net(seed), provider=CPU)


def _with(change: Callable[[Writer], None]) -> Callable[[Writer], Written]:
    """The rewriting of QLinearConv with a fault of its own in the sixth convolution."""
    right = REWRITINGS["QLinearConv"].function

    def wrong(op: Writer) -> Written:
        if op.node.name == "conv5":
            change(op)
        return right(op)

    return wrong


def _other(index: int, data: np.ndarray) -> Callable[[Writer], None]:
    return lambda op: op.node.replace_input_with(index, op.constant(data))


FAULTS: dict[str, Callable[[Writer], None]] = {
    "a zero point off by one": _other(2, np.array(129, np.uint8)),
    "a zero point of the result off by one": _other(7, np.array(127, np.uint8)),
    "a scale one per cent too large": _other(6, np.array(0.0202, np.float32)),
    "a scale of the weights two per cent too large": _other(4, np.array(0.0037, np.float32)),
    "pads on the wrong side": lambda op: op.node.attributes.update(
        {"pads": ir.AttrInt64s("pads", [0, 1, 2, 1])}
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_one_layer_of_many_is_refused(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = Rewriting(_with(FAULTS[fault]), shapes=False)
    monkeypatch.setitem(REWRITINGS, "QLinearConv", wrong)
    with pytest.raises(CanonicalMismatch, match="other numbers"):
        canonicalise(deep_net(), provider=CPU)


def test_an_addition_that_forgets_a_zero_point_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def wrong(op: Writer) -> Written:
        b = op.DequantizeLinear(op.input(3), op.input(4))
        return quantised._whole(op, op.Add(quantised._float(op, 0), b), 6)

    monkeypatch.setitem(REWRITINGS, "com.microsoft::QLinearAdd", Rewriting(wrong, shapes=False))
    with pytest.raises(CanonicalMismatch, match="other numbers"):
        canonicalise(deep_net(), provider=CPU)
