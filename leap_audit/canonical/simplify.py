"""Fold constants and shape arithmetic in a graph, and infer its shapes."""

import numpy as np
import onnx
import onnx_ir as ir
import onnxscript.optimizer
from onnx_ir.passes import common

from leap_audit.canonical.folding import fold, may_fold
from leap_audit.canonical.sizes import measure_sizes
from leap_audit.graph.opset import IR_VERSION
from leap_audit.graph.shapes import forget_shapes
from leap_audit.graph.values import constant_of
from leap_audit.graph.weights import LARGE, add_weights

__all__ = [
    "SIZES",
    "fold_all",
    "infer",
    "infer_anew",
    "inferred",
    "simplify",
    "to_proto",
]

SIZES = frozenset({"Shape", "Size"})
"""Operators that are folded as soon as a shape is known."""
FOLDINGS = 3
"""How often constants are folded at most: one round may bring out what the next can fold."""


def to_proto(model: ir.Model) -> onnx.ModelProto:
    """Return the graph as ONNX protobuf."""
    model.ir_version = IR_VERSION
    return ir.to_proto(model)


def simplify(model: ir.Model) -> None:
    """Fold constants and shape arithmetic node by node, and remove what is double or has no effect.

    onnxscript's rewriting rules are left out: they look through the whole graph at every node,
    minutes in a transformer, for patterns that ONNX Runtime fuses by itself when it loads.
    """
    for _ in range(FOLDINGS):
        folded = onnxscript.optimizer.fold_constants(
            model, onnx_shape_inference=True, should_fold=_is_small_filling
        )
        common.RemoveUnusedNodesPass()(model)
        if not folded.modified or not any(node.op_type in SIZES for node in model.graph):
            break
    for change in (
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.LiftSubgraphInitializersToMainGraphPass(),
        common.DeduplicateInitializersPass(),
        common.CommonSubexpressionEliminationPass(),
        common.IdentityEliminationPass(),
        common.RemoveUnusedNodesPass(),
        common.RemoveUnusedOpsetsPass(),
        common.TopologicalSortPass(),
        common.OutputFixPass(),
        common.NameFixPass(),
    ):
        change(model)


def fold_all(model: ir.Model) -> tuple[ir.Model, bool]:
    """Return the model with its constants folded (see `fold`), and whether there were any."""
    if not may_fold(model.graph, ()):
        return model, False
    proto = to_proto(model)
    large: dict[str, ir.TensorProtocol] = {}
    if not fold(proto, large):
        return model, False
    add_weights(proto, large)
    return ir.from_proto(proto), True


def _is_small_filling(node: ir.Node) -> bool | None:
    """Return True for a ConstantOfShape of few numbers, which onnxscript leaves by default."""
    shape = constant_of(node.inputs[0]) if node.op_type == "ConstantOfShape" else None
    return True if shape is not None and np.prod(shape, dtype=float) <= LARGE else None


def infer(model: ir.Model) -> None:
    """Infer the shapes that are not known yet."""
    common.ShapeInferencePass(check_type=False, strict_mode=False, data_prop=True)(model)
    common.RemoveUnusedNodesPass()(model)
    model.ir_version = IR_VERSION


def infer_anew(model: ir.Model) -> None:
    """Infer every shape once more: a whole inference knows sizes that folding by nodes did not."""
    _forget_shapes(model)
    infer(model)
    while measure_sizes(model):
        infer(model)


def _forget_shapes(model: ir.Model) -> None:
    """Leave shapes to be inferred once more: those with symbols in them came before folding."""
    forget_shapes(value for node in model.graph for value in node.outputs)
    for value in model.graph.initializers.values():
        if value.const_value is not None:
            value.shape = ir.Shape(value.const_value.shape.numpy())


def inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with the shapes that can be inferred."""
    try:
        return onnx.shape_inference.infer_shapes(model, data_prop=True)
    except onnx.shape_inference.InferenceError:
        return model
