"""The oracle: a rule's gradient against central differences of the forward, in float64.

The forward and the gradient graph are both evaluated by onnx.reference, whose kernels share
nothing with the rules. A rule passes when the projection of its gradient on random directions
agrees with the difference quotient along them.
"""

import numpy as np
import onnx
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator

from leap_audit.gradient import Emitter, backpropagate
from leap_audit.gradient.table import Rule, RuleSample
from leap_audit.ingest.canonical import static_shape, to_proto

STEP = 1e-5
DIRECTIONS = 4


def node_graph(op_type: str, sample: RuleSample) -> tuple[ir.Model, list[ir.Value], list[ir.Value]]:
    """A graph of one node in float64: the model, its differentiated inputs, its outputs."""
    graph = ir.Graph([], [], nodes=[], opset_imports={"": 21})
    op = Emitter(graph, "sample")
    values: list[ir.Value | None] = []
    wrt = []
    for i, array in enumerate(sample.inputs):
        if array is None:
            values.append(None)
            continue
        dtype = (
            ir.DataType.DOUBLE
            if array.dtype == np.float64
            else ir.DataType(onnx.helper.np_dtype_to_tensor_dtype(array.dtype))
        )
        if i in sample.wrt:
            value = ir.Value(name=f"x{i}", shape=ir.Shape(array.shape), type=ir.TensorType(dtype))
            graph.inputs.append(value)
            wrt.append(value)
        else:
            value = op.constant(array, dtype)
        values.append(value)
    outputs = list(op.emit(op_type, values, sample.attributes, sample.outputs))
    graph.outputs.extend(outputs)
    return ir.Model(graph, ir_version=10), wrt, outputs


def check_rule(op_type: str, sample: RuleSample, rule: Rule | None = None) -> float:
    """Return the largest relative disagreement between the rule and the difference quotient."""
    model, wrt, outputs = node_graph(op_type, sample)
    graph = model.graph
    rng = np.random.default_rng(1)
    forward = ReferenceEvaluator(to_proto(model))
    floats = [y for y in outputs if y.dtype == ir.DataType.DOUBLE]
    weights = {y: rng.standard_normal(static_shape(y)) for y in floats}
    op = Emitter(graph, "gradient")
    cotangents = {y: op.constant(w, ir.DataType.DOUBLE) for y, w in weights.items()}
    rules = {op_type: rule} if rule else None
    found = backpropagate(op, cotangents, wrt, rules=rules)
    graph.outputs[:] = found
    gradient = ReferenceEvaluator(to_proto(model))
    inputs = {v.name: sample.inputs[i] for v, i in zip(wrt, sample.wrt, strict=True)}
    gradients = gradient.run(None, inputs)

    def value(at: dict[str, np.ndarray]) -> float:
        results = forward.run([y.name for y in floats], at)
        return float(sum((w * r).sum() for w, r in zip(weights.values(), results, strict=True)))

    worst = 0.0
    for name, dx in zip(inputs, gradients, strict=True):
        for _ in range(DIRECTIONS):
            direction = rng.standard_normal(inputs[name].shape)
            ahead, behind = dict(inputs), dict(inputs)
            ahead[name] = inputs[name] + STEP * direction
            behind[name] = inputs[name] - STEP * direction
            quotient = (value(ahead) - value(behind)) / (2 * STEP)
            predicted = float((dx * direction).sum())
            scale = max(abs(quotient), float(np.abs(dx).sum()) / 10, 1e-3)
            worst = max(worst, abs(quotient - predicted) / scale)
    return worst
