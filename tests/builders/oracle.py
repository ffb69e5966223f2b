"""The oracle: a rule's gradient against central differences of the forward, in float64.

The forward and the gradient graph are both evaluated by onnx.reference, whose kernels share
nothing with the rules. A rule passes when the projection of its gradient on random directions
agrees with the difference quotient along them.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from leap_audit.canonical.form import to_proto
from leap_audit.gradient import Emitter, RuleSet, backpropagate
from leap_audit.gradient.table import Rule, RuleSample
from leap_audit.graph.opset import OPSET
from leap_audit.graph.shapes import static_shape

STEP = 1e-5
DIRECTIONS = 2
TOLERANCE = 1e-6

Inputs = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Case:
    """One node on random numbers: the forward graph, the gradient graph and what they are fed."""

    forward: onnx.ModelProto
    gradient: onnx.ModelProto
    inputs: Inputs
    weights: Inputs
    """Output name -> its cotangent, a constant of the gradient graph."""


def case_of(
    op_type: str,
    sample: RuleSample,
    rule: Rule | None = None,
    dtype: ir.DataType = ir.DataType.DOUBLE,
) -> Case:
    """Return the graphs of a sample in one floating-point type; `rule` replaces the table's."""
    graph = ir.Graph([], [], nodes=[], opset_imports={"": 21})
    op = Emitter(graph, "sample")
    values: list[ir.Value | None] = []
    inputs: Inputs = {}
    for i, array in enumerate(sample.inputs):
        if array is None:
            values.append(None)
            continue
        floating = np.issubdtype(array.dtype, np.floating)
        kind = dtype if floating else ir.DataType(onnx.helper.np_dtype_to_tensor_dtype(array.dtype))
        if floating and _only_float32(op_type, i):
            kind = ir.DataType.FLOAT
        if i in sample.wrt:
            value = ir.Value(name=f"x{i}", shape=ir.Shape(array.shape), type=ir.TensorType(kind))
            graph.inputs.append(value)
            inputs[f"x{i}"] = array.astype(kind.numpy())
        else:
            value = op.constant(array, kind)
        values.append(value)
    outputs = list(op.emit(op_type, values, sample.attributes, sample.outputs))
    graph.outputs.extend(outputs)
    model = ir.Model(graph, ir_version=10)
    forward = to_proto(model)
    rng = np.random.default_rng(1)
    floats = [y for y in outputs if y.dtype == dtype]
    weights = {y: rng.standard_normal(static_shape(y)).astype(dtype.numpy()) for y in floats}
    op = Emitter(graph, "gradient")
    cotangents = {y: op.constant(w, dtype) for y, w in weights.items()}
    replaced = None if rule is None else everywhere(rule)
    graph.outputs[:] = backpropagate(op, cotangents, list(graph.inputs), rules=replaced)
    named = {str(y.name): w for y, w in weights.items()}
    return Case(forward, to_proto(model), inputs, named)


def everywhere(rule: Rule) -> RuleSet:
    """Return the rule set that has this rule at every node of its operator."""
    return RuleSet("replaced", lambda node, _: rule if node.op_type == rule.op_type else None)


def _only_float32(op_type: str, position: int) -> bool:
    """Whether an input is float32 whatever the others are: the scales of Resize."""
    formals = onnx.defs.get_schema(op_type, OPSET).inputs
    return set(formals[min(position, len(formals) - 1)].types) == {"tensor(float)"}


def _in_float64(evaluator: ReferenceEvaluator) -> ReferenceEvaluator:
    """Make attributes Python numbers: a float32 among them would round what is computed of it."""
    for node in evaluator.rt_nodes_:
        rounded = {k: float(v) for k, v in vars(node).items() if isinstance(v, np.float32)}
        vars(node).update(rounded)
    return evaluator


def disagreement(case: Case) -> float:
    """Return the largest relative disagreement between the rule and the difference quotient."""
    forward = _in_float64(ReferenceEvaluator(case.forward))
    gradients = ReferenceEvaluator(case.gradient).run(None, case.inputs)
    rng = np.random.default_rng(2)

    def value(directions: list[NDArray[Any]], step: float) -> float:
        at = {n: x + step * d for (n, x), d in zip(case.inputs.items(), directions, strict=True)}
        results = forward.run(list(case.weights), at)
        return float(
            sum((w * r).sum() for w, r in zip(case.weights.values(), results, strict=True))
        )

    worst = 0.0
    for _ in range(DIRECTIONS):
        directions = [rng.standard_normal(x.shape) for x in case.inputs.values()]
        quotient = (value(directions, STEP) - value(directions, -STEP)) / (2 * STEP)
        pairs = list(zip(gradients, directions, strict=True))
        predicted = float(sum((dx * d).sum() for dx, d in pairs))
        scale = max(abs(quotient), *(float(np.abs(dx).sum()) / 10 for dx, _ in pairs), 1e-3)
        worst = max(worst, abs(quotient - predicted) / scale)
    return worst


def check_rule(op_type: str, sample: RuleSample, rule: Rule | None = None) -> float:
    """Return how far a rule is from the difference quotient on a sample."""
    return disagreement(case_of(op_type, sample, rule))
