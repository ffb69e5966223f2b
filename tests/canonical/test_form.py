"""The canonical form: same outputs, opset 21, static shapes, or a refusal."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper, version_converter

from leap_audit.canonical import form as canonical
from leap_audit.canonical.form import canonicalise, to_proto
from leap_audit.errors import CanonicalMismatch, LeapAuditError, ModelRefused
from leap_audit.graph.opset import OPSET
from leap_audit.graph.shapes import static_shape
from leap_audit.graph.weights import LARGE
from leap_audit.run import Session, choose_provider
from tests.builders.networks import conv_net

CPU = choose_provider("cpu")


@pytest.mark.parametrize("opset", [7, 9, 11, 13, 17, 21])
def test_every_opset_keeps_its_output(opset: int) -> None:
    original = conv_net(1, opset=opset, weights_as_inputs=opset < 9)
    proto = to_proto(canonicalise(original, provider=CPU))
    assert [(o.domain, o.version) for o in proto.opset_import if not o.domain] == [("", OPSET)]
    assert [value.name for value in proto.graph.input] == ["image"]
    x = np.random.default_rng(0).random((1, 3, 8, 8), np.float32)
    (want,) = Session(original, CPU).run({"image": x})
    (have,) = Session(proto, CPU).run({"image": x})
    np.testing.assert_allclose(have, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("given", [1, "n", -1, 0])
def test_the_batch_becomes_what_is_asked(batch: int, given: int | str) -> None:
    model = conv_net("n" if given in (-1, 0) else given)
    if given in (-1, 0):  # how some exporters write a free dimension
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = int(given)
    canonical_form = canonicalise(model, batch=batch, provider=None if given in (-1, 0) else CPU)
    assert static_shape(canonical_form.graph.inputs[0]) == (batch, 3, 8, 8)
    assert static_shape(canonical_form.graph.outputs[0]) == (batch, 5)


def test_every_shape_is_static() -> None:
    graph = canonicalise(conv_net(1), batch=2).graph
    for node in graph:
        for value in node.outputs:
            assert static_shape(value)[0] == 2


def test_a_batch_fixed_at_another_number_is_refused() -> None:
    with pytest.raises(ModelRefused, match="exactly 4 items at once"):
        canonicalise(conv_net(4), batch=2)


def test_a_free_size_is_refused_until_it_is_given() -> None:
    model = conv_net(size="pixels")
    with pytest.raises(ModelRefused, match="--input-size"):
        canonicalise(model)
    graph = canonicalise(model, sizes={"image": (3, 12, 12)}, provider=CPU).graph
    assert static_shape(graph.inputs[0]) == (1, 3, 12, 12)


def test_a_conversion_that_changes_the_output_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    canonical._simplified.cache_clear()  # what an earlier test converted is remembered
    honest = version_converter.convert_version

    def lying(model: onnx.ModelProto, version: int) -> onnx.ModelProto:
        converted = honest(model, version)
        for node in converted.graph.node:
            if node.op_type == "Relu":
                node.op_type = "Abs"
        return converted

    monkeypatch.setattr(version_converter, "convert_version", lying)
    with pytest.raises(CanonicalMismatch, match="'scores'"):
        canonicalise(conv_net(), provider=CPU)


def test_a_graph_that_cannot_be_converted_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    canonical._simplified.cache_clear()  # what an earlier test converted is remembered

    def failing(model: onnx.ModelProto, version: int) -> onnx.ModelProto:
        raise RuntimeError("no adapter for Upsample\nsecond line")

    monkeypatch.setattr(version_converter, "convert_version", failing)
    with pytest.raises(ModelRefused, match=r"opset 17 cannot .*no adapter for Upsample\)\.$"):
        canonicalise(conv_net())


def test_a_model_that_does_not_run_is_refused() -> None:
    model = conv_net(size=8)
    shape = next(t for t in model.graph.initializer if t.name == "shape")
    shape.CopyFrom(numpy_helper.from_array(np.array([-1, 3], np.int64), "shape"))
    with pytest.raises(LeapAuditError, match="Gemm"):
        canonicalise(model, provider=CPU)


def test_large_weights_survive_untouched() -> None:
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((64, 2 * LARGE // 64)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weight"], ["y"])],
        "large",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", weight.shape[1]])],
        [numpy_helper.from_array(weight, "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    proto = to_proto(canonicalise(model, batch=2, provider=CPU))
    assert [value.name for value in proto.graph.input] == ["x"]
    (kept,) = proto.graph.initializer
    np.testing.assert_array_equal(numpy_helper.to_array(kept), weight)


def test_sizes_that_are_computed_from_sizes_are_folded_however_deep() -> None:
    rolls = "\n".join(
        f"""
            size{i} = Shape<start=1, end=2>(x{i})
            shift{i} = Mod(three, size{i})
            head{i} = Slice(x{i}, zero, shift{i}, one)
            tail{i} = Slice(x{i}, shift{i}, size{i}, one)
            x{i + 1} = Concat<axis=1>(tail{i}, head{i})"""
        for i in range(5)
    )
    model = onnx.parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 17]>
        rolled (float[n, 8, 2] x0) => (float[n, 8, 2] x5) {{
            three = Constant<value_ints=[3]>()
            zero = Constant<value_ints=[0]>()
            one = Constant<value_ints=[1]>(){rolls}
        }}
    """)
    graph = canonicalise(model, provider=CPU).graph
    assert {node.op_type for node in graph} == {"Slice", "Concat"}
    assert all(static_shape(value) for node in graph for value in node.outputs)
